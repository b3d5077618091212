"""Turn score tables into estimates and paired differences.

Each metric names its method once (`scores.table.Metric.method`); `methods` says what each does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeeval.compare.methods import (
    DIVISIBLE,
    IntervalAt,
    Pair,
    group_statistic,
    own_interval,
    paired_interval,
    quantile_interval,
    transformed,
    usable,
)
from edgeeval.records import Delta, Estimate, MetricResult
from edgeeval.run.schedule import NOISY_SPREAD
from edgeeval.scores.table import Metric, Score, ScoreTable
from edgeeval.stats import Interval
from edgeeval.stats.means import MINIMUM_CLUSTERS

ALPHA = 0.05


@dataclass(frozen=True)
class MetricEvidence:
    """A metric's result before its verdict, and what a verdict is made from."""

    metric: Metric
    result: MetricResult
    own_at: IntervalAt
    """The level's own value at any alpha."""
    paired_at: IntervalAt | None
    """Its difference from the reference at any alpha; None where none is defined."""
    reference_own: Interval | None
    chance: float | None
    lost_share: float = 0.0
    """Of the items that the reference has a score for (without a reference, of all), those that the
    level has none for."""


def _pairs(level: Iterable[Score], reference: Iterable[Score]) -> list[Pair]:
    base = {score.item: score for score in reference}
    return [
        Pair(score, base[score.item])
        for score in level
        if score.value is not None and score.item in base and base[score.item].value is not None
    ]


def _estimate(interval: Interval, n: int | None = None) -> Estimate:
    return Estimate(
        interval.value,
        interval.lower,
        interval.upper,
        interval.n if n is None else n,
        interval.method,
        interval.reason,
    )


def _delta(paired_at: IntervalAt) -> Delta:
    return Delta(**_estimate(paired_at(ALPHA)).__dict__)


def _n_reported(metric: Metric, scores: Sequence[Score], interval: Interval) -> int:
    """Report scored tokens for lm.*, items elsewhere."""
    weighted = metric.method in ("mean", "log_ratio") and any(s.weight != 1 for s in scores)
    return int(sum(s.weight for s in usable(scores))) if weighted else interval.n


def _part(metric: Metric, scores: Sequence[Score]) -> Estimate:
    """Estimate a group or a set; where it has too few items its mean stands without an interval."""
    interval = _enough(transformed(metric, own_interval(metric, scores)(ALPHA)))
    return _estimate(interval, _n_reported(metric, scores, interval))


def _part_delta(metric: Metric, pairs: Sequence[Pair]) -> Delta:
    return Delta(**_estimate(_enough(paired_interval(metric, pairs)(ALPHA))).__dict__)


def _enough(interval: Interval) -> Interval:
    """Take the bounds from what a handful of items says: a group is not measured by it."""
    if interval.reason or interval.n >= MINIMUM_CLUSTERS:
        return interval
    reason = f"needs at least {MINIMUM_CLUSTERS} items, has {interval.n}"
    return interval._replace(lower=None, upper=None, reason=reason)


def _parts(
    metric: Metric, level: Mapping[str, Sequence[Score]], reference: Mapping[str, Sequence[Score]]
) -> tuple[dict[str, Estimate], dict[str, Delta]]:
    """Estimate parts by name, and what those that the reference has differ by."""
    own = {name: _part(metric, scores) for name, scores in level.items()}
    paired = {name: _pairs(level[name], reference[name]) for name in level if name in reference}
    return own, {name: _part_delta(metric, pairs) for name, pairs in paired.items()}


def _by_group(scores: Iterable[Score]) -> dict[str, list[Score]]:
    parts: dict[str, list[Score]] = {}
    for score in scores:
        for name, value in score.groups.items():
            parts.setdefault(f"{name}={value}", []).append(score)
    return dict(sorted(parts.items()))


def _notes(metric: Metric, level: Sequence[ScoreTable], interval: Interval) -> tuple[str, ...]:
    notes = [note for table in level for note in table.notes]
    scores = [score for table in level for score in table.scores]
    unscored = len(scores) - len(usable(scores))
    if unscored:
        notes.append(f"{unscored} of {len(scores)} items could not be scored (empty text)")
    n_empty = sum(table.n_empty for table in level)
    if n_empty:
        notes.append(f"{n_empty} sampled texts are empty and have no score")
    if metric.method == "repeats" and interval.value and interval.n > 1:
        spread = ((interval.upper or 0) - (interval.lower or 0)) / interval.value
        if spread > NOISY_SPREAD:
            notes.append(f"noisy, rerun: repetitions lie {spread:.0%} apart")
    if counted := [score.item for score in scores if score.value] if metric.is_listed else []:
        notes.append(f"{len(counted)}: {', '.join(counted)}")
    return tuple(notes)


def _by_threshold(tables: Sequence[ScoreTable]) -> dict[str, list[Score]]:
    return {
        name: _pooled(replace(table, scores=table.by_threshold[name]) for table in tables)
        for name in (tables[0].by_threshold if tables else ())
    }


def _chance(level: Sequence[ScoreTable]) -> float | None:
    """Return what a guesser would score on the pooled items."""
    guessed = [(table.chance, len(table.scores)) for table in level if table.chance is not None]
    n_items = sum(n for _, n in guessed)
    return sum(chance * n for chance, n in guessed) / n_items if n_items else None


def _pooled(tables: Iterable[ScoreTable]) -> list[Score]:
    """Join the sets of a key; ids are unique in a set only, so the set's id goes before them."""
    return [
        replace(
            score, item=f"{table.set_id}/{score.item}", cluster=f"{table.set_id}/{score.cluster}"
        )
        for table in tables
        for score in table.scores
    ]


def _lost_share(scores: Iterable[Score], base: Iterable[Score]) -> float:
    expected = {score.item for score in usable(base)} or {score.item for score in scores}
    lost = expected - {score.item for score in usable(scores)}
    return len(lost) / len(expected) if expected else 0.0


def _set_of(key: str) -> str:
    """Return the set or pool that a key names, where several have one each."""
    return key.partition("@")[0].partition("/")[2]


def _evidence(
    key: str, level: Sequence[ScoreTable], reference: Sequence[ScoreTable]
) -> MetricEvidence:
    """Pool the sets of one key and estimate."""
    metric = level[0].metric
    scores, base = _pooled(level), _pooled(reference)
    pairs = _pairs(scores, base)
    paired = metric.paired and bool(reference)
    grouped = group_statistic(metric, scores)
    of_items = own_interval(metric, scores)
    paired_at = paired_interval(metric, pairs) if paired else None

    def own_at(alpha: float) -> Interval:
        if grouped is not None:
            return grouped[0]
        if metric.method == "quantile":
            return quantile_interval(metric, level, alpha)
        return transformed(metric, of_items(alpha))

    own = own_at(ALPHA)
    divided = metric.method in DIVISIBLE
    groups = _by_group(scores) if divided else {}
    by_group, delta_by_group = _parts(metric, groups, dict.fromkeys(groups, base) if paired else {})
    by_threshold, delta_by_threshold = _parts(
        metric, _by_threshold(level), _by_threshold(reference) if paired else {}
    )
    result = MetricResult(
        key=key,
        title=f"{metric.title}, {set_id}" if (set_id := _set_of(key)) else metric.title,
        unit=metric.unit,
        direction=metric.direction,
        value=own.value,
        lower=own.lower,
        upper=own.upper,
        n=_n_reported(metric, scores, own),
        method=own.method,
        reason=own.reason,
        delta=_delta(paired_at) if paired_at else None,
        by_group=by_group,
        delta_by_group=delta_by_group,
        by_threshold=by_threshold,
        delta_by_threshold=delta_by_threshold,
        by_set={table.set_id: _part(metric, table.scores) for table in level}
        if divided and len(level) > 1
        else {},
        notes=_notes(metric, level, own) + ((grouped[1],) if grouped and grouped[1] else ()),
    )
    return MetricEvidence(
        metric=metric,
        result=result,
        own_at=own_at,
        paired_at=paired_at,
        reference_own=own_interval(metric, base)(ALPHA) if paired and base else None,
        chance=_chance(level),
        lost_share=_lost_share(scores, base),
    )


def _by_key(tables: Iterable[ScoreTable]) -> dict[str, list[ScoreTable]]:
    """Group tables by key: sets of one pool together; of several pools, a key for each."""
    ordered = list(tables)
    pools: dict[str, dict[str, set[str]]] = {}
    for table in ordered:
        pools.setdefault(table.key, {}).setdefault(table.pool, set()).add(table.set_id)
    keyed: dict[str, list[ScoreTable]] = {}
    for table in ordered:
        key, set_ids = table.key, pools[table.key][table.pool]
        if len(pools[table.key]) > 1:
            judge = f"@{table.judge}" if table.judge else ""
            key = f"{table.key_id}/{table.pool if len(set_ids) > 1 else table.set_id}{judge}"
        keyed.setdefault(key, []).append(table)
    return keyed


def collect(
    level: Iterable[ScoreTable], reference: Iterable[ScoreTable]
) -> dict[str, MetricEvidence]:
    """Estimate every metric of a level, paired with the reference where that is defined.

    Args:
        level: the level's score tables, all metrics and sets.
        reference: the reference's.

    Returns:
        Metric key -> evidence, in the order of the tables.
    """
    base = _by_key(reference)
    return {
        key: _evidence(key, tables, base.get(key, [])) for key, tables in _by_key(level).items()
    }


def with_floor(evidence: MetricEvidence, floor: float | None) -> MetricEvidence:
    """Attach what the reference itself changes by under a second batch plan.

    A change whose interval reaches down to it means nothing: rounding alone does as much.
    """
    if floor is None:
        return evidence
    result = evidence.result
    shown = result.delta or result.estimate
    note = f"the reference itself changes by {floor:.3g} in other batches"
    if shown.lower is not None and shown.upper is not None:
        nearest = (
            0.0 if shown.lower <= 0 <= shown.upper else min(abs(shown.lower), abs(shown.upper))
        )
        note += ": within that floor" if nearest <= floor else ""
    return replace(evidence, result=replace(result, floor=floor, notes=(*result.notes, note)))
