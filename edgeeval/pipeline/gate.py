"""The flow of `edgeeval gate`: refuse what cannot pass, measure, judge, compare with a baseline.

What is refused costs nothing but the plan of the tokens: a gate that can only be inconclusive would
cost its pipeline an hour a day and decide nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeeval.compare import collect
from edgeeval.compare.estimates import MetricEvidence
from edgeeval.compare.gate import (
    Question,
    case_of_intervals,
    compared_metrics,
    decide,
    engine_changes,
    mismatches,
    paired_cases,
    question_of,
    unchanged_cases,
)
from edgeeval.errors import GateRefused, InputError, did_you_mean
from edgeeval.pipeline import results_of
from edgeeval.pipeline.bundle import foreign_of
from edgeeval.pipeline.conclude import prompt_set_infos, scorer_for
from edgeeval.pipeline.judging import judge_texts, texts_to_judge, with_judges
from edgeeval.pipeline.ladder import Ladder
from edgeeval.pipeline.measure import Finished, Measurement, measurer_for
from edgeeval.pipeline.request import Chosen, Request, choose
from edgeeval.pipeline.sample import power_of, samples_of, too_small, unmeasurable
from edgeeval.records import Artifact, GateCase, LevelResult, Results
from edgeeval.run.device import find_engine
from edgeeval.run.schedule import Measurer, Progress
from edgeeval.scores.measured import Measured, read_measured
from edgeeval.store import Workspace


@dataclass(frozen=True)
class GateOptions:
    """How a gate decides."""

    level: str | None = None
    """The level to judge; None: the recipe's `ship`, or any that passes."""
    baseline: Results | None = None
    baseline_name: str = ""
    """Where it was read from."""
    fail_on: tuple[str, ...] = ()


def gate(
    request: Request,
    workspace: Workspace,
    options: GateOptions,
    progress: Progress = lambda line: None,
    warn: Progress = lambda line: None,
) -> Results:
    """Measure what is to be judged, and decide; the decision is `Results.gate`.

    Args:
        request: what to evaluate. Where one level is judged, only that one is measured, unless the
            request names levels itself: others would cost time, and a correction for their number.
        workspace: where everything is kept.
        options: how to decide.
        progress: called with lines of talk.
        warn: called with what a person should know before the wait.

    Raises:
        GateRefused: even a level that changes nothing could not pass; nothing was run.
        InputError: the request cannot be carried out, or the baseline is of another question.
        ReferenceFailed: the reference could not be measured.
        WorkspaceBusy: another process works in this workspace.
    """
    level = options.level or request.recipe.ship
    request = only_what_is_judged(request, level)
    if request.recipe.model.bundle is None:
        _require_requirements(choose(request))
    with workspace.locked():
        if request.fresh:
            workspace.forget_runs()
        chosen = with_judges(request, choose(request, foreign_of(request, workspace)), workspace)
        _require_requirements(chosen)
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        measurer = measurer_for(request, chosen, workspace, engine, progress)
        ladder = Ladder(request, workspace, engine, progress, chosen.foreign)
        warnings = _look_ahead(request, chosen, measurer, ladder, level, options)
        for one in warnings:
            warn(one)
        finished = Measurement(request, ladder, measurer, progress).run()
        results = results_of(request, chosen, measurer, finished, progress)
        cases, notes = [], [*warnings]
        if options.baseline is not None:
            _require_same_question(question_of(results), options)
            comparison = _Comparison(request, chosen, measurer, finished, results, options.baseline)
            cases = comparison.cases()
            notes += comparison.notes
    return decided(results, replace(options, level=level), cases, notes)


def decided(
    results: Results,
    options: GateOptions,
    cases: Sequence[GateCase] = (),
    notes: Sequence[str] = (),
) -> Results:
    """Return results with the gate's decision in them."""
    decision = decide(
        results,
        options.level,
        baseline=cases,
        baseline_name=options.baseline_name,
        fail_on=options.fail_on,
        notes=notes,
    )
    return replace(results, gate=decision)


def gate_stored(results: Results, options: GateOptions) -> Results:
    """Decide about results that were measured and judged before; nothing is run.

    Raises:
        InputError: nothing was required of them, there is no such level, or the baseline is of
            another question.
    """
    levels = [level for level in results.levels if level.status == "measured"]
    if levels and not any(m.requirement for level in levels for m in level.metrics.values()):
        raise InputError("nothing was required in these results, so there is nothing to judge")
    cases: list[GateCase] = []
    notes: list[str] = []
    if options.baseline is not None:
        _require_same_question(question_of(results), options)
        notes = _engine_notes(results, options.baseline)
        for level, earlier in _same_names(results, options.baseline):
            unchanged = unchanged_cases(level, earlier)
            cases += _of_intervals(level, earlier) if unchanged is None else unchanged
        cases += _not_in_baseline(results, options.baseline)
    return decided(results, options, cases, notes)


# --- before anything runs -------------------------------------------------------------------------


def only_what_is_judged(request: Request, level: str | None) -> Request:
    """Return a request for the judged level alone, unless it names levels itself.

    Raises:
        InputError: there is no such level, or the request leaves it out.
    """
    if level is None:
        return request
    labels = [one.label for one in request.recipe.levels]
    if request.levels and level in labels and level not in request.levels:
        raise InputError(f"--level {level}: --levels leaves it out")
    if level in labels:
        return request if request.levels else replace(request, levels=(level,))
    if any(one.file is not None for one in request.recipe.levels):
        return request  # a pattern may stand for several files; their names are known later
    raise InputError(f"--level {level}: not in the recipe{did_you_mean(level, labels)}")


def _require_requirements(chosen: Chosen) -> None:
    if not chosen.required:
        raise InputError(
            "nothing is required here, so the gate would judge nothing: give --policy, or the "
            "recipe `require:`"
        )


def _require_same_question(ours: Question, options: GateOptions) -> None:
    if options.baseline is None:
        return
    if found := mismatches(ours, question_of(options.baseline)):
        raise InputError(
            f"--baseline {options.baseline_name}: not comparable: {'; '.join(found)}; make a new "
            "baseline of this evaluation"
        )


def _look_ahead(
    request: Request,
    chosen: Chosen,
    measurer: Measurer,
    ladder: Ladder,
    level: str | None,
    options: GateOptions,
) -> list[str]:
    """Refuse what cannot pass; return what may well not.

    Raises:
        GateRefused: see `gate`.
        InputError: the baseline is of another question, or there is no such level.
    """
    names = [rung.name for rung in ladder.rungs]
    if level is not None and level not in names:
        raise InputError(f"--level {level}: no such level{did_you_mean(level, names)}")
    _require_same_question(Question(chosen.suite.name, request.seed, None, None), options)
    plans = measurer.plans(_plannable(ladder, measurer))
    known = ladder.reference.known()
    sets = prompt_set_infos(chosen.sets, plans)
    seed = measurer.settings.seed
    _require_same_question(Question(chosen.suite.name, seed, known, sets), options)
    samples = samples_of(chosen, plans)
    if found := [*unmeasurable(request, chosen, samples), *too_small(samples, len(names))]:
        raise GateRefused(f"the gate cannot pass, so nothing was run: {'; '.join(found)}")
    return [
        f"{one.level}: {one.metric} {one.kind} {one.limit:g} is passed with less than 80 % "
        f"probability by a level that changes as much as usual (δ80 {one.delta80:.3g} with "
        f"{one.n:,} items, after {one.basis}): expect inconclusive"
        for one in power_of(request, measurer.workspace, samples, names)
        if one.is_enough is False and level in (None, one.level)
    ]


def _plannable(ladder: Ladder, measurer: Measurer) -> Artifact:
    """Return an artifact whose tokenizer plans the tokens: the reference, or what it is made of.

    A checkpoint is converted for it.
    """
    known = ladder.reference.known()
    if known is not None and measurer.has_plans(known):
        return known
    return ladder.reference.make()


# --- against a baseline ---------------------------------------------------------------------------


def _same_names(results: Results, baseline: Results) -> Iterator[tuple[LevelResult, LevelResult]]:
    """Yield the levels that were measured both times."""
    earlier = {one.name: one for one in baseline.levels if one.status == "measured"}
    for level in results.levels:
        if level.status == "measured" and level.name in earlier:
            yield level, earlier[level.name]


def _not_in_baseline(results: Results, baseline: Results) -> list[GateCase]:
    """Return the cases of levels that the baseline has not: a new name must not pass for none."""
    compared = {level.name for level, _ in _same_names(results, baseline)}
    reason = "the baseline did not measure a level of this name"
    return [
        GateCase(level.name, "", "baseline", "not measured", reason)
        for level in results.levels
        if level.status == "measured" and level.name not in compared
    ]


def _engine_notes(results: Results, baseline: Results) -> list[str]:
    changed = engine_changes(results, baseline)
    if not changed:
        return []
    return [
        f"the baseline was measured with another {', '.join(changed)}: rounding differs, so that "
        "even equal files differ a little"
    ]


def _of_intervals(level: LevelResult, earlier: LevelResult) -> list[GateCase]:
    return [
        case_of_intervals(level.name, requirement, metric, earlier.metrics.get(metric.key))
        for metric, requirement in compared_metrics(level)
    ]


class _Comparison:
    """Levels against those of the same names in a baseline."""

    def __init__(
        self,
        request: Request,
        chosen: Chosen,
        measurer: Measurer,
        finished: Finished,
        results: Results,
        baseline: Results,
    ) -> None:
        self._request, self._chosen, self._measurer = request, chosen, measurer
        self._finished, self._results, self._baseline = finished, results, baseline
        self.notes = _engine_notes(results, baseline)

    def cases(self) -> list[GateCase]:
        """Return the cases, each by the best of the three ways that is possible."""
        found: dict[str, list[GateCase]] = {}
        pairs: dict[str, tuple[Artifact, Artifact]] = {}
        for level, earlier in _same_names(self._results, self._baseline):
            unchanged = unchanged_cases(level, earlier)
            if unchanged is not None:
                found[level.name] = unchanged
            elif level.artifact and earlier.artifact and self._is_here(earlier.artifact):
                pairs[level.name] = (level.artifact, earlier.artifact)
            else:
                found[level.name] = _of_intervals(level, earlier)
        for case in paired_cases(self._evidence(pairs), self._chosen.required) if pairs else ():
            found.setdefault(case.level, []).append(case)
        compared = [case for cases in found.values() for case in cases]
        return compared + _not_in_baseline(self._results, self._baseline)

    def _is_here(self, artifact: Artifact) -> bool:
        """Tell whether the workspace still has all runs of a level of the baseline."""
        return not self._measurer.lacks(artifact, self._finished.reference, self._finished.plans)

    def _evidence(
        self, pairs: Mapping[str, tuple[Artifact, Artifact]]
    ) -> dict[str, dict[str, MetricEvidence]]:
        base = self._finished.reference

        def read(artifact: Artifact) -> Measured:
            return read_measured(self._measurer, artifact, base, self._finished.plans)

        reference = read(base)
        both = {name: (read(new), read(old)) for name, (new, old) in pairs.items()}
        everything = [reference, *(one for pair in both.values() for one in pair)]
        texts = texts_to_judge(self._chosen, everything)
        judged = judge_texts(self._chosen, self._measurer.workspace, texts).judged
        tables = scorer_for(self._request, self._chosen, reference, judged)
        return {name: collect(tables(new), tables(old)) for name, (new, old) in both.items()}
