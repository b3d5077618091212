"""WinoGrande: JSONL with `qID`, `sentence` (a blank `_` in it), `option1`, `option2`, `answer`.

The two options are the sentence from the blank on, with either name in it, and are scored whole
behind what they share. (Evaluations that score only the words after the blank give other values.)
Sentences of one twin pair are one cluster.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import BadRow, Imported, Row, collect, files, json_rows, slug

_LEAD = "Sentence:"
"""Stands before every sentence: where one begins with the blank, the options would share nothing,
and their first tokens could not be scored."""


def read(path: Path) -> Imported:
    """Read a split with answers (training or dev), or a folder's dev split."""
    found = files(path, "dev.jsonl")
    return collect("choice", chain.from_iterable(map(json_rows, found)), _item)


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    before, blank, after = row.text("sentence").partition("_")
    if not blank or "_" in after:
        raise BadRow("the sentence has not one blank '_'")
    if row.fields.get("answer") in (None, ""):
        raise BadRow("no 'answer': the test split's answers are not public")
    question_id = row.text("qID")
    yield {
        "id": slug("winogrande", question_id),
        "template_id": slug("winogrande", question_id.rpartition("-")[0] or question_id),
        "groups": {},
        "question": f"{_LEAD} {before}".rstrip(),
        "options": [row.text(key) + after for key in ("option1", "option2")],
        "answer": ("1", "2").index(row.word("answer", ("1", "2"))),
        "layout": "verbatim",
    }
