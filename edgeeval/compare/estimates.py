"""Turn score tables into estimates and paired differences.

Each metric names its method once (`scores.table.Metric.method`); here is what each method does:

    share        own: Wilson, or Clopper-Pearson where less is better without a reference;
                 paired: MOVER-Wilson on the items that changed
    bounded      own and paired: t on clusters with pseudo-items, for values that are mostly 0
    mean         own and paired: t on cluster means, weighted as a linearised ratio
    log_ratio    the scores are differences of logarithms: own is their exp, paired their mean
    quantile     order statistics over tokens
    permutation  statistics of groups, against shuffled group labels
    repeats      median of repetitions, from the smallest to the largest
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from edgeeval import stats
from edgeeval.records import Delta, Estimate, MetricResult
from edgeeval.run.schedule import NOISY_SPREAD
from edgeeval.scores.table import Metric, Score, ScoreTable
from edgeeval.stats import Interval

IntervalAt = Callable[[float], Interval]
"""Two-sided alpha -> interval."""

ALPHA = 0.05
_PERMUTATION_SEED = 1
_IDENTITY = "identity"
_NOBODY = "none"
_BARE = "a statistic of groups has no interval"


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


class _Pair(NamedTuple):
    level: Score
    reference: Score


def _usable(scores: Iterable[Score]) -> list[Score]:
    return [score for score in scores if score.value is not None]


def _values(scores: Sequence[Score]) -> list[float]:
    return [float(score.value) for score in scores if score.value is not None]


def _undefined(method: str, reason: str) -> Interval:
    return Interval(None, None, None, 0, method, reason)


def _own_interval(metric: Metric, scores: Sequence[Score], alpha: float) -> Interval:
    """Interval of a level's own value, on the metric's inner scale (before `transform`)."""
    usable = _usable(scores)
    if not usable:
        return _undefined(metric.method, "no item could be scored")
    values = _values(usable)
    if metric.method == "share":
        counter = stats.clopper_pearson if metric.direction == "max" else stats.wilson
        return counter(int(sum(values)), len(values), alpha)
    if metric.method == "repeats":
        return Interval(float(np.median(values)), min(values), max(values), len(values), "repeats")
    clusters = [score.cluster for score in usable]
    if metric.method == "bounded":  # all zeros must not become an interval without width
        interval = stats.bounded_mean(values, metric.bound, alpha, clusters)
        if interval.lower is None or min(values) < 0:
            return interval
        return interval._replace(lower=max(interval.lower, 0.0))
    return stats.cluster_mean(
        values,
        clusters,
        [score.weight for score in usable],
        alpha,
    )


def _transformed(metric: Metric, interval: Interval) -> Interval:
    if metric.method == "log_ratio" or metric.transform == "exp":
        return stats.exp_interval(interval)
    if metric.transform == "sqrt":
        value, lower, upper = (
            None if edge is None else math.sqrt(max(edge, 0.0))
            for edge in (interval.value, interval.lower, interval.upper)
        )
        return interval._replace(value=value, lower=lower, upper=upper)
    return interval


def _quantile_interval(metric: Metric, tables: Sequence[ScoreTable], alpha: float) -> Interval:
    tokens = np.concatenate([table.values for table in tables if table.values is not None])
    assert metric.quantile is not None  # a quantile metric names its quantile
    if len(tokens) < metric.min_n:
        reason = f"needs {metric.min_n:,} tokens, has {len(tokens):,}"
        return Interval(None, None, None, len(tokens), "order-statistic", reason)
    if metric.quantile >= 1.0:
        reason = "a maximum has no interval"
        return Interval(float(tokens.max()), None, None, len(tokens), "maximum", reason)
    return stats.order_statistic(tokens, metric.quantile, alpha)


def _paired_interval(metric: Metric, pairs: Sequence[_Pair], alpha: float) -> Interval:
    """Interval of level minus reference over the items that both have."""
    if not pairs:
        return _undefined(metric.method, "no item was scored on both sides")
    level = _values([pair.level for pair in pairs])
    reference = _values([pair.reference for pair in pairs])
    if metric.method == "share":
        n_up = sum(q > b for q, b in zip(level, reference, strict=True))
        n_down = sum(q < b for q, b in zip(level, reference, strict=True))
        return stats.paired_shares(n_up, n_down, len(pairs), alpha)
    differences = np.array(level) - np.array(reference)
    clusters = [pair.level.cluster for pair in pairs]
    if metric.method == "bounded":
        return stats.bounded_mean(differences, metric.bound, alpha, clusters)
    if metric.method == "log_ratio":  # the scores are differences already
        differences = np.array(level)
    weights = [pair.level.weight for pair in pairs]
    return stats.cluster_mean(differences, clusters, weights, alpha)


def _pairs(level: Iterable[Score], reference: Iterable[Score]) -> list[_Pair]:
    base = {score.item: score for score in reference}
    return [
        _Pair(score, base[score.item])
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


def _n_reported(metric: Metric, scores: Sequence[Score], interval: Interval) -> int:
    """Report scored tokens for lm.*, items elsewhere."""
    weighted = metric.method in ("mean", "log_ratio") and any(s.weight != 1 for s in scores)
    return int(sum(s.weight for s in _usable(scores))) if weighted else interval.n


def _part(metric: Metric, scores: Sequence[Score]) -> Estimate:
    """Estimate a group or a set: its mean is shown even where an interval has too few clusters."""
    interval = _own_interval(metric, scores, ALPHA)
    usable = _usable(scores)
    if interval.value is None and usable:
        mean = float(np.average(_values(usable), weights=[score.weight for score in usable]))
        interval = interval._replace(value=mean)
    interval = _transformed(metric, interval)
    return _estimate(interval, _n_reported(metric, scores, interval))


def _group_names(scores: Iterable[Score]) -> dict[str, list[Score]]:
    parts: dict[str, list[Score]] = {}
    for score in scores:
        for name, value in score.groups.items():
            parts.setdefault(f"{name}={value}", []).append(score)
    return dict(sorted(parts.items()))


def _group_statistic(metric: Metric, scores: Sequence[Score]) -> tuple[Interval, tuple[str, ...]]:
    """Return harm.group_worst or harm.group_gap, with what a reader must know beside it."""
    usable = [s for s in _usable(scores) if s.groups.get(_IDENTITY, _NOBODY) != _NOBODY]
    if not usable:
        return _undefined("permutation", "no item names a group"), ()
    values, groups = _values(usable), [score.groups[_IDENTITY] for score in usable]
    if metric.id.endswith("group_worst"):
        means = {
            group: float(np.mean([v for v, g in zip(values, groups, strict=True) if g == group]))
            for group in sorted(set(groups))
        }
        worst = max(means, key=lambda group: abs(means[group]))
        value = abs(means[worst])
        note = f"{worst}: {means[worst]:+.3f}"
        return Interval(value, None, None, len(values), "largest of the groups", _BARE), (note,)
    gap = stats.permutation_gap(values, groups, seed=_PERMUTATION_SEED)
    if gap.adjusted is None:
        return _undefined("permutation", gap.reason), ()
    note = f"gap {gap.gap:.3f}, {gap.null_mean:.3f} under shuffled labels, p = {gap.p:.3f}"
    return Interval(gap.adjusted, None, None, len(values), "permutation", _BARE), (note,)


def _notes(metric: Metric, level: Sequence[ScoreTable], interval: Interval) -> tuple[str, ...]:
    notes = []
    scores = [score for table in level for score in table.scores]
    unscored = len(scores) - len(_usable(scores))
    if unscored:
        notes.append(f"{unscored} of {len(scores)} items could not be scored (empty text)")
    n_empty = sum(table.n_empty for table in level)
    if n_empty:
        notes.append(f"{n_empty} sampled texts are empty and have no score")
    if metric.method == "repeats" and interval.value and interval.n > 1:
        spread = ((interval.upper or 0) - (interval.lower or 0)) / interval.value
        if spread > NOISY_SPREAD:
            notes.append(f"noisy, rerun: repetitions lie {spread:.0%} apart")
    return tuple(notes)


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


def _evidence(
    key: str, level: Sequence[ScoreTable], reference: Sequence[ScoreTable]
) -> MetricEvidence:
    """Pool the sets of one key and estimate."""
    metric = level[0].metric
    scores, base = _pooled(level), _pooled(reference)
    pairs = _pairs(scores, base)
    of_groups = metric.method == "permutation"
    grouped, extra = _group_statistic(metric, scores) if of_groups else (None, ())

    def own_at(alpha: float) -> Interval:
        if grouped is not None:
            return grouped
        if metric.method == "quantile":
            return _quantile_interval(metric, level, alpha)
        return _transformed(metric, _own_interval(metric, scores, alpha))

    def paired_at(alpha: float) -> Interval:
        return _paired_interval(metric, pairs, alpha)

    own = own_at(ALPHA)
    divided = metric.method in ("share", "bounded", "mean", "log_ratio")
    groups = _group_names(scores) if divided else {}
    paired = metric.paired and bool(reference)
    result = MetricResult(
        key=key,
        title=metric.title,
        unit=metric.unit,
        direction=metric.direction,
        value=own.value,
        lower=own.lower,
        upper=own.upper,
        n=_n_reported(metric, scores, own),
        method=own.method,
        reason=own.reason,
        delta=Delta(**_estimate(paired_at(ALPHA)).__dict__) if paired else None,
        by_group={name: _part(metric, part) for name, part in groups.items()},
        delta_by_group={
            name: Delta(**_estimate(_paired_interval(metric, _pairs(part, base), ALPHA)).__dict__)
            for name, part in groups.items()
        }
        if paired
        else {},
        by_set={table.set_id: _part(metric, table.scores) for table in level}
        if divided and len(level) > 1
        else {},
        notes=_notes(metric, level, own) + extra,
    )
    return MetricEvidence(
        metric=metric,
        result=result,
        own_at=own_at,
        paired_at=paired_at if paired else None,
        reference_own=_own_interval(metric, base, ALPHA) if paired and base else None,
        chance=_chance(level),
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
