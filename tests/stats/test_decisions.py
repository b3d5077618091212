"""A p-value is the level at which the printed bound clears the margin, and nothing else."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from edgeeval.stats import (
    Direction,
    Interval,
    bounded_mean,
    clopper_pearson,
    cluster_mean,
    holm,
    mcnemar_exact,
    paired_shares,
    smallest_alpha,
    tost_p,
    wilson,
)


def symmetric(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Add each value's mirror image: without skewness the interval is Student's."""
    return np.concatenate([values, 2 * values.mean() - values])


P_VALUES = st.lists(st.floats(0, 1), max_size=8)


class TestMcNemar:
    @pytest.mark.parametrize(("up", "down"), [(0, 0), (1, 0), (5, 0), (3, 9), (40, 41), (200, 120)])
    def test_agrees_with_scipy_binomtest(self, up: int, down: int) -> None:
        expected = oracle.binomtest(up, up + down).pvalue if up + down else 1.0
        assert mcnemar_exact(up, down) == pytest.approx(expected)

    @given(st.integers(0, 10_000), st.integers(0, 10_000))
    def test_is_symmetric(self, up: int, down: int) -> None:
        p = mcnemar_exact(up, down)
        assert p == mcnemar_exact(down, up)
        assert 0 <= p <= 1

    def test_refuses_a_negative_count(self) -> None:
        with pytest.raises(ValueError, match="n_down is -1"):
            mcnemar_exact(1, -1)


class TestHolm:
    def test_worked_example(self) -> None:
        """By hand: sorted .005 .01 .03 .04 times 4 3 2 1, then the running maximum."""
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
    def test_rejects_what_the_closed_test_with_bonferroni_rejects(
        self, p_values: list[float]
    ) -> None:
        """Oracle: the closure principle, every intersection tested by Bonferroni."""
        positions = range(len(p_values))
        subsets = [
            set(subset)
            for size in range(1, len(p_values) + 1)
            for subset in itertools.combinations(positions, size)
        ]
        for position, adjusted in enumerate(holm(p_values)):
            smallest = max(
                min(1.0, len(subset) * min(p_values[member] for member in subset))
                for subset in subsets
                if position in subset
            )
            assert adjusted == pytest.approx(smallest)

    @given(P_VALUES)
    def test_adjusted_is_at_least_raw_and_in_the_same_order(self, p_values: list[float]) -> None:
        adjusted = holm(p_values)
        assert all(raw <= after <= 1 for raw, after in zip(p_values, adjusted, strict=True))
        ranked = [after for _, after in sorted(zip(p_values, adjusted, strict=True))]
        assert ranked == sorted(ranked)

    def test_names_the_position_of_a_bad_value(self) -> None:
        with pytest.raises(ValueError, match=r"p_values\[1\] is nan"):
            holm([0.5, math.nan])


class TestSmallestAlpha:
    @pytest.mark.parametrize(
        ("successes", "n", "limit"), [(3, 100, 0.08), (0, 50, 0.1), (9, 60, 0.2)]
    )
    def test_on_wilson_it_is_the_score_test(self, successes: int, n: int, limit: float) -> None:
        """Oracle: Φ((p̂ − m)/√(m(1 − m)/n)), which Wilson's interval inverts."""
        z = (successes / n - limit) / math.sqrt(limit * (1 - limit) / n)
        p = smallest_alpha(lambda alpha: wilson(successes, n, alpha), "upper", limit)
        assert p == pytest.approx(oracle.norm.cdf(z), rel=1e-6)

    @pytest.mark.parametrize(
        ("successes", "n", "limit"), [(3, 100, 0.08), (0, 50, 0.1), (9, 60, 0.2)]
    )
    def test_on_clopper_pearson_it_is_the_exact_test(
        self, successes: int, n: int, limit: float
    ) -> None:
        """Oracle: P(Bin(n, m) <= k), which Clopper and Pearson's interval inverts."""
        p = smallest_alpha(lambda alpha: clopper_pearson(successes, n, alpha), "upper", limit)
        assert p == pytest.approx(oracle.binom.cdf(successes, n, limit), rel=1e-6)

    @pytest.mark.parametrize("limit", [-0.9, 0.0, 0.2])
    def test_on_the_t_interval_it_is_the_t_test(self, limit: float) -> None:
        """Oracle: scipy.stats.ttest_1samp, one-sided."""
        values = symmetric(np.random.default_rng(1).normal(0.4, 1.0, 20))
        p = smallest_alpha(
            lambda alpha: cluster_mean(values, range(40), alpha=alpha), "lower", limit
        )
        expected = oracle.ttest_1samp(values, limit, alternative="greater").pvalue
        assert p == pytest.approx(expected, rel=1e-6)

    def test_is_one_where_the_bound_never_clears(self) -> None:
        assert smallest_alpha(lambda alpha: wilson(50, 100, alpha), "lower", 0.7) == 1.0

    def test_is_one_where_there_is_no_bound(self) -> None:
        assert smallest_alpha(lambda alpha: wilson(0, 0, alpha), "lower", -1.0) == 1.0

    def test_is_one_where_the_estimate_lies_on_the_margin(self) -> None:
        """A level equal to the reference has not shown to be better than it."""
        interval = Interval(0.0, 0.0, 0.0, 9, "cluster-t")
        assert smallest_alpha(lambda _: interval, "lower", 0.0) == 1.0

    def test_has_a_floor_where_the_bound_always_clears(self) -> None:
        interval = Interval(0.0, 0.0, 0.0, 9, "cluster-t")
        assert smallest_alpha(lambda _: interval, "lower", -0.01) == 1e-12

    @given(st.integers(0, 60), st.integers(0, 60), st.floats(0.001, 0.5))
    def test_the_bound_clears_at_p_and_not_below(self, up: int, down: int, margin: float) -> None:
        p = smallest_alpha(lambda alpha: paired_shares(up, down, 300, alpha), "lower", -margin)

        def clears(one_sided: float) -> bool:
            lower = paired_shares(up, down, 300, 2 * one_sided).lower
            return lower is not None and lower > -margin

        assert p == 1.0 or clears(p)
        assert p <= 1e-12 or not clears(min(p, 0.499) * (1 - 1e-6))

    def test_refuses_a_margin_that_is_no_number(self) -> None:
        with pytest.raises(ValueError, match="margin is nan"):
            smallest_alpha(lambda alpha: wilson(1, 2, alpha), "lower", math.nan)


class TestTwoTests:
    values = symmetric(np.random.default_rng(4).normal(-0.02, 0.1, 60))

    def interval(self, alpha: float) -> Interval:
        return cluster_mean(self.values, range(120), alpha=alpha)

    def mirrored(self, alpha: float) -> Interval:
        return cluster_mean(-self.values, range(120), alpha=alpha)

    def t_test(self, limit: float, alternative: Literal["less", "greater"]) -> float:
        return float(oracle.ttest_1samp(self.values, limit, alternative=alternative).pvalue)

    def test_higher_is_better(self) -> None:
        """Oracle: scipy.stats.ttest_1samp against the margin, both ways."""
        better, worse = self.t_test(-0.03, "greater"), self.t_test(-0.03, "less")
        expected = (better, worse if worse < 0.499 else 1.0)
        assert tost_p(self.interval, 0.03, "higher") == pytest.approx(expected, rel=1e-6)

    def test_lower_is_better_is_the_mirror_image(self) -> None:
        assert tost_p(self.mirrored, 0.03, "lower") == pytest.approx(
            tost_p(self.interval, 0.03, "higher")
        )

    def test_zero_needs_both_ends_and_fails_at_either(self) -> None:
        tests = tost_p(self.interval, 0.05, "zero")
        ends = (self.t_test(-0.05, "greater"), self.t_test(0.05, "less"))
        assert tests.p_pass == pytest.approx(max(ends), rel=1e-6)
        outside = tost_p(self.interval, 0.0, "zero")
        assert outside.p_fail == pytest.approx(2 * self.t_test(0.0, "less"), rel=1e-6)

    def test_max_and_min_compare_the_value_with_the_limit(self) -> None:
        at_most = tost_p(self.interval, 0.01, "max")
        assert at_most.p_pass == pytest.approx(self.t_test(0.01, "less"), rel=1e-6)
        at_least = tost_p(self.interval, -0.05, "min")
        assert at_least.p_pass == pytest.approx(self.t_test(-0.05, "greater"), rel=1e-6)
        assert tost_p(self.interval, 0.01, "min") == at_most[::-1]

    @given(
        st.integers(0, 80),
        st.integers(0, 80),
        st.floats(0, 0.3),
        st.sampled_from(["higher", "lower", "zero"]),
    )
    def test_is_never_evidence_for_both(
        self, up: int, down: int, margin: float, direction: Direction
    ) -> None:
        tests = tost_p(lambda alpha: paired_shares(up, down, 400, alpha), margin, direction)
        assert max(tests) > 0.4

    @pytest.mark.parametrize("direction", ["higher", "lower", "zero", "max", "min"])
    def test_without_an_interval_it_is_evidence_for_nothing(self, direction: Direction) -> None:
        few = tost_p(lambda alpha: cluster_mean([0.0], ["a"], alpha=alpha), 0.1, direction)
        assert few == (1.0, 1.0)

    def test_errs_no_more_often_than_its_level_on_the_margin(self) -> None:
        """Oracle: exact enumeration of 240 items that lose 5 % and gain 2 %, margin 3 %.

        Counts are discrete, so a score interval is a little off its nominal .05 either way.
        """
        n, gain, loss, wrong_pass, wrong_fail = 240, 0.02, 0.05, 0.0, 0.0
        for up in range(18):
            for down in range(32):
                chance = oracle.multinomial.pmf([up, down, n - up - down], n, [gain, loss, 0.93])
                interval = paired_shares(up, down, n, 0.1)
                assert interval.lower is not None and interval.upper is not None
                wrong_pass += chance * (interval.lower > -0.03)
                wrong_fail += chance * (interval.upper < -0.03)
        assert wrong_pass <= 0.052
        assert wrong_fail <= 0.052

    def test_a_level_that_changed_nothing_passes_a_margin_the_sample_resolves(self) -> None:
        tests = tost_p(lambda alpha: bounded_mean(np.zeros(600), 1.0, alpha), 0.01, "zero")
        assert tests.p_pass == pytest.approx(math.exp(-6), rel=1e-6)  # rule of three: e^(−n·margin)
        assert tests.p_fail == 1.0

    def test_refuses_a_negative_distance(self) -> None:
        with pytest.raises(ValueError, match=r"margin is -0\.1; for direction 'zero'"):
            tost_p(self.interval, -0.1, "zero")
        tost_p(self.interval, -0.1, "max")

    def test_refuses_an_unknown_direction(self) -> None:
        with pytest.raises(ValueError, match="direction is 'up'"):
            tost_p(self.interval, 0.1, "up")  # type: ignore[arg-type]  # wrong on purpose
