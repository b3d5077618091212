"""Decide from an evaluation whether a pipeline may go on.

The decision is made of verdicts that were reached before it, so nothing here can be tuned until it
passes. A level passes the gate when every case of it passes; what is inconclusive, not measured or
lost never does. What looks like a level and is none does not either: weights that are the
reference's, or a label that the file does not keep.

Against a baseline (an earlier results.json of the same reference, prompt sets, suite and seed) a
level must also be shown not to have become worse than the level of its name was there, by more than
the margin that it is allowed against the reference. Only margins are compared: a limit on the
level's own value (`max`, `min`) holds now as it did then. Items are not in a results document, so
there are three ways, the first that is possible:

    the same weights    nothing to test: the level is what it was
    paired by item      where the workspace still has the earlier level's runs (`paired_cases`):
                        the tests of the requirements, with the earlier level as the reference
    from both intervals [l − u', u − l'] of the two differences from the reference: whatever the
                        dependence between them, each of its ends misses at most 5 % of the time,
                        twice the 2.5 % of the 95 % intervals it is made of (`case_of_intervals`).
                        It is wide, and often inconclusive; that is what is known without items.
                        A stored interval has one width, so nothing is corrected for the number of
                        levels here.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from edgeeval.artifact.inspect import broken_promise
from edgeeval.compare.estimates import MetricEvidence
from edgeeval.compare.verdicts import judge_levels
from edgeeval.errors import (
    EXIT_GATE_FAILED,
    EXIT_INCOMPLETE,
    InputError,
    did_you_mean,
)
from edgeeval.records import (
    Artifact,
    Direction,
    Gate,
    GateCase,
    GateOutcome,
    LevelResult,
    MetricResult,
    PromptSetInfo,
    Requirement,
    Results,
    Verdict,
    requirement_cases,
)

_EXIT_CODES: dict[GateOutcome, int] = {
    "passed": 0,
    "failed": EXIT_GATE_FAILED,
    "inconclusive": EXIT_INCOMPLETE,
    "not measured": EXIT_INCOMPLETE,
    "lost": EXIT_INCOMPLETE,
}
_WORST_FIRST: tuple[tuple[str, GateOutcome], ...] = (
    ("fail", "failed"),
    ("lost", "lost"),
    ("not measured", "not measured"),
    ("inconclusive", "inconclusive"),
)
_N_NAMED = 3
"""Cases that a reason names; the others are in the reports."""


def decide(
    results: Results,
    level: str | None,
    *,
    baseline: Sequence[GateCase] = (),
    baseline_name: str = "",
    fail_on: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Gate:
    """Decide from verdicts.

    Args:
        results: what was measured and judged.
        level: the level to judge; None: one passing level is enough.
        baseline: cases against an earlier evaluation.
        baseline_name: which it was.
        fail_on: outcomes that count as failed (`inconclusive`).
        notes: what a reader must know beside the outcome.

    Raises:
        InputError: there is no such level.
    """
    judged = results.levels if level is None else (_judged_level(results, level),)
    cases = {one.name: _cases(results, one, baseline) for one in results.levels}
    outcomes = {one.name: _outcome(cases[one.name], fail_on) for one in judged}
    outcome, deciding = _overall(outcomes, by_name=level is not None)
    if level is not None and judged[0].name != level:
        notes = (*notes, f"{level} is judged as {judged[0].name}: the same weights")
    return Gate(
        level=level,
        outcome=outcome,
        exit_code=_EXIT_CODES[outcome],
        reason=_reason(level, outcome, deciding, cases),
        cases=tuple(
            GateCase(**{**case.__dict__, "decides": case.level in deciding})
            for one in results.levels
            for case in cases[one.name]
        ),
        baseline=baseline_name,
        fail_on=tuple(fail_on),
        notes=tuple(notes),
    )


def _judged_level(results: Results, name: str) -> LevelResult:
    """Return the level to judge; of one that was not measured twice, its twin."""
    by_name = {level.name: level for level in results.levels}
    if name not in by_name:
        raise InputError(f"--level {name}: not in the results{did_you_mean(name, by_name)}")
    level = by_name[name]
    if level.status != "same" or level.artifact is None:
        return level
    return next(
        (
            twin
            for twin in results.levels
            if twin.status == "measured"
            and twin.artifact is not None
            and twin.artifact.weights_sha256 == level.artifact.weights_sha256
        ),
        level,
    )


def _cases(
    results: Results, level: LevelResult, baseline: Sequence[GateCase]
) -> tuple[GateCase, ...]:
    cases = (*requirement_cases(level), *(case for case in baseline if case.level == level.name))
    if level.status == "measured" and (doubt := suspicion(level, results.reference)):
        cases = (GateCase(level.name, "", "level", "not measured", doubt), *cases)
    if results.trial:
        cases = (GateCase(level.name, "", "level", "not measured", results.trial), *cases)
    return cases


def suspicion(level: LevelResult, reference: LevelResult) -> str:
    """Say why a level cannot be what it is called, or nothing.

    A reference that was copied over a level, or never quantized, passes every requirement.
    """
    if level.artifact is None:
        return ""
    base = reference.artifact
    if base is not None and level.artifact.weights_sha256 == base.weights_sha256:
        return "its weights are the reference's: nothing was quantized, so nothing was compared"
    if broken := broken_promise(level.name, level.artifact):
        return broken
    kld = level.metrics.get("lm.kld_max")
    if kld is not None and kld.value == 0 and kld.n:
        return "no log-probability differs from the reference's, though the weights do"
    return ""


def _outcome(cases: Sequence[GateCase], fail_on: Sequence[str]) -> GateOutcome:
    verdicts = {case.verdict for case in cases}
    for verdict, outcome in _WORST_FIRST:
        if verdict in verdicts:
            return "failed" if outcome in fail_on else outcome
    return "passed" if cases else "not measured"


def _overall(
    outcomes: dict[str, GateOutcome], *, by_name: bool
) -> tuple[GateOutcome, tuple[str, ...]]:
    """Return the outcome, and the levels that it rests on."""
    names = tuple(outcomes)
    if not names:
        return "not measured", ()
    if by_name:
        return outcomes[names[0]], names
    passing = tuple(name for name in names if outcomes[name] == "passed")
    if passing:
        return "passed", passing
    for undecided in ("inconclusive", "not measured", "lost"):  # one of them may be good enough
        if undecided in outcomes.values():
            return undecided, names
    return "failed", names


def _reason(
    level: str | None,
    outcome: GateOutcome,
    deciding: Sequence[str],
    cases: dict[str, tuple[GateCase, ...]],
) -> str:
    if outcome == "passed":
        n_cases = sum(len(cases[one]) for one in deciding)
        return f"{', '.join(deciding)}: every case passed ({n_cases})"
    parts = []
    for name in deciding:
        open_cases = [case for case in cases[name] if case.verdict != "pass"]
        shown = [f"{case.verdict}: {_what(case)} ({case.reason})" for case in open_cases[:_N_NAMED]]
        if len(open_cases) > _N_NAMED:
            shown.append(f"and {len(open_cases) - _N_NAMED} more")
        parts.append(f"{name}: {'; '.join(shown)}")
    start = "" if level is not None else "no level passes; "
    return start + " | ".join(parts) if parts else "there is no level to judge"


def _what(case: GateCase) -> str:
    what = case.key or "the level"
    return f"{what} against the baseline" if case.kind == "baseline" else what


# --- against a baseline ---------------------------------------------------------------------------


class Question(NamedTuple):
    """What levels were asked, and what they were held against."""

    suite: str
    seed: int
    reference: Artifact | None
    prompt_sets: Sequence[PromptSetInfo] | None
    """None, like the reference, while it is not known yet."""


def question_of(results: Results) -> Question:
    """Return what the levels of an evaluation were asked."""
    return Question(results.suite, results.seed, results.reference.artifact, results.prompt_sets)


def mismatches(ours: Question, theirs: Question) -> list[str]:
    """Say what makes a baseline's differences from its reference incomparable with ours."""
    found = [
        f"its {what} is {other}, here it is {own}"
        for what, own, other in (
            ("suite", ours.suite, theirs.suite),
            ("seed", ours.seed, theirs.seed),
        )
        if own != other
    ]
    if ours.reference is not None and (
        theirs.reference is None or theirs.reference.weights_sha256 != ours.reference.weights_sha256
    ):
        found.append(
            f"its levels were compared with another reference ({_file(theirs.reference)}, here "
            f"{_file(ours.reference)})"
        )
    if ours.prompt_sets is not None:
        own, other = _sizes(ours.prompt_sets), _sizes(theirs.prompt_sets or ())
        if differing := sorted(k for k in own.keys() | other if own.get(k) != other.get(k)):
            found.append(f"it asked other prompts, or another number ({', '.join(differing)})")
    return found


def _sizes(prompt_sets: Sequence[PromptSetInfo]) -> dict[str, tuple[str, int, int]]:
    return {one.id: (one.sha256, one.n_items, one.n_tokens) for one in prompt_sets}


def _file(artifact: Artifact | None) -> str:
    return f"{artifact.name} {artifact.sha256[:12]}" if artifact else "an unknown file"


def engine_changes(results: Results, baseline: Results) -> list[str]:
    """Say what of the engine differs: rounding does too then, and equal files differ a little."""
    ours, theirs = results.environment, baseline.environment
    names = ("engine", "engine_libraries_sha256", "engine_features", "device", "n_threads")
    changed = [name for name in names if getattr(ours, name) != getattr(theirs, name)]
    return [name.removeprefix("engine_").replace("_", " ") for name in changed]


def compared_metrics(level: LevelResult) -> list[tuple[MetricResult, Requirement]]:
    """Return the metrics of a level that a baseline is asked about: those with a margin."""
    return [
        (metric, metric.requirement)
        for metric in level.metrics.values()
        if metric.requirement is not None and metric.requirement.kind == "margin"
    ]


def unchanged_cases(level: LevelResult, earlier: LevelResult) -> list[GateCase] | None:
    """Return the cases of a level with the weights that it had then; None if it has others."""
    ours, theirs = level.artifact, earlier.artifact
    if ours is None or theirs is None or ours.weights_sha256 != theirs.weights_sha256:
        return None
    reason = "the same weights as in the baseline"
    return [
        GateCase(level.name, metric.key, "baseline", "pass", reason)
        for metric, _ in compared_metrics(level)
    ]


def paired_cases(
    levels: Mapping[str, Mapping[str, MetricEvidence]], requirements: Sequence[Requirement]
) -> list[GateCase]:
    """Test levels against the earlier ones item by item.

    Args:
        levels: level name -> evidence whose reference is the earlier level of that name.
        requirements: of which the margins count.
    """
    margins = [one for one in requirements if one.kind == "margin"]
    return [
        GateCase(
            name,
            metric.key,
            "baseline",
            metric.verdict or "not measured",
            f"{metric.reason} (paired by item with the baseline)",
        )
        for name, judged in judge_levels(levels, margins).items()
        for metric in judged.metrics.values()
        if metric.requirement is not None
    ]


def case_of_intervals(
    level: str, requirement: Requirement, metric: MetricResult, earlier: MetricResult | None
) -> GateCase:
    """Test a level against the earlier one from their differences from the one reference."""
    ours, theirs = metric.delta, earlier.delta if earlier else None
    values = [edge for one in (ours, theirs) if one for edge in (one.value, one.lower, one.upper)]
    if ours is None or theirs is None or any(edge is None for edge in values):
        reason = "one of the two has no interval"
        return GateCase(level, metric.key, "baseline", "not measured", reason)
    (value, lower, upper), (then, then_lower, then_upper) = _edges(values[:3]), _edges(values[3:])
    return _case(
        level,
        metric.key,
        requirement.limit,
        metric.direction,
        value - then,
        (lower - then_upper, upper - then_lower),
        "from both intervals, items not being here",
    )


def _edges(edges: Iterable[float | None]) -> list[float]:
    return [math.nan if edge is None else edge for edge in edges]


def _case(
    level: str,
    key: str,
    margin: float,
    direction: Direction,
    value: float,
    bounds: tuple[float | None, float | None],
    how: str,
) -> GateCase:
    """Judge a difference from the baseline by its bounds."""
    lower, upper = _edges(bounds)
    verdict: Verdict = "inconclusive"
    too_low = direction in ("higher", "zero")
    too_high = direction in ("lower", "zero")
    if (not too_low or lower > -margin) and (not too_high or upper < margin):
        verdict = "pass"
    elif (too_low and upper < -margin) or (too_high and lower > margin):
        verdict = "fail"
    reason = f"changed by {value:+.4g} [{lower:.4g}, {upper:.4g}], margin {margin:g} ({how})"
    return GateCase(level, key, "baseline", verdict, reason)
