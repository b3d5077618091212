"""Read the finished runs of one artifact back from the journals."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeeval.errors import EdgeevalError
from edgeeval.records import Artifact
from edgeeval.run.foreign import Plan, n_scored
from edgeeval.run.schedule import Measurer
from edgeeval.store import Journal

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SetRun:
    """One artifact on one prompt set: the plan, and what came out of it."""

    set_id: str
    kind: str
    pool: str
    generation: Mapping[str, Any]
    items: Mapping[str, Mapping[str, Any]]
    """Item id -> its plan and its result together, in plan order."""


@dataclass(frozen=True)
class Measured:
    """Everything that was measured of one artifact."""

    artifact: Artifact
    sets: tuple[SetRun, ...]
    cost: Mapping[str, Any] | None
    """Repetitions of the cost pass; None where it was not asked for."""

    def of_kind(self, *kinds: str) -> Iterator[SetRun]:
        """Yield the runs on prompt sets of these kinds."""
        return (run for run in self.sets if run.kind in kinds)


def _parts(folder: Path, name: str, block: Sequence[Mapping[str, Any]]) -> list[Floats]:
    """Cut an array of a block's tokens into those of its items."""
    array: Floats = np.load(folder / "arrays" / name, allow_pickle=False)
    ends = np.cumsum([n_scored(item) for item in block])
    return np.split(array, ends[:-1], axis=-1)


def read_run(plan: Mapping[str, Any], run_dir: Path, divergence_dir: Path | None) -> SetRun:
    """Join a plan with its journal and its divergence's.

    Raises:
        EdgeevalError: a planned item has no result: means over fewer items than planned would lie.
    """
    blocks = {block["id"]: block["items"] for block in plan["blocks"]}
    results: dict[str, dict[str, Any]] = {}
    for line in Journal(run_dir / "journal.jsonl").read():
        rows = _parts(run_dir, line["nll"], blocks[line["block"]]) if "nll" in line else None
        for index, item in enumerate(line["items"]):
            results[item["id"]] = dict(item) | ({"nll": rows[index]} if rows is not None else {})
    if divergence_dir is not None:
        for line in Journal(divergence_dir / "journal.jsonl").read():
            rows = _parts(divergence_dir, line["divergence"], blocks[line["block"]])
            for index, item in enumerate(line["items"]):
                results[item["id"]]["divergence"] = rows[index]
    items = {}
    for block in plan["blocks"]:
        for item in block["items"]:
            if item["id"] not in results:
                raise EdgeevalError(f"{run_dir}: item {item['id']} has no result; run again")
            items[item["id"]] = {**item, **results[item["id"]]}
    return SetRun(plan["set_id"], plan["kind"], plan["pool"], plan["generation"], items)


def read_measured(
    measurer: Measurer, artifact: Artifact, reference: Artifact, plans: Iterable[Plan]
) -> Measured:
    """Return everything that was measured of an artifact.

    Raises:
        EdgeevalError: something planned has no result.
    """
    sets = []
    for plan in plans:
        diverges = plan.diverges and artifact.sha256 != reference.sha256
        folder = measurer.divergence_dir(artifact, reference, plan) if diverges else None
        sets.append(read_run(plan.content, measurer.run_dir(artifact, plan), folder))
    return Measured(artifact, tuple(sets), measurer.cost(artifact))
