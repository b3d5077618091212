"""Statistics of several means: against brute force, the formulas of one mean, and simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from edgeeval import stats
from edgeeval.stats import CellItems
from edgeeval.stats._checks import FloatArray

RANDOM = np.random.default_rng(5)


def items(
    n_clusters: int = 30, per_cluster: int = 4, generator: np.random.Generator = RANDOM
) -> CellItems:
    n = n_clusters * per_cluster
    effects = np.repeat(generator.normal(0, 0.3, n_clusters), per_cluster)
    return CellItems(
        np.sign(generator.normal(0, 1, n) + effects) / 2,
        (generator.random(n) < 0.8).astype(float),
        ["ab"[index % 2] for index in range(n)],
        np.repeat(np.arange(n_clusters), per_cluster),
    )


def widest(means: FloatArray, names: Sequence[str]) -> FloatArray:
    """The largest distance of a cell from 0."""
    del names
    return np.asarray(np.nanmax(np.abs(means), axis=1))


class TestSumOfMeans:
    def test_of_one_cell_is_the_cluster_mean(self) -> None:
        """Oracle: `cluster_mean`, itself held against scipy."""
        one = items()
        same = CellItems(one.values, one.weights, [""] * len(one.cells), one.clusters)
        ours = stats.sum_of_means(same, ("",), bound=1e-9)
        theirs = stats.cluster_mean(one.values, one.clusters, one.weights)
        assert ours[:3] == pytest.approx(theirs[:3], rel=0.01)  # Satterthwaite's degrees of freedom

    def test_value_is_the_sum_of_the_cells_weighted_means(self) -> None:
        """Oracle: numpy, cell by cell."""
        one = items()
        inside = [np.array(one.cells) == cell for cell in "ab"]
        expected = sum(
            np.average(np.asarray(one.values)[mask], weights=np.asarray(one.weights)[mask])
            for mask in inside
        )
        assert stats.sum_of_means(one, ("a", "b"), 1.0).value == pytest.approx(expected)

    def test_error_is_that_of_the_jackknife(self) -> None:
        """Oracle: the delete-one-cluster jackknife, equal to first order."""
        one, other = items(60), items(60)
        other = CellItems(other.values, other.weights, one.cells, one.clusters)
        whole = stats.sum_of_means(one, ("a", "b"), 1e-9, reference=other)
        assert whole.value is not None
        assert whole.upper is not None

        def without(side: CellItems, cluster: int) -> CellItems:
            kept = np.asarray(side.clusters) != cluster
            return CellItems(
                np.asarray(side.values)[kept], np.asarray(side.weights)[kept],
                [cell for cell, keep in zip(side.cells, kept, strict=True) if keep],
                np.asarray(side.clusters)[kept],
            )  # fmt: skip

        left_out = [
            stats.sum_of_means(
                without(one, cluster), ("a", "b"), 1e-9, reference=without(other, cluster)
            ).value
            for cluster in range(60)
        ]
        deviations = np.array(left_out, float) - np.mean(np.array(left_out, float))
        jackknife = math.sqrt(59 / 60 * float((deviations**2).sum()))
        half = (whole.upper - whole.value) / 2.0009954  # t, 59 degrees of freedom
        assert half == pytest.approx(jackknife, rel=0.05)

    def test_of_a_model_against_itself_is_zero_with_a_width(self) -> None:
        """By hand: the rule of three on 60 items of a cell, 2 a cluster: n_eff = 60/1.1."""
        one = CellItems(
            np.tile([0.5, -0.5], 60), np.ones(120), ["a", "b"] * 60, np.arange(120) // 4
        )
        found = stats.sum_of_means(one, ("a", "b"), 1.0, reference=one)
        half = -math.log(0.025) * 1.1 / 60
        assert found[:3] == pytest.approx((0.0, -half, half))

    def test_a_cell_without_weight_leaves_it_undefined(self) -> None:
        one = CellItems([0.5, 0.5], [1.0, 0.0], ["a", "b"], ["x", "y"])
        found = stats.sum_of_means(one, ("a", "b"), 1.0)
        assert (found.value, found.reason) == (None, "nothing counts in 'b'")
        assert stats.sum_of_means(CellItems([], [], [], []), ("a",), 1.0).value is None

    def test_few_clusters_have_a_value_and_no_bounds(self) -> None:
        found = stats.sum_of_means(items(3), ("a", "b"), 1.0)
        assert found.value is not None
        assert (found.lower, found.upper) == (None, None)
        assert found.reason == "needs at least 7 clusters, has 3"

    def test_covers_its_level(self) -> None:
        """Oracle: simulation; 95 % of 400 intervals, less four binomial standard errors."""
        generator = np.random.default_rng(11)
        hits = 0
        for _ in range(400):
            one, other = items(40, 4, generator), items(40, 4, generator)
            other = CellItems(other.values, other.weights, one.cells, one.clusters)
            found = stats.sum_of_means(one, ("a", "b"), 1.0, reference=other)
            assert found.lower is not None
            assert found.upper is not None
            hits += found.lower <= 0 <= found.upper  # both sides have the same distribution
        assert hits / 400 >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 400)


class TestCellBootstrap:
    def test_of_one_mean_is_the_bootstrap_of_a_ratio(self) -> None:
        """Oracle: `bca_bootstrap` of the clusters' totals, with the same seed."""
        one = items(50)
        same = CellItems(one.values, one.weights, [""] * len(one.cells), one.clusters)
        totals = np.zeros((50, 2))
        weights = np.asarray(one.weights)
        np.add.at(totals[:, 0], np.asarray(one.clusters), weights * np.asarray(one.values))
        np.add.at(totals[:, 1], np.asarray(one.clusters), weights)
        ours = stats.cell_bootstrap(same, lambda means, _: means[:, 0], seed=3).interval(0.05)
        assert ours[:3] == pytest.approx(stats.bca_bootstrap(totals, "ratio", seed=3)[:3])

    def test_a_difference_from_itself_is_zero_and_has_no_bounds(self) -> None:
        one = items(50)
        found = stats.cell_bootstrap(one, widest, one).interval(0.05)
        assert (found.value, found.lower, found.upper) == (0.0, None, None)
        assert found.reason == "every cluster gives the same value"

    def test_needs_forty_clusters(self) -> None:
        found = stats.cell_bootstrap(items(39), widest).interval(0.05)
        assert found.value is not None
        assert found.reason == "needs at least 40 clusters, has 39"


@pytest.mark.parametrize("seed", range(20))
def test_what_is_compared_with_itself_differs_by_exactly_nothing(seed: int) -> None:
    generator = np.random.default_rng(seed)
    names = ("aligned", "conflicting", "third")
    items = CellItems(
        list(generator.choice([-0.5, 0.5], 60)),
        list(generator.choice([0.0, 1.0], 60, p=[0.3, 0.7])),
        [names[at % 3] for at in range(60)],
        [str(at % 20) for at in range(60)],
    )
    assert stats.sum_of_means(items, names, 1.0, 0.05, items).value == 0.0
