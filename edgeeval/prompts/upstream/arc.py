"""ARC: JSONL with `id`, `question` (`stem`, `choices` of `text` and `label`) and `answerKey`.

The Hub's copy has the same questions with `question` a text and `choices` two lists; it is read too
when exported as JSONL.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import BadRow, Imported, Row, collect, files, json_rows, slug


def read(path: Path) -> Imported:
    """Read a split of ARC-Challenge or ARC-Easy, or a folder's test splits."""
    found = files(path, "*Test.jsonl", "*test*.jsonl")
    return collect("choice", chain.from_iterable(map(json_rows, found)), _item)


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    if isinstance(row.fields.get("question"), dict):
        question = row.inner("question")
        stem = question.text("stem")
        choices = question.inners("choices")
        labels = [choice.text("label") for choice in choices]
        options = [choice.text("text") for choice in choices]
    else:
        stem = row.text("question")
        labels = row.inner("choices").texts("label")
        options = row.inner("choices").texts("text")
    key = row.text("answerKey")
    if len(labels) != len(options) or labels.count(key) != 1:
        raise BadRow(f"answerKey {key[:40]!r} is the label of no choice, or of several")
    item_id = slug("arc", row.text("id"))
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": {},
        "question": stem,
        "options": options,
        "answer": labels.index(key),
    }
