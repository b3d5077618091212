"""Name the level to ship: the smallest one that passes, and what the answer does not cover."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from edgeeval.compare.verdicts import metric_id
from edgeeval.records import LevelResult, Recommendation, Requirement

_DISTANCE = "lm.kld_mean"


def mark_pareto(levels: Sequence[LevelResult]) -> tuple[LevelResult, ...]:
    """Mark the levels that no other measured level beats in both size and mean KLD."""

    def place(level: LevelResult) -> tuple[int, float] | None:
        metric = level.metrics.get(_DISTANCE)
        if level.artifact is None or metric is None or metric.estimate.value is None:
            return None
        return level.artifact.size_bytes, metric.estimate.value

    places = [place(level) for level in levels]

    def is_beaten(own: tuple[int, float]) -> bool:
        return any(
            other is not None and other != own and other[0] <= own[0] and other[1] <= own[1]
            for other in places
        )

    return tuple(
        replace(level, is_pareto=own is not None and not is_beaten(own))
        for level, own in zip(levels, places, strict=True)
    )


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
    passing = [level for level in levels if level.verdict == "pass" and level.artifact]
    if not passing:
        reason = _why_none(levels, requirements)
        return Recommendation(None, reason, tuple(not_required), not_measured)
    best = min(passing, key=lambda level: level.artifact.size_bytes if level.artifact else 0)
    assert best.artifact is not None and reference.artifact is not None  # measured levels have one
    share = best.artifact.size_bytes / reference.artifact.size_bytes
    others = [one for one in requirements if not one.source.startswith("policy ")]
    limits = ", ".join(f"{one.metric} {one.kind} {one.limit:g} ({one.source})" for one in others)
    reason = (
        f"{best.name} is the smallest level that keeps every requirement "
        f"({', '.join(sorted(required))}): {best.artifact.size_bytes / 1e6:.0f} MB, "
        f"{share:.0%} of the reference's size."
    ) + (f" Not the policy's own: {limits}." if limits else "")
    return Recommendation(best.name, reason, tuple(not_required), not_measured)


def _why_none(levels: Sequence[LevelResult], requirements: Sequence[Requirement]) -> str:
    if not requirements:
        return "Nothing is required, so nothing can be recommended."
    whys = "; ".join(f"{level.name}: {level.reason}" for level in levels if level.status != "same")
    return f"No level passes. {whys}."
