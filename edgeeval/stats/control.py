"""Sharpen a paired difference by what the reference does on items that the level never ran.

The reference is decoded once for a whole ladder, so it may run on many more items than each level.
Where level and reference still move together a little (below 4 bits coupled sampling alone no
longer helps), the reference's mean over all its items takes out the part of the level's scatter
that is shared: a control variate.
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
    cluster_totals,
    finite_values,
    label_codes,
)
from edgeeval.stats.intervals import Interval
from edgeeval.stats.means import (
    MINIMUM_CLUSTERS,
    Studentized,
    check_bound,
    degrees_of_freedom,
    effective_n,
    spread,
    too_few,
)

_METHOD = "control-variate-skew-t"


def control_beta(level: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Return β = cov(level, reference)/var(reference) over the items that both have.

    With β the scatter of level − β·reference is the smallest. 1 where the reference does not vary
    (or there are fewer than two items): the plain paired difference.

    Raises:
        ValueError: If lengths differ or a value is not finite.
    """
    q, b = _both(level, reference)
    deviations = b - b.mean() if b.size else b
    squares = float(deviations @ deviations)
    if squares <= b.size * (1e-12 * float(np.abs(b).max(initial=0.0))) ** 2:
        return 1.0
    return float(deviations @ (q - q.mean())) / squares


def control_variate(
    level: npt.ArrayLike,
    reference: npt.ArrayLike,
    reference_rest: npt.ArrayLike,
    bound: float,
    alpha: float = 0.05,
    clusters: Labels | None = None,
    rest_clusters: Labels | None = None,
) -> Interval:
    """Bound mean(level) − mean(reference) with the reference's mean over more items.

    Δ = (q̄_n − β·b̄_n) − (1 − β)·b̄_N, where n items were run by both, N = n + rest by the reference
    alone, and β is `control_beta`. β = 1 is the plain paired difference, β = 0 takes the
    reference's mean from all N. Its variance is that of cluster totals of
    (q − βb)/n − (1 − β)·b/N over the n and −(1 − β)·b/N over the rest, each less its mean, with
    G − 2 degrees of freedom (G clusters of the n; one is spent on β), corrected for skewness.

    Toxicity is mostly zero, so what keeps `bounded_mean` honest is here too: two pseudo-items in
    the standard error, and ends that are at least the rule of three away.

    Source: Glasserman, Monte Carlo Methods in Financial Engineering (2003), 4.1, with the mean of
    the control estimated, as in double sampling for regression: Cochran, Sampling Techniques (3rd
    ed.), chapter 12.

    Args:
        level: The level's values on n items, shape (n,).
        reference: The reference's on the same items, in the same order, shape (n,).
        reference_rest: The reference's on the items that the level did not run, shape (N − n,);
            twice n or more make it worth while. Both must be samples of one population: draw the n
            at random from the N.
        bound: Largest possible |difference| of one item, above 0.
        alpha: Two-sided level.
        clusters: Template of each of the n items; None if items are independent.
        rest_clusters: The same of the rest; the same label means the same template. None exactly
            where `clusters` is None.

    Returns:
        Method "control-variate-skew-t", n the number of paired items. None throughout without them,
        with fewer than 7 clusters a value without bounds.

    Raises:
        ValueError: If lengths differ, a value is not finite, clusters are given of one part only,
            or bound or alpha is out of range.
    """
    check_alpha(alpha)
    check_bound(bound)
    if (clusters is None) is not (rest_clusters is None):
        raise ValueError("give clusters and rest_clusters, or neither")
    q, b = _both(level, reference)
    rest = finite_values(reference_rest, "reference_rest")
    n = q.size
    codes = _codes(clusters, rest_clusters, n, rest.size)
    if n == 0:
        return Interval(None, None, None, 0, _METHOD, "no items")
    value, influences = _linearised(q, b, rest)
    sizes = np.bincount(codes[:n])
    sizes = sizes[sizes > 0]
    n_clusters = sizes.size
    if n_clusters < MINIMUM_CLUSTERS:
        return Interval(value, None, None, n, _METHOD, too_few(n_clusters))
    sample = Studentized(
        value,
        *spread(
            cluster_totals(codes, influences), pseudo=bound / math.sqrt(n * effective_n(sizes))
        ),
        max(1, degrees_of_freedom(sizes) - 1),
        n,
        _METHOD,
        bound / effective_n(sizes),
        (-bound, bound),
    )
    return sample.interval(alpha)


class _Linearised(NamedTuple):
    value: float
    influences: FloatArray
    """Of the n items, then of the rest, shape (N,)."""


def _linearised(q: FloatArray, b: FloatArray, rest: FloatArray) -> _Linearised:
    beta = control_beta(q, b)
    everywhere = np.concatenate([b, rest])
    own = q - beta * b
    value = float(own.mean()) - (1 - beta) * float(everywhere.mean())
    influences = -(1 - beta) * (everywhere - everywhere.mean()) / everywhere.size
    influences[: q.size] += (own - own.mean()) / q.size
    return _Linearised(value, influences)


def _both(level: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    q, b = finite_values(level, "level"), finite_values(reference, "reference")
    if q.size != b.size:
        raise ValueError(f"reference has {b.size} values for {q.size} of the level; give the same")
    return q, b


def _codes(clusters: Labels | None, rest_clusters: Labels | None, n: int, n_rest: int) -> IntArray:
    """Number the clusters of both parts together."""
    if clusters is None or rest_clusters is None:
        return np.arange(n + n_rest)
    for labels, size, name in (
        (clusters, n, "clusters"),
        (rest_clusters, n_rest, "rest_clusters"),
    ):
        label_codes(labels, size, name)
    return label_codes([*clusters, *rest_clusters], n + n_rest, "clusters")
