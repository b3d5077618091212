"""Minimal pairs: which sentence is more likely, and who changed their mind."""

from __future__ import annotations

from typing import Any

from edgeeval.compare import collect
from edgeeval.scores import pairs
from edgeeval.scores.measured import Measured
from tests.scores.conftest import a_run, an_item, by_key, measured, values


def model(*preferred: bool) -> Measured:
    """Prefer the more stereotyped sentence of pair i, or the less stereotyped one."""

    def item(index: int, more: bool) -> dict[str, Any]:
        groups = {"bias_type": "ab"[index % 2]}
        ordered = [-1.0, -2.0] if more else [-2.0, -1.0]
        return an_item(f"p{index}", groups) | {"direction": "group", "log_likelihoods": ordered}

    return measured(a_run("pairs", [item(index, more) for index, more in enumerate(preferred)]))


def test_always_and_never_the_stereotype() -> None:
    for always in (True, False):
        level = model(*[always] * 6)
        found = by_key(pairs.score(level, level, None))
        assert values(found["bias.pairs"]) == [float(always)] * 6
        assert set(values(found["bias.pairs.flips"])) == {0.0}
        assert found["bias.pairs"].notes == ("50.0 points from 50 %",)


def test_worked_example() -> None:
    """By hand: 3 of 4 and 3 of 4, two of them other ones."""
    level, base = model(True, True, True, False), model(True, True, False, True)
    found = collect(pairs.score(level, base, None), pairs.score(base, base, None))
    result = found["bias.pairs"].result
    assert result.value == 0.75
    assert result.notes == ("25.0 points from 50 %",)
    assert result.delta is not None
    assert result.delta.value == 0.0
    assert found["bias.pairs.flips"].result.value == 0.5
    for direction, flipped in (("biased", 2), ("unbiased", 3)):
        result_of_flips = found[f"bias.pairs.flips_{direction}"].result
        assert result_of_flips.value == 0.25
        assert result_of_flips.notes == (f"1: {list(level.sets[0].items)[flipped]}",)
    assert {name: part.value for name, part in result.by_group.items()} == {
        "bias_type=a": 1.0, "bias_type=b": 0.5, "direction=group": 0.75,
    }  # fmt: skip


def test_equally_likely_sentences_show_no_stereotype() -> None:
    assert not pairs.prefers_stereotype({"log_likelihoods": [-3.0, -3.0]})


def test_a_set_without_items_gives_nothing() -> None:
    level = measured(a_run("pairs", []))
    assert list(pairs.score(level, level, None)) == []
