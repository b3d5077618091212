"""Say what an evaluation would take and what it could show; measure nothing but this machine.

`edgeeval plan` prints it. What is not on the disk yet is estimated from the recipe; what is there
is read; the engine's own dry run says how large a level will be.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from edgeeval.artifact.quantize import planned_bytes
from edgeeval.compare.power import Power
from edgeeval.errors import EdgeevalError, InputError, NotFetched, WorkerFailed, reason_of
from edgeeval.judges import Judge
from edgeeval.judges.score import was_asked
from edgeeval.pipeline.bundle import foreign_of
from edgeeval.pipeline.judging import asks_judges, with_judges
from edgeeval.pipeline.ladder import Ladder, Rung, chosen_levels
from edgeeval.pipeline.measure import measurer_for
from edgeeval.pipeline.pace import decoding_pace, judging_pace
from edgeeval.pipeline.request import Chosen, Request, choose
from edgeeval.pipeline.room import WORKER_BYTES, items_of, logprob_bytes, memory_bytes
from edgeeval.pipeline.sample import power_of, samples_of, too_small, unmeasurable
from edgeeval.recipe import QUANTIZATION_TYPES, Recipe
from edgeeval.records import Artifact
from edgeeval.run.answers import KIND, answers_plan
from edgeeval.run.device import Engine, find_engine
from edgeeval.run.foreign import Plan
from edgeeval.run.schedule import Progress, prefilled_tokens
from edgeeval.scores import scorer
from edgeeval.store import Workspace, digest

_QUANTIZED_PARAMS_PER_S = 3e7
"""K-quants, a core (measured: 135M parameters in 2 s on two); IQ types take ten times as long."""
_IQ_SLOWNESS = 10


@dataclass(frozen=True)
class PlannedFile:
    """A file that an evaluation needs."""

    name: str
    what: str
    """"there", "to fetch", "to convert", "to build"."""
    size_bytes: int | None
    is_estimate: bool


@dataclass(frozen=True)
class PlannedSet:
    """What a prompt set costs each artifact."""

    id: str
    kind: str
    n_items: int
    prefill_tokens: int
    generated_tokens: int
    """At most: a text may end sooner."""
    n_blocks: int


@dataclass(frozen=True)
class Forecast:
    """What an evaluation would take and show."""

    files: tuple[PlannedFile, ...]
    disk_needed_bytes: int
    disk_free_bytes: int
    memory_needed_bytes: int | None
    memory_bytes: int
    sets: tuple[PlannedSet, ...]
    blocks_done: int
    blocks: int
    prefill_tps: float | None
    decode_tps: float | None
    elapsed_s: float | None
    """About, judges included, for what is not in the workspace yet."""
    power: tuple[Power, ...]
    notes: tuple[str, ...]

    def require_room(self) -> None:
        """Refuse what this machine cannot hold.

        Raises:
            InputError: disk or memory is too small; says what would do.
        """
        if self.disk_needed_bytes > self.disk_free_bytes:
            raise InputError(
                f"the disk cannot hold it: {_gb(self.disk_needed_bytes)} are needed, "
                f"{_gb(self.disk_free_bytes)} free; --max-level-files 1 --keep none needs least, a "
                "smaller --cache-bytes less, or give a --workspace on another disk"
            )
        needed = self.memory_needed_bytes
        if needed is not None and needed > self.memory_bytes:
            raise InputError(
                f"the memory cannot hold it: about {_gb(needed)} are needed, "
                f"{_gb(self.memory_bytes)} are there; make a bundle of the reference on a larger "
                "machine (edgeeval bundle) and give it here with --bundle, or take a smaller model"
            )


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"


def forecast(
    request: Request, workspace: Workspace, progress: Progress = lambda line: None
) -> Forecast:
    """Return what an evaluation would take and could show.

    Raises:
        InputError: the request cannot be carried out.
        WorkspaceBusy: another process works in this workspace.
    """
    with workspace.locked():
        chosen = with_judges(request, choose(request, foreign_of(request, workspace)), workspace)
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        try:
            ladder = Ladder(request, workspace, engine, progress, chosen.foreign)
        except NotFetched as error:
            return _before_fetching(request, workspace, str(error))
        return _Forecaster(request, chosen, workspace, engine, ladder, progress).forecast()


def _before_fetching(request: Request, workspace: Workspace, reason: str) -> Forecast:
    """Return what the recipe alone says: sizes."""
    recipe = request.recipe
    levels = chosen_levels(request)
    files = [_unseen(recipe, recipe.reference, "to fetch")]
    files += [
        _unseen(recipe, level.type or "", "to build" if level.type else "to fetch", level.label)
        for level in levels
    ]
    return Forecast(
        files=tuple(files),
        disk_needed_bytes=_file_bytes(request, files),
        disk_free_bytes=shutil.disk_usage(workspace.folder()).free,
        memory_needed_bytes=(files[0].size_bytes or 0) + WORKER_BYTES or None,
        memory_bytes=psutil.virtual_memory().total,
        sets=(),
        blocks_done=0,
        blocks=0,
        prefill_tps=None,
        decode_tps=None,
        elapsed_s=None,
        power=(),
        notes=(
            reason,
            "Tokens, time and power are planned with the model's own tokenizer; sizes are of what "
            "the names say, and rows that 256 does not divide make a file larger.",
            *(f"{level.label}: {level.note}." for level in levels if level.note),
        ),
    )


def _file_bytes(request: Request, files: Sequence[PlannedFile]) -> int:
    """Return what files will take on the disk: the reference, and as many levels as stay."""
    to_do = [file.size_bytes or 0 if file.what.startswith("to ") else 0 for file in files]
    reference, levels = to_do[0], to_do[1:]
    if request.keep == "none" and request.max_level_files:
        levels = sorted(levels)[-request.max_level_files :]
    return reference + sum(levels)


def _unseen(recipe: Recipe, kind: str, what: str, name: str = "") -> PlannedFile:
    known = recipe.n_params is not None and kind in QUANTIZATION_TYPES
    bits = QUANTIZATION_TYPES[kind].bpw if known else 0.0
    size = int((recipe.n_params or 0) * bits / 8) if known else None
    return PlannedFile(name or kind, what, size, is_estimate=True)


class _Forecaster:
    def __init__(
        self,
        request: Request,
        chosen: Chosen,
        workspace: Workspace,
        engine: Engine,
        ladder: Ladder,
        progress: Progress,
    ) -> None:
        self.request, self.chosen, self.workspace = request, chosen, workspace
        self.engine, self.ladder, self.progress = engine, ladder, progress
        self.measurer = measurer_for(request, chosen, workspace, engine, progress)

    def forecast(self) -> Forecast:
        reference = self.ladder.reference.known()
        # Tokens are planned with the reference's tokenizer, which is that of what it is made of.
        # A bundle's reference is not here: its levels stand in for it.
        levels = [rung.known() for rung in self.ladder.rungs] if self.chosen.foreign else []
        candidates = (reference, self.ladder.source, *levels)
        present = next((one for one in candidates if _is_there(one)), None)
        files = self._files(reference, present)
        planned_with = reference or present
        plans = self.measurer.plans(planned_with) if planned_with else []
        compared = [*plans, *self._answers(reference, plans)]
        sets = tuple(_planned_set(plan) for plan in compared)
        rates = (
            decoding_pace(self.workspace, self.engine, present, self.progress) if present else {}
        )
        pending = self._pending(reference, compared)
        return Forecast(
            files=files,
            disk_needed_bytes=self._disk_bytes(files, compared),
            disk_free_bytes=shutil.disk_usage(self.workspace.folder()).free,
            memory_needed_bytes=(
                memory_bytes(present, max(file.size_bytes or 0 for file in files), compared)
                if present
                else None
            ),
            memory_bytes=psutil.virtual_memory().total,
            sets=sets,
            blocks_done=sum(one.n_blocks for one in sets) * len(pending) - sum(pending.values()),
            blocks=sum(one.n_blocks for one in sets) * len(pending),
            prefill_tps=rates.get("prefill_tps"),
            decode_tps=rates.get("decode_tps"),
            elapsed_s=(
                self._elapsed_s(rates, sets, pending, files, present)
                + self._judging_s(compared, pending)
                if rates
                else None
            ),
            power=self._power(plans),
            notes=self._notes(plans, present),
        )

    def _answers(self, reference: Artifact | None, plans: Sequence[Plan]) -> list[Plan]:
        """Return the plans of answers: as they are, or as long as they can get."""
        measurer = self.measurer
        written = measurer.answered(plans)
        if reference is not None and not measurer.lacks(reference, reference, written):
            return measurer.answer_plans(reference, plans)
        n_tokens = measurer.settings.answer_tokens
        return [_longest_answers(plan, n_tokens) for plan in written]

    def _files(
        self, reference: Artifact | None, present: Artifact | None
    ) -> tuple[PlannedFile, ...]:
        source = reference or present
        if self.chosen.foreign is not None:
            first = PlannedFile(self.ladder.reference.name, "in the bundle", None, False)
        else:
            is_checkpoint = self.request.recipe.model.is_checkpoint
            first = self._file(
                self.ladder.reference, source, "to convert" if is_checkpoint else "to build"
            )
        return (first, *(self._file(rung, source, "to build") for rung in self.ladder.rungs))

    def _file(self, rung: Rung, source: Artifact | None, what: str) -> PlannedFile:
        """Return what is known of a file; `what` is to be done if it is not there."""
        known = rung.known()
        if known is not None:
            is_there = Path(known.path).exists()
            return PlannedFile(rung.name, "there" if is_there else what, known.size_bytes, False)
        wanted = rung.build(source) if rung.build and source else None
        if wanted is None:
            return _unseen(self.request.recipe, rung.name, what)
        try:
            size = planned_bytes(self.workspace, self.engine, wanted)
        except EdgeevalError as error:
            self.progress(f"{rung.name}: {error}")
            return PlannedFile(rung.name, what, None, is_estimate=True)
        return PlannedFile(rung.name, what, size, is_estimate=False)

    def _pending(self, reference: Artifact | None, plans: Sequence[Plan]) -> dict[str, int]:
        """Return artifact -> blocks that are not in the workspace yet."""
        total = sum(len(plan.block_ids) for plan in plans)
        pending = {}
        for rung in (self.ladder.reference, *self.ladder.rungs):
            artifact = rung.known() if reference is not None else None
            pending[rung.name] = (
                total
                if artifact is None or reference is None
                else sum(self.measurer.n_missing(artifact, reference, plan) for plan in plans)
            )
        return pending

    def _disk_bytes(self, files: Sequence[PlannedFile], plans: Sequence[Plan]) -> int:
        """Return what has to be written: files to build, as many as stay, and log-probabilities."""
        is_kept_already = self.chosen.foreign is not None
        logprobs = 0 if is_kept_already else sum(logprob_bytes(plan) for plan in plans)
        return _file_bytes(self.request, files) + min(logprobs, self.request.cache_bytes)

    def _elapsed_s(
        self,
        rates: dict[str, float],
        sets: Sequence[PlannedSet],
        pending: dict[str, int],
        files: Sequence[PlannedFile],
        present: Artifact | None,
    ) -> float:
        """Return about how long it takes, every level taken to be as fast as the reference."""
        suite = self.chosen.suite
        whole = sum(
            one.prefill_tokens / rates["prefill_tps"] + one.generated_tokens / rates["decode_tps"]
            for one in sets
        )
        n_blocks = sum(one.n_blocks for one in sets) or 1
        decoding = whole * sum(pending.values()) / n_blocks
        one_stream_tps = rates["decode_tps"] / 4  # measured: 345-400 tokens/s against 101-148
        timing = suite.cost_repeats * (512 / rates["prefill_tps"] + 128 / one_stream_tps)
        n_new = sum(1 for blocks in pending.values() if blocks)
        n_params = present.n_params if present else 0
        pace = _QUANTIZED_PARAMS_PER_S * self.engine.n_threads
        building = sum(
            n_params / pace * (_IQ_SLOWNESS if file.name.startswith("IQ") else 1)
            for file in files
            if file.what.startswith("to ")
        )
        return decoding + building + (timing * n_new if "cost" in self.chosen.scorers else 0.0)

    def _judging_s(self, plans: Sequence[Plan], pending: dict[str, int]) -> float:
        """Return about how long the judges take, who read every sample of every artifact.

        A judge that was asked here before has read what the finished blocks hold.
        """
        asking = [scorer(name) for name in self.chosen.scorers if asks_judges(name)]
        kinds = {kind for one in asking for kind in one.KINDS}
        n_blocks = sum(len(plan.block_ids) for plan in plans) * len(pending)
        share_left = sum(pending.values()) / n_blocks if n_blocks else 0.0
        elapsed_s = 0.0
        for plan in plans:
            if plan.content["kind"] not in kinds:
                continue
            generation = plan.content["generation"]
            n_texts = plan.n_items * generation["samples"] * len(pending)
            for judge in self.chosen.judges:
                share = share_left if was_asked(self.workspace, judge) else 1.0
                if share:
                    texts_per_s = self._texts_per_s(judge, generation["max_tokens"])
                    elapsed_s += n_texts * share / texts_per_s
        return elapsed_s

    def _texts_per_s(self, judge: Judge, n_tokens: int) -> float:
        try:
            return judging_pace(self.workspace, self.engine, judge, n_tokens, self.progress)
        except WorkerFailed as error:  # it will lose its own numbers and nothing else
            self.progress(f"{judge.info.name}: {reason_of(error)}")
            return math.inf

    def _power(self, plans: Sequence[Plan]) -> tuple[Power, ...]:
        names = [rung.name for rung in self.ladder.rungs]
        return power_of(self.request, self.workspace, samples_of(self.chosen, plans), names)

    def _notes(self, plans: Sequence[Plan], present: Artifact | None) -> tuple[str, ...]:
        notes = []
        if present is None:
            notes.append(
                "The model is not converted yet: tokens, time and power are known after "
                "`edgeeval quantize`. Sizes are of what the names say; rows that 256 does not "
                "divide make a file larger."
            )
        notes += [f"{one.label}: {one.note}." for one in self.ladder.levels if one.note]
        samples = samples_of(self.chosen, plans)
        notes += [f"{one}." for one in too_small(samples, len(self.ladder.rungs))]
        if plans:
            notes += [f"{one}." for one in unmeasurable(self.request, self.chosen, samples)]
        return tuple(notes)


def _is_there(artifact: Artifact | None) -> bool:
    return artifact is not None and Path(artifact.path).exists()


def _longest_answers(plan: Plan, n_tokens: int) -> Plan:
    written = {item["id"]: [0] * n_tokens for item in items_of(plan)}
    content = answers_plan(plan.content, written, n_tokens)
    return Plan(plan.path, content, digest(content))


def _planned_set(plan: Plan) -> PlannedSet:
    items, content = items_of(plan), plan.content
    generated = 0
    if content["primitive"] == "generate":
        generation = content["generation"]
        generated = len(items) * (1 + generation["samples"]) * generation["max_tokens"]
    return PlannedSet(
        id=content["set_id"] + (", answers" if content["kind"] == KIND else ""),
        kind=content["kind"],
        n_items=plan.n_items,
        prefill_tokens=sum(map(prefilled_tokens, items)),
        generated_tokens=generated,
        n_blocks=len(content["blocks"]),
    )
