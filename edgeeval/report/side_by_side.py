"""Put two evaluations side by side, from their results documents alone.

What differs in what was asked comes first: numbers of other items or of another reference are not
the same numbers. Of two values with intervals it is then said whether they are told apart. From
documents alone an interval of the difference is unpaired (MOVER: Zou and Donner 2008, Statistics in
Medicine 27). Where both asked the same items it is wider than the truth, never narrower, because
the items are hard or easy for both; the paired one needs the journals.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgeeval.records import LevelResult, MetricResult, PromptSetInfo, Results
from edgeeval.report.view import split_key
from edgeeval.scores import SCORERS, scorer

Statement = Literal[
    "equal", "undefined", "higher", "lower", "not told apart", "other items", "no interval",
    "only in A", "only in B",
]  # fmt: skip
"""Of B against A."""
_TEXTS = {
    "equal": "the same value",
    "undefined": "no value on one side or both",
    "higher": "B is higher than A, beyond both intervals",
    "lower": "B is lower than A, beyond both intervals",
    "not told apart": "the intervals permit no statement",
    "other items": "the items are not the same: no statement",
    "no interval": "values without an interval: no statement",
    "only in A": "not measured in B",
    "only in B": "not measured in A",
}


@dataclass(frozen=True)
class Asked:
    """Something that was not the same for both."""

    what: str
    a: str
    b: str


@dataclass(frozen=True)
class Number:
    """A value with its interval; None where there is none."""

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class MetricPair:
    """One metric of one level, in both."""

    level: str
    key: str
    title: str
    unit: str
    a: Number
    b: Number
    difference: Number
    """B minus A, unpaired."""
    statement: Statement
    verdict_a: str
    verdict_b: str
    is_required: bool
    """Whether one of the two requires something of it."""


@dataclass(frozen=True)
class LevelPair:
    """A level in both; empty words where it is in one alone."""

    level: str
    status_a: str
    status_b: str
    verdict_a: str
    verdict_b: str
    weights: Literal["same", "other", "unknown"]


@dataclass(frozen=True)
class SideBySide:
    """Two evaluations."""

    asked: tuple[Asked, ...]
    levels: tuple[LevelPair, ...]
    metrics: tuple[MetricPair, ...]
    recommended_a: str
    recommended_b: str
    notes: tuple[str, ...]

    @property
    def verdict_changes(self) -> list[str]:
        """Return a sentence for each verdict that is not the same; levels first."""
        levels = [
            f"{one.level}: {one.verdict_a or 'no verdict'} → {one.verdict_b or 'no verdict'}"
            for one in self.levels
            if one.status_a and one.status_b and one.verdict_a != one.verdict_b
        ]
        metrics = [
            f"{one.level}, {one.key}: {one.verdict_a or 'no verdict'} → "
            f"{one.verdict_b or 'no verdict'}"
            for one in self.metrics
            if one.verdict_a != one.verdict_b and not one.statement.startswith("only")
        ]
        return levels + metrics


def explain(statement: Statement) -> str:
    """Return what a statement means."""
    return _TEXTS[statement]


def side_by_side(a: Results, b: Results) -> SideBySide:
    """Compare two results documents."""
    pairs = [("reference", a.reference, b.reference), *_levels(a, b)]
    return SideBySide(
        asked=tuple(_asked(a, b)),
        levels=tuple(_level_pair(name, one, two) for name, one, two in pairs),
        metrics=tuple(
            pair for name, one, two in pairs for pair in _metric_pairs(a, b, name, one, two)
        ),
        recommended_a=a.recommendation.level or "",
        recommended_b=b.recommendation.level or "",
        notes=tuple(_notes(a, b)),
    )


def _levels(a: Results, b: Results) -> Iterator[tuple[str, LevelResult | None, LevelResult | None]]:
    of_a, of_b = ({level.name: level for level in of.levels} for of in (a, b))
    for name in dict.fromkeys([*of_a, *of_b]):
        yield name, of_a.get(name), of_b.get(name)


# -- what was asked ------------------------------------------------------------------------------


def _asked(a: Results, b: Results) -> Iterator[Asked]:
    facts_a, facts_b = _facts(a), _facts(b)
    for what in dict.fromkeys([*facts_a, *facts_b]):
        of_a, of_b = facts_a.get(what, "none"), facts_b.get(what, "none")
        if of_a != of_b:
            yield Asked(what, of_a, of_b)


def _facts(results: Results) -> dict[str, str]:
    """Return what two evaluations have in common if their numbers are the same numbers."""
    made, reference = results.environment, results.reference
    weights = reference.artifact.weights_sha256[:12] if reference.artifact else "none"
    facts = {
        "reference": f"{reference.name}, weights {weights}",
        "suite": results.suite,
        "policy": results.policy,
        "seed": str(results.seed),
        "edgeeval": made.edgeeval,
        "engine": made.engine,
        "engine features": made.engine_features,
        "engine libraries": made.engine_libraries_sha256[:12],
        "extra buffer types": "on" if made.engine_extra_bufts else "off",
        "device": made.device,
        "threads": str(made.n_threads),
        "n_ubatch": str(made.n_ubatch),
        "blocks": f"{made.block_tokens}/{made.block_sequences}/{made.block_items}",
        "CPU": made.cpu,
    }
    facts |= {f"prompt set {one.id}": _set_text(one) for one in results.prompt_sets}
    return facts | {f"judge {one.name}": one.id for one in results.judges}


def _set_text(one: PromptSetInfo) -> str:
    return f"version {one.version}, {one.sha256[:12]}, {one.n_items} items, {one.n_tokens} tokens"


def _notes(a: Results, b: Results) -> Iterator[str]:
    if a.evidence and a.evidence == b.evidence:
        yield "Both come from the same evidence: it is one evaluation."
    for text in dict.fromkeys((*a.watermarks, *b.watermarks)):
        owners = [name for name, of in (("A", a), ("B", b)) if text in of.watermarks]
        yield f"{' and '.join(owners)}: {text}"


# -- levels and metrics --------------------------------------------------------------------------


def _level_pair(name: str, a: LevelResult | None, b: LevelResult | None) -> LevelPair:
    hashes = [one.artifact.weights_sha256 for one in (a, b) if one and one.artifact]
    return LevelPair(
        level=name,
        status_a=a.status if a else "",
        status_b=b.status if b else "",
        verdict_a=(a.verdict or "") if a else "",
        verdict_b=(b.verdict or "") if b else "",
        weights="unknown" if len(hashes) < 2 else "same" if hashes[0] == hashes[1] else "other",
    )


def _metric_pairs(
    a: Results, b: Results, name: str, one: LevelResult | None, two: LevelResult | None
) -> Iterator[MetricPair]:
    of_a, of_b = (dict(level.metrics) if level else {} for level in (one, two))
    for key in dict.fromkeys([*of_a, *of_b]):
        metric_a, metric_b = of_a.get(key), of_b.get(key)
        shown = metric_a or metric_b
        assert shown is not None  # the key is one of theirs
        number_a, number_b = _number(metric_a), _number(metric_b)
        is_range = shown.method == "repeats"
        difference = _range_gap(number_a, number_b) if is_range else _mover(number_a, number_b)
        yield MetricPair(
            level=name,
            key=key,
            title=shown.title,
            unit=shown.unit,
            a=number_a,
            b=number_b,
            difference=difference,
            statement=_statement(metric_a, metric_b, difference, _same_items(a, b, key)),
            verdict_a=(metric_a.verdict or "") if metric_a else "",
            verdict_b=(metric_b.verdict or "") if metric_b else "",
            is_required=any(of is not None and of.requirement for of in (metric_a, metric_b)),
        )


def _number(metric: MetricResult | None) -> Number:
    return Number(metric.value, metric.lower, metric.upper) if metric else Number(None, None, None)


def _mover(a: Number, b: Number) -> Number:
    """Return B minus A with the interval that two independent intervals give."""
    if a.value is None or b.value is None:
        return Number(None, None, None)
    value = b.value - a.value
    if None in (a.lower, a.upper, b.lower, b.upper):
        return Number(value, None, None)
    assert a.lower is not None and a.upper is not None  # just looked at
    assert b.lower is not None and b.upper is not None
    below = math.hypot(b.value - b.lower, a.upper - a.value)
    above = math.hypot(b.upper - b.value, a.value - a.lower)
    return _finite(value, value - below, value + above)


def _range_gap(a: Number, b: Number) -> Number:
    """Return B minus A with what repetitions allow: speeds have a range and no interval."""
    if a.value is None or b.value is None:
        return Number(None, None, None)
    if None in (a.lower, a.upper, b.lower, b.upper):
        return Number(b.value - a.value, None, None)
    assert a.lower is not None and a.upper is not None
    assert b.lower is not None and b.upper is not None
    return _finite(b.value - a.value, b.lower - a.upper, b.upper - a.lower)


def _finite(value: float, lower: float, upper: float) -> Number:
    found = [one if math.isfinite(one) else None for one in (value, lower, upper)]
    return Number(*found)


def _statement(
    a: MetricResult | None, b: MetricResult | None, difference: Number, same_items: bool
) -> Statement:
    if a is None:
        return "only in B"
    if b is None:
        return "only in A"
    if not same_items:
        return "other items"
    if a.value is None or b.value is None:
        return "undefined"
    if a.value == b.value:
        return "equal"
    if difference.lower is None or difference.upper is None:
        return "no interval"
    if difference.lower > 0:
        return "higher"
    return "lower" if difference.upper < 0 else "not told apart"


def _same_items(a: Results, b: Results, key: str) -> bool:
    """Tell whether a metric stands on the same prompt sets in both; how many items may differ."""
    return _sets_of(a, key) == _sets_of(b, key)


def _sets_of(results: Results, key: str) -> Mapping[str, Any]:
    parts = split_key(key)
    prefixes = [one for one in SCORERS if parts.id == one or parts.id.startswith(f"{one}.")]
    kinds = {kind for prefix in prefixes for kind in scorer(prefix).KINDS}
    found = {one.id: one.sha256 for one in results.prompt_sets if one.kind in kinds}
    return {parts.set: found[parts.set]} if parts.set in found else found
