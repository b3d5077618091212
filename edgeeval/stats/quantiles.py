"""Bound a quantile: of independent values by ranks, of clustered ones by the share below it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgeeval.stats._checks import Labels, check_alpha, finite_values, label_codes
from edgeeval.stats.intervals import Interval, t_quantile, undefined
from edgeeval.stats.means import MINIMUM_CLUSTERS, too_few


def order_statistic(values: npt.ArrayLike, q: float, alpha: float = 0.05) -> Interval:
    """Bound a quantile by two of the sorted values, whatever the distribution.

    The number of values below the true quantile is binomial, so the r-th smallest value exceeds
    it with probability P(Bin(n, q) < r). The bounds are the innermost ranks that miss at most
    alpha/2 each. Far out in the tail no value of the sample is a bound; that end is then None.
    Of independent values; where they are alike in clusters take `cluster_quantile`.

    Source: David and Nagaraja, Order Statistics (3rd ed.), chapter 7.

    Args:
        values: Shape (n,).
        q: Quantile, above 0 and below 1.
        alpha: Two-sided level.

    Returns:
        Method "order-statistic". `value` interpolates linearly between ranks, as numpy and
        llama.cpp's perplexity tool do. None throughout without items.

    Raises:
        ValueError: Naming the position of a value that is not finite; or if q or alpha is out of
            range.
    """
    check_alpha(alpha)
    _check_quantile(q)
    x = np.sort(finite_values(values, "values"))
    n = x.size
    if n == 0:
        return undefined(0, "order-statistic", "no items")
    below = _innermost_rank(n, q, alpha)
    above = _innermost_rank(n, 1 - q, alpha)
    lower = float(x[below - 1]) if below else None
    upper = float(x[n - above]) if above else None
    # (1 − q)^n is the chance that every value lies above the quantile, q^n that all lie below.
    needed = math.ceil(math.log(alpha / 2) / math.log(max(q, 1 - q)))
    short = lower is None or upper is None
    reason = f"needs {needed} items for both bounds, has {n}" if short else ""
    return Interval(float(np.quantile(x, q)), lower, upper, n, "order-statistic", reason)


def cluster_quantile(
    values: npt.ArrayLike, q: float, clusters: Labels, alpha: float = 0.05
) -> Interval:
    """Bound a quantile of values that are alike within clusters, such as tokens of one window.

    The share of values below the sample quantile has a t interval over clusters, q ± t·s with
    G − 1 degrees of freedom; the bounds are the values at its ends. Ranks that take 255 tokens of a
    window for independent ones miss a quantile in 32–39 % of samples a side at an intracluster
    correlation of .1; this misses 2–3 %.

    Source: Woodruff (1952), JASA 47, 635–646.

    Args:
        values: Shape (n,).
        q: Quantile, above 0 and below 1.
        clusters: Cluster of each value, length n.
        alpha: Two-sided level.

    Returns:
        Method "cluster-woodruff". `value` interpolates linearly between ranks. None throughout
        without items; with fewer than 7 clusters a value without bounds; an end that lies beyond
        the sample is None.

    Raises:
        ValueError: Naming the position of a value that is not finite; if lengths differ, or q or
            alpha is out of range.
    """
    check_alpha(alpha)
    _check_quantile(q)
    method = "cluster-woodruff"
    x = finite_values(values, "values")
    codes = label_codes(clusters, x.size, "clusters")
    if x.size == 0:
        return undefined(0, method, "no items")
    value = float(np.quantile(x, q))
    sizes = np.bincount(codes)
    if sizes.size < MINIMUM_CLUSTERS:
        return undefined(x.size, method, too_few(sizes.size), value)
    below = np.bincount(codes, weights=(x <= value).astype(np.float64))
    deviations = (below - sizes * below.sum() / x.size) / x.size
    error = math.sqrt(sizes.size / (sizes.size - 1) * float(deviations @ deviations))
    half = t_quantile(alpha, sizes.size - 1) * error
    ordered = np.sort(x)
    first, last = math.floor((q - half) * x.size), math.ceil((q + half) * x.size)
    lower = float(ordered[first - 1]) if first >= 1 else None
    upper = float(ordered[last]) if last < x.size else None
    short = lower is None or upper is None
    reason = "its share reaches beyond the sample at this level" if short else ""
    return Interval(value, lower, upper, x.size, method, reason)


def _check_quantile(q: float) -> None:
    if not 0.0 < q < 1.0:
        raise ValueError(f"q is {q}; give a quantile above 0 and below 1, such as 0.99")


def _innermost_rank(n: int, q: float, alpha: float) -> int:
    """Return the largest rank r with P(Bin(n, q) < r) <= alpha/2; 0 if there is none."""
    from scipy.special import betainc

    def miss(rank: int) -> float:
        return float(betainc(n - rank + 1, rank, 1 - q))

    passing, failing = 0, n + 1
    while failing - passing > 1:
        middle = (passing + failing) // 2
        if miss(middle) <= alpha / 2:
            passing = middle
        else:
            failing = middle
    return passing
