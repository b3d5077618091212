"""Run every artifact of a ladder, a few files at a time, and keep what was lost on the way.

Levels are built in groups of at most `max_level_files`: each group is built, measured and, where
files are not kept, deleted before the next one is built. Nothing is quantized while something is
timed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeeval.errors import EdgeevalError, InputError, ReferenceFailed, reason_of
from edgeeval.pipeline.ladder import Ladder, Rung
from edgeeval.pipeline.request import Chosen, Request, results_dir
from edgeeval.records import Artifact
from edgeeval.run.clock import Clock
from edgeeval.run.device import Engine
from edgeeval.run.foreign import Plan
from edgeeval.run.schedule import Measurer, Progress, Settings
from edgeeval.store import Workspace


@dataclass
class Finished:
    """What measuring left behind."""

    reference: Artifact
    plans: Sequence[Plan]
    second: Sequence[Plan]
    """Plans of the reference's run in blocks of another size; empty where the suite has none."""
    order: tuple[str, ...]
    """Names of all levels as they were given."""
    levels: dict[str, Artifact] = field(default_factory=dict)
    """Level name -> its file's record, as far as there is one."""
    lost: dict[str, str] = field(default_factory=dict)
    """Level name -> why it was lost."""
    same: dict[str, str] = field(default_factory=dict)
    """Level name -> the level that computes the same and was measured in its place."""
    problems: list[str] = field(default_factory=list)
    """What else could not be measured, in sentences."""

    @property
    def complete(self) -> list[Artifact]:
        """The levels that were measured, in order."""
        left_out = self.lost.keys() | self.same.keys()
        return [self.levels[name] for name in self.order if name not in left_out]


def settings_for(request: Request, chosen: Chosen, engine: Engine) -> Settings:
    """Return what a request measures with."""
    return Settings(
        engine=engine,
        suite=chosen.suite,
        sets=chosen.sets,
        seed=chosen.foreign.seed if chosen.foreign else request.seed,
        with_cost="cost" in chosen.scorers,
        cache_bytes=request.cache_bytes,
        foreign=chosen.foreign,
    )


def measurer_for(
    request: Request,
    chosen: Chosen,
    workspace: Workspace,
    engine: Engine,
    progress: Progress,
) -> Measurer:
    """Return what runs artifacts as a request asks."""
    clock = Clock(results_dir(request, workspace) / "timings.jsonl")
    return Measurer(workspace, settings_for(request, chosen, engine), clock, progress)


def second_plans(measurer: Measurer, reference: Artifact) -> list[Plan]:
    """Return the plans of the reference's run in blocks of another size, if the suite has one.

    A window has no batch mates that change it.
    """
    if not measurer.settings.suite.second_plan:
        return []
    plans = measurer.plans(reference, second=True)
    return [plan for plan in plans if plan.content["primitive"] != "windows"]


class Measurement:
    """One pass over a ladder."""

    def __init__(
        self, request: Request, ladder: Ladder, measurer: Measurer, progress: Progress
    ) -> None:
        self._request = request
        self._ladder = ladder
        self._measurer = measurer
        self._progress = progress

    def run(self) -> Finished:
        """Measure the reference and every level.

        Raises:
            InputError: something cannot be used; nothing of it was measured.
            ReferenceFailed: the reference could not be measured.
        """
        self._reference = self._ladder.reference.known() or self._ladder.reference.make()
        if not self._measurer.has_plans(self._reference):
            self._need_reference()
        measured = Finished(
            self._reference,
            self._measurer.plans(self._reference),
            (),
            tuple(rung.name for rung in self._ladder.rungs),
        )
        groups = self._groups()
        for number, group in enumerate(groups, 1):
            self._measure_group(measured, group, is_last=number == len(groups))
        if self._measurer.settings.foreign is None:
            if not self._measurer.has_cost(self._reference):
                self._need_reference()
            self._time_artifact(measured, self._reference)
        measured.second = self._second_plan()
        if self._request.keep in ("none", "levels"):
            self._ladder.reference.delete(self._reference)
        return measured

    def run_reference(self) -> Finished:
        """Measure the reference alone and keep its log-probabilities.

        Raises:
            InputError: something cannot be used.
            ReferenceFailed: the reference could not be measured.
        """
        self._reference = self._ladder.reference.make()
        plans = self._measurer.plans(self._reference)
        try:
            self._measurer.measure_reference(self._reference, plans)
        except InputError:
            raise
        except EdgeevalError as error:
            raise ReferenceFailed(f"the reference could not be measured: {error}") from None
        return Finished(self._reference, plans, self._second_plan(), ())

    def _groups(self) -> list[Sequence[Rung]]:
        rungs = self._ladder.rungs
        size = self._request.max_level_files or len(rungs)
        return [rungs[start : start + size] for start in range(0, len(rungs), size)]

    def _need_reference(self) -> None:
        """Make sure that the reference's file is there."""
        if not Path(self._reference.path).exists():
            self._reference = self._ladder.reference.make()

    def _measure_group(self, measured: Finished, group: Sequence[Rung], *, is_last: bool) -> None:
        levels = [one for rung in group if (one := self._obtain(measured, rung)) is not None]
        measurer, reference = self._measurer, self._reference
        if any(measurer.lacks(one, reference, measured.plans) for one in (reference, *levels)):
            self._need_reference()
        lost = self._run(measured, levels, keep_logprobs=not is_last)
        measured.lost |= lost
        for name, twin in list(measured.same.items()):
            if twin in lost:
                del measured.same[name]
                self._lose(measured, name, f"of the same weights as {twin}, which was lost")
        for level in levels:
            if level.name not in lost:
                self._time_artifact(measured, level)
        if self._request.keep == "none":
            for rung in group:
                if rung.name in measured.levels:
                    rung.delete(measured.levels[rung.name])

    def _run(
        self, measured: Finished, levels: Sequence[Artifact], *, keep_logprobs: bool
    ) -> dict[str, str]:
        try:
            return self._measurer.measure(
                self._reference, levels, measured.plans, keep_logprobs=keep_logprobs
            )
        except InputError:
            raise
        except EdgeevalError as error:
            raise ReferenceFailed(f"the reference could not be measured: {error}") from None

    def _obtain(self, measured: Finished, rung: Rung) -> Artifact | None:
        """Return a level's artifact, with its file unless everything of it is measured."""
        try:
            artifact = rung.known()
            if artifact is None or not self._is_there_or_done(artifact, measured.plans):
                if rung.is_ours:
                    self._need_reference()
                artifact = rung.make()
        except (EdgeevalError, OSError) as error:
            self._lose(measured, rung.name, reason_of(error))
            return None
        measured.levels[rung.name] = artifact
        if reason := _foreign_tokenizer(artifact, self._reference):
            self._lose(measured, rung.name, reason)
            return None
        for name, other in measured.levels.items():
            is_first = name != rung.name and name not in measured.lost | measured.same
            if is_first and other.weights_sha256 == artifact.weights_sha256:
                measured.same[rung.name] = name
                return None
        return artifact

    def _is_there_or_done(self, artifact: Artifact, plans: Sequence[Plan]) -> bool:
        return Path(artifact.path).exists() or not (
            self._measurer.lacks(artifact, self._reference, plans)
            or not self._measurer.has_cost(artifact)
        )

    def _lose(self, measured: Finished, name: str, reason: str) -> None:
        measured.lost[name] = reason
        self._progress(f"{name}: lost: {reason}")

    def _time_artifact(self, measured: Finished, artifact: Artifact) -> None:
        """Time an artifact; one that cannot be timed keeps its other numbers."""
        if not self._measurer.lacks_cost(artifact) or not Path(artifact.path).exists():
            return
        try:
            self._measurer.measure_cost(artifact)
        except EdgeevalError as error:
            measured.problems.append(f"{artifact.name}: speed was not measured: {error}.")

    def _second_plan(self) -> list[Plan]:
        """Run the reference in blocks of another size: what changes is rounding, not the model."""
        measurer = self._measurer
        if not measurer.settings.suite.second_plan:
            return []
        if not measurer.has_plans(self._reference, second=True):
            self._need_reference()
        plans = second_plans(measurer, self._reference)
        if measurer.lacks(self._reference, self._reference, plans):
            self._need_reference()
        measurer.measure(self._reference, [], plans)
        return plans


def _foreign_tokenizer(level: Artifact, reference: Artifact) -> str:
    """Say why a level's tokens are not the reference's; empty if they are."""
    if level.vocabulary_sha256 != reference.vocabulary_sha256:
        return (
            "its vocabulary is not the reference's: the same token ids are other words there, so "
            "nothing can be compared; is it another model, or another version of it?"
        )
    if level.tokenizer_sha256 != reference.tokenizer_sha256:
        return (
            "its tokenizer is not the reference's (same vocabulary, other merges, scores or "
            "pre-tokenizer): it would read the same text as other tokens; get a newer conversion"
        )
    return ""
