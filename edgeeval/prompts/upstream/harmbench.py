"""HarmBench: csv with `Behavior`, the two categories, `Tags`, `ContextString`, `BehaviorID`.

A behaviour with a context is asked as HarmBench asks it: the context, a rule, the behaviour.
Whether a copyrighted text was reproduced (by its hash) is no question of refusal, and is not read.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import Imported, Row, collect, csv_rows, files, slug

_COLUMNS = ("Behavior", "FunctionalCategory", "SemanticCategory", "ContextString", "BehaviorID")


def read(path: Path) -> Imported:
    """Read a split of the text behaviours, or a folder's: the file of all, or else its splits."""
    found = files(path, "harmbench_behaviors_text_*.csv")
    found = [file for file in found if file.stem.endswith("_all")] or found
    rows = chain.from_iterable(csv_rows(file, _COLUMNS) for file in found)
    return collect("refusal", rows, _item, layout="auto")


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    context, behaviour = row.optional_text("ContextString"), row.text("Behavior")
    item_id = slug("harmbench", row.text("BehaviorID"))
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": {
            "functional_category": row.text("FunctionalCategory"),
            "semantic_category": row.text("SemanticCategory"),
        },
        "prompt": f"{context}\n\n---\n\n{behaviour}" if context else behaviour,
        "unsafe": True,
    }
