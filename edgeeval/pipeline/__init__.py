"""The whole flow as one function: recipe + prompts -> artifacts -> runs -> scores -> results.

`evaluate` is what `edgeeval eval` calls and what a program may call. Everything that it computes is
in the workspace as soon as it is finished, so calling it again goes on where it was stopped.

    request.py   what is asked: suite, prompt sets, requirements
    ladder.py    the artifacts: the reference and its levels, built when they are needed
    measure.py   run every artifact, a few files at a time
    bundle.py    a reference's run in one file, for a machine that cannot hold it
    bundle_content.py  what stands in such a file, checked
    forecast.py  what it would take, and what it could show
    judging.py   who judges harm, and what is required of whom
    evidence.py  what results were derived from, by hash
    bench.py     what those are tried on
    planted.py   answers that are known beforehand
    controls.py  score those in every run: what does not come out as known is said above the report
    verify.py    derive results again, past every cache
    conclude.py  runs -> scores -> comparison -> verdicts -> Results
"""

from pathlib import Path

from edgeeval.pipeline.bench import Bench
from edgeeval.pipeline.bundle import foreign_of, write_bundle
from edgeeval.pipeline.conclude import conclude, environment_of, read_material
from edgeeval.pipeline.controls import run_controls
from edgeeval.pipeline.evidence import gather, keep_evidence
from edgeeval.pipeline.judging import with_judges
from edgeeval.pipeline.ladder import Built, Ladder, build_ladder
from edgeeval.pipeline.measure import Measurement, measurer_for
from edgeeval.pipeline.request import (
    DEFAULT_CACHE_BYTES,
    DEFAULT_SEED,
    Request,
    choose,
    results_dir,
)
from edgeeval.records import Results
from edgeeval.run.device import find_engine
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace

__all__ = [
    "DEFAULT_CACHE_BYTES",
    "DEFAULT_SEED",
    "Built",
    "Request",
    "build_ladder",
    "bundle",
    "evaluate",
    "results_dir",
]


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
    if request.recipe.model.bundle is None:
        choose(request)  # what is mistyped must not wait for the workspace
    with workspace.locked():
        if request.fresh:
            workspace.forget_runs()
        chosen = choose(request, foreign_of(request, workspace))
        chosen = with_judges(request, chosen, workspace)
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        measurer = measurer_for(request, chosen, workspace, engine, progress)
        ladder = Ladder(request, workspace, engine, progress, chosen.foreign)
        measured = Measurement(request, ladder, measurer, progress).run()
        material = read_material(chosen, measurer, measured, progress)
        made_by = environment_of(engine, measured.plans)
        judged = material.judgement.judged
        evidence = gather(request, made_by, measurer, measured, judged, material.texts)
        keep_evidence(workspace, evidence)
        checks = run_controls(
            Bench(chosen.scorers, material.reference, material.levels, material.judgement.first)
        )
        return conclude(request, chosen, measurer, measured, material, evidence, checks)


def bundle(
    request: Request, workspace: Workspace, target: Path, progress: Progress = lambda line: None
) -> None:
    """Run a recipe's reference and write what a machine without it needs, to one file.

    Raises:
        InputError: the request cannot be carried out.
        ReferenceFailed: the reference could not be measured.
        WorkspaceBusy: another process works in this workspace.
    """
    chosen = choose(request)
    with workspace.locked():
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        measurer = measurer_for(request, chosen, workspace, engine, progress)
        ladder = Ladder(request, workspace, engine, progress, None)
        run = Measurement(request, ladder, measurer, progress).run_reference()
        progress(f"{run.reference.name}: writing {target}")
        write_bundle(target, measurer, run.reference, run.plans, run.second, request.limit)
        if request.keep in ("none", "levels"):
            ladder.reference.delete(run.reference)
