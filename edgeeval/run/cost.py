"""Measure speed and memory as deployed: one sequence, one process, nothing else in it.

Evaluation batches would give other numbers: 32 sequences together decode three times as fast as the
one that a person waits for. The pass follows llama-bench: prompt processing of 512 tokens and
generation of 128, a warm-up first, repeated.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeeval._llama import Context, Model, Row
from edgeeval.run.worker import Emit, peak_rss_bytes

PREFILL_TOKENS = 512
DECODE_TOKENS = 128


def _prompt(n_vocab: int) -> list[int]:
    """Return fixed random tokens: speed does not depend on them, reproducibility does."""
    generator = np.random.default_rng(0)
    return [int(token) for token in generator.integers(0, n_vocab, PREFILL_TOKENS)]


def _prefill_tps(context: Context, prompt: list[int]) -> float:
    context.clear()
    rows = [Row(token, index, (0,), index == len(prompt) - 1) for index, token in enumerate(prompt)]
    start = time.perf_counter()
    context.decode(rows)
    return len(prompt) / (time.perf_counter() - start)


def _decode_tps(context: Context, prompt: list[int]) -> float:
    context.clear()
    start = time.perf_counter()
    for position in range(DECODE_TOKENS):
        context.decode([Row(prompt[position], position, (0,), True)])
    return DECODE_TOKENS / (time.perf_counter() - start)


def work(job: dict[str, Any], emit: Emit) -> None:
    """Time one artifact; one event with every repetition."""
    model = Model(Path(job["model"]), device=job["device"], use_extra_bufts=job["use_extra_bufts"])
    context = Context(
        model,
        n_ctx=job["n_ctx"],
        n_batch=max(PREFILL_TOKENS, job["n_ubatch"]),
        n_ubatch=job["n_ubatch"],
        n_seq_max=1,
        n_threads=job["n_threads"],
        kv_unified=False,
        kv_type="f16",
        flash_attention=True,
    )
    prompt = _prompt(model.vocabulary.n_tokens)
    _prefill_tps(context, prompt[:64])  # warm-up: page in the weights
    repeats = range(job["repeats"])
    emit(
        {
            "event": "cost",
            "prefill_tps": [round(_prefill_tps(context, prompt), 2) for _ in repeats],
            "decode_tps": [round(_decode_tps(context, prompt), 2) for _ in repeats],
            "peak_rss_bytes": peak_rss_bytes(),
        }
    )
