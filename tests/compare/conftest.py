"""Score tables written by hand, for comparisons whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeeval.scores.table import Metric, Score, ScoreTable
from edgeeval.scores.tasks import ACCURACY


def a_table(
    metric: Metric,
    values: Sequence[float | None],
    *,
    set_id: str = "set",
    pool: str = "pool",
    key_id: str = "",
    judge: str = "",
    weights: Sequence[float] | None = None,
    clusters: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    tokens: Sequence[float] | None = None,
    chance: float | None = None,
    n_empty: int = 0,
) -> ScoreTable:
    """A table of items set_id/0, set_id/1, ...; each a cluster of its own unless said."""
    scores = tuple(
        Score(
            f"{set_id}/{index}",
            clusters[index] if clusters else f"{set_id}/{index}",
            value,
            {"subject": groups[index]} if groups else {},
            weights[index] if weights else 1.0,
        )
        for index, value in enumerate(values)
    )
    per_token = None if tokens is None else np.array(tokens, np.float32)
    return ScoreTable(
        metric, key_id or metric.id, set_id, pool, scores, judge, per_token, chance, n_empty
    )


def shares(n_right: int, n: int) -> list[float]:
    """The first n_right of n items are right."""
    return [1.0] * n_right + [0.0] * (n - n_right)


def accuracy(n_right: int, n: int, chance: float | None = 0.25) -> ScoreTable:
    return a_table(ACCURACY, shares(n_right, n), chance=chance)
