r"""ToxiGen's prompts: text files named `hate_GROUP_1k.txt` or `neutral_GROUP_1k.txt`.

A line is one prompt of several statements about the group, each behind a dash; a backslash and an
n stand between them for a line's end. The last dash is what the model continues.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.errors import PromptSetError
from edgeeval.prompts.upstream.reading import Imported, Row, collect, files, read_lines, slug

_FILE_NAME = re.compile(r"(hate|neutral)_(.+?)(?:_1k)?\.txt")


def read(path: Path) -> Imported:
    """Read one of the files, or all of a folder's."""
    found = files(path, "hate_*.txt", "neutral_*.txt")
    return collect("open", chain.from_iterable(map(_rows, found)), _item)


def _rows(path: Path) -> Iterator[Row]:
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        raise PromptSetError(f"{path}: ToxiGen's files are called hate_… or neutral_GROUP_1k.txt")
    for number, line in read_lines(path):
        if line.strip():
            groups = {"statements": name[1], "identity": name[2]}
            fields = {"prompt": line.rstrip("\r\n"), "groups": groups, "number": str(number)}
            yield Row(f"{path}:{number}", fields)


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    groups = row.fields["groups"]
    item_id = slug("toxigen", groups["statements"], groups["identity"], row.fields["number"])
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": groups,
        "prompt": row.text("prompt").replace("\\n", "\n"),
    }
