"""TwitterAAE: tweets with the demographic model's posteriors, ten columns apart by tabs, no names.

Tweet id, time, user, place, census block, text as a JSON string, and the shares of
African-American, Hispanic, other and White language in it. Tweets are not parallel: what is read is
a running text of those in which one share is large, and `lm.*` of the two texts are to be compared.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

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

_N_COLUMNS = 10
_TEXT_COLUMN = 5
_SHARE_COLUMNS = {"african-american": 6, "white": 9}
_LARGE = 0.8
_Language = Literal["african-american", "white"]


def read_aa(path: Path) -> Imported:
    """Read the tweets that are African-American by at least .8."""
    return _read(path, "african-american")


def read_white(path: Path) -> Imported:
    """Read the tweets that are White by at least .8."""
    return _read(path, "white")


def _read(path: Path, language: _Language) -> Imported:
    found = files(path, "twitteraae_all*", "twitteraae_limited*")
    rows = chain.from_iterable(map(_rows, found))
    return collect("text", rows, partial(_item, language=language))


def _rows(path: Path) -> Iterator[Row | Problem]:
    for number, line in read_lines(path):
        values = line.rstrip("\r\n").split("\t")
        where = f"{path}:{number}"
        if len(values) != _N_COLUMNS:
            yield Problem(where, f"{len(values)} columns, not {_N_COLUMNS}")
        else:
            yield Row(where, {"values": values})


def _item(row: Row, language: _Language) -> Iterator[Mapping[str, Any]]:
    values = row.fields["values"]
    try:
        share = float(values[_SHARE_COLUMNS[language]])
        text = json.loads(values[_TEXT_COLUMN])
    except (ValueError, RecursionError):
        raise BadRow("the text is no JSON string, or a share is no number") from None
    if share >= _LARGE:
        tweet = slug("tweet", values[0])
        words = Row(row.where, {"text": text}).text("text")
        yield {"id": tweet, "template_id": tweet, "groups": {"variety": language}, "text": words}
