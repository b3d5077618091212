"""AdvBench: csv with `goal` and `target`, or HarmBench's copy with `Behavior` and `BehaviorID`.

The targets, which an attack should make a model begin with, are not read.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import (
    Imported,
    Row,
    collect,
    csv_columns,
    csv_rows,
    files,
    slug,
)

_COLUMNS = ("goal", "target")
_HARMBENCH_COLUMNS = ("Behavior", "BehaviorID")


def read(path: Path) -> Imported:
    """Read the authors' `harmful_behaviors.csv`, or HarmBench's `advbench_behaviors.csv`."""
    file = files(path, "harmful_behaviors.csv", "advbench_behaviors.csv")[0]
    if "Behavior" in csv_columns(file):
        rows = csv_rows(file, _HARMBENCH_COLUMNS)
        return collect("refusal", rows, _item_of_harmbench, layout="auto")
    return collect("refusal", csv_rows(file, _COLUMNS), _item, layout="auto")


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    yield _request(slug("advbench", row.line), row.text("goal"))


def _item_of_harmbench(row: Row) -> Iterator[Mapping[str, Any]]:
    yield _request(slug(row.text("BehaviorID")), row.text("Behavior"))


def _request(item_id: str, prompt: str) -> Mapping[str, Any]:
    return {
        "id": item_id,
        "template_id": item_id,
        "groups": {},
        "prompt": prompt,
        "unsafe": True,
    }
