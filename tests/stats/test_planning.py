"""What a plan promises is what the interval, enumerated item count by item count, delivers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from edgeeval.stats import (
    Interval,
    delta80_mean,
    delta80_paired_shares,
    delta80_share,
    paired_shares,
    required_n_paired_shares,
    required_n_scaled,
    zero_change_upper,
)


def enumerated_power(n: int, discordance: float, margin: float, alpha: float) -> float:
    """Return P(pass) by brute force over every (up, down): the oracle of this file."""
    total = 0.0
    for up in range(n + 1):
        for down in range(n + 1 - up):
            lower = paired_shares(up, down, n, alpha).lower
            assert lower is not None
            if lower > -margin:
                total += oracle.multinomial.pmf(
                    [up, down, n - up - down],
                    n,
                    [discordance / 2, discordance / 2, 1 - discordance],
                )
    return total


class TestZeroChange:
    @given(st.integers(1, 10_000), st.floats(1e-6, 0.2))
    def test_is_where_the_interval_ends_if_nothing_changed(self, n: int, alpha: float) -> None:
        assert zero_change_upper(n, alpha) == paired_shares(0, 0, n, alpha).upper

    def test_worked_example(self) -> None:
        """By hand: z² = 3.8415, so 3.8415/103.8415."""
        assert zero_change_upper(100) == pytest.approx(0.036994, abs=1e-6)

    def test_refuses_no_items(self) -> None:
        with pytest.raises(ValueError, match="n is 0"):
            zero_change_upper(0)


class TestDelta80:
    @pytest.mark.parametrize(
        ("n", "discordance", "alpha"),
        [(30, 0.2, 0.05), (40, 0.05, 0.1), (25, 0.9, 0.05), (20, 1.0, 0.05), (7, 0.3, 0.02)],
    )
    def test_is_the_smallest_margin_that_the_enumeration_passes(
        self, n: int, discordance: float, alpha: float
    ) -> None:
        margin = delta80_paired_shares(n, discordance, alpha)
        assert enumerated_power(n, discordance, margin, alpha) >= 0.8
        assert enumerated_power(n, discordance, margin - 1e-6, alpha) < 0.8

    def test_without_discordance_it_is_the_zero_change_bound(self) -> None:
        assert delta80_paired_shares(200, 0.0) == pytest.approx(zero_change_upper(200), abs=1e-9)

    @given(st.integers(1, 3000), st.floats(0, 1))
    @settings(max_examples=30, deadline=None)
    def test_is_never_below_the_zero_change_bound(self, n: int, discordance: float) -> None:
        assert delta80_paired_shares(n, discordance) >= zero_change_upper(n) - 1e-9

    def test_approaches_the_textbook_for_large_samples(self) -> None:
        """Oracle: (z.975 + z.80)·√(discordance/n)."""
        expected = (oracle.norm.ppf(0.975) + oracle.norm.ppf(0.8)) * math.sqrt(0.1 / 100_000)
        assert delta80_paired_shares(100_000, 0.1) == pytest.approx(expected, rel=0.01)

    def test_refuses_what_has_no_meaning(self) -> None:
        with pytest.raises(ValueError, match=r"discordance is 1\.5"):
            delta80_paired_shares(10, 1.5)
        with pytest.raises(ValueError, match="discordance is nan"):
            delta80_paired_shares(10, math.nan)
        with pytest.raises(ValueError, match="power is 1"):
            delta80_paired_shares(10, 0.1, power=1.0)


class TestDelta80Share:
    @staticmethod
    def enumerated(n: int, rate: float, ceiling: float, alpha: float) -> float:
        """Return P(the upper bound lies at or below the ceiling), over every count.

        Oracle: Clopper-Pearson's upper bound is the quantile of a beta distribution.
        """
        counts = np.arange(n)
        uppers = oracle.beta.ppf(1 - alpha / 2, counts + 1, n - counts)
        return float(oracle.binom.pmf(counts[uppers <= ceiling], n, rate).sum())

    @pytest.mark.parametrize(
        ("n", "rate", "alpha"),
        [(240, 0.03, 0.05), (50, 0.2, 0.05), (30, 0.0, 0.1), (100, 0.05, 0.1 / 7), (12, 0.5, 0.05)],
    )
    def test_is_the_smallest_ceiling_that_the_enumeration_keeps(
        self, n: int, rate: float, alpha: float
    ) -> None:
        ceiling = delta80_share(n, rate, alpha)
        assert self.enumerated(n, rate, ceiling + 1e-12, alpha) >= 0.8
        assert self.enumerated(n, rate, ceiling * (1 - 1e-5), alpha) < 0.8

    def test_worked_example(self) -> None:
        """By hand: without a change the bound is 1 - (alpha/2)^(1/n), of 100 items .0362."""
        assert delta80_share(100, 0.0) == pytest.approx(1 - 0.025**0.01, rel=2e-6)

    def test_a_share_that_is_always_one_keeps_no_ceiling_below_one(self) -> None:
        assert delta80_share(20, 1.0) == 1

    @pytest.mark.parametrize("arguments", [(0, 0.1), (10, 1.5), (10, math.nan), (10, 0.1, 0.0)])
    def test_refuses_what_has_no_meaning(self, arguments: tuple[float, ...]) -> None:
        with pytest.raises(ValueError, match="is "):
            delta80_share(*arguments)  # type: ignore[arg-type]  # n is an integer in each


class TestDelta80Mean:
    @pytest.mark.parametrize(("n", "alpha"), [(8, 0.05), (12, 0.1 / 7), (16, 0.05), (200, 0.05)])
    def test_four_in_five_simulated_samples_keep_it(self, n: int, alpha: float) -> None:
        """Oracle: 40,000 normal samples, and the t interval of each, from scipy."""
        value, spread = 0.02, 0.1
        limit = delta80_mean(n, value, spread, alpha)
        samples = np.random.default_rng(1).normal(value, spread, (40_000, n))
        errors = samples.std(axis=1, ddof=1) / math.sqrt(n)
        uppers = samples.mean(axis=1) + oracle.t.ppf(1 - alpha / 2, n - 1) * errors
        assert float((uppers <= limit).mean()) == pytest.approx(0.8, abs=0.025)

    def test_approaches_the_textbook_for_large_samples(self) -> None:
        """Oracle: value + (z.975 + z.80)·spread/√n."""
        z = oracle.norm.ppf(0.975) + oracle.norm.ppf(0.8)
        assert delta80_mean(10_000, 0.3, 2.0) == pytest.approx(0.3 + z * 0.02, rel=1e-4)

    def test_without_scatter_it_is_the_value(self) -> None:
        assert delta80_mean(9, 0.07, 0.0) == 0.07

    @pytest.mark.parametrize("arguments", [(1, 0.0, 1.0), (9, math.nan, 1.0), (9, 0.0, math.inf)])
    def test_refuses_what_has_no_meaning(self, arguments: tuple[float, ...]) -> None:
        with pytest.raises(ValueError, match="is "):
            delta80_mean(*arguments)  # type: ignore[arg-type]  # n is an integer in each


class TestRequiredN:
    @pytest.mark.parametrize(("margin", "discordance"), [(0.3, 0.2), (0.2, 0.0), (0.45, 0.9)])
    def test_enumeration_passes_at_n_and_not_at_one_less(
        self, margin: float, discordance: float
    ) -> None:
        n = required_n_paired_shares(margin, discordance)
        assert enumerated_power(n, discordance, margin, 0.05) >= 0.8
        assert enumerated_power(n - 1, discordance, margin, 0.05) < 0.8

    @given(st.floats(0.01, 0.2), st.floats(0, 1))
    @settings(max_examples=20, deadline=None)
    def test_is_the_inverse_of_delta80(self, margin: float, discordance: float) -> None:
        n = required_n_paired_shares(margin, discordance)
        assert delta80_paired_shares(n, discordance) <= margin + 1e-9

    def test_approaches_the_textbook_for_small_margins(self) -> None:
        """Oracle: discordance·((z.975 + z.80)/margin)²."""
        z = oracle.norm.ppf(0.975) + oracle.norm.ppf(0.8)
        n = required_n_paired_shares(0.003, 0.1)
        assert n == pytest.approx(0.1 * (z / 0.003) ** 2, rel=0.02)

    def test_one_item_is_enough_for_a_margin_that_cannot_be_missed(self) -> None:
        assert required_n_paired_shares(1.0, 0.1) == 1

    @pytest.mark.parametrize("margin", [0.0, -0.1, 1e-9, math.nan])
    def test_refuses_a_margin_that_no_sample_shows(self, margin: float) -> None:
        with pytest.raises(ValueError, match="margin is"):
            required_n_paired_shares(margin, 0.1)


class TestRequiredNScaled:
    interval = Interval(-0.01, -0.05, 0.03, 200, "cluster-t")

    def test_at_even_odds_the_bound_just_reaches_the_margin(self) -> None:
        """By hand: the half-width must fall from .04 to .02, so n grows fourfold."""
        assert required_n_scaled(self.interval, -0.03, power=0.5) == pytest.approx(800, abs=1)

    def test_eighty_per_cent_takes_more(self) -> None:
        """Oracle: the factor ((z.975 + z.80)/z.975)² of a two-sided t-type sample size."""
        factor = ((oracle.norm.ppf(0.975) + oracle.norm.ppf(0.8)) / oracle.norm.ppf(0.975)) ** 2
        assert required_n_scaled(self.interval, -0.03) == math.ceil(800 * factor)

    def test_a_stricter_decision_takes_more(self) -> None:
        """Oracle: normal quantiles; seven levels under Holm at one-sided .05/7."""
        factor = (oracle.norm.ppf(1 - 0.05 / 7) / oracle.norm.ppf(0.975)) ** 2
        n = required_n_scaled(self.interval, -0.03, decision_alpha=0.1 / 7, power=0.5)
        assert n == pytest.approx(800 * factor, abs=1)

    def test_takes_the_side_that_faces_the_margin(self) -> None:
        skewed = Interval(0.0, -0.01, 0.04, 100, "bca")
        assert required_n_scaled(skewed, 0.02, power=0.5) == pytest.approx(400, abs=1)
        assert required_n_scaled(skewed, -0.02, power=0.5) == pytest.approx(25, abs=1)

    def test_is_none_where_no_sample_would_decide(self) -> None:
        assert required_n_scaled(self.interval, -0.01) is None
        assert (
            required_n_scaled(Interval(None, None, None, 0, "cluster-t", "no items"), 0.1) is None
        )
        one_sided = Interval(1.0, 0.5, None, 9, "order-statistic", "needs more")
        assert required_n_scaled(one_sided, 2.0) is None
