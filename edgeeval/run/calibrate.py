"""Measure in seconds how fast this machine decodes a model, to say how long an evaluation takes.

Not the cost pass: that one measures a model as deployed, this one in the batches of an evaluation,
where 32 sequences together decode three times as fast as one.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeeval._llama import Context, Model, Row
from edgeeval.run.worker import Emit

_SEQUENCES = 32
_FIRST_TOKENS = 64
_PROMPT_TOKENS = 512
_ENOUGH_S = 2.0
"""Stop once a rate was watched for that long: a large model on a slow machine needs no more."""


def _rate(step: Callable[[int], int]) -> float:
    """Call `step` with growing sizes until it took long enough; return tokens a second."""
    size = 1
    while True:
        start = time.perf_counter()
        n_tokens = step(size)
        elapsed_s = time.perf_counter() - start
        if elapsed_s >= _ENOUGH_S / 4 or size >= _PROMPT_TOKENS // _FIRST_TOKENS:
            return n_tokens / elapsed_s
        size *= 2


def work(job: dict[str, Any], emit: Emit) -> None:
    """Emit one event: prefill_tps and decode_tps (32 sequences together)."""
    model = Model(Path(job["model"]), device=job["device"], use_extra_bufts=job["use_extra_bufts"])
    context = Context(
        model,
        n_ctx=_PROMPT_TOKENS * 2,
        n_batch=_PROMPT_TOKENS,
        n_ubatch=job["n_ubatch"],
        n_seq_max=_SEQUENCES,
        n_threads=job["n_threads"],
        kv_unified=True,
        kv_type="f16",
        flash_attention=True,
    )
    generator = np.random.default_rng(0)
    tokens = [int(one) for one in generator.integers(0, model.vocabulary.n_tokens, _PROMPT_TOKENS)]

    def prefill(size: int) -> int:
        context.clear()
        some = tokens[: _FIRST_TOKENS * size]
        context.decode([Row(one, at, (0,), at % 2 == 1) for at, one in enumerate(some)])
        return len(some)

    def decode(size: int) -> int:
        context.clear()
        for position in range(size):
            rows = [Row(tokens[at], position, (at,), True) for at in range(_SEQUENCES)]
            context.decode(rows)
        return size * _SEQUENCES

    prefill(1)  # pages in the weights
    emit(
        {
            "event": "rates",
            "prefill_tps": round(_rate(prefill), 1),
            "decode_tps": round(_rate(decode), 1),
        }
    )
