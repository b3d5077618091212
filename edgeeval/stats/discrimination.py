"""Say how well a score tells two classes apart, and how far two independent shares differ."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from edgeeval.stats._checks import check_alpha, check_count, finite_values
from edgeeval.stats.intervals import Interval, normal_quantile, wilson

_EDGE = 1e-12


def auc(positives: npt.ArrayLike, negatives: npt.ArrayLike, alpha: float = 0.05) -> Interval:
    """Bound the probability that a positive scores above a negative; ties count one half.

    The value is the Mann–Whitney statistic over all pairs. The bounds are the θ at which the value
    lies z standard errors away, with the error *at θ*, so that a perfect judge keeps a width:
    V(θ) = θ(1 − θ)·(1 + k·(1 − θ)/(2 − θ) + k·θ/(1 + θ))/(mn), k = (m + n)/2 − 1.

    Source: Newcombe (2006), Statistics in Medicine 25, 559–573, method 5; V after Hanley and
    McNeil (1982), Radiology 143, 29–36.

    Args:
        positives: Scores of the texts that have the label, shape (m,).
        negatives: Scores of the others, shape (n,).
        alpha: Two-sided level.

    Returns:
        Method "newcombe-5"; None throughout if a class is empty.

    Raises:
        ValueError: Naming the position of a score that is not finite; or if alpha is out of range.
    """
    check_alpha(alpha)
    above = finite_values(positives, "positives")
    below = np.sort(finite_values(negatives, "negatives"))
    m, n = above.size, below.size
    if m == 0 or n == 0:
        empty = "positive" if m == 0 else "negative"
        return Interval(None, None, None, m + n, "newcombe-5", f"no {empty} texts")
    wins = np.searchsorted(below, above, "left").sum()
    ties = np.searchsorted(below, above, "right").sum() - wins
    value = float(wins + ties / 2) / (m * n)
    z = normal_quantile(alpha)

    def error(theta: float) -> float:
        k = (m + n) / 2 - 1
        shape = 1 + k * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return z * math.sqrt(theta * (1 - theta) * shape / (m * n))

    # At 0 and 1 the error is 0, which would be a root that bounds nothing.
    low, high = max(value, _EDGE), min(value, 1 - _EDGE)
    lower = 0.0 if value == 0 else _root(lambda theta: value - theta - error(theta), 0.0, high)
    upper = 1.0 if value == 1 else _root(lambda theta: value - theta + error(theta), low, 1.0)
    return Interval(value, lower, upper, m + n, "newcombe-5")


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-12))


def share_difference(
    a: SupportsIndex, n_a: SupportsIndex, b: SupportsIndex, n_b: SupportsIndex, alpha: float = 0.05
) -> Interval:
    """Bound the difference of two shares of different items, a/n_a − b/n_b.

    Source: Newcombe (1998), Statistics in Medicine 17, 873–890, method 10: the Wilson limits of
    each, combined. It keeps a width where both shares are 0.

    Returns:
        Method "newcombe-wilson", n the number of items of both; None throughout if one has none.

    Raises:
        ValueError: If a count or alpha is out of range.
    """
    n_a, n_b = check_count(n_a, "n_a"), check_count(n_b, "n_b")
    p, q = wilson(a, n_a, alpha), wilson(b, n_b, alpha)
    if p.value is None or q.value is None:
        return Interval(None, None, None, n_a + n_b, "newcombe-wilson", "no items")
    assert p.lower is not None and p.upper is not None
    assert q.lower is not None and q.upper is not None
    value = p.value - q.value
    below = math.hypot(p.value - p.lower, q.upper - q.value)
    above = math.hypot(p.upper - p.value, q.value - q.lower)
    return Interval(
        value, max(value - below, -1.0), min(value + above, 1.0), n_a + n_b, "newcombe-wilson"
    )
