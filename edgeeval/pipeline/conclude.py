"""Score, compare and judge what was measured: from runs on disk to a Results record."""

import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgeeval.compare import collect, judge_levels, mark_pareto, recommend
from edgeeval.compare.estimates import MetricEvidence, with_floor
from edgeeval.compare.judge_error import with_judge_errors
from edgeeval.errors import InputError, WorkerFailed
from edgeeval.judges import DEFAULT_JUDGE
from edgeeval.judges.find import find_judge
from edgeeval.judges.floors import with_floors
from edgeeval.judges.score import JudgedTexts, score_texts
from edgeeval.pipeline.evidence import Evidence
from edgeeval.pipeline.measure import Finished
from edgeeval.pipeline.request import Chosen, Request
from edgeeval.pipeline.watermarks import watermarks
from edgeeval.records import (
    Artifact,
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


def texts_to_judge(chosen: Chosen, everything: Sequence[Measured]) -> tuple[str, ...]:
    """Return every text that a scorer asks the judge about."""
    askers = [scorer(name) for name in chosen.scorers if hasattr(scorer(name), "texts_to_judge")]
    return tuple(
        text
        for asker in askers
        for measured in everything
        for text in asker.texts_to_judge(measured)
    )


@dataclass(frozen=True)
class Material:
    """What the results are made from, read back from disk."""

    reference: Measured
    levels: tuple[Measured, ...]
    again: Measured
    """The reference in blocks of another size; without sets where the suite has none."""
    judged: JudgedTexts | None
    texts: tuple[str, ...]
    """What the judge was asked about."""
    problems: tuple[str, ...]
    """What could not be measured, in sentences."""


def read_material(
    request: Request, chosen: Chosen, measurer: Measurer, finished: Finished
) -> Material:
    """Read what was measured, and have its texts judged.

    Raises:
        EdgeevalError: something planned has no result.
    """
    base = finished.reference
    reference = read_measured(measurer, base, base, finished.plans)
    levels = tuple(
        read_measured(measurer, level, base, finished.plans) for level in finished.complete
    )
    again = read_measured(measurer, base, base, finished.second)
    texts = texts_to_judge(chosen, [reference, *levels, again])
    judged, problems = None, tuple(finished.problems)
    try:
        if texts:
            judge = find_judge(request.judge or DEFAULT_JUDGE, measurer.workspace)
            judged = score_texts(measurer.workspace, judge, texts)
    except WorkerFailed as error:  # the other dimensions are still worth a report
        problems = (*problems, f"Texts were not judged: {error}.")
    return Material(reference, levels, again, judged, texts, problems)


def conclude(
    request: Request,
    chosen: Chosen,
    measurer: Measurer,
    finished: Finished,
    material: Material,
    evidence: Evidence,
) -> Results:
    """Score, compare and judge what was measured; nothing native runs here."""
    reference, judged = material.reference, material.judged
    tables = _scorer_for(request, chosen, reference, judged)
    base = _base_tables(chosen, tables, reference)
    floors = _floors(request, chosen, material) if finished.second else {}
    judges = _judges(chosen, reference, judged, measurer.workspace)
    found_in = {
        level.artifact.name: with_judge_errors(
            {
                key: with_floor(found, floors.get(key))
                for key, found in collect(tables(level), base).items()
            },
            judges,
        )
        for level in material.levels
    }
    results = _level_results(finished, found_in, chosen.required)
    own = LevelResult(
        name=finished.reference.name,
        status="measured",
        artifact=_published(finished.reference),
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
        watermarks=(*watermarks(request, chosen, finished), *material.problems),
        environment=evidence.environment,
        judges=judges,
        prompt_sets=_prompt_set_infos(chosen.sets, finished.plans),
        timings=Timings(
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed_s=round(elapsed_s, 1),
            native_s=round(native_s, 1),
            native_share=round(native_s / elapsed_s, 3) if elapsed_s else None,
        ),
        evidence=evidence.hash,
    )


def _published(artifact: Artifact) -> Artifact:
    """Leave out where a file lies: the same evaluation in another folder is the same document."""
    return replace(artifact, path=Path(artifact.path).name)


def _judges(
    chosen: Chosen, reference: Measured, judged: JudgedTexts | None, workspace: Workspace
) -> tuple[JudgeInfo, ...]:
    """Return who judged, with their errors: who was asked for, and those that scorers bring."""
    bringing = [scorer(name) for name in chosen.scorers if hasattr(scorer(name), "judge_info")]
    own = [one.judge_info() for one in bringing if any(reference.of_kind(*one.KINDS))]
    infos = (*((judged.info,) if judged else ()), *own)
    return tuple(with_floors(workspace, info) for info in infos)


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


def _floors(request: Request, chosen: Chosen, material: Material) -> dict[str, float]:
    """Return per metric what the reference's own score changes by in other blocks."""
    again = material.again
    set_ids = {run.set_id for run in again.sets}
    same_sets = tuple(run for run in material.reference.sets if run.set_id in set_ids)
    first = replace(material.reference, sets=same_sets)
    tables = _scorer_for(request, chosen, first, material.judged)
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
        found_file = finished.levels.get(name)
        artifact = _published(found_file) if found_file else None
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


def environment_of(engine: Engine, plans: Sequence[Plan]) -> Environment:
    """Return what computes the numbers: with other batches they round otherwise."""
    from edgeeval import __version__
    from edgeeval.run import plan as planner

    return Environment(
        edgeeval=__version__,
        engine=f"{engine.package}, llama.cpp {engine.version}",
        engine_features=engine.features,
        engine_libraries_sha256=engine.libraries_sha256,
        engine_extra_bufts=engine.use_extra_bufts,
        device=engine.device,
        n_threads=engine.n_threads,
        n_ubatch=engine.n_ubatch,
        n_batch={plan.content["set_id"]: plan.content["context"]["n_batch"] for plan in plans},
        block_tokens=planner.BLOCK_TOKENS,
        block_sequences=planner.BLOCK_SEQUENCES,
        block_items=planner.BLOCK_ITEMS,
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
