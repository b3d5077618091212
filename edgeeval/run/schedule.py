"""Measure artifacts: plan once, run every block that is not in a journal yet, keep what came.

This is the part of the flow that costs time, in the parent process. The rest of it (scoring,
comparing, reporting) reads what this leaves on disk.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeeval.errors import EdgeevalError, InputError
from edgeeval.prompts import PromptSet, Suite
from edgeeval.records import Artifact
from edgeeval.run.answers import answers_plan
from edgeeval.run.clock import Clock
from edgeeval.run.device import Engine
from edgeeval.run.foreign import Foreign, Plan, n_scored
from edgeeval.run.plan import PLANNER_VERSION
from edgeeval.run.worker import logprob_file, run_job
from edgeeval.store import Journal, Workspace, digest, read_json, write_json

RUN_VERSION = 2
"""Raise it when the same blocks give other digits: every run id changes with it."""

Progress = Callable[[str], None]
"""Called with one line of talk."""

_FLOAT32_BYTES = 4
NOISY_SPREAD = 0.15
"""Repetitions further apart than this are marked noisy, and measured again by the next call."""
_COST_N_CTX = 2048


@dataclass(frozen=True)
class ChosenSet:
    """A prompt set and how many of its items (text: windows) enter."""

    prompt_set: PromptSet
    path: Path
    size: int
    plain_text: bool = False


@dataclass(frozen=True)
class Settings:
    """What an evaluation measures with, beside the artifacts."""

    engine: Engine
    suite: Suite
    sets: tuple[ChosenSet, ...]
    seed: int
    with_cost: bool
    cache_bytes: int
    answer_tokens: int = 0
    """Tokens of each of the reference's answers that the levels read; 0 for none of it."""
    foreign: Foreign | None = None
    """The reference's run, where it came in a bundle."""


def prefilled_tokens(item: Mapping[str, Any]) -> int:
    """Count the tokens of a planned item that are decoded before anything is generated."""
    prefix = item.get("tokens") or item.get("prompt") or item.get("prefix") or []
    return len(prefix) + sum(len(option) for option in item.get("options", []))


class Measurer:
    """Runs artifacts on plans in one workspace."""

    def __init__(
        self, workspace: Workspace, settings: Settings, clock: Clock, progress: Progress
    ) -> None:
        self.workspace = workspace
        self.settings = settings
        self.clock = clock
        self._progress = progress

    # -- plans -----------------------------------------------------------------------------------

    def has_plans(self, reference: Artifact, *, second: bool = False) -> bool:
        """Tell whether every set was planned before, so that the model is not needed for it."""
        return self.settings.foreign is not None or all(
            path.exists() for path in self._plan_paths(reference, second)
        )

    def _plan_paths(self, reference: Artifact, second: bool) -> list[Path]:
        engine = self.settings.engine.libraries_sha256  # tokenizers change with it
        inputs = [PLANNER_VERSION, engine, reference.sha256, self._planned_suite, second]
        return [
            self.workspace.folder("plans")
            / f"{digest([*inputs, chosen.prompt_set.sha256, chosen.size])[:32]}.json"
            for chosen in self.settings.sets
        ]

    @property
    def _planned_suite(self) -> dict[str, Any]:
        return self.settings.suite.model_dump(include={"n_ctx", "samples", "max_tokens"})

    def plans(self, reference: Artifact, *, second: bool = False) -> list[Plan]:
        """Plan every set with the reference's tokenizer, in one worker; a plan that exists is read.

        Raises:
            InputError: a set cannot be planned, or the model file cannot be loaded.
        """
        if (foreign := self.settings.foreign) is not None:
            return list(foreign.second if second else foreign.plans)
        paths = self._plan_paths(reference, second)
        missing = [
            {
                "set": str(chosen.path),
                "plain_text": chosen.plain_text,
                "size": chosen.size,
                "out": str(path),
            }
            for chosen, path in zip(self.settings.sets, paths, strict=True)
            if not path.exists()
        ]
        if missing:
            job = {
                "model": reference.path,
                "suite": self._planned_suite,
                "second": second,
                "sets": missing,
            }
            self.clock.job("plan", run_job(self.workspace, "plan", job))
        contents = [read_json(path) for path in paths]
        return [
            Plan(path, content, digest(content))
            for path, content in zip(paths, contents, strict=True)
        ]

    def answer_plans(self, reference: Artifact, plans: Sequence[Plan]) -> list[Plan]:
        """Plan to have the reference's answers read; it writes those first that it has not yet.

        Raises:
            EdgeevalError: it could not.
        """
        if self.settings.foreign is not None:
            return self.plans_of_written(reference, plans)
        written = self.answered(plans)
        if self.lacks(reference, reference, written):
            self._run(reference, reference, written, set(), everything=True)
        return self.plans_of_written(reference, plans)

    def plans_of_written(self, reference: Artifact, plans: Sequence[Plan]) -> list[Plan]:
        """Return the plans of answers that are all written; nothing is run."""
        if (foreign := self.settings.foreign) is not None:
            return list(foreign.answers) if self.settings.answer_tokens else []
        found = [self._answer_plan(reference, plan) for plan in self.answered(plans)]
        return [plan for plan in found if plan.content["blocks"]]

    def answered(self, plans: Sequence[Plan]) -> list[Plan]:
        """Return the plans whose texts are to be read, if any are."""
        is_wanted = self.settings.answer_tokens > 0
        return [plan for plan in plans if is_wanted and plan.content["primitive"] == "generate"]

    def _answer_plan(self, reference: Artifact, plan: Plan) -> Plan:
        folder, n_tokens = self.run_dir(reference, plan), self.settings.answer_tokens
        texts = {
            item["id"]: item["texts"][0]["tokens"]  # the greedy one
            for line in Journal(folder / "journal.jsonl").read()
            for item in line["items"]
        }
        content = answers_plan(plan.content, texts, n_tokens)
        sha256 = digest(content)
        path = self.workspace.folder("plans") / f"{sha256[:32]}.json"
        if not path.exists():
            write_json(path, content)
        return Plan(path, content, sha256)

    # -- runs ------------------------------------------------------------------------------------

    def run_dir(self, artifact: Artifact, plan: Plan) -> Path:
        """Return the folder of a run: its id hashes everything that can change a digit."""
        foreign = self.settings.foreign
        if foreign is not None and artifact.sha256 == foreign.reference.sha256:
            return foreign.run_dir(plan)
        run_id = digest(
            [
                RUN_VERSION,
                artifact.sha256,
                plan.content["set_sha256"],
                plan.sha256,
                self.settings.engine.fingerprint,
                self.settings.seed,
            ]
        )
        return self.workspace.root / "runs" / run_id[:32]

    def divergence_dir(self, artifact: Artifact, reference: Artifact, plan: Plan) -> Path:
        """Return the folder of a divergence, named by both runs."""
        pair = [self.run_dir(one, plan).name for one in (reference, artifact)]
        return self.workspace.root / "divergence" / "-".join(name[:16] for name in pair)

    def _missing(self, folder: Path, plan: Plan) -> list[str]:
        done = {line["block"] for line in Journal(folder / "journal.jsonl").read()}
        return [block for block in plan.block_ids if block not in done]

    def _needs_divergence(self, artifact: Artifact, reference: Artifact, plan: Plan) -> list[str]:
        if not plan.diverges or artifact.sha256 == reference.sha256:
            return []
        return self._missing(self.divergence_dir(artifact, reference, plan), plan)

    def lacks(self, artifact: Artifact, reference: Artifact, plans: Sequence[Plan]) -> bool:
        """Tell whether something of an artifact is still to be decoded."""
        return any(self.n_missing(artifact, reference, plan) for plan in plans)

    def n_missing(self, artifact: Artifact, reference: Artifact, plan: Plan) -> int:
        """Count the blocks of a plan that an artifact still has to decode."""
        own = self._missing(self.run_dir(artifact, plan), plan)
        return len({*own, *self._needs_divergence(artifact, reference, plan)})

    def _rounds(
        self, plans: Sequence[Plan], wanted: set[tuple[int, str]]
    ) -> list[set[tuple[int, str]]]:
        """Cut window blocks into rounds whose log-probabilities fit the cache together.

        Raises:
            InputError: one block alone does not fit.
        """
        rounds: list[set[tuple[int, str]]] = []
        used = 0
        for index, plan in enumerate(plans):
            for block in plan.content["blocks"]:
                if (index, block["id"]) not in wanted:
                    continue
                n_rows = sum(map(n_scored, block["items"]))
                needed = n_rows * plan.content["n_vocab"] * _FLOAT32_BYTES
                if needed > self.settings.cache_bytes:
                    raise InputError(
                        f"--cache-bytes {self.settings.cache_bytes}: one block of windows needs "
                        f"{needed}; give more, or a smaller --n-ctx"
                    )
                if not rounds or used + needed > self.settings.cache_bytes:
                    rounds.append(set())
                    used = 0
                rounds[-1].add((index, block["id"]))
                used += needed
        return rounds

    def measure(
        self,
        reference: Artifact,
        levels: Sequence[Artifact],
        plans: Sequence[Plan],
        *,
        keep_logprobs: bool = False,
    ) -> dict[str, str]:
        """Run the reference and every level on every plan.

        Blocks of windows outside, artifacts inside: the reference's log-probabilities of a round
        are on disk while the levels meet them, and go with the round.

        Args:
            reference: what the levels are compared with.
            levels: what to compare.
            plans: what to run.
            keep_logprobs: leave the log-probabilities for another call with other levels, where one
                round holds them all.

        Returns:
            Level name -> why it was lost. The reference's failure is raised.

        Raises:
            EdgeevalError: the reference could not be measured.
        """
        lost: dict[str, str] = {}
        wanted = {
            (index, block)
            for index, plan in enumerate(plans)
            for level in levels
            for block in self._needs_divergence(level, reference, plan)
        }
        self._drop_logprobs_of_others(reference, plans)
        rounds = self._rounds(plans, wanted) or [set()]
        for number, blocks in enumerate(rounds):
            everything = number == 0  # the first round also runs what needs no cache
            self._run(reference, reference, plans, blocks, everything)
            for level in levels:
                if level.name in lost:
                    continue
                try:
                    self._run(level, reference, plans, blocks, everything)
                except EdgeevalError as error:
                    lost[level.name] = str(error)
                    self._progress(f"{level.name}: lost: {error}")
            if not (keep_logprobs and len(rounds) == 1):
                shutil.rmtree(self.workspace.root / "logprobs", ignore_errors=True)
        return lost

    def measure_reference(self, reference: Artifact, plans: Sequence[Plan]) -> None:
        """Run the reference alone and keep all its log-probabilities, for a bundle.

        Raises:
            InputError: they do not fit the cache together.
            EdgeevalError: the reference could not be measured.
        """
        blocks = {
            (index, block)
            for index, plan in enumerate(plans)
            if plan.diverges
            for block in plan.block_ids
        }
        rounds = self._rounds(plans, blocks) or [set()]
        if len(rounds) > 1:
            raise InputError(
                f"--cache-bytes {self.settings.cache_bytes}: a bundle holds all "
                f"log-probabilities, about {len(rounds)} times that; give more, or a smaller suite"
            )
        self._drop_logprobs_of_others(reference, plans)
        self._run(reference, reference, plans, rounds[0], everything=True)

    def logprobs_dir(self, reference: Artifact, plan: Plan) -> Path:
        """Return where the reference's log-probabilities are kept: as long as a round lasts.

        A killed call leaves them behind, and the next one reads them instead of decoding again.
        """
        if self.settings.foreign is not None:
            return self.settings.foreign.logprobs_dir(plan)
        return self.workspace.root / "logprobs" / self.run_dir(reference, plan).name

    def _drop_logprobs_of_others(self, reference: Artifact, plans: Sequence[Plan]) -> None:
        own = {self.logprobs_dir(reference, plan) for plan in plans}
        for folder in self.workspace.folder("logprobs").iterdir():
            if folder not in own:
                shutil.rmtree(folder, ignore_errors=True)

    def _lacks_logprobs(self, reference: Artifact, plan: Plan, blocks: set[str]) -> set[str]:
        folder = self.logprobs_dir(reference, plan)
        return {block for block in blocks if not logprob_file(folder, block).exists()}

    def _run(
        self,
        artifact: Artifact,
        reference: Artifact,
        plans: Sequence[Plan],
        round_blocks: set[tuple[int, str]],
        everything: bool,
    ) -> None:
        """Decode what an artifact lacks of this round in one worker process."""
        runs = []
        for index, plan in enumerate(plans):
            own = set(self._missing(self.run_dir(artifact, plan), plan))
            in_round = {block for at, block in round_blocks if at == index}
            if artifact is reference:
                cached = self._lacks_logprobs(reference, plan, in_round)
                needed = cached | own if everything else cached
            else:
                diverging = set(self._needs_divergence(artifact, reference, plan))
                cached = diverging & in_round
                needed = cached | (own - diverging) if everything else cached
            if needed:
                runs.append(self._part(artifact, reference, index, plan, needed, cached))
            elif everything:
                self._finish(artifact, plan)  # a call that was killed left it without a manifest
        if runs:
            self._decode(artifact, reference, plans, runs)

    def _part(
        self,
        artifact: Artifact,
        reference: Artifact,
        index: int,
        plan: Plan,
        needed: set[str],
        cached: set[str],
    ) -> dict[str, Any]:
        """Return a job's part for one plan; `cached` blocks write or read log-probabilities."""
        logprobs = self.logprobs_dir(reference, plan)
        if cached:
            logprobs.mkdir(parents=True, exist_ok=True)
        divergence = self.divergence_dir(artifact, reference, plan)
        return {
            "run": index,
            "plan": str(plan.path),
            "blocks": [block for block in plan.block_ids if block in needed],
            "cached_blocks": sorted(cached),
            "logprobs": str(logprobs),
            "writes_logprobs": artifact is reference,
            "arrays": str(self.run_dir(artifact, plan) / "arrays"),
            "divergence_arrays": str(divergence / "arrays"),
        }

    def _decode(
        self,
        artifact: Artifact,
        reference: Artifact,
        plans: Sequence[Plan],
        runs: list[dict[str, Any]],
    ) -> None:
        done, total = 0, sum(len(run["blocks"]) for run in runs)
        missing: dict[Path, set[str]] = {}

        def append(folder: Path, plan: Plan, line: dict[str, Any]) -> None:
            """Keep a block's line once: the reference decodes some again for log-probabilities."""
            if folder not in missing:
                missing[folder] = set(self._missing(folder, plan))
            if line["block"] in missing[folder]:
                Journal(folder / "journal.jsonl").append(line)
                missing[folder].remove(line["block"])

        self._progress(f"{artifact.name}: {total} blocks")

        def keep(event: dict[str, Any]) -> None:
            nonlocal done
            plan, line = plans[event["run"]], event["line"]
            append(self.run_dir(artifact, plan), plan, line)
            if event["divergence"] is not None:
                folder = self.divergence_dir(artifact, reference, plan)
                append(folder, plan, event["divergence"])
            done += 1
            self._progress(f"{artifact.name}: block {done} of {total} ({plan.content['set_id']})")

        report = run_job(self.workspace, "evaluate", self._job(artifact) | {"runs": runs}, keep)
        self.clock.job(f"evaluate {artifact.name}", report)
        for run in runs:
            self._finish(artifact, plans[run["run"]])

    def _job(self, artifact: Artifact) -> dict[str, Any]:
        engine = self.settings.engine
        return {
            "model": artifact.path,
            "device": engine.device,
            "n_threads": engine.n_threads,
            "n_ubatch": engine.n_ubatch,
            "use_extra_bufts": engine.use_extra_bufts,
            "seed": self.settings.seed,
        }

    def _finish(self, artifact: Artifact, plan: Plan) -> None:
        """Write a run's manifest once its last block is in: its presence means "complete"."""
        folder = self.run_dir(artifact, plan)
        if self._missing(folder, plan) or (folder / "run.json").exists():
            return
        lines = Journal(folder / "journal.jsonl").read()
        elapsed_s = sum(line["elapsed_s"] for line in lines)
        native_s = sum(line["native_s"] for line in lines)
        write_json(
            folder / "run.json",
            {
                "schema": "edgeeval/run@1",
                "artifact": artifact.name,
                "artifact_sha256": artifact.sha256,
                "set": plan.content["set_id"],
                "set_sha256": plan.content["set_sha256"],
                "plan_sha256": plan.sha256,
                "engine": self.settings.engine.fingerprint,
                "seed": self.settings.seed,
                "n_blocks": len(lines),
                "elapsed_s": round(elapsed_s, 3),
                "native_s": round(native_s, 3),
                "native_share": round(native_s / elapsed_s, 4) if elapsed_s else None,
            },
        )

    # -- cost ------------------------------------------------------------------------------------

    def _cost_journal(self, artifact: Artifact) -> Journal:
        settings = self.settings
        key = digest(
            [artifact.sha256, settings.engine.fingerprint, _COST_N_CTX, settings.suite.cost_repeats]
        )
        return Journal(self.workspace.folder("cost") / f"{key[:32]}.jsonl")

    def cost(self, artifact: Artifact) -> dict[str, Any] | None:
        """Return an artifact's newest repetitions of the cost pass, if it was made."""
        lines = self._cost_journal(artifact).read() if self.settings.with_cost else []
        return lines[-1] if lines else None

    def has_cost(self, artifact: Artifact) -> bool:
        """Tell whether an artifact needs no timing, or was timed, however noisily."""
        return not self.settings.with_cost or self.cost(artifact) is not None

    def lacks_cost(self, artifact: Artifact) -> bool:
        """Tell whether an artifact is still to be timed, or was timed while others worked."""
        known = self.cost(artifact)
        return self.settings.with_cost and (known is None or _is_noisy(known))

    def measure_cost(self, artifact: Artifact) -> None:
        """Time an artifact as deployed.

        Raises:
            EdgeevalError: the worker failed.
        """
        journal = self._cost_journal(artifact)
        self._progress(f"{artifact.name}: speed and memory")
        job = self._job(artifact) | {
            "n_ctx": _COST_N_CTX,
            "repeats": self.settings.suite.cost_repeats,
        }
        report = run_job(self.workspace, "cost", job, journal.append)
        self.clock.job(f"cost {artifact.name}", report)


def _is_noisy(cost: dict[str, Any]) -> bool:
    """Tell whether repetitions of a speed lie too far apart to mean much."""
    return any(
        max(values) - min(values) > NOISY_SPREAD * sorted(values)[len(values) // 2]
        for values in (cost["prefill_tps"], cost["decode_tps"])
    )
