"""Say what an evaluation would take and what it could show; measure nothing but this machine.

`edgeeval plan` prints it. What is not on the disk yet is estimated from the recipe; what is there
is read; the engine's own dry run says how large a level will be.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from edgeeval.artifact.header import read_header
from edgeeval.artifact.quantize import planned_bytes
from edgeeval.compare.power import (
    Expected,
    Power,
    cannot_pass,
    expectations_of,
    power,
    shipped_expectations,
)
from edgeeval.compare.verdicts import metric_id
from edgeeval.errors import EdgeevalError, InputError, NotFetched
from edgeeval.pipeline.bundle import foreign_of
from edgeeval.pipeline.judging import with_judges
from edgeeval.pipeline.ladder import Ladder, Rung
from edgeeval.pipeline.measure import measurer_for
from edgeeval.pipeline.request import Chosen, Request, choose, earlier_results
from edgeeval.recipe import QUANTIZATION_TYPES, Recipe
from edgeeval.records import Artifact, Requirement
from edgeeval.report import load_results
from edgeeval.run.device import Engine, find_engine
from edgeeval.run.foreign import Plan
from edgeeval.run.schedule import Progress, prefilled_tokens
from edgeeval.run.worker import run_job
from edgeeval.scores import scorer
from edgeeval.scores.table import Metric
from edgeeval.store import Journal, Workspace, digest

_BASE_BYTES = 200 << 20
"""A worker with Python, numpy and the engine, before a model."""
_LOGIT_COPIES = 3
"""llama.cpp's own logits, their log-softmax and a reference's beside it, all float32."""
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
    """About, for what is not in the workspace yet."""
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
    files = [_unseen(recipe, recipe.reference, "to fetch")]
    files += [
        _unseen(recipe, level.type or "", "to build" if level.type else "to fetch", level.label)
        for level in recipe.levels
        if not request.levels or level.label in request.levels
    ]
    return Forecast(
        files=tuple(files),
        disk_needed_bytes=_file_bytes(request, files),
        disk_free_bytes=shutil.disk_usage(workspace.folder()).free,
        memory_needed_bytes=(files[0].size_bytes or 0) + _BASE_BYTES or None,
        memory_bytes=psutil.virtual_memory().total,
        sets=(),
        blocks_done=0,
        blocks=0,
        prefill_tps=None,
        decode_tps=None,
        elapsed_s=None,
        power=(),
        notes=(reason, "Tokens, time and power are planned with the model's own tokenizer."),
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
        sets = tuple(_planned_set(plan) for plan in plans)
        rates = self._rates(present) if present else {}
        pending = self._pending(reference, plans)
        return Forecast(
            files=files,
            disk_needed_bytes=self._disk_bytes(files, plans),
            disk_free_bytes=shutil.disk_usage(self.workspace.folder()).free,
            memory_needed_bytes=_memory_bytes(present, files, plans) if present else None,
            memory_bytes=psutil.virtual_memory().total,
            sets=sets,
            blocks_done=sum(one.n_blocks for one in sets) * len(pending) - sum(pending.values()),
            blocks=sum(one.n_blocks for one in sets) * len(pending),
            prefill_tps=rates.get("prefill_tps"),
            decode_tps=rates.get("decode_tps"),
            elapsed_s=self._elapsed_s(rates, sets, pending, files, present) if rates else None,
            power=self._power(plans),
            notes=self._notes(plans, present),
        )

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

    def _rates(self, artifact: Artifact) -> dict[str, float]:
        """Return how fast this machine decodes, from a few seconds' measurement kept by file."""
        key = digest([artifact.sha256, self.engine.fingerprint])[:32]
        journal = Journal(self.workspace.folder("calibration") / f"{key}.jsonl")
        if not journal.read():
            job = {
                "model": artifact.path,
                "device": self.engine.device,
                "n_threads": self.engine.n_threads,
                "n_ubatch": self.engine.n_ubatch,
                "use_extra_bufts": self.engine.use_extra_bufts,
            }
            self.progress(f"{artifact.name}: a few seconds of calibration")
            run_job(self.workspace, "calibrate", job, journal.append)
        return journal.read()[-1]

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
        logprobs = 0 if is_kept_already else sum(_logprob_bytes(plan) for plan in plans)
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

    def _power(self, plans: Sequence[Plan]) -> tuple[Power, ...]:
        sources = [*self._earlier(), ("levels of SmolLM2-135M", shipped_expectations())]
        names = [rung.name for rung in self.ladder.rungs]
        return tuple(
            power(name, requirement, metric, n, len(names), sources)
            for requirement, metric, n in self._required(plans)
            for name in names
        )

    def _required(self, plans: Sequence[Plan]) -> list[tuple[Requirement, Metric, int]]:
        """Return the requirements with their metric and the items that will decide them."""
        found = []
        for requirement in self.chosen.required:
            for name in self.chosen.scorers:
                module = scorer(name)
                for metric in module.METRICS:
                    n = sum(plan.n_items for plan in plans if plan.content["kind"] in module.KINDS)
                    if metric.id == metric_id(requirement.metric) and n:
                        found.append((requirement, metric, n))
        return found

    def _earlier(self) -> list[tuple[str, Expected]]:
        """Return what earlier results of this recipe say, the newest first."""
        found = []
        for path in earlier_results(self.request.name, self.workspace):
            try:
                found.append((f"{path.parent.name}", expectations_of(load_results(path))))
            except InputError:  # of another version, or damaged: it can tell nothing
                continue
        return found

    def _notes(self, plans: Sequence[Plan], present: Artifact | None) -> tuple[str, ...]:
        notes = []
        if present is None:
            notes.append(
                "The model is not converted yet: tokens, time and power are known after "
                "`edgeeval quantize`."
            )
        n_levels = len(self.ladder.rungs)
        for requirement, metric, n in self._required(plans):
            if cannot_pass(requirement, metric, n, n_levels):
                notes.append(
                    f"{requirement.metric}: {n} items cannot show a limit of {requirement.limit:g} "
                    "even if nothing changes; take a larger suite or another limit."
                )
        return tuple(notes)


def _is_there(artifact: Artifact | None) -> bool:
    return artifact is not None and Path(artifact.path).exists()


def _items(plan: Plan) -> list[dict[str, Any]]:
    return [item for block in plan.content["blocks"] for item in block["items"]]


def _planned_set(plan: Plan) -> PlannedSet:
    items, content = _items(plan), plan.content
    generated = 0
    if content["primitive"] == "generate":
        generation = content["generation"]
        generated = len(items) * (1 + generation["samples"]) * generation["max_tokens"]
    return PlannedSet(
        id=content["set_id"],
        kind=content["kind"],
        n_items=plan.n_items,
        prefill_tokens=sum(map(prefilled_tokens, items)),
        generated_tokens=generated,
        n_blocks=len(content["blocks"]),
    )


def _logprob_bytes(plan: Plan) -> int:
    if plan.content["primitive"] != "windows":
        return 0
    n_scored = sum(len(item["tokens"]) - 1 - item["first"] for item in _items(plan))
    return int(n_scored * plan.content["n_vocab"] * 4)


def _memory_bytes(present: Artifact, files: Sequence[PlannedFile], plans: Sequence[Plan]) -> int:
    """Return about how much memory the largest worker takes: weights, cells, logits."""
    weights = max(file.size_bytes or 0 for file in files)
    cell_bytes = _cell_bytes(present)
    cells = max((plan.content["context"]["n_ctx"] for plan in plans), default=0)
    rows = max((_scored_rows(plan) for plan in plans), default=0)
    n_vocab = max((plan.content["n_vocab"] for plan in plans), default=0)
    logits = _LOGIT_COPIES * rows * n_vocab * 4
    return int(weights + cells * cell_bytes + logits + _BASE_BYTES)


def _scored_rows(plan: Plan) -> int:
    """Return the rows of one batch whose logits are wanted, at most."""

    def rows(item: dict[str, Any]) -> int:
        if "tokens" in item:
            return len(item["tokens"]) - 1 - int(item["first"])
        return sum(map(len, item["options"])) if "options" in item else int(item["n_sequences"])

    return max(sum(map(rows, block["items"])) for block in plan.content["blocks"])


def _cell_bytes(artifact: Artifact) -> int:
    """Return the bytes of one token's keys and values over all layers, as float32."""
    fields = read_header(Path(artifact.path)).fields

    def number(key: str, otherwise: int) -> int:
        value = fields.get(f"{artifact.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else otherwise

    heads = number("attention.head_count", 1)
    width = number("embedding_length", 4096) // max(1, heads)
    key, value = number("attention.key_length", width), number("attention.value_length", width)
    return number("block_count", 32) * number("attention.head_count_kv", heads) * (key + value) * 4
