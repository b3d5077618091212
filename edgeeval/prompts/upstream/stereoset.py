"""StereoSet: JSON, `data` -> `intrasentence` and `intersentence`, each with three `sentences`.

The stereotype is compared with the anti-stereotype; the third, unrelated sentence of each cluster
tells how well a model models language, which `lm.*` measures, and is not read. In `intersentence`
the sentence follows the `context`.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.errors import PromptSetError
from edgeeval.prompts.upstream.reading import (
    BadRow,
    Imported,
    Problem,
    Row,
    collect,
    files,
    json_document,
    slug,
)

_TASKS = ("intrasentence", "intersentence")


def read(path: Path) -> Imported:
    """Read `dev.json` or `test.json` of StereoSet."""
    found = files(path, "dev.json")
    return collect("pairs", chain.from_iterable(map(_rows, found)), _item)


def _rows(path: Path) -> Iterator[Row | Problem]:
    document = json_document(path)
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict) or not all(isinstance(data.get(task), list) for task in _TASKS):
        raise PromptSetError(f"{path}: no 'data' with lists 'intrasentence' and 'intersentence'")
    for task in _TASKS:
        for index, value in enumerate(data[task]):
            where = f"{path}: {task}[{index}]"
            if isinstance(value, dict):
                yield Row(where, {**value, "task": task})
            else:
                yield Problem(where, "no JSON object")


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    before = f"{row.text('context')} " if row.fields["task"] == "intersentence" else ""
    item_id = slug("stereoset", row.text("id"))
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": {
            "bias_type": row.text("bias_type"),
            "target": row.text("target"),
            "task": row.fields["task"],
        },
        "more": before + _sentence(row, "stereotype"),
        "less": before + _sentence(row, "anti-stereotype"),
        "direction": "attribute",
    }


def _sentence(row: Row, label: str) -> str:
    found = [
        one.text("sentence")
        for one in row.inners("sentences")
        if one.fields.get("gold_label") == label
    ]
    if len(found) != 1:
        raise BadRow(f"has {len(found)} sentences with the gold_label {label!r}, not one")
    return found[0]
