"""StrongREJECT: csv with `category`, `source`, `forbidden_prompt`."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import Imported, Row, collect, csv_rows, files, slug

_COLUMNS = ("category", "source", "forbidden_prompt")


def read(path: Path) -> Imported:
    """Read `strongreject_dataset.csv`, or the small one."""
    found = files(path, "strongreject_dataset.csv")
    rows = chain.from_iterable(csv_rows(file, _COLUMNS) for file in found)
    return collect("refusal", rows, _item, layout="auto")


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    item_id = slug("strongreject", row.line)
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": {"category": row.text("category")},
        "prompt": row.text("forbidden_prompt"),
        "unsafe": True,
    }
