"""Resampled results agree with scipy's, can be derived again, and refuse what they cannot show."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats as oracle

from edgeeval.stats import (
    PermutationGap,
    bca_bootstrap,
    bootstrap_distribution,
    bootstrap_means,
    permutation_gap,
    smallest_alpha,
)


class TestBcaBootstrap:
    skewed = np.random.default_rng(0).exponential(size=60)

    def test_mean_agrees_with_scipy_bootstrap(self) -> None:
        """Oracle: scipy.stats.bootstrap, method BCa, on 100,000 resamples of its own."""
        theirs = oracle.bootstrap(
            (self.skewed,), np.mean, n_resamples=100_000, method="BCa", rng=1, batch=10_000
        )
        interval = bca_bootstrap(self.skewed, "mean", n_resamples=100_000, seed=2)
        expected = theirs.confidence_interval
        assert (interval.lower, interval.upper) == pytest.approx(
            (expected.low, expected.high), abs=0.01
        )
        assert interval.value == pytest.approx(self.skewed.mean())
        assert interval.method == "bca"

    def test_ratio_agrees_with_scipy_bootstrap(self) -> None:
        """Oracle: scipy.stats.bootstrap on pairs; the tolerance is its scatter between seeds."""
        generator = np.random.default_rng(3)
        weights = generator.integers(1, 9, 80).astype(float)
        totals = weights * generator.exponential(size=80)

        def ratio(
            totals: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], axis: int = -1
        ) -> npt.NDArray[np.float64]:
            return np.asarray(totals.sum(axis=axis) / weights.sum(axis=axis))

        theirs = oracle.bootstrap(
            (totals, weights), ratio, paired=True, n_resamples=40_000, method="BCa", rng=1
        )
        interval = bca_bootstrap(np.column_stack([totals, weights]), "ratio", 0.05, 40_000, 4)
        expected = theirs.confidence_interval
        assert (interval.lower, interval.upper) == pytest.approx(
            (expected.low, expected.high), abs=0.015
        )

    def test_a_function_of_rows_gives_what_the_named_statistic_gives(self) -> None:
        rows = np.column_stack([self.skewed, np.arange(1.0, 61.0)])
        own = bca_bootstrap(rows, lambda x: x[:, :, 0].sum(axis=1) / x[:, :, 1].sum(axis=1))
        named = bca_bootstrap(rows, "ratio")
        assert own[:3] == pytest.approx(named[:3])

    def test_the_same_seed_gives_the_same_numbers(self) -> None:
        assert bca_bootstrap(self.skewed, seed=5) == bca_bootstrap(self.skewed, seed=5)
        assert bca_bootstrap(self.skewed, seed=5) != bca_bootstrap(self.skewed, seed=6)

    def test_one_distribution_serves_every_level(self) -> None:
        distribution = bootstrap_distribution(self.skewed, seed=5)
        assert distribution.interval(0.01) == bca_bootstrap(self.skewed, alpha=0.01, seed=5)
        uppers = [distribution.interval(alpha).upper for alpha in (0.5, 0.2, 0.05, 0.01)]
        assert all(upper is not None for upper in uppers)
        assert uppers == sorted(uppers, key=lambda upper: upper or 0.0)

    def test_resamples_do_not_speak_of_levels_beyond_their_number(self) -> None:
        distribution = bootstrap_distribution(self.skewed)
        extreme = distribution.interval(1e-7)
        assert extreme.lower is None
        assert extreme.reason == "10000 resamples cannot resolve this level"
        assert smallest_alpha(distribution.interval, "upper", 1e6) > 1e-5

    def test_keeps_its_level_roughly_on_forty_skewed_clusters(self) -> None:
        """Simulated; BCa is known to fall a little short on skewed data."""
        generator, covered = np.random.default_rng(9), 0
        for seed in range(150):
            interval = bca_bootstrap(generator.exponential(size=40), n_resamples=1000, seed=seed)
            assert interval.lower is not None and interval.upper is not None
            covered += interval.lower <= 1.0 <= interval.upper
        assert covered / 150 >= 0.88

    def test_refuses_fewer_than_forty_clusters(self) -> None:
        interval = bca_bootstrap(np.arange(39.0))
        assert interval == (19.0, None, None, 39, "bca", "needs at least 40 clusters, has 39")

    def test_refuses_a_sample_without_variation(self) -> None:
        interval = bca_bootstrap(np.full(50, 0.1))
        assert interval.lower is None
        assert interval.reason == "every cluster gives the same value"

    def test_refuses_a_statistic_that_is_undefined(self) -> None:
        assert bca_bootstrap([]).reason == "no items"
        empty = bca_bootstrap(np.zeros((50, 2)), "ratio")
        assert (empty.value, empty.reason) == (None, "the statistic is undefined on this sample")
        rare = np.column_stack([np.ones(50), np.arange(50) == 0])
        interval = bca_bootstrap(rare, "ratio")
        assert interval.value == 50.0
        assert interval.reason.startswith("the statistic is undefined on ")

    def test_names_what_is_wrong_with_its_input(self) -> None:
        with pytest.raises(ValueError, match=r"cluster_values\[1, 0\] is nan"):
            bca_bootstrap([[1.0, 1.0], [math.nan, 1.0]], "ratio")
        with pytest.raises(ValueError, match=r"cluster_values\[1\] is inf"):
            bca_bootstrap([1.0, math.inf])
        with pytest.raises(ValueError, match="'mean' takes 1 columns a cluster, has 2"):
            bca_bootstrap([[1.0, 1.0]])
        with pytest.raises(ValueError, match="statistic is 'median'"):
            bca_bootstrap([1.0], "median")  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(ValueError, match=r"returned shape \(1, 1\)"):
            bca_bootstrap(np.arange(50.0), lambda rows: rows.sum(axis=1))
        with pytest.raises(ValueError, match="n_resamples is 10"):
            bca_bootstrap(np.arange(50.0), n_resamples=10)
        with pytest.raises(ValueError, match="cluster_values has 3 dimensions"):
            bca_bootstrap(np.zeros((2, 2, 2)))


class TestPermutationGap:
    def test_agrees_with_scipy_permutation_test(self) -> None:
        """Oracle: scipy.stats.permutation_test over every distinct labelling of 3 groups."""
        groups = [np.array(group) for group in ([0.1, 0.4, 0.2], [0.9, 0.3, 0.6], [0.2, 0.5, 0.8])]

        def gap(*samples: npt.NDArray[np.float64]) -> float:
            means = [sample.mean() for sample in samples]
            return float(max(means) - min(means))

        theirs = oracle.permutation_test(
            groups, gap, n_resamples=10**6, alternative="greater", vectorized=False
        )
        ours = permutation_gap(np.ravel(groups), np.repeat(list("abc"), 3), 20_000, seed=1)
        assert ours.gap == pytest.approx(theirs.statistic)
        assert ours.p == pytest.approx(theirs.pvalue, abs=0.015)
        assert ours.null_mean == pytest.approx(np.mean(theirs.null_distribution), abs=0.005)
        assert ours.gap is not None and ours.null_mean is not None
        assert ours.adjusted == ours.gap - ours.null_mean

    def test_chance_alone_gives_the_gap_that_the_docs_name(self) -> None:
        """12 groups of 17 prompts with 5 samples each, at a rate of .1: about .11."""
        rates = np.random.default_rng(0).binomial(5, 0.1, 12 * 17) / 5
        gap = permutation_gap(rates, np.repeat(np.arange(12), 17))
        assert gap.null_mean == pytest.approx(0.11, abs=0.02)

    def test_the_order_of_items_and_groups_does_not_matter_to_the_gap(self) -> None:
        generator = np.random.default_rng(2)
        values, groups = generator.random(50), generator.integers(0, 4, 50)
        order = generator.permutation(50)
        first, second = (
            permutation_gap(values, groups),
            permutation_gap(values[order], groups[order]),
        )
        assert first.gap == pytest.approx(second.gap)
        expected = [values[groups == group].mean() for group in range(4)]
        assert first.gap == pytest.approx(max(expected) - min(expected))

    def test_p_is_uniform_where_groups_do_not_differ(self) -> None:
        generator = np.random.default_rng(6)
        groups = np.repeat(np.arange(5), 8)
        p_values = [permutation_gap(generator.random(40), groups, 199).p for _ in range(200)]
        assert oracle.kstest(np.array(p_values, dtype=float), "uniform").pvalue > 0.01

    def test_equal_values_are_no_evidence(self) -> None:
        """Sums in another order differ in the last digit, which must not count as a smaller gap."""
        gap = permutation_gap(np.full(30, 0.1), np.repeat(list("abc"), [7, 11, 12]))
        assert gap.p == 1.0
        assert gap.gap == pytest.approx(0.0, abs=1e-15)

    def test_says_why_there_is_no_gap(self) -> None:
        assert permutation_gap([1.0], ["a"]) == PermutationGap(
            None, None, None, None, 1, "needs at least 2 groups, has 1"
        )
        assert permutation_gap([], []).reason == "no items"

    def test_names_what_is_wrong_with_its_input(self) -> None:
        with pytest.raises(ValueError, match=r"values\[1\] is nan"):
            permutation_gap([0.0, math.nan], "ab")
        with pytest.raises(ValueError, match="groups has 1 labels"):
            permutation_gap([0.0, 1.0], "a")
        with pytest.raises(ValueError, match="n_permutations is 0"):
            permutation_gap([0.0, 1.0], "ab", 0)


class TestManyMeans:
    def test_each_column_is_resampled_as_it_is_alone(self) -> None:
        """Oracle: `bootstrap_distribution`, with the same seed."""
        columns = np.random.default_rng(3).exponential(size=(60, 4))
        for column, found in zip(columns.T, bootstrap_means(columns, 1000, 5), strict=True):
            alone = bootstrap_distribution(column, "mean", 1000, 5)
            np.testing.assert_allclose(found.replicates, alone.replicates, rtol=1e-12)
            assert found.interval()[:3] == pytest.approx(alone.interval()[:3], rel=1e-9)
            assert found.acceleration == pytest.approx(alone.acceleration, rel=1e-9)

    def test_a_column_without_a_difference_or_too_few_clusters_has_a_reason(self) -> None:
        flat = bootstrap_means(np.column_stack([np.zeros(50), np.arange(50.0)]), 100)
        assert [bool(one.reason) for one in flat] == [True, False]
        assert "needs at least 40" in bootstrap_means(np.ones((39, 1)))[0].reason
        assert bootstrap_means(np.ones((0, 2)))[1].reason == "no items"

    def test_the_column_of_a_number_that_is_none_is_named(self) -> None:
        with pytest.raises(ValueError, match="cluster_values"):
            bootstrap_means([[1.0, math.nan]] * 40)
