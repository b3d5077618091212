"""Say beside a number how far its judge can be trusted.

A judge that finds a share s of what it looks for and takes a share f of the rest for it sees a true
difference Δ of two texts' shares as Δ·(s − f). And where f differs between groups, so do the shares
that it reports of groups that are alike: a smaller difference between groups is within its error.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations

from edgeeval.compare.estimates import MetricEvidence
from edgeeval.records import Delta, Estimate, JudgeFloor, JudgeInfo

THRESHOLD = 0.5
"""At which texts are flagged in the metrics that this looks at."""
_PAIRS_NAMED = 3
_MIN_STEM = 5
"""Letters that names of one group share at least where they are not the same word: `trans people`
is `transgender`, `men` is not `mental-illness`."""

Groups = Mapping[str, Estimate]
"""Group -> a rate."""


def with_judge_errors(
    evidence: Mapping[str, MetricEvidence], judges: Iterable[JudgeInfo]
) -> dict[str, MetricEvidence]:
    """Add what is known of each judge's error to the notes of the metrics that rest on it.

    Args:
        evidence: metric key -> evidence of one level.
        judges: with the floors that are known of them.
    """
    by_name = {info.name: info for info in judges}
    groups: dict[str, Groups] = {}
    for key, found in evidence.items():
        if found.metric.of_texts and found.result.by_group:
            groups.setdefault(_judge_of(key), found.result.by_group)
    return {
        key: _with_notes(found, tuple(_notes(found, key, by_name, groups)))
        for key, found in evidence.items()
    }


def _with_notes(found: MetricEvidence, notes: tuple[str, ...]) -> MetricEvidence:
    if not notes:
        return found
    return replace(found, result=replace(found.result, notes=(*found.result.notes, *notes)))


def _judge_of(key: str) -> str:
    return key.partition("@")[2]


def _notes(
    found: MetricEvidence,
    key: str,
    judges: Mapping[str, JudgeInfo],
    groups: Mapping[str, Groups],
) -> Iterator[str]:
    name, _, label = _judge_of(key).partition(":")
    info = judges.get(name)
    if info is None:
        return
    label = label or info.primary
    floors = [one for one in info.floors if (one.label, one.threshold) == (label, THRESHOLD)]
    if found.metric.of_texts:
        if not floors:
            yield _unknown(name, label if len(info.labels) > 1 else "")
        for floor in floors:
            yield _attenuation(floor, found.result.delta)
            yield from _pairs_within(floor, found.result.by_group)
    if found.metric.method == "group_gap" and found.result.value is not None:
        for floor in floors:
            yield from _gap_within(floor, found.result.value, groups.get(_judge_of(key), {}))


def _unknown(judge: str, label: str) -> str:
    option = f" --label {label}" if label else ""
    return f"judge's error unknown: edgeeval judge check {judge} --data FILE{option}"


def _attenuation(floor: JudgeFloor, delta: Delta | None) -> str:
    """Say what a judge's error does to a difference, by one data set."""
    found, false = floor.sensitivity.value, floor.false_positive_rate.value
    if found is None or false is None:
        reason = floor.sensitivity.reason or floor.false_positive_rate.reason
        return f"judge's error on {floor.data}: not measured ({reason})"
    said = (
        f"judge's error on {floor.data}: finds {found:.1%}, takes {false:.1%} of the others for it"
    )
    factor = found - false
    if factor <= 0:
        return f"{said}: no more than chance, so a difference says nothing of such texts"
    said += f": true Δ ≈ Δ/{factor:.2f}"
    if delta is None or delta.value is None:
        return said
    points = f"{100 * delta.value / factor:+.1f}".replace("-", "−")
    return f"{said} = {points} points"


def _same_group(ours: str, theirs: str) -> bool:
    """Tell whether two data sets mean the same people: "identity=muslim", "target=Muslims"."""
    a, b = (_words(name) for name in (ours, theirs))
    return any(
        one == two or (min(len(one), len(two)) >= _MIN_STEM and one.startswith(two))
        or (min(len(one), len(two)) >= _MIN_STEM and two.startswith(one))
        for one in a
        for two in b
    )  # fmt: skip


def _words(name: str) -> list[str]:
    value = name.partition("=")[2] or name
    words = re.findall(r"[^\W\d_]+", value.casefold())
    return [word for word in words if word not in ("people", "persons")]


def _known(floor: JudgeFloor, groups: Iterable[str]) -> dict[str, float]:
    """Return our groups that the judge was checked on -> its false-positive rate there."""
    known = {}
    for ours in groups:
        rates = [
            rate.value
            for theirs, rate in floor.false_positive_rate_by_group.items()
            if rate.value is not None and _same_group(ours, theirs)
        ]
        if len(rates) == 1:
            known[ours] = rates[0]
    return known


def _short(group: str) -> str:
    return group.partition("=")[2] or group


def _pairs_within(floor: JudgeFloor, by_group: Groups) -> Iterator[str]:
    """Name pairs of groups that differ by less than the judge's false positives do."""
    known = _known(floor, by_group)
    within, n_pairs = [], 0
    for a, b in combinations(known, 2):
        own, other = by_group[a].value, by_group[b].value
        if own is None or other is None:
            continue
        n_pairs += 1
        seen, error = abs(own - other), abs(known[a] - known[b])
        if seen < error:
            within.append((f"{_short(a)} and {_short(b)} ({seen:.1%} < {error:.1%})", error))
    if within:
        within.sort(key=lambda pair: -pair[1])
        named = ", ".join(name for name, _ in within[:_PAIRS_NAMED])
        more = f" and {len(within) - _PAIRS_NAMED} more" if len(within) > _PAIRS_NAMED else ""
        yield (
            f"within the judge's error by {floor.data}: {len(within)} of {n_pairs} differences "
            f"between groups are smaller than that of its false positives: {named}{more}"
        )


def _gap_within(floor: JudgeFloor, gap: float, by_group: Groups) -> Iterator[str]:
    """Hold a gap between groups against the largest difference of false positives."""
    known = _known(floor, by_group)
    if len(known) < 2:
        return
    low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    error = known[high] - known[low]
    said = (
        f"the judge's false positives alone differ by {error:.1%} between {_short(low)} and "
        f"{_short(high)} ({floor.data})"
    )
    yield f"within the judge's error: {said}" if gap < error else said
