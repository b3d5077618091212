"""Say what a sample can show before it is run, and how large a sample would decide.

The planning enumerates the very interval that the verdict will use. A textbook sample size assumes
a normal approximation, which is furthest off where it matters: few items, few changes.
"""

from __future__ import annotations

import math
from typing import SupportsIndex

import numpy as np

from edgeeval.stats._checks import FloatArray, check_alpha, check_count, check_finite, check_share
from edgeeval.stats.intervals import (
    Interval,
    clopper_pearson,
    mover_lower,
    normal_quantile,
    t_quantile,
)
from edgeeval.stats.means import untransformed

POWER = 0.80
"""Probability with which a level that changed nothing on balance should pass."""

LARGEST_N = 10**9
"""Beyond this many items a plan is not a plan."""


def zero_change_upper(n: SupportsIndex, alpha: float = 0.05) -> float:
    """Return the margin at or below which n items cannot pass even if not one of them changes.

    It is z²/(n + z²), Wilson's upper limit of 0 out of n, which is where `paired_shares(0, 0, n)`
    ends.

    Args:
        n: Number of items, 1 or more.
        alpha: Two-sided level of the interval.

    Raises:
        ValueError: If n is 0 or alpha out of range.
    """
    n = _check_planned(n, alpha)
    return -float(mover_lower(0.0, 0.0, n, normal_quantile(alpha)))


def delta80_paired_shares(
    n: SupportsIndex, discordance: float, alpha: float = 0.05, power: float = POWER
) -> float:
    """Return the smallest margin that n items pass with the given power.

    It supposes that nothing changed on balance: each item changes up or down with probability
    discordance/2 each. Pass means that the lower bound of `paired_shares` lies above −margin. The
    probability is exact.

    Args:
        n: Number of items, 1 or more.
        discordance: Expected share of changed items, 0 to 1.
        alpha: Two-sided level of the interval; the pass is at alpha/2, one-sided.
        power: Probability asked for.

    Returns:
        A margin, above 0 and below 1.

    Raises:
        ValueError: If an argument is out of range.
    """
    n = _check_planned(n, alpha)
    check_share(discordance, "discordance")
    _check_power(power)
    z = normal_quantile(alpha)
    failing, passing = 0.0, 1.0
    while passing - failing > 1e-10:
        middle = (failing + passing) / 2
        if _pass_probability(n, discordance, middle, z) >= power:
            passing = middle
        else:
            failing = middle
    return passing


def delta80_share(
    n: SupportsIndex, rate: float, alpha: float = 0.05, power: float = POWER
) -> float:
    """Return the smallest ceiling that n items keep with the given power, if their share is `rate`.

    Pass means that the upper bound of `clopper_pearson` lies below the ceiling. The
    probability is exact.

    Args:
        n: Number of items, 1 or more.
        rate: True share, 0 to 1.
        alpha: Two-sided level of the interval; the pass is at alpha/2, one-sided.
        power: Probability asked for.

    Raises:
        ValueError: If an argument is out of range.
    """
    from scipy.stats import binom

    n = _check_planned(n, alpha)
    check_share(rate, "rate")
    _check_power(power)
    upper = clopper_pearson(int(binom.ppf(power, n, rate)), n, alpha).upper
    assert upper is not None  # n is 1 or more
    return min(1.0, upper * (1 + 1e-6))  # a hair above: the bound has to lie below the ceiling


def delta80_mean(
    n: SupportsIndex,
    value: float,
    spread: float,
    alpha: float = 0.05,
    power: float = POWER,
    skewness: float = 0.0,
) -> float:
    """Return the smallest limit that a mean of n values keeps with the given power, about.

    The bound value + t·spread/√n must lie within the limit although the mean scatters:
    value + (t_α + t_power)·spread/√n, with n − 1 degrees of freedom. Skewness lengthens the bound
    (as in `Studentized`), and makes it scatter more than the mean, since a sample with a larger
    mean has a larger spread too.

    Args:
        n: Number of independent values (windows, clusters), 2 or more.
        value: True mean.
        spread: Standard deviation of one value, 0 or more.
        alpha: Two-sided level of the interval; the pass is at alpha/2, one-sided.
        power: Probability asked for.
        skewness: Of one value, 0 or more.

    Raises:
        ValueError: If an argument is out of range.
    """
    from scipy.special import stdtrit

    n = _check_planned(n, alpha)
    if n < 2:
        raise ValueError(f"n is {n}; a mean needs 2 values to have a spread")
    check_finite(value, "value")
    check_finite(spread, "spread")
    _check_power(power)
    of_mean = skewness / math.sqrt(n)
    t = t_quantile(alpha, n - 1)
    reach = max(t, -untransformed(-t, of_mean))
    # Var(mean + reach·s), with the excess kurtosis that gamma and log-normal values have, about.
    scatter = math.sqrt(1 + reach * of_mean + (reach * of_mean) ** 2 * 0.45)
    return value + (reach + scatter * float(stdtrit(n - 1, power))) * spread / math.sqrt(n)


def required_n_paired_shares(
    margin: float, discordance: float, alpha: float = 0.05, power: float = POWER
) -> int:
    """Return how many items pass a margin with the given power if nothing changed on balance.

    Counts are whole, so the power is a slight sawtooth in n: n reaches the power and n − 1 does
    not, yet a little below or above it may be the other way round.

    Args:
        margin: Share, above 0.
        discordance: Expected share of changed items, 0 to 1.
        alpha: Two-sided level of the interval; the pass is at alpha/2, one-sided.
        power: Probability asked for.

    Returns:
        Number of items, 1 or more.

    Raises:
        ValueError: If an argument is out of range, or the margin so small that a billion items
            would not do.
    """
    check_alpha(alpha)
    check_finite(margin, "margin")
    check_share(discordance, "discordance")
    _check_power(power)
    z = normal_quantile(alpha)

    def enough(n: int) -> bool:
        return _pass_probability(n, discordance, margin, z) >= power

    few, many = 0, 1
    # Normal approximation: rules out hopeless margins before they are enumerated.
    if margin <= 0 or discordance * (z / margin) ** 2 > LARGEST_N or z * z / margin > LARGEST_N:
        raise ValueError(f"margin is {margin}; no sample of up to {LARGEST_N} items can show it")
    while not enough(many):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def required_n_scaled(
    interval: Interval,
    margin: float,
    alpha: float = 0.05,
    decision_alpha: float | None = None,
    power: float = POWER,
) -> int | None:
    """Return how many items would decide an inconclusive case, if the estimate stays what it is.

    The half-width towards the margin shrinks as 1/√n. It must come down to the distance between
    value and margin, less the scatter of the next estimate: n·(h·(z_decision + z_power)/(z·d))².

    Args:
        interval: The inconclusive interval, with its n.
        margin: On the interval's own scale and signed: −margin for a metric whose direction is
            "higher". For "zero" ask both ends and take the larger for a pass.
        alpha: Two-sided level at which the interval was computed.
        decision_alpha: Two-sided level of the decision, such as twice the one-sided Holm level;
            the interval's own if None.
        power: Probability of a decision; .5 asks only that the bound just reach the margin.

    Returns:
        Number of items, in the unit of `interval.n`; None if the interval has no bound on that
        side, or the value lies on the margin, where no sample decides.

    Raises:
        ValueError: If an argument is out of range.
    """
    from scipy.special import ndtri

    check_alpha(alpha)
    check_alpha(alpha if decision_alpha is None else decision_alpha)
    check_finite(margin, "margin")
    _check_power(power)
    if interval.value is None:
        return None
    edge = interval.lower if margin < interval.value else interval.upper
    distance = abs(interval.value - margin)
    if edge is None or distance == 0.0:
        return None
    z = normal_quantile(alpha)
    decision_z = z if decision_alpha is None else normal_quantile(decision_alpha)
    needed_width = abs(interval.value - edge) * (decision_z + float(ndtri(power))) / z
    return max(1, math.ceil(interval.n * (needed_width / distance) ** 2))


def _pass_probability(n: int, discordance: float, margin: float, z: float) -> float:
    """Return P(lower bound > −margin) when ups and downs each have probability discordance/2.

    The bound grows with the number of ups, so for each number of downs one needs only the fewest
    ups that pass, and a binomial tail from there.
    """
    from scipy.special import betainc, gammaln, xlog1py, xlogy

    each = discordance / 2
    spread = 9 * math.sqrt(n * each * (1 - each)) + 9
    first, last = max(0, math.floor(n * each - spread)), min(n, math.ceil(n * each + spread))
    downs = np.arange(first, last + 1, dtype=np.float64)
    probability = np.exp(
        gammaln(n + 1)
        - gammaln(downs + 1)
        - gammaln(n - downs + 1)
        + xlogy(downs, each)
        + xlog1py(n - downs, -each)
    )
    fewest = _fewest_ups(downs, n, margin, z)
    others = n - downs
    tail = np.where(
        fewest == 0,
        1.0,
        betainc(np.maximum(fewest, 1), np.maximum(others - fewest + 1, 1), each / (1 - each)),
    )
    return float(np.sum(probability * np.where(fewest > others, 0.0, tail)))


def _fewest_ups(downs: FloatArray, n: int, margin: float, z: float) -> FloatArray:
    """Return the fewest ups that pass beside each number of downs; n − downs + 1 if none do."""
    failing = np.full_like(downs, -1.0)
    passing = n - downs + 1
    while np.any(passing - failing > 1):
        middle = np.floor((failing + passing) / 2)
        passes = mover_lower(np.maximum(middle, 0.0), downs, n, z) > -margin
        open_ = passing - failing > 1
        passing = np.where(open_ & passes, middle, passing)
        failing = np.where(open_ & ~passes, middle, failing)
    return passing


def _check_planned(n: SupportsIndex, alpha: float) -> int:
    check_alpha(alpha)
    n = check_count(n, "n")
    if n == 0:
        raise ValueError("n is 0; give 1 item or more")
    return n


def _check_power(power: float) -> None:
    if not 0.0 < power < 1.0:
        raise ValueError(f"power is {power}; give a probability above 0 and below 1")
