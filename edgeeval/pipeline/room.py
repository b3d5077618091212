"""Say how much memory and disk a run takes, from its plans: arithmetic, nothing is run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeeval.artifact.header import read_header
from edgeeval.records import Artifact
from edgeeval.run.foreign import Plan, n_scored

WORKER_BYTES = 200 << 20
"""A worker with Python, numpy and the engine, before a model."""
_LOGIT_COPIES = 3
"""llama.cpp's own logits, their log-softmax and a reference's beside it, all float32."""


def items_of(plan: Plan) -> list[dict[str, Any]]:
    """Return a plan's items in the order of their blocks."""
    return [item for block in plan.content["blocks"] for item in block["items"]]


def logprob_bytes(plan: Plan) -> int:
    """Return the size of the reference's log-probabilities on the disk."""
    if not plan.diverges:
        return 0
    return int(sum(map(n_scored, items_of(plan))) * plan.content["n_vocab"] * 4)


def memory_bytes(present: Artifact, weights: int, plans: Sequence[Plan]) -> int:
    """Return about how much memory the largest worker takes: weights, cells, logits."""
    cell_bytes = _cell_bytes(present)
    cells = max((plan.content["context"]["n_ctx"] for plan in plans), default=0)
    rows = max((_scored_rows(plan) for plan in plans), default=0)
    n_vocab = max((plan.content["n_vocab"] for plan in plans), default=0)
    logits = _LOGIT_COPIES * rows * n_vocab * 4
    return int(weights + cells * cell_bytes + logits + WORKER_BYTES)


def _scored_rows(plan: Plan) -> int:
    """Return the rows of one batch whose logits are wanted, at most."""

    def rows(item: dict[str, Any]) -> int:
        if "tokens" in item:
            return n_scored(item)
        return sum(map(len, item["options"])) if "options" in item else int(item["n_sequences"])

    return max(sum(map(rows, block["items"])) for block in plan.content["blocks"])


def _cell_bytes(artifact: Artifact) -> int:
    """Return the bytes of one token's keys and values over all layers, as float32."""
    fields = read_header(Path(artifact.path)).fields

    def number(key: str, otherwise: int) -> int:
        value = fields.get(f"{artifact.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else otherwise

    heads = number("attention.head_count", 1)
    width = number("embedding_length", 4096) // max(1, heads)
    key, value = number("attention.key_length", width), number("attention.value_length", width)
    return number("block_count", 32) * number("attention.head_count_kv", heads) * (key + value) * 4
