"""What each method of a metric does (`scores.table.Metric.method`): from scores to an interval.

    share         own: Clopper-Pearson; paired: MOVER-Wilson on the items that changed; both as
                  "bounded" where a cluster has several items, which those two know nothing of
    bounded       own and paired: t on clusters with pseudo-items, for values that are mostly 0
    mean          own and paired: t on cluster means, weighted as a linearised ratio
    log_ratio     the scores are differences of logarithms: own is their exp, paired their mean
    sum_of_means  own and paired: linearised ratio over clusters, summed over cells
    bootstrap     own and paired: BCa over clusters, for a function of cell means
    quantile      order statistics over tokens; by windows, whose tokens are alike
    group_worst   the largest of the groups' means
    group_gap     largest minus smallest group mean, less what shuffled labels give
    repeats       median of repetitions, from the smallest to the largest

Every t is corrected for skewness. Everything is made ready once and asked at several alphas: a
p-value needs some 35 of them.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from edgeeval import stats
from edgeeval.scores.table import Metric, Score, ScoreTable
from edgeeval.stats import CellItems, Interval
from edgeeval.stats.means import MINIMUM_CLUSTERS

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
    values, clusters = values_of(scored), [score.cluster for score in scored]
    match metric.method:
        case "share" if _are_single(clusters):
            n_yes = int(sum(values))
            return lambda alpha: stats.clopper_pearson(n_yes, len(values), alpha)
        case "share":
            return stats.bounded_sample(values, 1.0, clusters, (0.0, 1.0)).interval
        case "bounded":  # all zeros must not become an interval without width
            least = -metric.bound if metric.direction == "zero" else 0.0  # "zero" has two sides
            limits = (least, metric.bound)
            return stats.bounded_sample(values, metric.bound, clusters, limits).interval
        case "repeats":
            middle, ends = float(np.median(values)), (min(values), max(values))
            return lambda alpha: Interval(middle, *ends, len(values), "repeats")
        case "sum_of_means":
            items = _cell_items(scored)
            return stats.sum_of_means_sample(items, metric.cells, metric.bound).interval
    return stats.cluster_sample(values, clusters, [score.weight for score in scored]).interval


def _are_single(clusters: Sequence[str]) -> bool:
    """Tell whether each item is a cluster of its own: a property of the prompt set."""
    return len(set(clusters)) == len(clusters)


def paired_interval(metric: Metric, pairs: Sequence[Pair]) -> IntervalAt:
    """Return the interval of level minus reference over the items that both have."""
    if not pairs:
        return lambda alpha: _undefined(metric.method, "no item was scored on both sides")
    if reason := not_finite(score for pair in pairs for score in pair):
        return lambda alpha: _undefined(metric.method, reason)
    if metric.method in ("bootstrap", "sum_of_means"):
        own, base = (_cell_items(side) for side in zip(*pairs, strict=True))
        if metric.method == "sum_of_means":
            return stats.sum_of_means_sample(own, metric.cells, metric.bound, base).interval
        assert metric.statistic is not None  # a bootstrapped metric names its statistic
        return stats.cell_bootstrap(own, metric.statistic, base, seed=_SEED).interval
    level, reference = (np.array(values_of(side)) for side in zip(*pairs, strict=True))
    differences = level - reference
    clusters = [pair.level.cluster for pair in pairs]
    if metric.method == "share" and _are_single(clusters):
        n_up, n_down = int((differences > 0).sum()), int((differences < 0).sum())
        return lambda alpha: stats.paired_shares(n_up, n_down, len(pairs), alpha)
    if metric.method in ("share", "bounded"):
        return stats.bounded_sample(differences, metric.bound, clusters).interval
    weights = [pair.level.weight for pair in pairs]
    return stats.cluster_sample(differences, clusters, weights).interval


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
    windows = [
        np.repeat(f"{table.set_id}/{score.cluster}", int(score.weight))
        for table in tables
        for score in table.scores
    ]
    clusters = np.concatenate(windows) if windows else np.empty(0, str)
    if len(clusters) != len(tokens):  # tokens of which nobody says where they stood
        return stats.order_statistic(tokens, metric.quantile, alpha)
    return stats.cluster_quantile(tokens, metric.quantile, clusters, alpha)


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
