"""Tango's score interval for the difference of two paired shares: the peer of our flips' interval.

Tango (1998), Statistics in Medicine 17, 891–908: all differences that a score test does not reject,
its variance taken at the most likely shares with that difference.
"""

import math

from scipy.special import ndtri


def statistic(n_up: int, n_down: int, n: int, difference: float) -> float:
    """Return the score statistic of (n_up − n_down)/n against a difference."""
    a = 2 * n
    b = -n_up - n_down + (2 * n - n_up + n_down) * difference
    c = -n_down * difference * (1 - difference)
    down = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * down + difference * (1 - difference))
    distance = n_up - n_down - n * difference
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def tango(n_up: int, n_down: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the bounds at a two-sided alpha, by bisection."""
    z = -float(ndtri(alpha / 2))
    value = (n_up - n_down) / n

    def end(outside: float, inside: float, target: float) -> float:
        for _ in range(60):
            middle = (outside + inside) / 2
            if abs(statistic(n_up, n_down, n, middle)) > target:
                outside = middle
            else:
                inside = middle
        return inside

    return end(-1.0, value, z), end(1.0, value, z)
