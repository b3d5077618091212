"""What each method of a metric does (`scores.table.Metric.method`): from scores to an interval.

    share         own: Wilson, or Clopper-Pearson where less is better without a reference;
                  paired: MOVER-Wilson on the items that changed
    bounded       own and paired: t on clusters with pseudo-items, for values that are mostly 0
    mean          own and paired: t on cluster means, weighted as a linearised ratio
    log_ratio     the scores are differences of logarithms: own is their exp, paired their mean
    sum_of_means  own and paired: linearised ratio over clusters, summed over cells
    bootstrap     own and paired: BCa over clusters, for a function of cell means
    quantile      order statistics over tokens
    group_worst   the largest of the groups' means
    group_gap     largest minus smallest group mean, less what shuffled labels give
    repeats       median of repetitions, from the smallest to the largest

Everything is made ready once and asked at several alphas: a p-value needs some 35 of them.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from edgeeval import stats
from edgeeval.scores.table import Metric, Score, ScoreTable
from edgeeval.stats import CellItems, Interval
from edgeeval.stats.intervals import MINIMUM_CLUSTERS

IntervalAt = Callable[[float], Interval]
"""Two-sided alpha -> interval."""

_SEED = 1
"""Of permutations and resamples: a result can be derived again to the last digit."""
_BARE = "a statistic of groups has no interval"
_OF_GROUPS = ("group_worst", "group_gap")
DIVISIBLE = ("share", "bounded", "mean", "log_ratio", "sum_of_means", "bootstrap")
"""Methods whose metrics also have a value for a group and for one set of several."""


class Pair(NamedTuple):
    """An item's score on both sides."""

    level: Score
    reference: Score


def usable(scores: Iterable[Score]) -> list[Score]:
    """Return the scores that have a value."""
    return [score for score in scores if score.value is not None]


def values_of(scores: Sequence[Score]) -> list[float]:
    """Return the values of the scores that have one."""
    return [float(score.value) for score in scores if score.value is not None]


def _undefined(method: str, reason: str) -> Interval:
    return Interval(None, None, None, 0, method, reason)


def _cell_items(scores: Sequence[Score]) -> CellItems:
    return CellItems(
        values_of(scores),
        [score.weight for score in scores],
        [score.cell for score in scores],
        [score.cluster for score in scores],
    )


def not_finite(scores: Iterable[Score]) -> str:
    """Say that scores are no numbers, or nothing: the mean of the others would hide a broken level.

    It is a reason, not an error: the level's other metrics are still worth a report.
    """
    bad = [one for one in scores if one.value is not None and not math.isfinite(one.value)]
    return f"{len(bad)} scores are not finite, the first of {bad[0].item}" if bad else ""


def own_interval(metric: Metric, scores: Sequence[Score]) -> IntervalAt:
    """Return the interval of a level's own value, on the metric's scale before `transform`."""
    if reason := not_finite(scores):
        return lambda alpha: _undefined(metric.method, reason)
    scored = usable(scores)
    if not scored:
        return lambda alpha: _undefined(metric.method, "no item could be scored")
    if metric.method == "bootstrap":
        assert metric.statistic is not None  # a bootstrapped metric names its statistic
        return stats.cell_bootstrap(_cell_items(scored), metric.statistic, seed=_SEED).interval
    return functools.partial(_own_by_formula, metric, scored)


def _own_by_formula(metric: Metric, scored: Sequence[Score], alpha: float) -> Interval:
    values = values_of(scored)
    if metric.method == "share":
        counter = stats.clopper_pearson if metric.direction == "max" else stats.wilson
        return counter(int(sum(values)), len(values), alpha)
    if metric.method == "repeats":
        return Interval(float(np.median(values)), min(values), max(values), len(values), "repeats")
    if metric.method == "sum_of_means":
        return stats.sum_of_means(_cell_items(scored), metric.cells, metric.bound, alpha)
    clusters = [score.cluster for score in scored]
    if metric.method == "bounded":  # all zeros must not become an interval without width
        interval = stats.bounded_mean(values, metric.bound, alpha, clusters)
        if interval.lower is None or metric.direction == "zero":  # it has two sides
            return interval
        return interval._replace(lower=max(interval.lower, 0.0))
    return stats.cluster_mean(values, clusters, [score.weight for score in scored], alpha)


def paired_interval(metric: Metric, pairs: Sequence[Pair]) -> IntervalAt:
    """Return the interval of level minus reference over the items that both have."""
    if not pairs:
        return lambda alpha: _undefined(metric.method, "no item was scored on both sides")
    if reason := not_finite(score for pair in pairs for score in pair):
        return lambda alpha: _undefined(metric.method, reason)
    if metric.method == "bootstrap":
        assert metric.statistic is not None  # a bootstrapped metric names its statistic
        level, reference = (_cell_items(side) for side in zip(*pairs, strict=True))
        return stats.cell_bootstrap(level, metric.statistic, reference, seed=_SEED).interval
    return functools.partial(_paired_by_formula, metric, pairs)


def _paired_by_formula(metric: Metric, pairs: Sequence[Pair], alpha: float) -> Interval:
    level = values_of([pair.level for pair in pairs])
    reference = values_of([pair.reference for pair in pairs])
    if metric.method == "share":
        n_up = sum(q > b for q, b in zip(level, reference, strict=True))
        n_down = sum(q < b for q, b in zip(level, reference, strict=True))
        return stats.paired_shares(n_up, n_down, len(pairs), alpha)
    if metric.method == "sum_of_means":
        own, base = (_cell_items(side) for side in zip(*pairs, strict=True))
        return stats.sum_of_means(own, metric.cells, metric.bound, alpha, base)
    differences = np.array(level) - np.array(reference)
    clusters = [pair.level.cluster for pair in pairs]
    if metric.method == "bounded":
        return stats.bounded_mean(differences, metric.bound, alpha, clusters)
    weights = [pair.level.weight for pair in pairs]
    return stats.cluster_mean(differences, clusters, weights, alpha)


def transformed(metric: Metric, interval: Interval) -> Interval:
    """Put an interval on the scale that is shown."""
    if metric.method == "log_ratio" or metric.transform == "exp":
        return stats.exp_interval(interval)
    if metric.transform == "sqrt":
        value, lower, upper = (
            None if edge is None else math.sqrt(max(edge, 0.0))
            for edge in (interval.value, interval.lower, interval.upper)
        )
        return interval._replace(value=value, lower=lower, upper=upper)
    return interval


def quantile_interval(metric: Metric, tables: Sequence[ScoreTable], alpha: float) -> Interval:
    """Return the interval of a quantile over all tokens of the tables."""
    tokens = np.concatenate([table.values for table in tables if table.values is not None])
    assert metric.quantile is not None  # a quantile metric names its quantile
    if n_bad := int((~np.isfinite(tokens)).sum()):
        return _undefined("order-statistic", f"{n_bad} values are not finite")
    if len(tokens) < metric.min_n:
        reason = f"needs {metric.min_n:,} tokens, has {len(tokens):,}"
        return Interval(None, None, None, len(tokens), "order-statistic", reason)
    if metric.quantile >= 1.0:
        reason = "a maximum has no interval"
        return Interval(float(tokens.max()), None, None, len(tokens), "maximum", reason)
    return stats.order_statistic(tokens, metric.quantile, alpha)


def _of_large_groups(metric: Metric, scores: Sequence[Score]) -> tuple[list[Score], list[str]]:
    """Return the scores of groups that can be told from noise, and the names of the others."""
    sizes = Counter(score.groups[metric.group_by] for score in scores)
    small = sorted(name for name, size in sizes.items() if size < MINIMUM_CLUSTERS)
    return [score for score in scores if score.groups[metric.group_by] not in small], small


def group_statistic(metric: Metric, scores: Sequence[Score]) -> tuple[Interval, str] | None:
    """Return a statistic of groups, with what a reader must know beside it; None for another."""
    if metric.method not in _OF_GROUPS:
        return None
    scored, small = _of_large_groups(metric, usable(scores))
    if not scored:
        missing = f"no group has {MINIMUM_CLUSTERS} items" if small else "no item names a group"
        return _undefined(metric.method, missing), ""
    if reason := not_finite(scored):
        return _undefined(metric.method, reason), ""
    values, groups = values_of(scored), [score.groups[metric.group_by] for score in scored]
    without = f"; without {', '.join(small)}: fewer than {MINIMUM_CLUSTERS} items" if small else ""
    if metric.method == "group_worst":
        means = {
            group: float(np.mean([v for v, g in zip(values, groups, strict=True) if g == group]))
            for group in sorted(set(groups))
        }
        worst = max(means, key=lambda group: abs(means[group]))
        value = abs(means[worst])
        note = f"{worst}: {means[worst]:+.3f}{without}"
        return Interval(value, None, None, len(values), "largest of the groups", _BARE), note
    gap = stats.permutation_gap(values, groups, seed=_SEED)
    if gap.adjusted is None:
        return _undefined("permutation", gap.reason), ""
    note = f"gap {gap.gap:.3f}, {gap.null_mean:.3f} under shuffled labels, p = {gap.p:.3f}"
    note += without
    return Interval(gap.adjusted, None, None, len(values), "permutation", _BARE), note
