"""HellaSwag: JSONL with `ind`, `activity_label`, `ctx_a`, `ctx_b`, `endings`, `label`, `source_id`.

The text is cleaned as lm-evaluation-harness cleans it (WikiHow's marks in square brackets go), so
that accuracies compare. Contexts cut from one video or article are one cluster.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import BadRow, Imported, Row, collect, files, json_rows, slug

_MARK = re.compile(r"\[.*?\]")


def read(path: Path) -> Imported:
    """Read a split with labels (training or validation), or a folder's validation split."""
    found = files(path, "hellaswag_val.jsonl")
    return collect("choice", chain.from_iterable(map(json_rows, found)), _item)


def _cleaned(text: str) -> str:
    without_marks = _MARK.sub("", text.strip().replace(" [title]", ". "))
    return without_marks.replace("  ", " ")


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    if row.fields.get("label") in (None, ""):
        raise BadRow("no 'label': the test split's answers are not public")
    label, endings = row.integer("label"), row.texts("endings")
    if not 0 <= label < len(endings):
        raise BadRow(f"label {label} names none of {len(endings)} endings")
    activity = row.text("activity_label")
    context = f"{row.optional_text('ctx_a')} {row.optional_text('ctx_b').capitalize()}"
    yield {
        "id": slug("hellaswag", str(row.integer("ind"))),
        "template_id": slug("hellaswag", row.text("source_id")),
        "groups": {"split_type": row.text("split_type")},
        "question": _cleaned(f"{activity}: {context}").rstrip(),
        "options": [_cleaned(ending) for ending in endings],
        "answer": label,
        "layout": "verbatim",
    }
