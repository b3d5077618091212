"""Decide from intervals: how strong the evidence for pass and for fail is.

A p-value here is not a second method beside the interval. It is the smallest level at which the
printed method's bound clears the margin, so that an interval and its verdict cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, SupportsIndex, TypeAlias

from edgeeval.stats._checks import check_count, check_finite
from edgeeval.stats.intervals import Interval

Direction: TypeAlias = Literal["higher", "lower", "zero", "max", "min"]
"""What is required of a metric; see `tost_p`."""

IntervalAt: TypeAlias = Callable[[float], Interval]
"""An interval method with its data bound in, as a function of the two-sided alpha."""

SMALLEST_P = 1e-12
"""Floor of a p-value: below it the tails of any of the methods mean nothing."""

LARGEST_ALPHA = 0.499
"""Largest one-sided level tried: at .5 a bound is the estimate itself."""


class TwoTests(NamedTuple):
    """Hold the p-values of the two one-sided tests of one requirement."""

    p_pass: float
    """Of "worse than the margin"; small is evidence for pass."""
    p_fail: float
    """Of "within the margin"; small is evidence for fail."""


def mcnemar_exact(n_up: SupportsIndex, n_down: SupportsIndex) -> float:
    """Return the two-sided exact p that changes go both ways alike, from the discordant pairs.

    Among the items that changed, the number that changed up is Bin(n_up + n_down, 1/2).

    Args:
        n_up: Items that changed one way.
        n_down: Items that changed the other way.

    Returns:
        p, 0 to 1; 1 when nothing changed.

    Raises:
        ValueError: If a count is negative.
    """
    from scipy.special import betainc

    n_up, n_down = check_count(n_up, "n_up"), check_count(n_down, "n_down")
    fewer, more = min(n_up, n_down), max(n_up, n_down)
    if fewer == more:
        return 1.0
    return min(1.0, 2 * float(betainc(more, fewer + 1, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that rejecting those at most alpha errs anywhere with chance alpha.

    It holds under any dependence between the tests, which levels on the same items need.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65–70.

    Args:
        p_values: Each 0 to 1.

    Returns:
        Adjusted p-values in the order given, each at least its raw one and at most 1.

    Raises:
        ValueError: Naming the position of a value outside 0 to 1 (or NaN).
    """
    for position, p in enumerate(p_values):
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p_values[{position}] is {p}; a p-value is from 0 to 1")
    order = sorted(range(len(p_values)), key=lambda position: p_values[position])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * float(p_values[position])))
        adjusted[position] = largest
    return adjusted


def smallest_alpha(
    interval_at: IntervalAt, bound: Literal["lower", "upper"], margin: float
) -> float:
    """Return the smallest one-sided level at which a bound clears the margin.

    Found by bisection on log alpha, since a bound moves towards the estimate as alpha grows. At
    the returned p the bound of `interval_at(2 * p)` does clear the margin, except at 1.

    Args:
        interval_at: Interval at a two-sided alpha; called some 35 times.
        bound: "lower" clears when it is above the margin, "upper" when it is below.
        margin: In the unit of the interval, signed.

    Returns:
        p from 1e-12 (clears however strict) to .499, or 1 if it never clears, also because the
        bound is None.

    Raises:
        ValueError: If the margin is not finite.
    """
    check_finite(margin, "margin")

    def clears(alpha: float) -> bool:
        interval = interval_at(2 * alpha)
        if bound == "lower":
            return interval.lower is not None and interval.lower > margin
        return interval.upper is not None and interval.upper < margin

    if not clears(LARGEST_ALPHA):
        return 1.0
    if clears(SMALLEST_P):
        return SMALLEST_P
    failing, clearing = SMALLEST_P, LARGEST_ALPHA
    while clearing / failing > 1 + 1e-8:
        middle = math.sqrt(failing * clearing)
        if clears(middle):
            clearing = middle
        else:
            failing = middle
    return clearing


def tost_p(interval_at: IntervalAt, margin: float, direction: Direction) -> TwoTests:
    """Test a requirement both ways: that it is shown to hold, and that it is shown not to.

    One test alone cannot tell "no harm" from "too few items to see harm". For delta = level −
    reference:

    | direction | pass rejects | fail rejects |
    |---|---|---|
    | higher (is better) | delta <= −margin | delta >= −margin |
    | lower (is better) | delta >= margin | delta <= margin |
    | zero (stays as it is) | abs(delta) >= margin, at both ends | abs(delta) <= margin |
    | max (value, no reference) | value >= margin | value <= margin |
    | min (value, no reference) | value <= margin | value >= margin |

    "zero" passes only at both ends, so its p_pass is the larger one; it fails at either end, so its
    p_fail is twice the smaller one.

    Source: Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15, 657–680.

    Args:
        interval_at: Interval of delta (of the value itself for max and min) at a two-sided alpha.
        margin: 0 or more; any finite limit for max and min.
        direction: One of the table's.

    Returns:
        Both p-values; (1, 1) where the interval has no bounds, which a caller reports as not
        measured.

    Raises:
        ValueError: If the margin is not finite, or negative where it is a distance; if the
            direction is none of these.
    """
    check_finite(margin, "margin")
    if margin < 0 and direction in ("higher", "lower", "zero"):
        raise ValueError(f"margin is {margin}; for direction {direction!r} give 0 or more")

    def above(limit: float) -> float:
        return smallest_alpha(interval_at, "lower", limit)

    def below(limit: float) -> float:
        return smallest_alpha(interval_at, "upper", limit)

    match direction:
        case "higher":
            return TwoTests(above(-margin), below(-margin))
        case "lower" | "max":
            return TwoTests(below(margin), above(margin))
        case "min":
            return TwoTests(above(margin), below(margin))
        case "zero":
            outside = min(1.0, 2 * min(below(-margin), above(margin)))
            return TwoTests(max(above(-margin), below(margin)), outside)
    raise ValueError(f"direction is {direction!r}; give higher, lower, zero, max or min")
