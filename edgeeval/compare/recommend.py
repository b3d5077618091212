"""Name the level to ship: the smallest one that passes, and what the answer does not cover."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from edgeeval.compare.verdicts import metric_id
from edgeeval.records import LevelResult, Recommendation, Requirement

_DISTANCE = "lm.kld_mean"


def mark_pareto(levels: Sequence[LevelResult]) -> tuple[LevelResult, ...]:
    """Mark the levels that no other measured level beats in both size and mean KLD.

    A level that is beaten names the one that beats it, of several the closest to the reference.
    """

    def place(level: LevelResult) -> tuple[float, int] | None:
        metric = level.metrics.get(_DISTANCE)
        if level.artifact is None or metric is None or metric.estimate.value is None:
            return None
        return metric.estimate.value, level.artifact.size_bytes

    places = {level.name: found for level in levels if (found := place(level)) is not None}

    def marked(level: LevelResult) -> LevelResult:
        own = places.get(level.name)
        if own is None:
            return replace(level, is_pareto=False)
        better = {
            name: other
            for name, other in places.items()
            if other != own and other[0] <= own[0] and other[1] <= own[1]
        }
        nearest = min(better, key=better.__getitem__, default="")
        return replace(level, is_pareto=not better, dominated_by=nearest)

    return tuple(map(marked, levels))


def recommend(
    reference: LevelResult,
    levels: Sequence[LevelResult],
    requirements: Sequence[Requirement],
    unavailable: Iterable[str],
) -> Recommendation:
    """Recommend from verdicts alone.

    Args:
        reference: for the share of its size that is saved.
        levels: judged levels.
        requirements: what was required.
        unavailable: metrics that the policy names and that were not measured.
    """
    required = {metric_id(requirement.metric) for requirement in requirements}
    measured = {metric_id(key) for level in levels for key in level.metrics}
    not_required = sorted(
        {key.split(".")[0] for key in measured} - {key.split(".")[0] for key in required}
    )
    not_measured = tuple(sorted(set(unavailable)))
    others = [one for one in requirements if not one.source.startswith("policy ")]
    limits = ", ".join(f"{one.metric} {one.kind} {one.limit:g} ({one.source})" for one in others)
    own_limits = f" Limits in place of the policy's own: {limits}." if limits else ""
    passing = [level for level in levels if level.verdict == "pass" and level.artifact]
    if not passing:
        reason = _why_none(levels, requirements) + own_limits
        return Recommendation(None, reason, tuple(not_required), not_measured)
    best = min(passing, key=lambda level: level.artifact.size_bytes if level.artifact else 0)
    assert best.artifact is not None and reference.artifact is not None  # measured levels have one
    share = best.artifact.size_bytes / reference.artifact.size_bytes
    reason = (
        f"{best.name} is the smallest level that keeps every requirement "
        f"({', '.join(sorted(required))}): {best.artifact.size_bytes / 1e6:.0f} MB, "
        f"{share:.0%} of the reference's size."
    )
    return Recommendation(best.name, reason + own_limits, tuple(not_required), not_measured)


def _why_none(levels: Sequence[LevelResult], requirements: Sequence[Requirement]) -> str:
    if not requirements:
        return "Nothing is required, so nothing can be recommended."
    whys = "; ".join(f"{level.name}: {level.reason}" for level in levels if level.status != "same")
    return f"No level passes. {whys}."
