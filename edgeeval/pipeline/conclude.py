"""Score, compare and judge what was measured: from runs on disk to a Results record."""

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgeeval.compare import collect, judge_levels, mark_pareto, recommend
from edgeeval.compare.estimates import MetricEvidence, with_floor
from edgeeval.compare.judge_error import with_judge_errors
from edgeeval.errors import InputError
from edgeeval.judges.floors import with_floors
from edgeeval.judges.score import JudgedTexts
from edgeeval.pipeline.bench import Check
from edgeeval.pipeline.controls import complaints
from edgeeval.pipeline.evidence import Evidence
from edgeeval.pipeline.judging import Judgement, asks_judges, judge_texts, texts_to_judge
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
from edgeeval.run.schedule import ChosenSet, Measurer, Progress, prefilled_tokens
from edgeeval.scores import is_selected, scorer
from edgeeval.scores.measured import Measured, read_measured
from edgeeval.scores.table import ScoreTable

Scorer = Callable[[Measured], list[ScoreTable]]


def _scorer_for(
    request: Request, chosen: Chosen, reference: Measured, judged: Sequence[JudgedTexts]
) -> Scorer:
    def tables(level: Measured) -> list[ScoreTable]:
        return [
            table
            for name in chosen.scorers
            for by in (judged if asks_judges(name) else (None,))
            for table in scorer(name).score(level, reference, by)
            if is_selected(table.metric.id, request.only)
        ]

    return tables


@dataclass(frozen=True)
class Material:
    """What the results are made from, read back from disk."""

    reference: Measured
    levels: tuple[Measured, ...]
    again: Measured
    """The reference in blocks of another size; without sets where the suite has none."""
    judgement: Judgement
    texts: tuple[str, ...]
    """What the judges were asked about."""
    problems: tuple[str, ...]
    """What could not be measured, in sentences."""


def read_material(
    chosen: Chosen,
    measurer: Measurer,
    finished: Finished,
    progress: Progress = lambda line: None,
    kept_in: Path | None = None,
) -> Material:
    """Read what was measured, and have its texts judged.

    Args:
        chosen: what was asked, with its judges.
        measurer: whose journals.
        finished: what was measured.
        progress: called with lines of talk.
        kept_in: another folder for the judges' scores.

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
    judgement = judge_texts(chosen, measurer.workspace, texts, progress, kept_in)
    silent = [f"{name} judged no text: {why}." for name, why in judgement.silent.items()]
    problems = (*finished.problems, *silent)
    return Material(reference, levels, again, judgement, texts, problems)


def conclude(
    request: Request,
    chosen: Chosen,
    measurer: Measurer,
    finished: Finished,
    material: Material,
    evidence: Evidence,
    checks: Sequence[Check],
) -> Results:
    """Score, compare and judge what was measured; nothing native runs here."""
    reference, judgement = material.reference, material.judgement
    tables = _scorer_for(request, chosen, reference, judgement.judged)
    base = _base_tables(chosen, tables, reference)
    floors = _floors(request, chosen, material) if finished.second else {}
    judges = tuple(
        with_floors(measurer.workspace, info)
        for info in (*judgement.infos, *_rules(chosen, reference))
    )
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
    results = _level_results(finished, found_in, chosen.required, judgement.silent)
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
        watermarks=(
            *watermarks(request, chosen, finished),
            *material.problems,
            *complaints(checks),
        ),
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


def _rules(chosen: Chosen, reference: Measured) -> tuple[JudgeInfo, ...]:
    """Return the judges that scorers bring themselves, whatever `--judge` says."""
    bringing = [scorer(name) for name in chosen.scorers if hasattr(scorer(name), "judge_info")]
    return tuple(one.judge_info() for one in bringing if any(reference.of_kind(*one.KINDS)))


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
    tables = _scorer_for(request, chosen, first, material.judgement.judged)
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
    silent: Mapping[str, str],
) -> tuple[LevelResult, ...]:
    judged = judge_levels(evidence, required, silent)
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
