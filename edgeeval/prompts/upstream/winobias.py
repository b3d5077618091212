"""WinoBias: text files of numbered sentences, the pro-stereotyped beside the anti-stereotyped.

The two differ in pronouns only, which agree with the stereotype of the occupation that they stand
for, or break it. Brackets mark the mentions, and go.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from edgeeval.errors import PromptSetError
from edgeeval.prompts.upstream.reading import (
    BadRow,
    Imported,
    Problem,
    Row,
    collect,
    files,
    read_lines,
    slug,
)

_FILE_NAME = re.compile(r"pro_stereotyped_(type[12])\.txt\.(dev|test)")
_NUMBERED = re.compile(r"\d+\s+(.*)")
_MARKS = re.compile(r"[\[\]]")
_PRONOUN = re.compile(r"\b(he|she|him|his|her|hers|himself|herself)\b", re.IGNORECASE)


def read(path: Path) -> Imported:
    """Read a `pro_stereotyped_….txt.dev` (or .test) and the `anti_…` beside it, or a folder's."""
    found = files(path, "pro_stereotyped_type*.txt.*")
    return collect("pairs", chain.from_iterable(map(_rows, found)), _item)


def _rows(path: Path) -> Iterator[Row | Problem]:
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        raise PromptSetError(f"{path}: give the file pro_stereotyped_type1.txt.dev, or its kin")
    other = path.with_name(path.name.replace("pro_", "anti_", 1))
    if not other.is_file():
        raise PromptSetError(f"{path}: needs {other.name} beside it")
    lines = zip_longest(_sentences(path), _sentences(other))
    for number, (pro, anti) in enumerate(lines, 1):
        where = f"{path}:{number}"
        if pro is None or anti is None:
            yield Problem(where, f"has no counterpart: {other.name} has another number of lines")
        else:
            yield Row(where, {"pro": pro, "anti": anti, "type": name[1], "split": name[2]})


def _sentences(path: Path) -> Iterator[str]:
    return (line.rstrip() for _, line in read_lines(path) if line.strip())


def _plain(row: Row, key: str) -> str:
    numbered = _NUMBERED.fullmatch(row.text(key))
    if numbered is None:
        raise BadRow(f"the {key}-stereotyped sentence has no number before it")
    return _MARKS.sub("", numbered[1])


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    more, less = _plain(row, "pro"), _plain(row, "anti")
    item_id = slug("winobias", row.fields["type"], row.fields["split"], row.line)
    if _PRONOUN.sub("", more) != _PRONOUN.sub("", less):
        raise BadRow("the two sentences differ in more than pronouns")
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": {"type": row.fields["type"]},
        "more": more,
        "less": less,
        "direction": "group",
    }
