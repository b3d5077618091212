"""A reference that ran on another machine: its plans, its runs and its log-probabilities.

A model that this machine's memory cannot hold is run where it fits, once; here its levels are
decoded against what that run left behind.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeeval.prompts import Suite
from edgeeval.prompts.load import Header
from edgeeval.records import Artifact
from edgeeval.run.worker import DIVERGING
from edgeeval.store import digest


def n_scored(item: Mapping[str, Any]) -> int:
    """Return how many tokens of a window or an answer are scored."""
    return len(item["tokens"]) - 1 - int(item["first"])


@dataclass(frozen=True)
class Plan:
    """A token plan on disk."""

    path: Path
    content: dict[str, Any]
    sha256: str

    @property
    def block_ids(self) -> list[str]:
        """Ids of its blocks, in order."""
        return [block["id"] for block in self.content["blocks"]]

    @property
    def n_items(self) -> int:
        """Items of the prompt set that it asks: it may ask several questions about one."""
        asked = (item for block in self.content["blocks"] for item in block["items"])
        return len({item.get("item", item["id"]) for item in asked})

    @property
    def diverges(self) -> bool:
        """Whether a level is compared with the reference token by token."""
        return self.content["primitive"] in DIVERGING


@dataclass(frozen=True)
class Foreign:
    """What a bundle holds, unpacked."""

    folder: Path
    reference: Artifact
    """Its file is not here: its path is the bundle's."""
    fingerprint: str
    """Of the engine that ran it."""
    engine: str
    """The same in words."""
    suite: Suite
    seed: int
    limit: int | None
    """Items a set that it was limited to, if it was: a trial there is a trial here."""
    headers: tuple[Header, ...]
    """Of the prompt sets, in the order of `plans`."""
    plans: tuple[Plan, ...]
    second: tuple[Plan, ...]
    """Plans of its run in blocks of another size, if it had one."""
    answers: tuple[Plan, ...] = ()
    """Plans that have its answers read, if its suite measures that."""

    def of_kinds(self, kinds: Collection[str]) -> "Foreign":
        """Return the part of it that sets of these kinds make up."""
        kept = [
            (header, plan)
            for header, plan in zip(self.headers, self.plans, strict=True)
            if header.kind in kinds
        ]
        return replace(
            self,
            headers=tuple(header for header, _ in kept),
            plans=tuple(plan for _, plan in kept),
            second=tuple(plan for plan in self.second if plan.content["kind"] in kinds),
            answers=tuple(
                plan
                for plan in self.answers
                if plan.content["set_id"] in {header.id for header, _ in kept}
            ),
        )

    def run_dir(self, plan: Plan) -> Path:
        """Return the folder of the reference's run on a plan.

        Its name is this bundle's alone: a divergence is named by both runs, and another reference
        may have the same plan.
        """
        return self.folder / "runs" / self._run_name(plan)

    def logprobs_dir(self, plan: Plan) -> Path:
        """Return where its log-probabilities are; they stay for the next level."""
        return self.folder / "logprobs" / self._run_name(plan)

    def _run_name(self, plan: Plan) -> str:
        return digest([self.folder.name, plan.sha256])[:32]
