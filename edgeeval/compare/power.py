"""Say before anything runs what a sample can show: δ80, the smallest limit that would be kept with
probability .80 by a level that changed no more than such levels usually do.

How much levels usually change is read from earlier results of the same model and, without any, from
quant_recipes/tables/expected.yaml (measured on one small model, and called so).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeeval import stats
from edgeeval.compare.estimates import ALPHA
from edgeeval.compare.verdicts import LEVEL_OF_ERROR, metric_id
from edgeeval.errors import InputError
from edgeeval.records import LevelResult, Requirement, Results
from edgeeval.resources import data_dir
from edgeeval.scores import lm
from edgeeval.scores.table import Metric
from edgeeval.stats import Interval
from edgeeval.stats.intervals import t_quantile
from edgeeval.stats.means import MINIMUM_CLUSTERS
from edgeeval.yamlfile import read_yaml

_FLIPS = {"tasks.accuracy": "tasks.flips"}
"""Paired share -> the metric that says how many of its items change."""

_OF_MEANS = ("mean", "bounded", "log_ratio", "sum_of_means")
"""Methods whose interval shrinks with the root of n."""

_LARGEST_SAMPLE = 1_000_000

Expected = Mapping[str, Mapping[str, tuple[float, float]]]
"""Level -> metric, with its judge -> value and spread of one item (cluster, window)."""


@dataclass(frozen=True)
class Power:
    """What a sample can show of one requirement at one level."""

    level: str
    metric: str
    """Its key: with the set or the pool where several decide apart."""
    kind: str
    limit: float
    n: int
    delta80: float | None
    """None where it is not known how much such a level changes."""
    basis: str
    """What the expectation rests on."""

    @property
    def is_enough(self) -> bool | None:
        """Whether a level that changes as expected would pass with probability .80."""
        return None if self.delta80 is None else self.delta80 <= self.limit


def shipped_expectations() -> Expected:
    """Return the shipped table."""
    path = data_dir("quant_recipes") / "tables" / "expected.yaml"
    return {
        level: {metric: (float(pair[0]), float(pair[1])) for metric, pair in metrics.items()}
        for level, metrics in read_yaml(path, InputError).items()
    }


def expectations_of(results: Results) -> Expected:
    """Return what an earlier evaluation says of its levels.

    The spread of one item is taken back out of the interval: half its width, over t and 1/√n. An
    item is what a plan counts (for lm.* a window, where a report counts tokens).
    """
    counts = _window_counts(results)
    found = {}
    for level in results.levels:  # of several sets, the one whose items differ most
        by_spread = sorted(_expected(level, counts), key=lambda one: one[1][1])
        found[level.name] = dict(by_spread)
    return found


def _window_counts(results: Results) -> dict[str, int]:
    """Return metric -> the windows that were run for it."""
    n_windows = sum(one.n_items for one in results.prompt_sets if one.kind in lm.KINDS)
    return {metric.id: n_windows for metric in lm.METRICS}


def _expected(
    level: LevelResult, counts: Mapping[str, int]
) -> list[tuple[str, tuple[float, float]]]:
    found = []
    for key, metric in level.metrics.items():
        judged = metric.delta or metric.estimate
        # A report counts the tokens of windows, and the items of everything else.
        n = counts.get(metric_id(key), judged.n)
        if judged.value is None or judged.lower is None or judged.upper is None or n < 2:
            continue
        spread = (judged.upper - judged.lower) / 2 * math.sqrt(n) / t_quantile(ALPHA, n - 1)
        found.append((_with_judge(key), (judged.value, spread)))
    return found


def _with_judge(key: str) -> str:
    """Return a key without k and set: what one judge or label found is nothing about another."""
    judge = key.partition("@")[2]
    return f"{metric_id(key)}@{judge}" if judge else metric_id(key)


def power(
    level: str,
    requirement: Requirement,
    metric: Metric,
    n: int,
    n_levels: int,
    sources: Sequence[tuple[str, Expected]],
    key: str = "",
) -> Power:
    """Return what n items can show of a requirement.

    Args:
        level: its name.
        requirement: what must hold.
        metric: whose interval decides.
        n: items, windows.
        n_levels: over which Holm's correction goes; the first of them is held against the smallest
            alpha, and so is this one.
        sources: expectations with what they rest on, the best first.
        key: of the metric; without it its id.
    """
    alpha = 2 * LEVEL_OF_ERROR / max(1, n_levels)
    asked = _with_judge(requirement.metric)
    name = _FLIPS.get(metric.id, asked)
    judge = requirement.metric.partition("@")[2]
    key = f"{key}@{judge}" if key and judge else key or asked
    for basis, expected in sources:
        found = _looked_up(expected.get(level, {}), name)
        if found is not None:
            value = _delta80(requirement, metric, n, alpha, found)
            return Power(level, key, requirement.kind, requirement.limit, n, value, basis)
    return Power(level, key, requirement.kind, requirement.limit, n, None, "")


def _looked_up(
    expected: Mapping[str, tuple[float, float]], name: str
) -> tuple[float, float] | None:
    """Return what is expected of a metric; of one without a judge, by its scorer's own judge."""
    if name in expected:
        return expected[name]
    judged = [one for one in expected if one.startswith(f"{name}@")]
    return expected[judged[0]] if len(judged) == 1 else None


def _delta80(
    requirement: Requirement, metric: Metric, n: int, alpha: float, found: tuple[float, float]
) -> float | None:
    value, spread = found
    is_margin = requirement.kind == "margin"
    if requirement.kind == "min" or metric.paired != is_margin:
        return None  # what is expected of a paired metric is its difference, not its value
    if metric.method == "share":
        # A difference is 0, 1 or -1 an item: its mean square is the share of items that change.
        changed = spread**2 + value**2 if is_margin and metric.id not in _FLIPS else value
        rate = min(max(changed, 0.0), 1.0)
        delta80 = stats.delta80_paired_shares if is_margin else stats.delta80_share
        return delta80(n, rate, alpha)
    if metric.method in _OF_MEANS and n >= MINIMUM_CLUSTERS:
        if is_margin or value <= 0:
            return stats.delta80_mean(n, 0.0 if is_margin else value, spread, alpha)
        variation = spread / value  # a positive mean: as skewed as a log-normal one
        skewness = 3 * variation + variation**3
        return stats.delta80_mean(n, value, spread, alpha, skewness=skewness)
    return None


def cannot_pass(
    requirement: Requirement, metric: Metric, n: int, n_levels: int, n_clusters: int | None = None
) -> bool:
    """Tell whether not even a level without any change could pass: the sample is too small.

    Args:
        requirement: what must hold.
        metric: whose interval decides.
        n: items, windows.
        n_levels: over which Holm's correction goes.
        n_clusters: templates of the items; each item its own if None.
    """
    if requirement.kind == "min" or n == 0:
        return False  # what an unchanged level would have there is not known
    alpha = 2 * LEVEL_OF_ERROR / max(1, n_levels)
    interval = _unchanged(requirement, metric, n, n if n_clusters is None else n_clusters, alpha)
    if interval is None:
        return False
    below = interval.upper is not None and interval.upper < requirement.limit
    above = interval.lower is not None and interval.lower > -requirement.limit
    if requirement.kind == "max":
        return not below
    needed = {"higher": above, "lower": below, "zero": above and below}
    return not needed.get(metric.direction, True)


def _unchanged(
    requirement: Requirement, metric: Metric, n: int, n_clusters: int, alpha: float
) -> Interval | None:
    """Return the interval that a verdict would see if no item changed; None if that is unknown."""
    zeros = np.zeros(n)
    clusters = np.arange(n) * n_clusters // n
    match metric.method:
        case "share" if requirement.kind == "margin":
            return stats.paired_shares(0, 0, n, alpha)
        case "share":
            return stats.clopper_pearson(0, n, alpha)
        case "bounded":
            return stats.bounded_mean(zeros, metric.bound, alpha, clusters)
        case "mean" | "log_ratio":
            return stats.cluster_mean(zeros, clusters, None, alpha)
        case "sum_of_means":
            cells = [metric.cells[index % len(metric.cells)] for index in range(n)]
            items = stats.CellItems(zeros, np.ones(n), cells, clusters)
            return stats.sum_of_means(items, metric.cells, metric.bound, alpha, items)
    return None


def sample_that_could(
    requirement: Requirement, metric: Metric, n: int, n_levels: int, n_clusters: int | None = None
) -> int | None:
    """Return the fewest items with which a level without any change would pass.

    Templates are taken to be as large as they are in the sample.

    Returns:
        None if no sample of a million would do.
    """
    n_clusters = n if n_clusters is None else n_clusters

    def enough(size: int) -> bool:
        return not cannot_pass(
            requirement, metric, size, n_levels, max(1, size * n_clusters // max(1, n))
        )

    few, many = 0, max(1, n)
    while not enough(many):
        few, many = many, 2 * many
        if many > _LARGEST_SAMPLE:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def as_table(results: Results) -> dict[str, dict[str, Any]]:
    """Return an evaluation's expectations as the shipped table is written, rounded."""
    return {
        level: {key: [float(f"{one:.3g}") for one in pair] for key, pair in metrics.items()}
        for level, metrics in expectations_of(results).items()
    }
