"""Turn runs into scores: one number per item. One file a dimension; the table below names them.

A scorer module has `KINDS` (the kinds of prompt set whose runs it reads), `METRICS` (what it can
measure) and `score(level, reference, judged) -> Iterator[ScoreTable]`; one that needs a judge also
has `texts_to_judge(measured) -> Iterator[str]`, and one that brings a judge of its own
`judge_info() -> JudgeInfo`; one whose metrics are made of some items only, `counts(metric, item)`,
so that a plan can say what a sample shows. Where the numbers follow from plain data, `tables` takes
it, so that a run of another program can be scored too. It reads finished runs only: scoring again
costs no generation.
"""

import importlib
from collections.abc import Iterable
from typing import Any

from edgeeval.errors import InputError, did_you_mean

SCORERS = {
    "lm": "edgeeval.scores.lm",
    "tasks": "edgeeval.scores.tasks",
    "harm": "edgeeval.scores.harm",
    "bias.bbq": "edgeeval.scores.bbq",
    "bias.unqover": "edgeeval.scores.unqover",
    "bias.pairs": "edgeeval.scores.pairs",
    "refusal": "edgeeval.scores.refusal",
    "dialect": "edgeeval.scores.dialect",
    "align": "edgeeval.scores.align",
    "align.kld": "edgeeval.scores.answers",
    "coherence": "edgeeval.scores.coherence",
    "cost": "edgeeval.scores.cost",
}
"""Metric-id prefix -> module."""


def scorer(prefix: str) -> Any:
    """Return a scorer module by its prefix."""
    return importlib.import_module(SCORERS[prefix])


def selected_scorers(only: Iterable[str]) -> list[str]:
    """Return the prefixes of the scorers that `--only` asks for; all of them without it.

    Raises:
        InputError: a word names no metric.
    """
    words = list(only)
    for word in words:
        known = {metric.id for prefix in SCORERS for metric in scorer(prefix).METRICS}
        if not any(metric == word or metric.startswith(f"{word}.") for metric in known):
            raise InputError(f"--only {word}: no such metric{did_you_mean(word, known)}")
    return [prefix for prefix in SCORERS if not words or any(_related(prefix, w) for w in words)]


def _related(prefix: str, word: str) -> bool:
    return word == prefix or word.startswith(f"{prefix}.") or prefix.startswith(f"{word}.")


def is_selected(metric_id: str, only: Iterable[str]) -> bool:
    """Tell whether `--only` asks for a metric."""
    words = list(only)
    return not words or any(metric_id == word or metric_id.startswith(f"{word}.") for word in words)
