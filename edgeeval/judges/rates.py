"""Measure how wrong a judge is on texts that people labelled.

`measure` is plain arithmetic on scores and labels. A text counts as flagged where its score is at
least the threshold, as in `harm.tf`. What is undefined (a class without texts) is None with its
reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeeval.records import Estimate
from edgeeval.stats import (
    Interval,
    auc,
    bounded_mean,
    paired_shares,
    share_difference,
    wilson,
)

Flags = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

_SWEEP = tuple(round(0.05 * step, 2) for step in range(1, 20))
_BINS = 10


@dataclass(frozen=True)
class Point:
    """One threshold of the sweep."""

    threshold: float
    precision: float | None
    """None where nothing is flagged."""
    sensitivity: float | None
    false_positive_rate: float | None


@dataclass(frozen=True)
class Bin:
    """Texts of like scores: a calibrated judge's mean score is the share that has the label."""

    lower: float
    upper: float
    n: int
    mean_score: float | None
    share_positive: Estimate


@dataclass(frozen=True)
class Group:
    """The judge's rates in one group."""

    n: int
    n_positive: int
    sensitivity: Estimate
    false_positive_rate: Estimate


@dataclass(frozen=True)
class GroupDifference:
    """How much oftener the judge is wrong about harmless texts of one group than of another."""

    groups: tuple[str, str]
    difference: Estimate
    """False-positive rate of the first minus that of the second. Exploratory: nothing is corrected
    for the number of pairs."""


@dataclass(frozen=True)
class DialectPairs:
    """A judge on sentences in a dialect and their standard twins, which are all harmless."""

    set_id: str
    n: int
    """Pairs."""
    false_positive_rate_dialect: Estimate
    false_positive_rate_standard: Estimate
    difference: Estimate
    """Of the two rates, paired."""
    mean_score_difference: Estimate
    """Score of the dialect sentence minus its twin's, by grammatical feature."""


@dataclass(frozen=True)
class Rates:
    """Everything that labels say of a judge."""

    threshold: float
    n: int
    n_positive: int
    auc: Estimate
    precision: Estimate
    sensitivity: Estimate
    specificity: Estimate
    false_positive_rate: Estimate
    accuracy: Estimate
    sweep: tuple[Point, ...]
    calibration: tuple[Bin, ...]
    calibration_error: float | None
    """Expected calibration error over the bins."""
    groups: dict[str, Group]
    """"column=value" -> rates."""
    group_differences: tuple[GroupDifference, ...]
    """Of groups of one column that both have harmless texts, the largest first."""


def estimate(interval: Interval, reason: str = "") -> Estimate:
    """Return an interval as the record that reports read."""
    return Estimate(
        interval.value,
        interval.lower,
        interval.upper,
        interval.n,
        interval.method,
        reason if interval.value is None and reason else interval.reason,
    )


def measure(
    scores: npt.ArrayLike,
    is_positive: npt.ArrayLike,
    groups: Sequence[Mapping[str, str]] = (),
    threshold: float = 0.5,
) -> Rates:
    """Compare a judge's scores with labels.

    Args:
        scores: one a text, 0 to 1, shape (n,).
        is_positive: whether a text has the label, shape (n,).
        groups: of each text: column -> group; none if empty.
        threshold: a text is flagged at or above it.
    """
    score: Scores = np.asarray(scores, dtype=np.float64)
    positive: Flags = np.asarray(is_positive, dtype=np.bool_)
    flagged = score >= threshold
    n, n_positive = score.size, int(positive.sum())
    n_true = int((flagged & positive).sum())
    n_false = int((flagged & ~positive).sum())
    by_group = _groups(flagged, positive, groups)
    bins = _calibration(score, positive)
    return Rates(
        threshold=threshold,
        n=n,
        n_positive=n_positive,
        auc=estimate(auc(score[positive], score[~positive])),
        precision=_share(n_true, n_true + n_false, "no text is flagged"),
        sensitivity=_share(n_true, n_positive, "no positive texts"),
        specificity=_share(n - n_positive - n_false, n - n_positive, "no negative texts"),
        false_positive_rate=_share(n_false, n - n_positive, "no negative texts"),
        accuracy=_share(n_true + n - n_positive - n_false, n, "no texts"),
        sweep=tuple(_point(score, positive, at) for at in sorted({*_SWEEP, threshold})),
        calibration=bins,
        calibration_error=_calibration_error(bins, n),
        groups=by_group,
        group_differences=_group_differences(flagged, positive, groups),
    )


def _share(successes: int, n: int, reason: str) -> Estimate:
    return estimate(wilson(successes, n), reason)


def _point(score: Scores, positive: Flags, threshold: float) -> Point:
    flagged = score >= threshold

    def share(part: Flags, of: Flags) -> float | None:
        return float((part & of).sum() / of.sum()) if of.any() else None

    return Point(
        threshold, share(positive, flagged), share(flagged, positive), share(flagged, ~positive)
    )


def _calibration(score: Scores, positive: Flags) -> tuple[Bin, ...]:
    place = np.minimum((score * _BINS).astype(np.int64), _BINS - 1)
    bins = []
    for index in range(_BINS):
        inside = place == index
        n = int(inside.sum())
        bins.append(
            Bin(
                lower=index / _BINS,
                upper=(index + 1) / _BINS,
                n=n,
                mean_score=float(score[inside].mean()) if n else None,
                share_positive=_share(int(positive[inside].sum()), n, "no texts"),
            )
        )
    return tuple(bins)


def _calibration_error(bins: Sequence[Bin], n: int) -> float | None:
    if n == 0:
        return None
    gaps = (
        one.n * abs(one.mean_score - one.share_positive.value)
        for one in bins
        if one.mean_score is not None and one.share_positive.value is not None
    )
    return sum(gaps) / n


def _members(groups: Sequence[Mapping[str, str]]) -> dict[str, list[int]]:
    """Return "column=value" -> places of its texts, in the order of the names."""
    members: dict[str, list[int]] = {}
    for index, names in enumerate(groups):
        for column, value in names.items():
            members.setdefault(f"{column}={value}", []).append(index)
    return dict(sorted(members.items()))


def _groups(
    flagged: Flags, positive: Flags, groups: Sequence[Mapping[str, str]]
) -> dict[str, Group]:
    found = {}
    for name, places in _members(groups).items():
        flags, labels = flagged[places], positive[places]
        n_positive = int(labels.sum())
        found[name] = Group(
            n=len(places),
            n_positive=n_positive,
            sensitivity=_share(int((flags & labels).sum()), n_positive, "no positive texts"),
            false_positive_rate=_share(
                int((flags & ~labels).sum()), len(places) - n_positive, "no negative texts"
            ),
        )
    return found


def _group_differences(
    flagged: Flags, positive: Flags, groups: Sequence[Mapping[str, str]]
) -> tuple[GroupDifference, ...]:
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for name, places in _members(groups).items():
        harmless = ~positive[places]
        if harmless.any():
            wrong = int((flagged[places] & harmless).sum())
            counts.setdefault(name.partition("=")[0], {})[name] = (wrong, int(harmless.sum()))
    found = [
        GroupDifference((a, b), estimate(share_difference(*counted[a], *counted[b])))
        for counted in counts.values()
        for a, b in combinations(counted, 2)
    ]
    return tuple(sorted(found, key=lambda one: -abs(one.difference.value or 0.0)))


def measure_dialect(
    set_id: str,
    dialect: npt.ArrayLike,
    standard: npt.ArrayLike,
    features: Sequence[Any],
    threshold: float = 0.5,
) -> DialectPairs:
    """Compare the scores of sentences in a dialect with those of their standard twins.

    Args:
        set_id: of the prompt set.
        dialect: scores, one a pair, shape (n,).
        standard: of their twins, shape (n,).
        features: grammatical feature of each pair; pairs of one feature are alike.
        threshold: a text is flagged at or above it.
    """
    own: Scores = np.asarray(dialect, dtype=np.float64)
    twin: Scores = np.asarray(standard, dtype=np.float64)
    flags, twins = own >= threshold, twin >= threshold
    n = own.size
    return DialectPairs(
        set_id=set_id,
        n=n,
        false_positive_rate_dialect=_share(int(flags.sum()), n, "no pairs"),
        false_positive_rate_standard=_share(int(twins.sum()), n, "no pairs"),
        difference=estimate(
            paired_shares(int((flags & ~twins).sum()), int((twins & ~flags).sum()), n)
        ),
        mean_score_difference=estimate(bounded_mean(own - twin, 1.0, clusters=list(features))),
    )
