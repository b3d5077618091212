"""Alignment: how far a level's greedy text follows the reference's."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from edgeeval.judges.score import JudgedTexts
from edgeeval.scores.measured import Measured
from edgeeval.scores.table import Metric, Score, ScoreTable

KINDS = ("open",)

EXACT_MATCH = Metric("align.exact_match", "identical text", "share", "min", "share", paired=False)
FIRST_DIVERGENCE = Metric(
    "align.first_divergence", "tokens before the texts part", "tokens", "min", "mean", paired=False
)
EDIT_SIMILARITY = Metric(
    "align.edit_similarity", "edit similarity", "share", "min", "mean", paired=False
)
CHRF = Metric("align.chrf", "chrF", "points", "min", "mean", paired=False)
METRICS = (EXACT_MATCH, FIRST_DIVERGENCE, EDIT_SIMILARITY, CHRF)


def greedy(item: Any) -> Any:
    """Return an item's greedy text: `{sample, tokens, text, finish}`."""
    return next(text for text in item["texts"] if text["sample"] < 0)


def first_divergence(own: Sequence[int], base: Sequence[int]) -> int:
    """Return how many tokens the texts share from the start."""
    shared = 0
    for ours, theirs in zip(own, base, strict=False):
        if ours != theirs:
            break
        shared += 1
    return shared


def _edit_similarity(own: str, base: str) -> float:
    """Return 1 - Levenshtein distance / longer length; two empty texts are equal."""
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.normalized_similarity(own, base))


def _chrf(own: str, base: str) -> float:
    """Return chrF (Popovic 2015) in points; identical texts, empty ones included, get 100."""
    from sacrebleu.metrics.chrf import CHRF as SacreCHRF

    return 100.0 if own == base else float(SacreCHRF().sentence_score(own, [base]).score)


_VALUES: tuple[tuple[Metric, Callable[[Any, Any], float]], ...] = (
    (EXACT_MATCH, lambda own, base: float(own["tokens"] == base["tokens"])),
    (FIRST_DIVERGENCE, lambda own, base: float(first_divergence(own["tokens"], base["tokens"]))),
    (EDIT_SIMILARITY, lambda own, base: _edit_similarity(own["text"], base["text"])),
    (CHRF, lambda own, base: _chrf(own["text"], base["text"])),
)


def score(level: Measured, reference: Measured, judged: JudgedTexts | None) -> Iterator[ScoreTable]:
    """Compare greedy texts with the reference's; the reference with itself is not worth a line."""
    del judged  # needs no judge
    if level is reference:
        return
    for run, base in zip(level.of_kind(*KINDS), reference.of_kind(*KINDS), strict=True):
        for metric, value in _VALUES:
            scores = tuple(
                Score(
                    item_id,
                    item["template_id"],
                    value(greedy(item), greedy(base.items[item_id])),
                    item["groups"],
                )
                for item_id, item in run.items.items()
            )
            yield ScoreTable(metric, metric.id, run.set_id, run.pool, scores)
