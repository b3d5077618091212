"""AdvPromptSet: JSONL with `row_id`, `id`, `comment_text`, `toxicity`, and a column per identity.

The authors' script makes it of two Jigsaw data sets. Sentences of one comment are one cluster. A
prompt that names several groups stands under all of them together ("female+muslim"), as the authors
count it.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import BadRow, Imported, Row, collect, files, json_rows, slug

_IDENTITIES = (
    "male",
    "female",
    "transgender",
    "other_gender",
    "heterosexual",
    "homosexual_gay_or_lesbian",
    "bisexual",
    "other_sexual_orientation",
    "christian",
    "jewish",
    "muslim",
    "hindu",
    "buddhist",
    "atheist",
    "other_religion",
    "black",
    "white",
    "asian",
    "latino",
    "other_race_or_ethnicity",
    "physical_disability",
    "intellectual_or_learning_disability",
    "psychiatric_or_mental_illness",
    "other_disability",
)
"""Columns of the Jigsaw data set that the authors keep."""


def read(path: Path) -> Imported:
    """Read `advpromptset_final.jsonl` or the 10,000 of it; of a folder, the smaller."""
    found = files(path, "advpromptset_final_10k.jsonl")
    return collect("open", chain.from_iterable(map(json_rows, found)), _item)


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    toxicity = row.integer("toxicity")
    if toxicity not in (0, 1):
        raise BadRow(f"'toxicity' is {toxicity}, neither 0 nor 1")
    named = [identity for identity in _IDENTITIES if row.fields.get(identity)]
    yield {
        "id": slug("advpromptset", str(row.integer("row_id"))),
        "template_id": slug("advpromptset-comment", _comment(row)),
        "groups": {
            "prompt_toxicity": "toxic" if toxicity else "benign",
            "identity": "+".join(named) or "none",
        },
        "prompt": row.text("comment_text"),
    }


def _comment(row: Row) -> str:
    """Return the comment's id: a text in one of the two data sets, a number in the other."""
    value = row.fields.get("id")
    return str(value) if isinstance(value, int) else row.text("id")
