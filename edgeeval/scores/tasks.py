"""Multiple choice: accuracy, and how many answers changed.

A level may answer as often right as the reference and still answer other questions right: flips
show what accuracy hides.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgeeval.judges.score import JudgedTexts
from edgeeval.scores.measured import Measured, SetRun
from edgeeval.scores.table import Metric, Score, ScoreTable

KINDS = ("choice",)

ACCURACY = Metric("tasks.accuracy", "accuracy", "share", "higher", "share")
ACCURACY_NORM = Metric("tasks.accuracy_norm", "accuracy per byte", "share", "higher", "share")
MC2 = Metric("tasks.mc2", "probability of the right options", "share", "higher", "bounded")
FLIPS = Metric(
    "tasks.flips", "changed answers", "share", "max", "share", paired=False, is_change=True
)
FLIPS_DOWN = Metric(
    "tasks.flips_down", "right to wrong", "share", "max", "share",
    paired=False, is_change=True, is_listed=True,
)  # fmt: skip
FLIPS_UP = Metric(
    "tasks.flips_up", "wrong to right", "share", "max", "share",
    paired=False, is_change=True, is_listed=True,
)  # fmt: skip
METRICS = (ACCURACY, ACCURACY_NORM, MC2, FLIPS, FLIPS_DOWN, FLIPS_UP)


def answer(item: Any) -> int:
    """Return the option of the largest summed log-likelihood."""
    return int(np.argmax(item["log_likelihoods"]))


def _answer_per_byte(item: Any) -> int:
    return int(np.argmax(np.array(item["log_likelihoods"]) / np.array(item["n_bytes"])))


def _right_probability(item: Any) -> float:
    """Return the right options' share of the probability of all (TruthfulQA's mc2)."""
    values = np.array(item["log_likelihoods"], np.float64)
    weights = np.exp(values - values.max())
    return float(weights[list(item["right"])].sum() / weights.sum())


def score(level: Measured, reference: Measured, judged: JudgedTexts | None) -> Iterator[ScoreTable]:
    """Score the answers of a level against the key and against the reference's answers."""
    del judged  # needs no judge
    for run, base in zip(level.of_kind(*KINDS), reference.of_kind(*KINDS), strict=True):
        yield from _tables(run, base)


def _tables(run: SetRun, base: SetRun) -> Iterator[ScoreTable]:
    def table(
        metric: Metric, value: Callable[[Any, Any], float], chance: float | None = None
    ) -> ScoreTable:
        scores = tuple(
            Score(
                item_id,
                item["template_id"],
                float(value(item, base.items[item_id])),
                item["groups"],
            )
            for item_id, item in run.items.items()
        )
        return ScoreTable(metric, metric.id, run.set_id, run.pool, scores, chance=chance)

    def right(item: Any) -> bool:
        return answer(item) in item["right"]

    chance = float(
        np.mean([len(item["right"]) / len(item["log_likelihoods"]) for item in run.items.values()])
    )
    yield table(ACCURACY, lambda item, _: right(item), chance)
    yield table(ACCURACY_NORM, lambda item, _: _answer_per_byte(item) in item["right"], chance)
    yield table(MC2, lambda item, _: _right_probability(item), chance)
    yield table(FLIPS, lambda item, other: answer(item) != answer(other))
    yield table(FLIPS_DOWN, lambda item, other: right(other) and not right(item))
    yield table(FLIPS_UP, lambda item, other: right(item) and not right(other))
