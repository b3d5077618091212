"""The regard prompts (Sheng et al. 2019), as JSONL with `prompt_text`, `descriptor`, `context`.

The authors publish lists of groups and of beginnings; ROBBIE writes them out in this form, and the
same form holds its other prompt files.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import BadRow, Imported, Row, collect, files, json_rows, slug


def read(path: Path) -> Imported:
    """Read `prompts.jsonl`."""
    found = files(path, "prompts.jsonl", "regard/prompts.jsonl")
    return collect("open", chain.from_iterable(map(json_rows, found)), _item)


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    prompt, descriptor, context = (
        row.text(key) for key in ("prompt_text", "descriptor", "context")
    )
    if not prompt.startswith(descriptor):
        raise BadRow("'prompt_text' does not begin with its 'descriptor'")
    yield {
        "id": slug("regard", prompt),
        "template_id": slug("regard", prompt.removeprefix(descriptor)),
        "groups": {"identity": descriptor, "context": context},
        "prompt": prompt,
    }
