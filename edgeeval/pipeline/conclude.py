"""Score, compare and judge what was measured: from runs on disk to a Results record."""

import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edgeeval.compare import collect, judge_levels, mark_pareto, recommend
from edgeeval.compare.estimates import MetricEvidence, with_floor
from edgeeval.errors import InputError, WorkerFailed
from edgeeval.judges import DEFAULT_JUDGE
from edgeeval.judges.score import JudgedTexts, score_texts
from edgeeval.pipeline.measure import Finished
from edgeeval.pipeline.request import Chosen, Request
from edgeeval.pipeline.watermarks import watermarks
from edgeeval.records import (
    Environment,
    JudgeInfo,
    LevelResult,
    PromptSetInfo,
    Requirement,
    Results,
    Timings,
)
from edgeeval.run.device import Engine
from edgeeval.run.foreign import Plan
from edgeeval.run.schedule import ChosenSet, Measurer, prefilled_tokens
from edgeeval.scores import is_selected, scorer
from edgeeval.scores.measured import Measured, read_measured
from edgeeval.scores.table import ScoreTable
from edgeeval.store import Workspace

Scorer = Callable[[Measured], list[ScoreTable]]


def _scorer_for(
    request: Request, chosen: Chosen, reference: Measured, judged: JudgedTexts | None
) -> Scorer:
    def tables(level: Measured) -> list[ScoreTable]:
        return [
            table
            for name in chosen.scorers
            for table in scorer(name).score(level, reference, judged)
            if is_selected(table.metric.id, request.only)
        ]

    return tables


def _judge(
    request: Request, chosen: Chosen, workspace: Workspace, everything: Sequence[Measured]
) -> JudgedTexts | None:
    askers = [scorer(name) for name in chosen.scorers if hasattr(scorer(name), "texts_to_judge")]
    texts = [
        text
        for asker in askers
        for measured in everything
        for text in asker.texts_to_judge(measured)
    ]
    return score_texts(workspace, request.judge or DEFAULT_JUDGE, texts) if texts else None


def conclude(request: Request, chosen: Chosen, measurer: Measurer, finished: Finished) -> Results:
    """Score, compare and judge what was measured; nothing native runs here but the judge."""
    base_file = finished.reference
    reference = read_measured(measurer, base_file, base_file, finished.compared)
    levels = [
        read_measured(measurer, level, base_file, finished.compared) for level in finished.complete
    ]
    again = read_measured(measurer, base_file, base_file, finished.second)
    judged, problems = None, tuple(finished.problems)
    try:
        judged = _judge(request, chosen, measurer.workspace, [reference, *levels, again])
    except WorkerFailed as error:  # the other dimensions are still worth a report
        problems = (*problems, f"Texts were not judged: {error}.")
    tables = _scorer_for(request, chosen, reference, judged)
    base = _base_tables(chosen, tables, reference)
    floors = _floors(request, chosen, reference, again, judged) if finished.second else {}
    evidence = {
        level.artifact.name: {
            key: with_floor(found, floors.get(key))
            for key, found in collect(tables(level), base).items()
        }
        for level in levels
    }
    results = _level_results(finished, evidence, chosen.required)
    own = LevelResult(
        name=base_file.name,
        status="measured",
        artifact=base_file,
        metrics={key: found.result for key, found in collect(base, []).items()},
    )
    measurer.clock.conclude()
    elapsed_s, native_s = measurer.clock.totals()
    return Results(
        name=request.name,
        suite=chosen.suite.name,
        policy=chosen.policy,
        seed=measurer.settings.seed,
        reference=own,
        levels=results,
        recommendation=recommend(own, results, chosen.required, chosen.unavailable),
        watermarks=watermarks(request, chosen, finished) + problems,
        environment=_environment(measurer.settings.engine),
        judges=_judges(chosen, reference, judged),
        prompt_sets=_prompt_set_infos(chosen.sets, finished.plans),
        timings=Timings(
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed_s=round(elapsed_s, 1),
            native_s=round(native_s, 1),
            native_share=round(native_s / elapsed_s, 3) if elapsed_s else None,
        ),
    )


def _judges(
    chosen: Chosen, reference: Measured, judged: JudgedTexts | None
) -> tuple[JudgeInfo, ...]:
    """Return who judged: the judge that was asked for, and those that scorers bring."""
    bringing = [scorer(name) for name in chosen.scorers if hasattr(scorer(name), "judge_info")]
    own = [one.judge_info() for one in bringing if any(reference.of_kind(*one.KINDS))]
    return (*((judged.info,) if judged else ()), *own)


def _base_tables(chosen: Chosen, tables: Scorer, reference: Measured) -> list[ScoreTable]:
    """Score the reference; where it came in a bundle, its items may lack what a scorer reads.

    Raises:
        InputError: they do.
    """
    try:
        return tables(reference)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        if chosen.foreign is None:
            raise
        raise InputError(
            f"{chosen.foreign.reference.path}: its items cannot be scored "
            f"({type(error).__name__}: {error}); get the bundle again"
        ) from None


def _floors(
    request: Request,
    chosen: Chosen,
    reference: Measured,
    again: Measured,
    judged: JudgedTexts | None,
) -> dict[str, float]:
    """Return per metric what the reference's own score changes by in other blocks."""
    set_ids = {run.set_id for run in again.sets}
    same_sets = tuple(run for run in reference.sets if run.set_id in set_ids)
    first = replace(reference, sets=same_sets)
    tables = _scorer_for(request, chosen, first, judged)
    floors = {}
    for key, found in collect(tables(again), tables(first)).items():
        compared = found.result.delta or found.result.estimate
        is_difference = found.result.delta is not None or found.metric.is_change
        if is_difference and compared.value is not None:
            floors[key] = abs(compared.value)
    return floors


def _level_results(
    finished: Finished,
    evidence: dict[str, dict[str, MetricEvidence]],
    required: Sequence[Requirement],
) -> tuple[LevelResult, ...]:
    judged = judge_levels(evidence, required)
    results = []
    for name in finished.order:
        artifact = finished.levels.get(name)
        if name in finished.lost:
            results.append(LevelResult(name, "lost", artifact, reason=finished.lost[name]))
        elif name in finished.same:
            reason = f"the same weights and settings as {finished.same[name]}: measured once"
            results.append(LevelResult(name, "same", artifact, reason=reason))
        else:
            found = judged[name]
            results.append(
                LevelResult(name, "measured", artifact, found.metrics, found.verdict, found.reason)
            )
    return mark_pareto(results)


def _prompt_set_infos(
    sets: Sequence[ChosenSet], plans: Sequence[Plan]
) -> tuple[PromptSetInfo, ...]:
    infos = []
    for chosen, plan in zip(sets, plans, strict=True):
        header = chosen.prompt_set.header
        items = [item for block in plan.content["blocks"] for item in block["items"]]
        infos.append(
            PromptSetInfo(
                id=header.id,
                kind=header.kind,
                version=header.version,
                sha256=plan.content["set_sha256"],
                licence=header.licence,
                authors=header.authors,
                n_items=plan.n_items,
                n_tokens=sum(map(prefilled_tokens, items)),
                limits=header.limits,
            )
        )
    return tuple(infos)


def _environment(engine: Engine) -> Environment:
    from edgeeval import __version__

    return Environment(
        edgeeval=__version__,
        engine=f"{engine.package}, llama.cpp {engine.version}",
        engine_features=engine.features,
        engine_libraries_sha256=engine.libraries_sha256,
        engine_extra_bufts=engine.use_extra_bufts,
        device=engine.device,
        n_threads=engine.n_threads,
        platform=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        cpu=_cpu_name(),
    )


def _cpu_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
