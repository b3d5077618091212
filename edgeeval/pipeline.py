"""The whole flow as one function: recipe + prompts -> artifacts -> runs -> scores -> results.

`evaluate` is what `edgeeval eval` calls and what a program may call. Everything that it computes is
in the workspace as soon as it is finished, so calling it again goes on where it was stopped.
"""

import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgeeval.artifact.inspect import describe, quantized_types
from edgeeval.artifact.quantize import build
from edgeeval.artifact.source import find_source
from edgeeval.compare import collect, judge_levels, mark_pareto, recommend
from edgeeval.compare.estimates import MetricEvidence, with_floor
from edgeeval.errors import EdgeevalError, InputError, ReferenceFailed, did_you_mean
from edgeeval.judges.score import JudgedTexts, score_texts
from edgeeval.prompts import Suite, load_set, load_suite, suite_sets, text_file_set
from edgeeval.prompts.load import WHOLE_FILE, find_sets
from edgeeval.recipe import Level, Limit, Recipe, load_policy, requirements
from edgeeval.records import (
    Artifact,
    Environment,
    LevelResult,
    PromptSetInfo,
    Requirement,
    Results,
    Timings,
)
from edgeeval.run.device import Engine, find_engine
from edgeeval.run.schedule import ChosenSet, Clock, Measurer, Plan, Progress, Settings
from edgeeval.scores import SCORERS, harm, is_selected, scorer, selected_scorers
from edgeeval.scores.measured import Measured, read_measured
from edgeeval.scores.table import ScoreTable
from edgeeval.store import Workspace, digest

DEFAULT_CACHE_BYTES = 4 << 30
DEFAULT_SEED = 1


@dataclass(frozen=True)
class Request:
    """What a person asks for: a recipe, or a reference and files; and the options."""

    name: str
    recipe: Recipe | None = None
    reference: Path | None = None
    """Instead of a recipe: the unquantized GGUF file."""
    files: tuple[Path, ...] = ()
    """The levels that go with `reference`."""
    suite: str | None = None
    policy: str | None = None
    levels: tuple[str, ...] = ()
    """Only these of the recipe's levels."""
    only: tuple[str, ...] = ()
    """Metric-id prefixes."""
    text: Path | None = None
    """Own text for lm.*, instead of the suite's."""
    n_ctx: int | None = None
    windows: int | None = None
    prompts: tuple[Path, ...] = ()
    """Own prompt sets, beside the suite's."""
    limit: int | None = None
    seed: int = DEFAULT_SEED
    n_threads: int | None = None
    device: str = "auto"
    judge: str | None = None
    cache_bytes: int = DEFAULT_CACHE_BYTES
    allow_quantized_reference: bool = False


@dataclass(frozen=True)
class Ladder:
    """The artifacts of an evaluation."""

    reference: Artifact
    levels: tuple[Artifact, ...]
    lost: dict[str, str]
    """Level name -> why it could not be built."""
    order: tuple[str, ...]
    """Names of all levels as they were given."""


def evaluate(
    request: Request, workspace: Workspace, progress: Progress = lambda line: None
) -> Results:
    """Measure a reference and its levels, compare, judge and recommend.

    Args:
        request: what to evaluate.
        workspace: where everything is kept; one process at a time.
        progress: called with lines of talk.

    Raises:
        InputError: the request cannot be carried out; nothing was measured.
        ReferenceFailed: the reference could not be measured.
        WorkspaceBusy: another process works in this workspace.
    """
    suite = _suite(request)
    required, unavailable = _requirements(request, suite)
    with workspace.locked():
        shutil.rmtree(workspace.root / "logprobs", ignore_errors=True)  # a killed call's leftovers
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        scorers = selected_scorers(request.only)
        sets = _chosen_sets(request, suite, scorers)
        settings = Settings(
            engine, suite, sets, request.seed, "cost" in scorers, request.cache_bytes
        )
        clock = Clock(results_dir(request, workspace) / "timings.jsonl")
        measurer = Measurer(workspace, settings, clock, progress)
        ladder = _ladder(request, workspace, engine, progress)
        plans = measurer.plans(ladder.reference)
        lost = ladder.lost | _measure(measurer, ladder, plans)
        second = _second_plan(measurer, ladder.reference)
        return _conclude(
            request, measurer, ladder, plans, second, lost, scorers, required, unavailable, clock
        )


def build_ladder(
    request: Request, workspace: Workspace, progress: Progress = lambda line: None
) -> Ladder:
    """Build a recipe's reference and levels and measure nothing.

    Raises:
        InputError: the recipe cannot be carried out.
        WorkspaceBusy: another process works in this workspace.
    """
    with workspace.locked():
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        return _ladder(request, workspace, engine, progress)


def results_dir(request: Request, workspace: Workspace) -> Path:
    """Return the folder where an evaluation's reports are kept."""
    asked = [
        request.recipe.model_dump(mode="json", include={"model", "reference", "levels"})
        if request.recipe
        else [str(request.reference), *map(str, request.files)],
        [request.suite, request.levels, request.only, str(request.text), request.n_ctx],
        [request.windows, [str(path) for path in request.prompts], request.limit, request.seed],
        [request.device, request.n_threads],
    ]
    return workspace.folder("results", f"{request.name}-{digest(asked)[:8]}")


# -- what is asked -------------------------------------------------------------------------------


def _suite(request: Request) -> Suite:
    name = request.suite or (request.recipe.suite if request.recipe else "quick")
    suite = load_suite(name)
    return suite.model_copy(update={"n_ctx": request.n_ctx}) if request.n_ctx else suite


def _known_metrics() -> dict[str, bool]:
    """Return every metric's id, and whether it is paired with the reference."""
    return {metric.id: metric.paired for name in SCORERS for metric in scorer(name).METRICS}


def _requirements(request: Request, suite: Suite) -> tuple[list[Requirement], list[str]]:
    """Return what is required, and the policy's metrics that this evaluation cannot measure."""
    policy = request.policy or (request.recipe.policy if request.recipe else "balanced")
    limits = load_policy(policy)
    known = _known_metrics()
    unavailable = [metric for metric in limits if metric not in known]
    own = request.recipe.require if request.recipe else {}
    records: list[Requirement] = []
    for metric, limit in limits.items():
        allowed = suite.require == "all" or metric in suite.require
        if metric in unavailable or metric in own or not allowed:
            continue
        if not is_selected(metric, request.only):
            unavailable.append(metric)
            continue
        source = f"policy {policy}"
        if metric in suite.margins:
            limit = load_policy(suite.margins[metric])[metric]
            source = f"suite {suite.name}: margin of policy {suite.margins[metric]}"
        records += requirements({metric: limit}, source)
    return records + _own_requirements(own, known), unavailable


def _own_requirements(own: dict[str, Limit], known: dict[str, bool]) -> list[Requirement]:
    from edgeeval.compare.verdicts import metric_id

    records = requirements(own, "recipe")
    for requirement in records:
        name = metric_id(requirement.metric)
        if name not in known:
            raise InputError(
                f"require: {requirement.metric!r} is no metric{did_you_mean(name, known)}"
            )
        if requirement.kind == "margin" and not known[name]:
            raise InputError(
                f"require: {requirement.metric} has no difference from the reference; "
                "give max or min instead of margin"
            )
    return records


def _chosen_sets(
    request: Request, suite: Suite, scorers: Sequence[str]
) -> tuple[ChosenSet, ...]:
    """Return the prompt sets that the wanted scorers read."""
    kinds = {kind for name in scorers for kind in scorer(name).KINDS}
    chosen: list[ChosenSet] = []
    if request.text is not None:
        text = text_file_set(request.text, request.windows)
        size = request.windows or WHOLE_FILE
        chosen.append(ChosenSet(text, request.text, size, plain_text=True))
    paths = {prompt_set.id: path for path in find_sets() for prompt_set in [load_set(path)]}
    for prompt_set, size in suite_sets(suite):
        if request.text is None or prompt_set.header.kind != "text":
            chosen.append(ChosenSet(prompt_set, paths[prompt_set.id], size))
    for path in request.prompts:
        prompt_set = load_set(path)
        size = prompt_set.header.suites.get(suite.name, WHOLE_FILE)
        chosen.append(ChosenSet(prompt_set, path, size))
    wanted = [one for one in chosen if one.prompt_set.header.kind in kinds]
    ids = [one.prompt_set.id for one in wanted]
    for set_id in ids:
        if ids.count(set_id) > 1:
            raise InputError(f"two prompt sets have the id {set_id!r}; change one header's id")
    if request.limit is None:
        return tuple(wanted)
    return tuple(
        replace(one, size=request.limit if one.size == WHOLE_FILE else min(one.size, request.limit))
        for one in wanted
    )


# -- artifacts -----------------------------------------------------------------------------------


def _ladder(
    request: Request, workspace: Workspace, engine: Engine, progress: Progress
) -> Ladder:
    if request.recipe is not None:
        return _built_ladder(request, request.recipe, workspace, engine, progress)
    if request.reference is None:
        raise InputError("give a recipe, or --reference FILE with the levels' files")
    reference = describe(
        workspace, request.reference, name=request.reference.stem, source="given"
    )
    _require_unquantized(reference, request)
    levels = [Level(file=path) for path in request.files]
    return _add_levels(reference, reference, levels, workspace, engine, progress)


def _require_unquantized(reference: Artifact, request: Request) -> None:
    kinds = quantized_types(reference)
    if kinds and not request.allow_quantized_reference:
        raise InputError(
            f"{reference.path}: the reference is quantized ({', '.join(kinds)}); give the F16, BF16 "
            "or F32 file, or pass --quantized-reference to compare with it all the same"
        )


def _built_ladder(
    request: Request, recipe: Recipe, workspace: Workspace, engine: Engine, progress: Progress
) -> Ladder:
    source = describe(workspace, find_source(workspace, recipe), name="source", source="given")
    kinds = quantized_types(source)
    if not kinds and recipe.reference in source.type_shares:
        reference = replace(source, name=recipe.reference)
    else:
        origin = f"dequantized from {kinds[0]}" if kinds else f"converted from {source.label}"
        progress(f"{recipe.reference}: {origin}")
        reference = build(
            workspace, engine, source, recipe.reference, name=recipe.reference, origin=origin
        )
    levels = list(recipe.levels)
    if request.levels:
        labels = [level.label for level in levels]
        for name in request.levels:
            if name not in labels:
                raise InputError(f"--levels {name}: not in the recipe{did_you_mean(name, labels)}")
        levels = [level for level in levels if level.label in request.levels]
    return _add_levels(reference, reference, levels, workspace, engine, progress)


def _add_levels(
    reference: Artifact,
    source: Artifact,
    levels: Sequence[Level],
    workspace: Workspace,
    engine: Engine,
    progress: Progress,
) -> Ladder:
    """Build or read each level; one that cannot be had is lost, the others go on."""
    found: list[Artifact] = []
    lost: dict[str, str] = {}
    names: list[str] = []
    for level in levels:
        name = _unique(level.label, [*names, reference.name])
        names.append(name)
        try:
            if level.file is not None:
                found.append(describe(workspace, level.file, name=name, source="given"))
            else:
                assert level.type is not None  # the recipe's schema says so
                progress(f"{name}: quantizing")
                origin = f"quantized from {source.name}"
                found.append(
                    build(workspace, engine, source, level.type, name=name, origin=origin)
                )
        except EdgeevalError as error:
            lost[name] = str(error)
            progress(f"{name}: lost: {error}")
    return Ladder(reference, tuple(found), lost, tuple(names))


def _unique(name: str, taken: Sequence[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique = f"{name}-{number}"
        number += 1
    return unique


# -- measuring -----------------------------------------------------------------------------------


def _measure(measurer: Measurer, ladder: Ladder, plans: Sequence[Plan]) -> dict[str, str]:
    """Run everything; return the lost levels.

    Raises:
        ReferenceFailed: the reference could not be measured.
    """
    try:
        lost = measurer.measure(ladder.reference, ladder.levels, plans)
        measurer.measure_cost(ladder.reference)
    except InputError:
        raise
    except EdgeevalError as error:
        raise ReferenceFailed(f"the reference could not be measured: {error}") from None
    for level in ladder.levels:
        if level.name not in lost:
            try:
                measurer.measure_cost(level)
            except EdgeevalError as error:
                lost[level.name] = str(error)
    return lost


def _second_plan(measurer: Measurer, reference: Artifact) -> list[Plan]:
    """Run the reference in blocks of another size: what changes then is rounding, not the model."""
    if not measurer.settings.suite.second_plan:
        return []
    plans = [
        plan
        for plan in measurer.plans(reference, second=True)
        if plan.content["primitive"] != "windows"  # a window has no batch mates that change it
    ]
    measurer.measure(reference, [], plans)
    return plans


# -- concluding ----------------------------------------------------------------------------------

Scorer = Callable[[Measured], list[ScoreTable]]


def _scorer_for(
    request: Request, scorers: Sequence[str], reference: Measured, judged: JudgedTexts | None
) -> Scorer:
    def tables(level: Measured) -> list[ScoreTable]:
        return [
            table
            for name in scorers
            for table in scorer(name).score(level, reference, judged)
            if is_selected(table.metric.id, request.only)
        ]

    return tables


def _judge(
    request: Request, workspace: Workspace, scorers: Sequence[str], everything: Sequence[Measured]
) -> JudgedTexts | None:
    from edgeeval.judges import DEFAULT_JUDGE

    if "harm" not in scorers:
        return None
    texts = [text for measured in everything for text in harm.texts_to_judge(measured)]
    return score_texts(workspace, request.judge or DEFAULT_JUDGE, texts) if texts else None


def _conclude(
    request: Request,
    measurer: Measurer,
    ladder: Ladder,
    plans: Sequence[Plan],
    second: Sequence[Plan],
    lost: dict[str, str],
    scorers: Sequence[str],
    required: Sequence[Requirement],
    unavailable: Sequence[str],
    clock: Clock,
) -> Results:
    """Score, compare and judge what was measured; nothing native runs here but the judge."""
    reference = read_measured(measurer, ladder.reference, ladder.reference, plans)
    levels = [
        read_measured(measurer, level, ladder.reference, plans)
        for level in ladder.levels
        if level.name not in lost
    ]
    again = [read_measured(measurer, ladder.reference, ladder.reference, second)] if second else []
    everything = [reference, *levels, *again]
    judged = _judge(request, measurer.workspace, scorers, everything)
    tables = _scorer_for(request, scorers, reference, judged)
    base = tables(reference)
    floors = _floors(tables(again[0]), base) if again else {}
    evidence = {
        level.artifact.name: {
            key: with_floor(found, floors.get(key))
            for key, found in collect(tables(level), base).items()
        }
        for level in levels
    }
    results = _level_results(ladder, evidence, lost, required)
    own = LevelResult(
        name=ladder.reference.name,
        status="measured",
        artifact=ladder.reference,
        metrics={key: found.result for key, found in collect(base, []).items()},
    )
    elapsed_s, native_s = clock.totals()
    return Results(
        name=request.name,
        suite=measurer.settings.suite.name,
        policy=request.policy or (request.recipe.policy if request.recipe else "balanced"),
        seed=request.seed,
        reference=own,
        levels=results,
        recommendation=recommend(own, results, required, unavailable),
        watermarks=_watermarks(request, ladder, plans),
        environment=_environment(measurer.settings.engine),
        judges=(judged.info,) if judged else (),
        prompt_sets=_prompt_set_infos(measurer.settings.sets, plans),
        timings=Timings(
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed_s=round(elapsed_s, 1),
            native_s=round(native_s, 1),
            native_share=round(native_s / elapsed_s, 3) if elapsed_s else None,
        ),
    )


def _floors(again: Sequence[ScoreTable], base: Sequence[ScoreTable]) -> dict[str, float]:
    """Return per metric what the reference's own score changes by in other blocks."""
    floors = {}
    for key, found in collect(again, base).items():
        compared = found.result.delta or found.result.estimate
        if compared.value is not None and found.metric.method != "permutation":
            floors[key] = abs(compared.value)
    return floors


def _level_results(
    ladder: Ladder,
    evidence: dict[str, dict[str, MetricEvidence]],
    lost: dict[str, str],
    required: Sequence[Requirement],
) -> tuple[LevelResult, ...]:
    judged = judge_levels(evidence, required)
    artifacts = {artifact.name: artifact for artifact in ladder.levels}
    results = []
    for name in ladder.order:
        if name in lost:
            results.append(
                LevelResult(name, "lost", artifacts.get(name), reason=lost[name])
            )
            continue
        found = judged[name]
        results.append(
            LevelResult(
                name, "measured", artifacts[name], found.metrics, found.verdict, found.reason
            )
        )
    return mark_pareto(results)


def _watermarks(request: Request, ladder: Ladder, plans: Sequence[Plan]) -> tuple[str, ...]:
    marks = []
    reference = ladder.reference
    if reference.source.startswith("dequantized"):
        marks.append(
            f"The reference is itself {reference.source}: differences are from that file, "
            "not from the original weights."
        )
    elif quantized_types(reference):
        kinds = ", ".join(quantized_types(reference))
        marks.append(f"The reference is quantized ({kinds}): differences are from that file.")
    if request.limit is not None:
        marks.append(f"Limited to {request.limit} items a set (--limit): a trial, no evidence.")
    if request.only:
        marks.append(f"Only {', '.join(request.only)} was measured (--only).")
    for level in ladder.levels:
        if level.sha256 == reference.sha256:
            marks.append(f"{level.name} is the reference's own file.")
        if level.fallback_share > 0:
            kinds = ", ".join(level.fallback_types)
            marks.append(
                f"{level.name} is not what its name says: {level.fallback_share:.0%} of its "
                f"parameters fell back to {kinds}, because the model's rows cannot be cut into "
                "blocks of 256."
            )
    excluded = sum(len(plan.content["excluded"]) for plan in plans)
    if excluded:
        marks.append(f"{excluded} items were left out: they are longer than the context.")
    return tuple(marks)


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
                sha256=chosen.prompt_set.sha256,
                licence=header.licence,
                authors=header.authors,
                n_items=len(items),
                n_tokens=sum(_n_tokens(item) for item in items),
                limits=header.limits,
            )
        )
    return tuple(infos)


def _n_tokens(item: dict[str, list[int]]) -> int:
    """Count the tokens of a planned item that are prefilled."""
    options = sum(len(option) for option in item.get("options", []))  # type: ignore[arg-type]
    return len(item.get("tokens", item.get("prompt", item.get("prefix", [])))) + options


def _environment(engine: Engine) -> Environment:
    from edgeeval import __version__

    return Environment(
        edgeeval=__version__,
        engine=f"{engine.package}, llama.cpp {engine.version}",
        engine_features=engine.features,
        engine_libraries_sha256=engine.libraries_sha256,
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
