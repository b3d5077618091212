"""What may be handed to native memory: no more than it was allocated for."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeeval._llama import Context, Model, Row
from edgeeval.errors import WorkerFailed
from edgeeval.run.selftest import write_micro_model

N_BATCH, N_SEQUENCES = 16, 2


@pytest.fixture
def context(tmp_path: Path) -> Context:
    write_micro_model(tmp_path / "micro.gguf")
    return Context(
        Model(tmp_path / "micro.gguf", use_extra_bufts=False),
        n_ctx=256,
        n_batch=N_BATCH,
        n_ubatch=N_BATCH,
        n_seq_max=N_SEQUENCES,
        n_threads=1,
        kv_unified=True,
        kv_type="f16",
        flash_attention=True,
    )


def test_a_batch_that_just_fits_is_decoded(context: Context) -> None:
    rows = [Row(place, place, tuple(range(N_SEQUENCES)), True) for place in range(N_BATCH)]
    assert context.decode(rows).shape[0] == N_BATCH


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Row(1, place, (0,), False) for place in range(N_BATCH + 1)], "do not fit a batch of 16"),
        ([Row(1, 0, tuple(range(N_SEQUENCES + 1)), False)], "a row of more than 2 sequences"),
        ([Row(1, 0, (0,) * 100_000, False)], "a row of more than 2 sequences"),
    ],
)
def test_what_lies_beyond_the_arrays_is_not_written(
    context: Context, rows: list[Row], message: str
) -> None:
    """A plan may come from a stranger's bundle: the arrays behind a batch have so many places."""
    with pytest.raises(WorkerFailed, match=message):
        context.decode(rows)
