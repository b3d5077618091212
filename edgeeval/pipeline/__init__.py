"""The whole flow as one function: recipe + prompts -> artifacts -> runs -> scores -> results.

`evaluate` is what `edgeeval eval` calls and what a program may call. Everything that it computes is
in the workspace as soon as it is finished, so calling it again goes on where it was stopped.

    request.py   what is asked: suite, prompt sets, requirements
    ladder.py    the artifacts: the reference and its levels, built when they are needed
    measure.py   run every artifact, a few files at a time
    bundle.py    a reference's run in one file, for a machine that cannot hold it
    bundle_content.py  what stands in such a file, checked
    deciding.py  which items decide a requirement
    forecast.py  what it would take, and what it could show
    conclude.py  runs -> scores -> comparison -> verdicts -> Results
"""

from pathlib import Path

from edgeeval.pipeline.bundle import foreign_of, write_bundle
from edgeeval.pipeline.conclude import conclude
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
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        measurer = measurer_for(request, chosen, workspace, engine, progress)
        ladder = Ladder(request, workspace, engine, progress, chosen.foreign)
        measured = Measurement(request, ladder, measurer, progress).run()
        return conclude(request, chosen, measurer, measured)


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
        write_bundle(
            target, measurer, run.reference, run.plans, run.answers, run.second, request.limit
        )
        if request.keep in ("none", "levels"):
            ladder.reference.delete(run.reference)
