"""Parallel sentences of a dialect and of the standard: csv, or tsv by the file's ending.

The first line names the columns: `dialect` and `standard`, and if there are such, `variety`,
`feature` (the grammatical feature: a cluster and a group) and `source` (what describes it).
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import Imported, Problem, Row, collect, csv_rows, files, slug

_COLUMNS = ("dialect", "standard")


def read(path: Path) -> Imported:
    """Read one file, or all of a folder's."""
    found = files(path, "*.csv", "*.tsv")
    return collect("dialect", chain.from_iterable(map(_rows, found)), _item)


def _rows(path: Path) -> Iterator[Row | Problem]:
    return csv_rows(path, _COLUMNS, "\t" if path.suffix.lower() == ".tsv" else ",")


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    file = Path(row.where.rpartition(":")[0])
    item_id = slug("dialect", file.stem, row.line)
    groups = {key: row.optional_text(key) for key in ("variety", "feature")}
    feature = groups["feature"]
    yield {
        "id": item_id,
        "template_id": slug("dialect", file.stem, feature) if feature else item_id,
        "groups": {key: value for key, value in groups.items() if value},
        "dialect": row.text("dialect"),
        "standard": row.text("standard"),
        "feature_source": row.optional_text("source") or "not given",
    }
