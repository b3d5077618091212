"""The whole flow as one function: recipe + prompts -> artifacts -> runs -> scores -> results.

`evaluate` is what `edgeeval eval` calls and what a program may call. Everything that it computes is
in the workspace as soon as it is finished, so calling it again goes on where it was stopped.

    request.py   what is asked: suite, prompt sets, requirements
    ladder.py    the artifacts: the reference and its levels
    conclude.py  runs -> scores -> comparison -> verdicts -> Results
"""

from collections.abc import Sequence

from edgeeval.errors import EdgeevalError, InputError, ReferenceFailed
from edgeeval.pipeline.conclude import Finished, conclude
from edgeeval.pipeline.ladder import Ladder, build_ladder, find_ladder
from edgeeval.pipeline.request import (
    DEFAULT_CACHE_BYTES,
    DEFAULT_SEED,
    Request,
    choose,
    results_dir,
)
from edgeeval.records import Artifact, Results
from edgeeval.run.clock import Clock
from edgeeval.run.device import find_engine
from edgeeval.run.schedule import Measurer, Plan, Progress, Settings
from edgeeval.store import Workspace

__all__ = [
    "DEFAULT_CACHE_BYTES",
    "DEFAULT_SEED",
    "Ladder",
    "Request",
    "build_ladder",
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
    chosen = choose(request)
    with workspace.locked():
        if request.fresh:
            workspace.forget_runs()
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        settings = Settings(
            engine=engine,
            suite=chosen.suite,
            sets=chosen.sets,
            seed=request.seed,
            with_cost="cost" in chosen.scorers,
            cache_bytes=request.cache_bytes,
        )
        clock = Clock(results_dir(request, workspace) / "timings.jsonl")
        measurer = Measurer(workspace, settings, clock, progress)
        ladder = find_ladder(request, workspace, engine, progress)
        plans = measurer.plans(ladder.reference)
        lost = ladder.lost | _measure(measurer, ladder, plans)
        problems = _measure_costs(measurer, ladder, lost)
        second = _second_plan(measurer, ladder.reference)
        return conclude(request, chosen, measurer, Finished(ladder, plans, second, lost, problems))


def _measure(measurer: Measurer, ladder: Ladder, plans: Sequence[Plan]) -> dict[str, str]:
    """Run everything; return the lost levels.

    Raises:
        ReferenceFailed: the reference could not be measured.
    """
    try:
        return measurer.measure(ladder.reference, ladder.levels, plans)
    except InputError:
        raise
    except EdgeevalError as error:
        raise ReferenceFailed(f"the reference could not be measured: {error}") from None


def _measure_costs(measurer: Measurer, ladder: Ladder, lost: dict[str, str]) -> tuple[str, ...]:
    """Time every artifact; one that cannot be timed keeps its other numbers."""
    problems = []
    for artifact in (ladder.reference, *ladder.levels):
        if artifact.name not in lost:
            try:
                measurer.measure_cost(artifact)
            except EdgeevalError as error:
                problems.append(f"{artifact.name}: speed was not measured: {error}.")
    return tuple(problems)


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
