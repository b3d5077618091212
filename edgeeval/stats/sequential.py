"""Stop early for a failure that is already plain; pass only on the whole sample."""

from __future__ import annotations

import numpy as np

from edgeeval.stats._checks import IntArray, Labels, label_codes
from edgeeval.stats.decisions import Direction, IntervalAt, tost_p

LOOKS = (0.25, 0.5)
"""Shares of the sample at which it is looked at."""

STOP_P = 0.0005009
"""One-sided p of z = 3.29: so strict that two looks hardly touch the whole sample's level."""


def look_order(strata: Labels, seed: int = 0) -> IntArray:
    """Return an order of the items in which every beginning holds the strata in proportion.

    Items are shuffled within their stratum and spread evenly, shape (n,).
    """
    codes = label_codes(strata, len(strata), "strata")
    generator = np.random.default_rng(seed)
    places = np.empty(codes.size)
    for code in range(int(codes.max(initial=-1)) + 1):
        members = generator.permutation(np.flatnonzero(codes == code))
        places[members] = (np.arange(members.size) + generator.random()) / members.size
    return np.argsort(places, kind="stable")


def early_stop(interval_at: IntervalAt, margin: float, direction: Direction) -> bool:
    """Tell whether a look (at 25 or 50 %) ends in fail; a pass waits for the whole sample.

    Source: Haybittle (1971), British Journal of Radiology 44; Peto et al. (1976), British Journal
    of Cancer 34.

    Args:
        interval_at: Of the items seen so far.
        margin: As for `tost_p`.
        direction: As for `tost_p`.
    """
    return tost_p(interval_at, margin, direction).p_fail <= STOP_P
