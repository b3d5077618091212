"""What `edgeeval plan` says of a sample."""

from __future__ import annotations

import pytest

from edgeeval.cli import plan
from edgeeval.compare.power import Power
from edgeeval.pipeline.forecast import Forecast

KNOWN = Power("Q4_K_M", "tasks.flips", "max", 0.1, 1000, 0.081, "levels of SmolLM2-135M")
UNKNOWN = Power("IQ1_S", "tasks.flips", "max", 0.1, 1000, None, "")


def _printed(capsys: pytest.CaptureFixture[str], *power: Power) -> list[str]:
    sizes = {"disk_needed_bytes": 0, "disk_free_bytes": 0, "memory_bytes": 0}
    nothing = {"memory_needed_bytes": None, "prefill_tps": None, "decode_tps": None}
    plan._print_power(
        Forecast(
            (), **sizes, **nothing, sets=(), blocks_done=0, blocks=0, elapsed_s=None, power=power,
            notes=(),
        )
    )  # fmt: skip
    return capsys.readouterr().out.splitlines()


def test_a_level_of_which_nothing_is_known_is_explained_with_how_to_know_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    *_, line, note = _printed(capsys, KNOWN, UNKNOWN)
    assert "δ80 unknown with 1,000: unknown" in line
    assert note.startswith("! unknown: ")
    assert "evaluation of the same recipe in this workspace" in note


def test_nothing_is_explained_where_all_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    *_, line = _printed(capsys, KNOWN)
    assert line.endswith("δ80 0.081 with 1,000: would pass")
