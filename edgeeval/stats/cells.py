"""Bound statistics that are made of several means: the biased share where the right answer is the
target and where it is not, the preference for each of many subjects.

Items fall into cells; each cell has a (weighted) mean, and the statistic is a function of those
means. A sum of means has a formula, the linearised ratio; any other function is resampled. Either
way whole clusters are the unit: items of one template are alike, whatever cell they fall into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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
    degrees_of_freedom,
    effective_n,
    spread,
    too_few,
    without_bounds,
)
from edgeeval.stats.resampling import (
    BATCH_ELEMENTS,
    BootstrapDistribution,
    bootstrap_distribution,
    times_drawn,
)

_METHOD = "linearised-ratio-skew-t"

CellStatistic: TypeAlias = Callable[[FloatArray, Sequence[str]], FloatArray]
"""Means of cells, shape (batch, cells), NaN where a cell has no item, and the cells' names -> one
number a row, shape (batch,)."""


@dataclass(frozen=True)
class CellItems:
    """Items of one model, each in a cell and in a cluster."""

    values: npt.ArrayLike
    """Shape (n,)."""
    weights: npt.ArrayLike
    """Shape (n,), 0 or more; an item of weight 0 does not count: an answer that says nothing."""
    cells: Sequence[str]
    clusters: Labels


def sum_of_means(
    items: CellItems,
    cells: Sequence[str],
    bound: float,
    alpha: float = 0.05,
    reference: CellItems | None = None,
) -> Interval:
    """Return the interval of `sum_of_means_sample` at one alpha."""
    check_alpha(alpha)
    return sum_of_means_sample(items, cells, bound, reference).interval(alpha)


def sum_of_means_sample(
    items: CellItems, cells: Sequence[str], bound: float, reference: CellItems | None = None
) -> Studentized:
    """Bound Σ over cells of the cell's weighted mean, or its difference from a reference's.

    The variance is that of cluster totals of the linearised statistic, Σ w(x − mean)/Σw within each
    cell, with G − 1 degrees of freedom, corrected for skewness; for a difference the two linearised
    statistics are subtracted item by item first. As in `bounded_mean`, two pseudo-items (of the
    smallest cell) enter the standard error and each end is at least the rule of three away: a
    sample in which nothing differs must not become an interval without width.

    Source: Cochran, Sampling Techniques (3rd ed.), chapters 6 and 9A; Woodruff (1971), JASA 66.

    Args:
        items: The level's.
        cells: Cells that the sum is over; each needs an item of some weight.
        bound: Largest possible difference of one item's value.
        reference: The same items, in the same order, of another model.

    Returns:
        Method "linearised-ratio-skew-t". None throughout where a cell has no weight; with fewer
        than 7 clusters a value without bounds.

    Raises:
        ValueError: If lengths differ or a value is not finite.
    """
    codes = label_codes(items.clusters, len(items.cells), "clusters")
    n = len(items.cells)
    sums, influences = {1.0: 0.0, -1.0: 0.0}, np.zeros(n)
    for sign, side in ((1.0, items), (-1.0, reference)):
        if side is None:
            continue
        x, w = finite_values(side.values, "values"), finite_values(side.weights, "weights")
        for cell in cells:
            inside = np.array([one == cell for one in side.cells]) if n else np.zeros(0, bool)
            total = float(w[inside].sum())
            if total <= 0:
                what = f" in {cell!r}" if cell else ""
                return without_bounds(None, 0, _METHOD, f"nothing counts{what}")
            mean = float((w * x)[inside].sum()) / total
            sums[sign] += mean
            influences += sign * np.where(inside, w * (x - mean) / total, 0.0)
    value = sums[1.0] - sums[-1.0]  # of equal sides exactly 0
    counted = np.asarray(items.weights, np.float64) > 0
    n_counted = int(counted.sum())
    n_clusters = len(set(codes[counted].tolist()))
    if n_clusters < MINIMUM_CLUSTERS:
        return without_bounds(value, n_counted, _METHOD, too_few(n_clusters))
    sizes = [_sizes(items, codes, cell) for cell in cells]
    totals = cluster_totals(codes, influences)
    return Studentized(
        value,
        *spread(totals, pseudo=bound / min(int(of_cell.sum()) for of_cell in sizes)),
        degrees_of_freedom(np.bincount(codes[counted])),
        n_counted,
        _METHOD,
        bound / min(effective_n(of_cell) for of_cell in sizes),
    )


def _sizes(items: CellItems, codes: IntArray, cell: str) -> IntArray:
    """Return how many items of a cell count, by cluster."""
    weights = np.asarray(items.weights, np.float64)
    sizes = np.bincount(codes[(np.array(items.cells) == cell) & (weights > 0)])
    return sizes[sizes > 0]


def cell_bootstrap(
    items: CellItems,
    statistic: CellStatistic,
    reference: CellItems | None = None,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> BootstrapDistribution:
    """Resample clusters for a function of cell means, or for its difference from a reference's.

    Only totals are resampled: a cluster drawn twice counts twice in each cell that it reaches.

    Args:
        items: The level's.
        statistic: Function of the cells' means.
        reference: The same items, in the same order, of another model.
        n_resamples: Number of resamples, 100 or more.
        seed: Seed of the generator.

    Raises:
        ValueError: If lengths differ or a value is not finite.
    """
    codes = label_codes(items.clusters, len(items.cells), "clusters")
    names = sorted(set(items.cells))
    columns = np.array([names.index(cell) for cell in items.cells], np.int64)
    n_clusters = int(codes.max()) + 1 if codes.size else 0
    sides = [_totals(side, codes, columns, (n_clusters, len(names))) for side in (items, reference)]

    def of_indices(rows: FloatArray) -> FloatArray:
        size = max(1, BATCH_ELEMENTS // max(1, len(names)))  # a resample has a mean for each cell
        starts = range(0, len(rows), size)
        return np.concatenate([of_few(rows[start : start + size]) for start in starts])

    def of_few(rows: FloatArray) -> FloatArray:
        times = times_drawn(rows[..., 0].astype(np.int64), n_clusters)
        own, other = (
            None if totals is None else statistic((times @ totals[0]) / (times @ totals[1]), names)
            for totals in sides
        )
        assert own is not None  # the first side is the level's
        return own if other is None else own - other

    return bootstrap_distribution(np.arange(n_clusters), of_indices, n_resamples, seed)


def _totals(
    side: CellItems | None, codes: IntArray, columns: IntArray, shape: tuple[int, int]
) -> tuple[FloatArray, FloatArray] | None:
    """Return Σwx and Σw by cluster and cell."""
    if side is None:
        return None
    x, w = finite_values(side.values, "values"), finite_values(side.weights, "weights")
    sums, weights = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (codes, columns), w * x)
    np.add.at(weights, (codes, columns), w)
    return sums, weights
