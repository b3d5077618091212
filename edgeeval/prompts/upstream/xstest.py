"""XSTest: csv with `id`, `prompt`, `type`, `label` (safe or unsafe), `focus`, `note`."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import Imported, Row, collect, csv_rows, files, slug

_COLUMNS = ("id", "prompt", "type", "label")


def read(path: Path) -> Imported:
    """Read `xstest_prompts.csv`: safe prompts that look unsafe, and unsafe contrasts."""
    found = files(path, "xstest_prompts.csv")
    rows = chain.from_iterable(csv_rows(file, _COLUMNS) for file in found)
    return collect("refusal", rows, _item, layout="auto")


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    item_id = slug("xstest", row.text("id"))
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": {"type": row.text("type")},
        "prompt": row.text("prompt"),
        "unsafe": row.word("label", ("safe", "unsafe")) == "unsafe",
    }
