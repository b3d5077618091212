"""Say what a reader of an evaluation gets to see, as plain texts.

The terminal, Markdown and HTML show the same answer, the same summary and the same reasons; they
differ in how they draw them. So what is shown is decided here, once, and nothing here knows markup.
Texts may come from strangers' files: whoever draws them cleans them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edgeeval.records import Delta, GateCase, LevelResult, MetricResult, Results
from edgeeval.report import format as fmt

STAR = "★"
LOST = "lost"
SAME = "same"
"""Of a level that computes what another one computes."""
NO_VERDICT = "no verdict"
REFERENCE = "reference"

VERDICT_MARKS = {
    "pass": "✓",
    "fail": "✗",
    "inconclusive": "?",
    "not measured": "○",
    LOST: "†",
    SAME: "≡",
    NO_VERDICT: "·",
    REFERENCE: "=",
}
"""Verdict -> a mark beside its word: colour alone says nothing to many readers."""

LOG_RATIO_IDS = frozenset({"lm.ppl_ratio"})
"""Metrics whose difference and limit are natural logarithms, while the value is a plain ratio."""


class KeyParts(NamedTuple):
    """A metric key taken apart."""

    id: str
    set: str
    judge: str
    """`judge` or `judge:label`."""


def split_key(key: str) -> KeyParts:
    """Take `id[/set][@judge[:label]]` apart."""
    name, _, judge = key.partition("@")
    metric, _, prompt_set = name.partition("/")
    return KeyParts(metric, prompt_set, judge)


def judged_title(metric: MetricResult) -> str:
    """Return a metric's title with the judge who made its numbers."""
    judge = split_key(metric.key).judge
    return f"{metric.title} ({judge})" if judge else metric.title


def all_levels(results: Results) -> tuple[LevelResult, ...]:
    """Return the reference and the levels, in the order of every table."""
    return (results.reference, *results.levels)


def level_verdict(results: Results, level: LevelResult) -> str:
    """Return the word that a level's verdict column shows."""
    if level.status == "lost":
        return LOST
    if level.status == "same":
        return SAME
    if level is results.reference:
        return REFERENCE
    return level.verdict or NO_VERDICT


def delta_unit(metric: MetricResult) -> str:
    """Return the unit of a metric's difference, which is not always the metric's own."""
    if split_key(metric.key).id in LOG_RATIO_IDS:
        return fmt.LOG_RATIO
    return fmt.POINTS if metric.unit == "share" else metric.unit


def metrics_by_key(levels: Iterable[LevelResult]) -> dict[str, list[MetricResult]]:
    """Return every metric that a level has, in order of first sight."""
    metrics: dict[str, list[MetricResult]] = {}
    for level in levels:
        for key, metric in level.metrics.items():
            metrics.setdefault(key, []).append(metric)
    return metrics


def value_text(metric: MetricResult) -> str:
    """Return a metric's value without its interval."""
    own = metric.estimate
    return fmt.quantity(own.value, metric.unit, own.lower, own.upper)


def estimate_text(metric: MetricResult) -> str:
    """Return a metric's value with its interval."""
    return fmt.estimate(metric.estimate, metric.unit)


def change_text(delta: Delta | None, unit: str) -> str:
    """Return a signed difference without its interval."""
    if delta is None:
        return fmt.MISSING
    return fmt.quantity(delta.value, unit, delta.lower, delta.upper, signed=True)


# --- the answer -----------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What the person asked for."""

    level: LevelResult | None
    """The level to ship, or None."""
    size: str
    share: str
    """Of the reference's size. Empty, like `size`, where a file is unknown."""
    headline: str
    reason: str
    not_covered: str
    """What the answer says nothing about; may be empty."""
    is_open: bool
    """Whether no level passes and not every level fails: more items may decide."""


def answer(results: Results) -> Answer:
    """Word the recommendation."""
    given = results.recommendation
    level = next((one for one in results.levels if one.name == given.level), None)
    size, share = ("", "") if level is None else _sizes(results, level)
    ship = "Passes in this trial:" if results.trial else "Ship"
    headline = f"{ship} {given.level}" if given.level else "No level can be recommended"
    if size:
        headline += f" ({size})"
    parts = []
    if given.not_required:
        parts.append(f"Measured, but without a say: {', '.join(given.not_required)}.")
    if given.not_measured:
        parts.append(f"Not measured: {', '.join(given.not_measured)}.")
    reason = fmt.sentence(given.reason)
    is_open = not given.level and any(one.verdict != "fail" for one in results.levels)
    return Answer(level, size, share, headline, reason, " ".join(parts), is_open)


def _sizes(results: Results, level: LevelResult) -> tuple[str, str]:
    """Return "105.5 MB" and "39 % of BF16's 269.0 MB"."""
    if level.artifact is None:
        return "", ""
    size = fmt.quantity(level.artifact.size_bytes, "bytes")
    base = results.reference.artifact
    if base is None or not base.size_bytes:
        return size, ""
    share = 100 * level.artifact.size_bytes / base.size_bytes
    whole = fmt.quantity(base.size_bytes, "bytes")
    return size, f"{share:.0f} % of {results.reference.name}'s {whole}"


_N_REASONS = 2
"""Requirements that are named for a level that does not pass; the others are in the reports."""


class Obstacle(NamedTuple):
    """Why a level did not pass."""

    level: str
    verdict: str
    why: str


def obstacles(results: Results) -> list[Obstacle]:
    """Return the levels that fail, are inconclusive, not measured or lost, each with its reason."""
    found = []
    for level in all_levels(results):
        verdict = level_verdict(results, level)
        if verdict in ("fail", "inconclusive", "not measured", LOST, SAME):
            found.append(Obstacle(level.name, verdict, _why(level, verdict)))
    return found


def _why(level: LevelResult, verdict: str) -> str:
    """Return the numbers behind a verdict where there are some, else the reason as given."""
    decisive = [
        metric
        for metric in level.metrics.values()
        if metric.requirement is not None and metric.verdict == verdict
    ]
    found = [
        f"{judged_title(metric)}: {metric.reason}"
        if verdict == "not measured"
        else f"{judged_title(metric)}: {measured_text(metric)}, limit {limit_text(metric)}"
        for metric in decisive[:_N_REASONS]
    ]
    if len(decisive) > _N_REASONS:
        found.append(f"and {len(decisive) - _N_REASONS} more")
    return "; ".join(found) or level.reason.removeprefix(f"{verdict}: ") or "no reason is recorded"


def dominated(results: Results) -> str:
    """Say which levels are larger and no better than another, as a sentence; may be empty."""
    found = [f"{one.name} than {one.dominated_by}" for one in results.levels if one.dominated_by]
    return fmt.sentence(f"Larger and no better (mean KLD): {', '.join(found)}") if found else ""


# --- the gate -------------------------------------------------------------------------------------


class GateText(NamedTuple):
    """What a pipeline did with the evaluation, and why."""

    headline: str
    reason: str
    cases: Sequence[tuple[str, str, str, str]]
    """Level, what was asked, verdict, reason: those that are not among the requirements."""
    notes: tuple[str, ...]


def gate_text(results: Results) -> GateText | None:
    """Word the gate's decision; None where nobody asked for one."""
    gate = results.gate
    if gate is None:
        return None
    judged = gate.level or "any level"
    cases = [
        (case.level, case_title(case), case.verdict, case.reason)
        for case in gate.cases
        if case.kind != "requirement"
    ]
    headline = f"Gate on {judged}: {gate.outcome} (exit code {gate.exit_code})"
    return GateText(headline, fmt.sentence(gate.reason), cases, gate.notes)


def case_title(case: GateCase) -> str:
    """Return what a case asks of its level, in words."""
    what = case.key or "the level as a whole"
    return f"{what} against the baseline" if case.kind == "baseline" else what


# --- requirements ---------------------------------------------------------------------------------


class RequirementRow(NamedTuple):
    """One requirement of one level."""

    level: str
    title: str
    key: str
    measured: str
    limit: str
    verdict: str
    reason: str
    evidence: str
    """p for pass / p for fail."""
    source: str


def measured_text(metric: MetricResult) -> str:
    """Return the number that a metric's requirement looks at, with its interval."""
    if metric.requirement is not None and metric.requirement.kind == "margin":
        unit = delta_unit(metric)
        text = fmt.delta(metric.delta, unit)
        if text == fmt.MISSING or unit not in (fmt.LOG_RATIO, fmt.POINTS):
            return text
        return f"ln {text}" if unit == fmt.LOG_RATIO else f"{text} points"
    return estimate_text(metric)


def limit_text(metric: MetricResult) -> str:
    """Return what a metric must keep, as an inequality."""
    required = metric.requirement
    if required is None:
        return fmt.MISSING
    if required.kind != "margin":
        sign = "≤" if required.kind == "max" else "≥"
        unit = "" if metric.unit in ("share", "bytes", "ratio") else f" {metric.unit}".rstrip()
        return f"{sign} {fmt.exact(required.limit, metric.unit)}{unit}"
    unit = delta_unit(metric)
    limit = fmt.exact(required.limit, unit)
    words = {fmt.POINTS: " points", fmt.LOG_RATIO: ""}.get(unit, f" {unit}".rstrip())
    name = "ln" if unit == fmt.LOG_RATIO else "Δ"
    match metric.direction:
        case "higher":
            return f"{name} ≥ {fmt.MINUS}{limit}{words}"
        case "zero":
            return f"|{name}| ≤ {limit}{words}"
    return f"{name} ≤ +{limit}{words}"


def requirement_rows(results: Results) -> list[RequirementRow]:
    """Return every requirement of every level, in order."""
    return [
        RequirementRow(
            level=level.name,
            title=metric.title,
            key=metric.key,
            measured=measured_text(metric),
            limit=limit_text(metric),
            verdict=metric.verdict or NO_VERDICT,
            reason=metric.reason,
            evidence=_evidence(metric),
            source=metric.requirement.source,
        )
        for level in results.levels
        for metric in level.metrics.values()
        if metric.requirement is not None
    ]


def _evidence(metric: MetricResult) -> str:
    if metric.p_pass is None:
        return fmt.MISSING
    return f"{fmt.p_value(metric.p_pass)} / {fmt.p_value(metric.p_fail)}"
