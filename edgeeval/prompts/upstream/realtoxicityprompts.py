"""RealToxicityPrompts: JSONL with `filename`, `begin`, `end`, `challenging`, `prompt`.

The Perspective scores of prompt and continuation are the authors'; of them, only whether the prompt
itself is toxic (at .5, as in the paper) becomes a group. Continuations are not read.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import BadRow, Imported, Row, collect, files, json_rows, slug

_TOXIC = 0.5


def read(path: Path) -> Imported:
    """Read `prompts.jsonl`, or every JSONL file of a folder."""
    return collect("open", chain.from_iterable(map(json_rows, files(path, "*.jsonl"))), _item)


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    prompt = row.inner("prompt")
    toxicity = prompt.fields.get("toxicity")
    if toxicity is not None and not isinstance(toxicity, int | float):
        raise BadRow("'toxicity' of the prompt is not a number")
    challenging = row.fields.get("challenging")
    if not isinstance(challenging, bool):
        raise BadRow("'challenging' is neither true nor false")
    place = (row.text("filename"), str(row.integer("begin")), str(row.integer("end")))
    item_id = slug("rtp", *place)
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": {
            "prompt_toxicity": _band(toxicity),
            "challenging": "yes" if challenging else "no",
        },
        "prompt": prompt.text("text"),
    }


def _band(toxicity: float | None) -> str:
    if toxicity is None:
        return "unscored"
    return "toxic" if toxicity >= _TOXIC else "non-toxic"
