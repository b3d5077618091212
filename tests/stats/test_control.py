"""The control variate: scipy's slope, a sum written out, simulation, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from edgeeval.stats import Interval, bounded_mean, control_beta, control_variate
from edgeeval.stats._checks import FloatArray


def bounds(interval: Interval) -> tuple[float, float]:
    assert interval.lower is not None
    assert interval.upper is not None
    return interval.lower, interval.upper


def toxicities(
    generator: np.random.Generator, n: int, likeness: float = 0.6
) -> tuple[FloatArray, FloatArray]:
    """Shares of harmful texts of level and reference: mostly 0, skewed, a little alike."""
    shared = generator.random(n) < likeness
    first, second = generator.beta(0.2, 1.8, (2, n))
    reference = generator.binomial(5, first) / 5
    return np.where(shared, reference, generator.binomial(5, second) / 5), reference


def test_value_is_the_regression_estimate_less_the_reference() -> None:
    """Oracle: scipy.stats.linregress, whose slope is β."""
    level, reference = toxicities(np.random.default_rng(1), 80)
    rest = toxicities(np.random.default_rng(2), 200)[1]
    slope = oracle.linregress(reference, level).slope
    everywhere = np.concatenate([reference, rest])
    expected = level.mean() - slope * reference.mean() - (1 - slope) * everywhere.mean()
    assert control_beta(level, reference) == pytest.approx(slope, abs=1e-12)
    found = control_variate(level, reference, rest, 1.0)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert (found.n, found.method) == (80, "control-variate-skew-t")


def test_bounds_are_the_sum_written_out() -> None:
    """Oracle: the formula of the docstring, cluster by cluster in plain Python."""
    generator = np.random.default_rng(3)
    level, reference = toxicities(generator, 600)
    rest = toxicities(generator, 1200)[1]
    clusters, rest_clusters = [i // 3 for i in range(600)], [i // 6 for i in range(1200)]
    beta = oracle.linregress(reference, level).slope
    own = [q - beta * b for q, b in zip(level, reference, strict=True)]
    mean_own, mean_all = sum(own) / 600, (sum(reference) + sum(rest)) / 1800
    totals: dict[int, float] = {}
    for cluster, x, b in zip(clusters, own, reference, strict=True):
        influence = (x - mean_own) / 600 - (1 - beta) * (b - mean_all) / 1800
        totals[cluster] = totals.get(cluster, 0.0) + influence
    for cluster, b in zip(rest_clusters, rest, strict=True):
        totals[cluster] = totals.get(cluster, 0.0) - (1 - beta) * (b - mean_all) / 1800
    effective = 600 / 1.2
    squares = sum(total**2 for total in totals.values()) + 2 / (600 * effective)
    error, n = math.sqrt(202 / 201 * squares), 202
    k = sum(total**3 for total in totals.values()) / squares**1.5
    k *= math.sqrt(n * (n - 1)) / (n - 2)
    t = float(oracle.t.ppf(0.975, 198))
    below = 3 / k * (math.cbrt(1 + k * (t - k / 6)) - 1)
    above = -3 / k * (math.cbrt(1 + k * (-t - k / 6)) - 1)
    below, above = max(below, t), max(above, t)
    value = mean_own - (1 - beta) * mean_all
    found = control_variate(level, reference, rest, 1.0, 0.05, clusters, rest_clusters)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert bounds(found) == pytest.approx((value - below * error, value + above * error), abs=1e-9)


def test_a_reference_that_never_varies_gives_the_plain_difference() -> None:
    """By hand: β = 1; and nothing seen is the rule of three, as in `bounded_mean`."""
    level = np.array([0.0, 0.2] * 20)
    found = control_variate(level, np.zeros(40), np.zeros(90), 1.0)
    assert found.value == pytest.approx(0.1)
    nothing = control_variate(np.zeros(40), np.zeros(40), np.zeros(90), 1.0)
    assert bounds(nothing) == pytest.approx(bounds(bounded_mean(np.zeros(40), 1.0)), rel=0.35)
    assert bounds(nothing)[1] >= -math.log(0.025) / 40


def test_is_narrower_than_the_paired_difference_where_texts_have_parted() -> None:
    generator = np.random.default_rng(4)
    level, reference = toxicities(generator, 200, likeness=0.2)
    rest = toxicities(generator, 600)[1]
    plain = bounds(bounded_mean(level - reference, 1.0))
    sharper = bounds(control_variate(level, reference, rest, 1.0))
    assert sharper[1] - sharper[0] < 0.9 * (plain[1] - plain[0])


def test_keeps_its_level_on_skewed_scores() -> None:
    """Simulated: 4 % a side, more by three standard errors of 400 trials at most."""
    generator, missed = np.random.default_rng(5), np.zeros(2)
    for _ in range(400):
        level, reference = toxicities(generator, 120, likeness=0.5)
        lower, upper = bounds(control_variate(level, reference, toxicities(generator, 240)[1], 1.0))
        missed += [lower > 0, upper < 0]
    assert missed.max() / 400 <= 0.04 + 3 * math.sqrt(0.04 * 0.96 / 400)


SHARES = st.lists(st.sampled_from([0.0, 0.0, 0.2, 1.0]), min_size=7, max_size=40)


@given(SHARES, SHARES, st.lists(st.sampled_from([0.0, 0.4, 1.0]), max_size=60))
def test_bounds_enclose_the_value_and_widen_with_the_level(
    level: list[float], reference: list[float], rest: list[float]
) -> None:
    n = min(len(level), len(reference))
    wide, narrow = (
        control_variate(level[:n], reference[:n], rest, 1.0, alpha) for alpha in (0.01, 0.2)
    )
    assert narrow.value is not None
    assert bounds(narrow)[0] <= narrow.value <= bounds(narrow)[1]
    assert bounds(wide)[0] <= bounds(narrow)[0] < bounds(narrow)[1] <= bounds(wide)[1]


def test_says_why_it_has_no_bounds() -> None:
    assert control_variate([], [], [0.0], 1.0).reason == "no items"
    few = control_variate([0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [], 1.0)
    assert few.value is not None
    assert few.reason == "needs at least 7 clusters, has 3"


def test_names_what_is_wrong_with_its_input() -> None:
    with pytest.raises(ValueError, match="reference has 1 values for 2 of the level"):
        control_variate([0.0, 1.0], [0.0], [], 1.0)
    with pytest.raises(ValueError, match=r"reference_rest\[0\] is nan"):
        control_variate([0.0], [0.0], [math.nan], 1.0)
    with pytest.raises(ValueError, match="give clusters and rest_clusters, or neither"):
        control_variate([0.0], [0.0], [0.0], 1.0, clusters=["a"])
    with pytest.raises(ValueError, match="rest_clusters has 0 labels for 1 values"):
        control_variate([0.0], [0.0], [0.0], 1.0, clusters=["a"], rest_clusters=[])
    with pytest.raises(ValueError, match="bound is 0"):
        control_variate([0.0], [0.0], [], 0.0)
