"""Dialect: how much worse a model predicts a variety of English than the standard, and by how much
quantization widens that gap.

Two sentences of one meaning, one grammatical feature apart; nats per UTF-8 byte, because they
differ in length. Sentences of one feature are alike: a feature is a cluster. Each variety is a
prompt set of its own and has its own key.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from edgeeval.judges.score import JudgedTexts
from edgeeval.scores.measured import Measured
from edgeeval.scores.table import Metric, Score, ScoreTable

KINDS = ("dialect",)

GAP = Metric(
    "dialect.gap", "perplexity per byte, dialect against standard", "ratio", "max", "mean",
    paired=False, transform="exp",
)  # fmt: skip
GAP_GROWTH = Metric(
    "dialect.gap_growth", "growth of the dialect gap", "nats/byte", "max", "mean",
    paired=False, is_change=True,
)  # fmt: skip
PAIR_GROWTH = Metric(
    "dialect.pair_growth", "growth of the dialect gap, a pair", "nats", "max", "mean",
    paired=False, is_change=True,
)  # fmt: skip
RELATIVE_GROWTH = Metric(
    "dialect.relative_growth", "growth of the dialect's loss beyond the standard's", "share",
    "max", "mean", paired=False, is_change=True,
)  # fmt: skip
METRICS = (GAP, GAP_GROWTH, PAIR_GROWTH, RELATIVE_GROWTH)

Item = Mapping[str, Any]
"""`template_id`, `groups`, and of dialect and standard: `log_likelihoods` (nats), `n_bytes`."""


class _Loss(NamedTuple):
    """What one pair costs a model."""

    dialect: float
    """Negative log-likelihood in nats."""
    standard: float
    gap: float
    """In nats per byte."""


def _loss(item: Item) -> _Loss:
    dialect, standard = (-value for value in item["log_likelihoods"])
    bytes_dialect, bytes_standard = item["n_bytes"]
    return _Loss(dialect, standard, dialect / bytes_dialect - standard / bytes_standard)


_VALUES: tuple[tuple[Metric, Callable[[_Loss, _Loss], float]], ...] = (
    (GAP, lambda own, base: own.gap),
    (GAP_GROWTH, lambda own, base: own.gap - base.gap),
    (
        PAIR_GROWTH,
        lambda own, base: (own.dialect - base.dialect) - (own.standard - base.standard),
    ),
    # A dialect sentence is often the shorter one, and so has less to lose: hence relative growth.
    (
        RELATIVE_GROWTH,
        lambda own, base: own.dialect / base.dialect - own.standard / base.standard,
    ),
)


def tables(
    items: Mapping[str, Item], reference: Mapping[str, Item], set_id: str = "", pool: str = ""
) -> Iterator[ScoreTable]:
    """Score pairs of sentences against a reference's scores of the same pairs: plain data."""
    losses = {item_id: (_loss(item), _loss(reference[item_id])) for item_id, item in items.items()}
    for metric, value in _VALUES:
        scores = tuple(
            Score(
                item_id,
                item["groups"].get("feature", item["template_id"]),
                value(*losses[item_id]),
                item["groups"],
            )
            for item_id, item in items.items()
        )
        yield ScoreTable(metric, metric.id, set_id, pool, scores)


def score(level: Measured, reference: Measured, judged: JudgedTexts | None) -> Iterator[ScoreTable]:
    """Score the sentence pairs of a level."""
    del judged  # needs no judge
    for run, base in zip(level.of_kind(*KINDS), reference.of_kind(*KINDS), strict=True):
        yield from tables(run.items, base.items, run.set_id, run.pool)
