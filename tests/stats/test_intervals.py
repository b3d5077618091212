"""Intervals agree with their oracles, keep their level, and say why when they say nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle
from scipy.optimize import brentq

from edgeeval.stats import (
    Interval,
    bounded_mean,
    clopper_pearson,
    cluster_mean,
    exp_interval,
    order_statistic,
    paired_shares,
    wilson,
)

ShareMethod: TypeAlias = Callable[[int, int], Interval]

LEVELS = st.floats(min_value=1e-6, max_value=0.2)


def bounds(interval: Interval) -> tuple[float, float]:
    """Return both bounds, for an interval that must have them."""
    assert interval.lower is not None and interval.upper is not None
    assert interval.reason == ""
    return interval.lower, interval.upper


def assert_contains_value(interval: Interval) -> None:
    lower, upper = bounds(interval)
    assert interval.value is not None
    assert lower <= interval.value <= upper


def assert_wider_or_equal(wide: Interval, narrow: Interval) -> None:
    assert bounds(wide)[0] <= bounds(narrow)[0] + 1e-15
    assert bounds(wide)[1] >= bounds(narrow)[1] - 1e-15


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 5000))
    return draw(st.integers(0, n)), n


@st.composite
def paired_counts(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 5000))
    up = draw(st.integers(0, n))
    return up, draw(st.integers(0, n - up)), n


class TestOneShare:
    @pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
    @pytest.mark.parametrize(("successes", "n"), [(0, 20), (1, 29), (15, 148), (148, 148), (1, 1)])
    def test_agrees_with_scipy_binomtest(self, successes: int, n: int, alpha: float) -> None:
        test = oracle.binomtest(successes, n)
        score = test.proportion_ci(1 - alpha, method="wilson")
        exact = test.proportion_ci(1 - alpha, method="exact")
        assert bounds(wilson(successes, n, alpha)) == pytest.approx(tuple(score), abs=1e-12)
        assert bounds(clopper_pearson(successes, n, alpha)) == pytest.approx(
            tuple(exact), abs=1e-12
        )

    @pytest.mark.parametrize(
        ("successes", "n", "score", "exact"),
        [
            (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
            (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
            (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
            (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
        ],
    )
    def test_agrees_with_table_1_of_newcombe_1998(
        self, successes: int, n: int, score: tuple[float, float], exact: tuple[float, float]
    ) -> None:
        assert bounds(wilson(successes, n)) == pytest.approx(score, abs=5.1e-5)
        assert bounds(clopper_pearson(successes, n)) == pytest.approx(exact, abs=5.1e-5)

    @pytest.mark.parametrize("method", [wilson, clopper_pearson])
    def test_has_no_value_without_items(self, method: ShareMethod) -> None:
        interval = method(0, 0)
        assert interval[:4] == (None, None, None, 0)
        assert interval.reason == "no items"

    @pytest.mark.parametrize("method", [wilson, clopper_pearson])
    def test_refuses_impossible_counts(self, method: ShareMethod) -> None:
        with pytest.raises(ValueError, match="successes is 5, more than the 4 items"):
            method(5, 4)
        with pytest.raises(ValueError, match="successes is -1"):
            method(-1, 4)
        with pytest.raises(TypeError):
            method(1.5, 4)  # type: ignore[arg-type]  # wrong on purpose

    @pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
    def test_refuses_an_impossible_level(self, alpha: float) -> None:
        with pytest.raises(ValueError, match="alpha is"):
            wilson(1, 2, alpha)

    @given(counts(), LEVELS, LEVELS)
    def test_bounds_enclose_the_value_and_widen_with_the_level(
        self, count: tuple[int, int], first: float, second: float
    ) -> None:
        for method in (wilson, clopper_pearson):
            narrow, wide = (
                method(*count, alpha) for alpha in (max(first, second), min(first, second))
            )
            assert_contains_value(narrow)
            assert_wider_or_equal(wide, narrow)
            lower, upper = bounds(narrow)
            assert 0 <= lower < upper <= 1

    @given(counts())
    def test_share_of_failures_is_the_mirror_image(self, count: tuple[int, int]) -> None:
        successes, n = count
        for method in (wilson, clopper_pearson):
            lower, upper = bounds(method(n - successes, n))
            assert bounds(method(successes, n)) == pytest.approx((1 - upper, 1 - lower), abs=1e-12)

    def test_clopper_pearson_never_misses_more_than_its_level(self) -> None:
        """Oracle: exact enumeration of the binomial."""
        n = 40
        edges = [bounds(clopper_pearson(k, n, 0.1)) for k in range(n + 1)]
        for share in np.linspace(0.005, 0.995, 100):
            chance = oracle.binom.pmf(np.arange(n + 1), n, share)
            too_high = sum(chance[k] for k in range(n + 1) if edges[k][0] > share)
            too_low = sum(chance[k] for k in range(n + 1) if edges[k][1] < share)
            assert too_high <= 0.05 + 1e-12
            assert too_low <= 0.05 + 1e-12


class TestPairedShares:
    def test_agrees_with_its_formula_on_scipy_wilson_limits(self) -> None:
        """12 up and 30 down of 200, with the limits from scipy and the rest by hand."""
        p, q = 12 / 200, 30 / 200
        p_low, p_high = oracle.binomtest(12, 200).proportion_ci(method="wilson")
        q_low, q_high = oracle.binomtest(30, 200).proportion_ci(method="wilson")
        r = math.sqrt(p * q / ((1 - p) * (1 - q)))
        a, c, d, e = p - p_low, q_high - q, p_high - p, q - q_low
        expected = (
            p - q - math.sqrt(a * a + c * c + 2 * r * a * c),
            p - q + math.sqrt(d * d + e * e + 2 * r * d * e),
        )
        interval = paired_shares(12, 30, 200)
        assert bounds(interval) == pytest.approx(expected, abs=1e-12)
        assert interval.value == pytest.approx(-0.09)

    def test_is_wilsons_interval_where_every_item_changed(self) -> None:
        share = oracle.binomtest(70, 100).proportion_ci(method="wilson")
        expected = (2 * share.low - 1, 2 * share.high - 1)
        assert bounds(paired_shares(70, 30, 100)) == pytest.approx(expected, abs=1e-12)

    def test_without_changes_it_ends_where_wilson_of_zero_does(self) -> None:
        end = oracle.binomtest(0, 80).proportion_ci(method="wilson").high
        assert bounds(paired_shares(0, 0, 80)) == pytest.approx((-end, end), abs=1e-12)

    @given(paired_counts(), LEVELS)
    def test_is_mirrored_when_up_and_down_swap(
        self, count: tuple[int, int, int], alpha: float
    ) -> None:
        up, down, n = count
        lower, upper = bounds(paired_shares(down, up, n, alpha))
        assert bounds(paired_shares(up, down, n, alpha)) == pytest.approx((-upper, -lower))

    @given(paired_counts(), LEVELS, LEVELS)
    def test_bounds_enclose_the_value_and_widen_with_the_level(
        self, count: tuple[int, int, int], first: float, second: float
    ) -> None:
        narrow, wide = (
            paired_shares(*count, alpha) for alpha in (max(first, second), min(first, second))
        )
        assert_contains_value(narrow)
        assert_wider_or_equal(wide, narrow)
        lower, upper = bounds(narrow)
        assert -1 <= lower < upper <= 1

    @pytest.mark.parametrize(
        ("up", "down"), [(0.05, 0.05), (0.15, 0.15), (0.05, 0.25), (0.3, 0.3), (0.45, 0.45)]
    )
    def test_keeps_its_level_at_any_discordance(self, up: float, down: float) -> None:
        """Oracle: exact enumeration of the trinomial with n = 60."""
        n, missed = 60, 0.0
        for n_up in range(n + 1):
            n_down = np.arange(n - n_up + 1)
            chance = oracle.binom.pmf(n_up, n, up) * oracle.binom.pmf(
                n_down, n - n_up, down / (1 - up)
            )
            for count, probability in zip(n_down, chance, strict=True):
                if probability > 1e-9:
                    lower, upper = bounds(paired_shares(n_up, count, n))
                    missed += probability * (not lower <= up - down <= upper)
        assert missed <= 0.06

    def test_has_no_value_without_items(self) -> None:
        assert paired_shares(0, 0, 0).value is None
        assert paired_shares(0, 0, 0).reason == "no items"

    def test_refuses_more_changes_than_items(self) -> None:
        with pytest.raises(ValueError, match="n_down is 3, more than the 2 items"):
            paired_shares(8, 3, 10)


class TestBoundedMean:
    def test_agrees_with_scipy_t_after_appending_the_pseudo_items(self) -> None:
        values = np.array([0.5, -0.5] * 50)  # symmetric: nothing to correct
        padded = np.append(values, [1.0, -1.0])
        error = float(oracle.sem(padded)) * 102 / 100  # the pseudo-items deviate, and are no items
        half = oracle.t.ppf(0.975, 99) * error
        interval = bounded_mean(values, 1.0)
        assert bounds(interval) == pytest.approx((-half, half), abs=1e-12)
        assert interval.value == 0
        assert interval.method == "bounded-skew-t"

    @pytest.mark.parametrize(("alpha", "factor"), [(0.05, 3.69), (0.1, 3.00), (0.01, 5.30)])
    def test_without_differences_it_is_the_rule_of_three(self, alpha: float, factor: float) -> None:
        """Oracle: −ln(alpha/2), the Poisson bound of no events; 3.00 is the rule's name."""
        expected = factor * 2 / 400
        assert bounds(bounded_mean(np.zeros(400), 2.0, alpha)) == pytest.approx(
            (-expected, expected), rel=2e-3
        )

    def test_items_of_one_template_count_for_less(self) -> None:
        """By hand: 10 items a template, n_eff = 400/1.9."""
        interval = bounded_mean(np.zeros(400), 1.0, clusters=np.repeat(np.arange(40), 10))
        assert bounds(interval)[1] == pytest.approx(-math.log(0.025) * 1.9 / 400)
        assert interval.method == "bounded-cluster-skew-t"
        assert interval.n == 400

    def test_clusters_of_one_item_have_the_variance_of_items(self) -> None:
        values = np.array([0.5, -0.5] * 30 + [0.25] * 40)
        plain, clustered = bounded_mean(values, 1.0), bounded_mean(values, 1.0, 0.05, range(100))
        assert bounds(plain) == pytest.approx(bounds(clustered), abs=1e-12)

    def test_keeps_its_level_where_templates_differ_as_a_whole(self) -> None:
        """Simulated; the variance between items covers 77 % here."""
        generator = np.random.default_rng(7)
        templates, items, rate, up = 40, 10, 0.05, 0.7
        clusters, covered = np.repeat(np.arange(templates), items), 0
        for _ in range(400):
            rates = generator.beta(0.2, 3.8, templates)  # mean .05, intracluster correlation .2
            signs = np.where(generator.random(templates) < up, 1.0, -1.0)
            differs = generator.random((templates, items)) < rates[:, np.newaxis]
            interval = bounded_mean((differs * signs[:, np.newaxis]).ravel(), 1.0, 0.05, clusters)
            lower, upper = bounds(interval)
            covered += lower <= rate * (2 * up - 1) <= upper
        assert covered / 400 >= 0.93

    def test_keeps_its_level_on_rare_differences_in_one_direction(self) -> None:
        """Simulated at .5 %, where a percentile bootstrap covers 52–91 %."""
        generator = np.random.default_rng(8)
        for n in (150, 400, 800):
            differences = generator.binomial(n, 0.005, 300)
            covered = 0
            for count in differences:
                lower, upper = bounds(bounded_mean(np.arange(n) < count, 1.0))
                covered += lower <= 0.005 <= upper
            assert covered / 300 >= 0.95

    @given(
        st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.3, -1.0, 1.0]), min_size=1, max_size=60),
        LEVELS,
        LEVELS,
    )
    def test_bounds_enclose_the_value_and_widen_with_the_level(
        self, values: list[float], first: float, second: float
    ) -> None:
        narrow, wide = (
            bounded_mean(values, 1.0, alpha) for alpha in (max(first, second), min(first, second))
        )
        assert_contains_value(narrow)
        assert_wider_or_equal(wide, narrow)
        assert bounds(narrow)[0] < bounds(narrow)[1]

    @given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
    def test_is_mirrored_when_the_differences_change_sign(self, values: list[float]) -> None:
        lower, upper = bounds(bounded_mean([-value for value in values], 1.0))
        assert bounds(bounded_mean(values, 1.0)) == pytest.approx((-upper, -lower), abs=1e-12)

    def test_says_why_it_has_no_bounds(self) -> None:
        assert bounded_mean([], 1.0).reason == "no items"
        assert bounded_mean([], 1.0, clusters=[]).value is None
        few = bounded_mean([0.0, 1.0] * 5, 1.0, clusters=list("aabbccddee"))
        assert few == Interval(
            0.5, None, None, 10, "bounded-cluster-skew-t", "needs at least 7 clusters, has 5"
        )

    def test_names_the_position_of_a_bad_value(self) -> None:
        with pytest.raises(ValueError, match=r"values\[2\] is nan"):
            bounded_mean([0.0, 0.0, math.nan], 1.0)
        with pytest.raises(ValueError, match=r"values\[1\] is 1\.5, beyond the bound"):
            bounded_mean([0.0, 1.5], 1.0)
        with pytest.raises(ValueError, match=r"bound is 0"):
            bounded_mean([0.0], 0)
        with pytest.raises(ValueError, match="clusters has 1 labels for 2 values"):
            bounded_mean([0.0, 1.0], 1.0, clusters=["a"])
        with pytest.raises(ValueError, match=r"clusters\[1\] is None"):
            bounded_mean([0.0, 1.0], 1.0, clusters=["a", None])
        with pytest.raises(ValueError, match=r"clusters\[0\] is nan"):
            bounded_mean([0.0, 1.0], 1.0, clusters=[math.nan, 1.0])


class TestClusterMean:
    def test_is_the_t_interval_on_cluster_means_where_sizes_are_equal(self) -> None:
        """Oracle: scipy.stats.t on the means of 18 clusters of 4."""
        values = np.random.default_rng(3).normal(size=(9, 4))
        values = np.concatenate([values, -values])  # symmetric: nothing to correct
        means = values.mean(axis=1)
        expected = oracle.t.interval(0.95, 17, means.mean(), oracle.sem(means))
        interval = cluster_mean(values.ravel(), np.repeat(np.arange(18), 4))
        assert bounds(interval) == pytest.approx(expected, abs=1e-12)
        assert interval.value == pytest.approx(means.mean())
        assert interval.n == 72

    def test_weights_give_the_linearised_ratio(self) -> None:
        """Seven clusters of one item by hand: var = G/(G − 1) Σ(w(x − m))²/(Σw)²."""
        x, w = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 6.0]
        mean = 103 / 20
        residuals = [weight * (value - mean) for value, weight in zip(x, w, strict=True)]
        squares, cubes = (sum(residual**power for residual in residuals) for power in (2, 3))
        error = math.sqrt(7 / 6 * squares) / 20
        skewness = cubes / squares**1.5 * math.sqrt(42) / 5
        t = oracle.t.ppf(0.975, 6)

        def hall(y: float) -> float:
            """Solve y = T + kT²/3 + k²T³/27 + k/6 for T."""
            k = skewness
            return brentq(lambda T: T + k * T**2 / 3 + k**2 * T**3 / 27 + k / 6 - y, -99, 99)

        below, above = hall(t), -hall(-t)
        below, above = max(below, t), max(above, t)
        interval = cluster_mean(x, range(7), w)
        assert interval.value == pytest.approx(mean)
        assert bounds(interval) == pytest.approx(
            (mean - below * error, mean + above * error), abs=1e-9
        )

    def test_a_weight_counts_like_repeated_items(self) -> None:
        x, w = np.arange(8.0), np.array([1, 3, 2, 1, 1, 2, 4, 1])
        repeated = cluster_mean(np.repeat(x, w), np.repeat(np.arange(8), w))
        assert bounds(cluster_mean(x, range(8), w)) == pytest.approx(bounds(repeated))

    def test_keeps_its_level_with_seven_unequal_clusters(self) -> None:
        """Simulated, where BCa covers 88 %."""
        generator = np.random.default_rng(5)
        codes = np.repeat(np.arange(7), [8, 10, 12, 12, 12, 14, 16])
        covered = 0
        for _ in range(500):
            values = generator.normal(size=7)[codes] + generator.normal(size=codes.size)
            lower, upper = bounds(cluster_mean(values, codes))
            covered += lower <= 0 <= upper
        assert covered / 500 >= 0.93

    @given(st.lists(st.floats(-1e3, 1e3), min_size=7, max_size=30), LEVELS, LEVELS)
    def test_bounds_enclose_the_value_and_widen_with_the_level(
        self, values: list[float], first: float, second: float
    ) -> None:
        narrow, wide = (
            cluster_mean(values, range(len(values)), alpha=alpha)
            for alpha in (max(first, second), min(first, second))
        )
        assert_contains_value(narrow)
        assert_wider_or_equal(wide, narrow)

    def test_identical_values_have_no_width(self) -> None:
        assert bounds(cluster_mean(np.zeros(8), range(8))) == (0.0, 0.0)

    def test_says_why_it_has_no_bounds(self) -> None:
        few = cluster_mean(np.arange(5.0), "abcde")
        assert few == Interval(
            2.0, None, None, 5, "cluster-skew-t", "needs at least 7 clusters, has 5"
        )
        assert cluster_mean([3.0], ["a"]).value == 3.0
        assert cluster_mean([], []).reason == "no items"
        assert cluster_mean([1.0], ["a"], [0.0]).reason == "no items"

    def test_items_of_no_weight_make_no_cluster(self) -> None:
        interval = cluster_mean(np.arange(7.0), range(7), [1, 1, 1, 1, 1, 1, 0])
        assert interval.reason == "needs at least 7 clusters, has 6"
        assert interval.n == 6

    def test_names_the_position_of_a_bad_value(self) -> None:
        with pytest.raises(ValueError, match=r"values\[1\] is inf"):
            cluster_mean([0.0, math.inf], "ab")
        with pytest.raises(ValueError, match=r"weights\[0\] is -1"):
            cluster_mean([0.0, 1.0], "ab", [-1, 1])
        with pytest.raises(ValueError, match=r"weights\[0\] is nan"):
            cluster_mean([0.0, 1.0], "ab", [math.nan, 1])
        with pytest.raises(ValueError, match="weights has 1 elements for 2 values"):
            cluster_mean([0.0, 1.0], "ab", [1])
        with pytest.raises(ValueError, match="values has 2 dimensions"):
            cluster_mean([[0.0, 1.0]], "ab")


class TestExpInterval:
    def test_maps_every_number_and_keeps_what_is_undefined(self) -> None:
        interval = Interval(0.0, math.log(0.5), None, 9, "cluster-t", "no upper end")
        mapped = exp_interval(interval)
        assert mapped.value == 1.0
        assert mapped.lower == pytest.approx(0.5)
        assert mapped.upper is None
        assert mapped[3:] == interval[3:]


class TestOrderStatistic:
    def test_agrees_with_scipy_quantile_test(self) -> None:
        """Oracle: scipy.stats.quantile_test(...).confidence_interval, which uses the same ranks."""
        values = np.random.default_rng(2).exponential(size=2000)
        for q in (0.5, 0.9, 0.99):
            for alpha in (0.05, 0.01):
                test = oracle.quantile_test(values, p=q)
                low, high = np.asarray(test.confidence_interval(1 - alpha))
                interval = order_statistic(values, q, alpha)
                assert bounds(interval) == pytest.approx((low, high))
                assert interval.value == pytest.approx(np.quantile(values, q))

    @pytest.mark.parametrize(("n", "q"), [(6, 0.5), (25, 0.3), (60, 0.9)])
    def test_ranks_are_the_innermost_that_keep_the_level(self, n: int, q: float) -> None:
        """Oracle: brute force over all ranks with scipy.stats.binom."""
        lower, upper = bounds(order_statistic(np.arange(1.0, n + 1), q, 0.1))
        ranks = range(1, n + 1)
        assert lower == max(r for r in ranks if oracle.binom.cdf(r - 1, n, q) <= 0.05)
        assert upper == min(r for r in ranks if oracle.binom.sf(r - 1, n, q) <= 0.05)

    @pytest.mark.parametrize(("q", "needed"), [(0.5, 6), (0.9, 36), (0.99, 368), (0.999, 3688)])
    def test_leaves_open_the_end_that_no_value_bounds(self, q: float, needed: int) -> None:
        """Oracle: the smallest n with q^n <= .025."""
        assert q**needed <= 0.025 < q ** (needed - 1)
        bounds(order_statistic(np.arange(float(needed)), q))
        short = order_statistic(np.arange(float(needed - 1)), q)
        assert short.value is not None
        assert short.upper is None
        assert short.reason == f"needs {needed} items for both bounds, has {needed - 1}"

    @given(st.lists(st.floats(-1e6, 1e6), min_size=40, max_size=80), st.floats(0.1, 0.9))
    def test_bounds_enclose_the_value(self, values: list[float], q: float) -> None:
        assert_contains_value(order_statistic(values, q))

    @given(st.lists(st.integers(0, 5), min_size=200, max_size=200), LEVELS, LEVELS)
    def test_bounds_widen_with_the_level(
        self, values: list[int], first: float, second: float
    ) -> None:
        narrow, wide = (
            order_statistic(values, 0.5, alpha)
            for alpha in (max(first, second), min(first, second))
        )
        assert_wider_or_equal(wide, narrow)

    def test_refuses_what_has_no_meaning(self) -> None:
        assert order_statistic([], 0.5).reason == "no items"
        with pytest.raises(ValueError, match="q is 1"):
            order_statistic([1.0], 1.0)
        with pytest.raises(ValueError, match=r"values\[0\] is nan"):
            order_statistic([math.nan], 0.5)
