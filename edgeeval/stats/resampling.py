"""Answer by resampling what has no formula.

Every function draws from a generator seeded by the caller, so that a result can be derived again
to the last digit, and works through its resamples in batches of bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from edgeeval.stats._checks import (
    FloatArray,
    IntArray,
    Labels,
    check_alpha,
    finite_values,
    label_codes,
)
from edgeeval.stats.intervals import Interval

MINIMUM_BOOTSTRAP_CLUSTERS = 40
"""BCa covers 58 % on skewed toxicity with n = 100, and worse with fewer clusters than this."""

BATCH_ELEMENTS = 2_000_000
"""Array elements a batch may hold (16 MB)."""

Statistic: TypeAlias = Literal["mean", "ratio"] | Callable[[FloatArray], FloatArray]
"""See `bootstrap_distribution`."""


class BootstrapDistribution(NamedTuple):
    """Hold the resampled values of a statistic, to take intervals at several levels from.

    A p-value needs some 35 levels of one interval; resampling once is enough for all of them.
    """

    value: float | None
    """The statistic on the data; None if it is undefined there."""
    replicates: FloatArray
    """The statistic on each resample, sorted, shape (n_resamples,); empty if not resampled."""
    bias: float
    """z0: the normal quantile of the share of replicates below the value."""
    acceleration: float
    """a: skewness of the jackknife values, divided by 6."""
    n: int
    """Number of clusters."""
    reason: str = ""
    """Why there are no bounds; empty if there are."""

    def interval(self, alpha: float = 0.05) -> Interval:
        """Return the BCa interval at a two-sided alpha.

        An end that lies beyond the outermost replicate is None: B resamples cannot speak of
        levels below 1/B.

        Source: Efron (1987), JASA 82, 171–185.
        """
        from scipy.special import ndtr, ndtri

        check_alpha(alpha)
        if self.reason:
            return Interval(self.value, None, None, self.n, "bca", self.reason)
        edges: list[float | None] = []
        for z in (float(ndtri(alpha / 2)), -float(ndtri(alpha / 2))):
            shifted = self.bias + z
            denominator = 1 - self.acceleration * shifted
            # Past the pole of the correction the adjusted level would turn back on itself.
            adjusted = self.bias + shifted / denominator if denominator > 0 else np.inf * shifted
            share = float(ndtr(adjusted))
            inside = 1 <= share * self.replicates.size <= self.replicates.size - 1
            edges.append(float(np.quantile(self.replicates, share)) if inside else None)
        reason = f"{self.replicates.size} resamples cannot resolve this level"
        return Interval(
            self.value, edges[0], edges[1], self.n, "bca", reason if None in edges else ""
        )


class PermutationGap(NamedTuple):
    """Hold the largest gap between group means, beside what chance alone would give."""

    gap: float | None
    """Largest minus smallest group mean."""
    null_mean: float | None
    """Mean of that gap under permuted labels: far above 0 with small groups."""
    adjusted: float | None
    """gap − null_mean: about 0 if groups do not differ."""
    p: float | None
    """Share of permutations with a gap at least as large, the data counted as one of them."""
    n: int
    """Number of items."""
    reason: str = ""
    """Why the numbers are None; empty if they are not."""


def bca_bootstrap(
    cluster_values: npt.ArrayLike,
    statistic: Statistic = "mean",
    alpha: float = 0.05,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Bound a statistic that has no formula by the BCa bootstrap over whole clusters.

    Arguments, result and errors are those of `bootstrap_distribution`; take that and its
    `interval` where several levels are needed.
    """
    check_alpha(alpha)
    return bootstrap_distribution(cluster_values, statistic, n_resamples, seed).interval(alpha)


def bootstrap_distribution(
    cluster_values: npt.ArrayLike,
    statistic: Statistic = "mean",
    n_resamples: int = 10_000,
    seed: int = 0,
) -> BootstrapDistribution:
    """Resample clusters with replacement, and jackknife them, for the BCa interval.

    Args:
        cluster_values: One row a cluster, shape (G,) or (G, K): values or totals of a cluster.
        statistic: "mean" of one column; "ratio" of the totals of two, Σ column 0/Σ column 1 (a
            weighted mean, from Σwx and Σw of each cluster); or a function of an array of
            resampled rows, shape (batch, clusters, K), that returns shape (batch,).
        n_resamples: Number of resamples, 100 or more.
        seed: Seed of the generator.

    Returns:
        Without replicates and with a reason: with fewer than 40 clusters, where the statistic is
        undefined on the data or a resample, and where it never varies (a sample without a
        difference would get an interval without width).

    Raises:
        ValueError: Naming the position of a value that is not finite; if the number of columns
            does not suit the statistic, or its result has the wrong shape.
    """
    if n_resamples < 100:
        raise ValueError(f"n_resamples is {n_resamples}; give 100 or more")
    rows = finite_values(cluster_values, "cluster_values", dimensions=np.ndim(cluster_values))
    rows = rows[:, np.newaxis] if rows.ndim == 1 else rows
    if rows.ndim != 2:
        raise ValueError(f"cluster_values has {rows.ndim} dimensions; give (G,) or (G, K)")
    evaluate = _evaluator(statistic, rows.shape[1])
    n = rows.shape[0]
    if n == 0:
        return _not_resampled(None, 0, "no items")
    value = float(evaluate(rows[np.newaxis])[0])
    if not np.isfinite(value):
        return _not_resampled(None, n, "the statistic is undefined on this sample")
    if n < MINIMUM_BOOTSTRAP_CLUSTERS:
        reason = f"needs at least {MINIMUM_BOOTSTRAP_CLUSTERS} clusters, has {n}"
        return _not_resampled(value, n, reason)
    replicates = _evaluate_all(evaluate, rows, _resampled_indices(n, n_resamples, seed))
    jackknife = _evaluate_all(evaluate, rows, _left_out_indices(n))
    undefined = int(np.sum(~np.isfinite(replicates))) + int(np.sum(~np.isfinite(jackknife)))
    if undefined:
        return _not_resampled(value, n, f"the statistic is undefined on {undefined} resamples")
    return _bias_corrected(value, replicates, jackknife, n)


def bootstrap_means(
    cluster_values: npt.ArrayLike, n_resamples: int = 10_000, seed: int = 0
) -> list[BootstrapDistribution]:
    """Resample the means of many columns at once: what `bootstrap_distribution` does for each.

    All columns share their resamples, so a matrix product does the work: the 280 columns of 40
    metrics on 7 levels cost little more than one.

    Args:
        cluster_values: One row a cluster, one column a quantity, shape (G, K).
        n_resamples: Number of resamples, 100 or more.
        seed: Seed of the generator; the resamples are those of `bootstrap_distribution`.

    Returns:
        One distribution a column, as `bootstrap_distribution` gives it.

    Raises:
        ValueError: Naming the position of a value that is not finite.
    """
    if n_resamples < 100:
        raise ValueError(f"n_resamples is {n_resamples}; give 100 or more")
    columns = finite_values(cluster_values, "cluster_values", dimensions=2)
    n = columns.shape[0]
    if n < MINIMUM_BOOTSTRAP_CLUSTERS:
        reason = (
            f"needs at least {MINIMUM_BOOTSTRAP_CLUSTERS} clusters, has {n}" if n else "no items"
        )
        values = [float(one) if n else None for one in columns.sum(axis=0) / max(n, 1)]
        return [_not_resampled(value, n, reason) for value in values]
    replicates = np.concatenate(
        [
            times_drawn(indices, n) @ columns / n
            for indices in _resampled_indices(n, n_resamples, seed)
        ]
    )
    jackknife = (columns.sum(axis=0) - columns) / (n - 1)
    return [
        _bias_corrected(float(columns[:, k].mean()), replicates[:, k], jackknife[:, k], n)
        for k in range(columns.shape[1])
    ]


def times_drawn(indices: IntArray, n: int) -> FloatArray:
    """Return how often each of the n was drawn, by resample: shape (batch, n)."""
    offsets = np.arange(len(indices))[:, np.newaxis] * n
    counts = np.bincount((indices + offsets).ravel(), minlength=len(indices) * n)
    return counts.reshape(len(indices), n).astype(np.float64)


def permutation_gap(
    values: npt.ArrayLike, groups: Labels, n_permutations: int = 2000, seed: int = 0
) -> PermutationGap:
    """Compare the gap between the highest and lowest group mean with that of permuted labels.

    The largest of many noisy means minus the smallest is well above 0 even where all groups are
    alike (about .11 with 12 groups of 17 prompts at a rate of .1), so the gap means nothing
    without its expectation under chance.

    Args:
        values: One an item, shape (n,).
        groups: Group of each item, length n.
        n_permutations: Number of permutations, 100 or more.
        seed: Seed of the generator.

    Returns:
        None throughout, with a reason, for fewer than two groups.

    Raises:
        ValueError: Naming the position of a value that is not finite; if lengths differ.
    """
    if n_permutations < 100:
        raise ValueError(f"n_permutations is {n_permutations}; give 100 or more")
    x = finite_values(values, "values")
    codes = label_codes(groups, x.size, "groups")
    sizes = np.bincount(codes)
    if sizes.size < 2:
        reason = "no items" if x.size == 0 else "needs at least 2 groups, has 1"
        return PermutationGap(None, None, None, None, x.size, reason)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def gaps(ordered: FloatArray) -> FloatArray:
        means = np.add.reduceat(ordered, starts, axis=1) / sizes
        return np.asarray(means.max(axis=1) - means.min(axis=1), dtype=np.float64)

    by_group = x[np.argsort(codes, kind="stable")][np.newaxis]
    gap = float(gaps(by_group)[0])
    generator = np.random.default_rng(seed)
    permuted = np.concatenate(
        [
            gaps(generator.permuted(np.repeat(by_group, size, axis=0), axis=1))
            for size in _batch_sizes(n_permutations, x.size)
        ]
    )
    rounding = 1e-12 * float(np.abs(x).max())
    at_least = int(np.sum(permuted >= gap - rounding))
    null_mean = float(permuted.mean())
    p = (1 + at_least) / (1 + n_permutations)
    return PermutationGap(gap, null_mean, gap - null_mean, p, x.size)


def _evaluator(statistic: Statistic, n_columns: int) -> Callable[[FloatArray], FloatArray]:
    """Return the statistic as a checked function from (batch, clusters, K) to (batch,)."""
    if statistic in ("mean", "ratio"):
        needed = 1 if statistic == "mean" else 2
        if n_columns != needed:
            raise ValueError(f"{statistic!r} takes {needed} columns a cluster, has {n_columns}")
        return _mean if statistic == "mean" else _ratio
    if isinstance(statistic, str):
        raise ValueError(f"statistic is {statistic!r}; give 'mean', 'ratio' or a function")
    function = statistic

    def evaluate(rows: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            result = np.asarray(function(rows), dtype=np.float64)
        if result.shape != rows.shape[:1]:
            raise ValueError(
                f"the statistic returned shape {result.shape} for rows of shape {rows.shape}; "
                f"it must return one number a resample, shape {rows.shape[:1]}"
            )
        return result

    return evaluate


def _mean(rows: FloatArray) -> FloatArray:
    return np.asarray(rows[..., 0].mean(axis=1), dtype=np.float64)


def _ratio(rows: FloatArray) -> FloatArray:
    totals = rows.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(totals[:, 0] / totals[:, 1], dtype=np.float64)


def _evaluate_all(
    evaluate: Callable[[FloatArray], FloatArray], rows: FloatArray, batches: Iterator[IntArray]
) -> FloatArray:
    return np.concatenate([evaluate(rows[indices]) for indices in batches])


def _resampled_indices(n: int, n_resamples: int, seed: int) -> Iterator[IntArray]:
    """Yield (batch, n) indices drawn with replacement."""
    generator = np.random.default_rng(seed)
    for size in _batch_sizes(n_resamples, n):
        yield generator.integers(0, n, size=(size, n))


def _left_out_indices(n: int) -> Iterator[IntArray]:
    """Yield (batch, n − 1) indices, each row without one of the n."""
    first = 0
    for size in _batch_sizes(n, n):
        left_out = np.arange(first, first + size)[:, np.newaxis]
        kept = np.arange(n - 1)[np.newaxis]
        yield kept + (kept >= left_out)
        first += size


def _batch_sizes(count: int, width: int) -> Iterator[int]:
    largest = max(1, BATCH_ELEMENTS // width)
    for first in range(0, count, largest):
        yield min(largest, count - first)


def _bias_corrected(
    value: float, replicates: FloatArray, jackknife: FloatArray, n: int
) -> BootstrapDistribution:
    """Return the distribution with its two corrections, or the reason why it has none."""
    from scipy.special import ndtri

    below = float(np.mean(replicates < value) + np.mean(replicates <= value)) / 2
    deviations = jackknife.mean() - jackknife
    squares = float((deviations**2).sum())
    scale = max(abs(value), float(np.abs(jackknife).max()))
    if squares <= n * (1e-12 * scale) ** 2:
        return _not_resampled(value, n, "every cluster gives the same value")
    if not 0.0 < below < 1.0:
        return _not_resampled(value, n, "every resample lies on one side of the value")
    acceleration = float((deviations**3).sum()) / (6 * squares**1.5)
    return BootstrapDistribution(value, np.sort(replicates), float(ndtri(below)), acceleration, n)


def _not_resampled(value: float | None, n: int, reason: str) -> BootstrapDistribution:
    return BootstrapDistribution(value, np.empty(0), 0.0, 0.0, n, reason)
