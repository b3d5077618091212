"""Bound means whose items are alike in clusters, skewed, or mostly zero.

One t interval serves them all. It is corrected for skewness, because the plain one leans the wrong
way: a sample of a skewed quantity that comes out low shows too little spread as well, so its upper
bound falls short twice. benchmarks/intervals.py simulates what it covers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgeeval.stats._checks import (
    FloatArray,
    IntArray,
    Labels,
    check_alpha,
    check_finite,
    cluster_totals,
    finite_values,
    label_codes,
)
from edgeeval.stats.intervals import Interval, t_quantile

MINIMUM_CLUSTERS = 7
"""With fewer clusters a variance between clusters is itself too uncertain to bound anything."""

INTRACLUSTER_CORRELATION = 0.1
"""Assumed likeness of two items of one template where too few differences exist to estimate it."""


class Studentized(NamedTuple):
    """Hold a statistic with what an interval needs of its sample, at any level.

    With s the standard error and k the skewness of the statistic, Hall's transformation of the
    studentized statistic, y(T) = T + kT²/3 + k²T³/27 + k/6, is symmetric to second order and can be
    inverted: T(y) = 3/k·((1 + k(y − k/6))^(1/3) − 1). The bounds are value − s·T(t) and
    value − s·T(−t), but each is at least t·s away: the skewness of a few clusters is itself
    uncertain, and far out, at the tiny alphas of a p-value, a cube root would bring both ends near.

    Source: Hall (1992), Journal of the Royal Statistical Society B 54, 221–228, with Student's t
    for the normal quantile and the sample skewness adjusted as in Joanes and Gill (1998).
    """

    value: float | None
    """The statistic; None if it is undefined."""
    error: float
    """Its standard error."""
    skewness: float
    """Its skewness (that of the clusters, over √G)."""
    degrees_of_freedom: int
    n: int
    """Number of items."""
    method: str
    largest: float | None = None
    """Largest possible |difference| of an item over the effective number of items: each end is at
    least the rule of three away, −ln(alpha/2)·largest. Items that differ by the largest with
    probability π all stay unseen with probability (1 − π)^n ≈ exp(−πn), so a sample without a
    difference says no more. None: no such end."""
    limits: tuple[float, float] = (-math.inf, math.inf)
    """What no value can lie beyond."""
    reason: str = ""
    """Why there are no bounds; empty if there are."""

    def interval(self, alpha: float = 0.05) -> Interval:
        """Return the interval at a two-sided alpha.

        Raises:
            ValueError: If alpha is out of range.
        """
        check_alpha(alpha)
        if self.value is None or self.reason:
            return Interval(self.value, None, None, self.n, self.method, self.reason)
        t = t_quantile(alpha, self.degrees_of_freedom)
        below, above = untransformed(t, self.skewness), -untransformed(-t, self.skewness)
        below, above = max(below, t), max(above, t)
        least = -math.log(alpha / 2) * self.largest if self.largest else 0.0
        # At a large alpha the correction of the centre could leave the value outside.
        lower = self.value - max(below * self.error, least)
        upper = self.value + max(above * self.error, least)
        first, last = self.limits
        return Interval(
            self.value,
            min(max(lower, first), self.value),
            max(min(upper, last), self.value),
            self.n,
            self.method,
        )


class Spread(NamedTuple):
    """Hold standard error and skewness of a statistic."""

    error: float
    skewness: float


def spread(totals: FloatArray, pseudo: float = 0.0) -> Spread:
    """Return the standard error and the skewness of a statistic from its clusters.

    Args:
        totals: Each cluster's part of the statistic less its expectation (their sum is 0), shape
            (G,), G >= 2 unless there are pseudo-items.
        pseudo: Two more totals, +pseudo and −pseudo.
    """
    n = totals.size + (2 if pseudo else 0)
    squares = float(totals @ totals) + 2 * pseudo**2
    if squares == 0.0 or n < 3:
        return Spread(math.sqrt(2 * squares), 0.0)
    skewness = float(((totals / math.sqrt(squares)) ** 3).sum()) * math.sqrt(n * (n - 1)) / (n - 2)
    return Spread(math.sqrt(n / (n - 1) * squares), skewness)


def untransformed(y: float, skewness: float) -> float:
    """Return T(y) of `Studentized`."""
    if abs(skewness) < 1e-6:
        return y
    return 3 / skewness * (math.cbrt(1 + skewness * (y - skewness / 6)) - 1)


def effective_n(sizes: IntArray) -> float:
    """Return how many independent items clusters of these sizes are worth at the assumed likeness.

    An item shares its cluster with Σm²/n items on average; the mean size would hide a few large
    clusters among many of one item.
    """
    n = float(sizes.sum())
    return n / (1 + (float((sizes**2).sum()) / n - 1) * INTRACLUSTER_CORRELATION)


def degrees_of_freedom(sizes: IntArray) -> int:
    """Return Satterthwaite's degrees of freedom of a variance between clusters of unequal sizes.

    A total over m items alike by ρ has variance m(1 + (m − 1)ρ): G − 1 where sizes are equal, less
    where a few large clusters make most of the variance.
    """
    variances = sizes * (1 + (sizes - 1) * INTRACLUSTER_CORRELATION)
    return max(1, int(float(variances.sum()) ** 2 / float((variances**2).sum())) - 1)


def bounded_mean(
    values: npt.ArrayLike,
    bound: float,
    alpha: float = 0.05,
    clusters: Labels | None = None,
) -> Interval:
    """Return the interval of `bounded_sample` at one alpha."""
    check_alpha(alpha)
    return bounded_sample(values, bound, clusters).interval(alpha)


def bounded_sample(
    values: npt.ArrayLike,
    bound: float,
    clusters: Labels | None = None,
    limits: tuple[float, float] | None = None,
) -> Studentized:
    """Bound the mean of differences that are mostly zero and never beyond ±bound.

    A sample with three differences, or none, says little about its own variance. Two things keep
    the interval honest there. Two pseudo-items that deviate by +bound and −bound enter the
    standard error, as in Agresti and Coull's "plus four"; and each end is at least the rule of
    three away, with n_eff = n/(1 + (m − 1)·0.1), m = Σm²/n: items of one template are alike.

    With clusters the variance is that of cluster totals, with Satterthwaite's degrees of freedom
    (G − 1 for equal sizes); the variance between items would cover as little as 69 % where
    templates differ as a whole. Shares of items in clusters are bounded this way too: Wilson's and
    Clopper and Pearson's intervals are for independent items.

    Args:
        values: Differences, one an item, shape (n,).
        bound: Largest possible |difference| of an item: 1 for a share, 2 for s_amb.
        clusters: Template of each item, length n; None if items are independent.
        limits: What the mean cannot lie beyond; ±bound if None.

    Returns:
        Method "bounded-skew-t", or "bounded-cluster-skew-t" with clusters; bounds stay within
        ±bound. None throughout without items; with fewer than 7 clusters a value without bounds.

    Raises:
        ValueError: Naming the position of a value that is not finite or beyond the bound; or if
            the bound is out of range.
    """
    check_bound(bound)
    method = "bounded-skew-t" if clusters is None else "bounded-cluster-skew-t"
    x = finite_values(values, "values")
    n = x.size
    beyond = np.flatnonzero(np.abs(x) > bound * (1 + 1e-9))
    if beyond.size:
        raise ValueError(f"values[{beyond[0]}] is {x[beyond[0]]}, beyond the bound of ±{bound}")
    codes = np.arange(n) if clusters is None else label_codes(clusters, n, "clusters")
    if n == 0:
        return without_bounds(None, 0, method, "no items")
    value = float(x.mean())
    sizes = np.bincount(codes)
    n_clusters = sizes.size
    if clusters is not None and n_clusters < MINIMUM_CLUSTERS:
        return without_bounds(value, n, method, too_few(n_clusters))
    return Studentized(
        value,
        *spread(
            cluster_totals(codes, (x - value) / n), pseudo=bound / math.sqrt(n * effective_n(sizes))
        ),
        degrees_of_freedom(sizes),
        n,
        method,
        bound / effective_n(sizes),
        limits or (-bound, bound),
    )


def cluster_mean(
    values: npt.ArrayLike,
    clusters: Labels,
    weights: npt.ArrayLike | None = None,
    alpha: float = 0.05,
) -> Interval:
    """Return the interval of `cluster_sample` at one alpha."""
    check_alpha(alpha)
    return cluster_sample(values, clusters, weights).interval(alpha)


def cluster_sample(
    values: npt.ArrayLike, clusters: Labels, weights: npt.ArrayLike | None = None
) -> Studentized:
    """Bound a (weighted) mean of items that are alike within clusters.

    Clusters are windows of a text, templates, grammatical features. The value is Σwx/Σw, its
    variance that of the linearised ratio over cluster totals, with G − 1 degrees of freedom,
    corrected for skewness; without skewness and where clusters weigh the same this is the t
    interval on cluster means. Values without any spread give an interval without width: for shares,
    where that would be wrong, take `paired_shares` or `bounded_mean`.

    Source: Cochran, Sampling Techniques (3rd ed.), chapter 9A: ratio to size.

    Args:
        values: One an item, shape (n,).
        clusters: Cluster of each item, length n.
        weights: Such as tokens or bytes of each item, shape (n,), 0 or more; equal if None. Items
            of weight 0 are left out, and make no cluster.

    Returns:
        Method "cluster-skew-t". None throughout without items of any weight; with fewer than 7
        clusters a value without bounds.

    Raises:
        ValueError: Naming the position of a value that is not finite or a weight that is negative;
            if lengths differ.
    """
    method = "cluster-skew-t"
    x = finite_values(values, "values")
    codes = label_codes(clusters, x.size, "clusters")
    w = np.ones_like(x) if weights is None else finite_values(weights, "weights")
    if w.size != x.size:
        raise ValueError(f"weights has {w.size} elements for {x.size} values; give one a value")
    negative = np.flatnonzero(w < 0)
    if negative.size:
        raise ValueError(f"weights[{negative[0]}] is {w[negative[0]]}; a weight is 0 or more")
    weighty = w > 0
    x, w = x[weighty], w[weighty]
    if x.size == 0:
        return without_bounds(None, 0, method, "no items")
    value, totals = _ratio(x, w, codes[weighty])
    if totals.size < MINIMUM_CLUSTERS:
        return without_bounds(value, x.size, method, too_few(totals.size))
    return Studentized(value, *spread(totals), totals.size - 1, x.size, method)


def without_bounds(value: float | None, n: int, method: str, reason: str) -> Studentized:
    """Return a statistic that has no bounds, and why."""
    return Studentized(value, 0.0, 0.0, 1, n, method, reason=reason)


def check_bound(bound: float) -> None:
    """Require a finite bound above 0.

    Raises:
        ValueError: Otherwise.
    """
    check_finite(bound, "bound")
    if bound <= 0:
        raise ValueError(f"bound is {bound}; give the largest possible |difference|, above 0")


def too_few(n_clusters: int) -> str:
    """Say why so few clusters have no bounds."""
    return f"needs at least {MINIMUM_CLUSTERS} clusters, has {n_clusters}"


def _ratio(x: FloatArray, w: FloatArray, codes: IntArray) -> tuple[float, FloatArray]:
    """Return Σwx/Σw and each cluster's part of its linearised deviation."""
    total = float(w.sum())
    value = float((w * x).sum()) / total
    _, dense = np.unique(codes, return_inverse=True)
    return value, cluster_totals(dense, w * (x - value) / total)
