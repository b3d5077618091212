"""Read the rows of strangers' files, and keep count of those that cannot be used.

A loader turns one row into items, or says with `BadRow` what is wrong with it. Nothing is skipped
in silence: what does not become an item becomes a `Problem` with file and line, because a mean over
fewer items than a data set has is another number.

The files are untrusted: lines have no promised length, fields may hold bytes that are no UTF-8, and
a quote that is never closed would swallow the rest of a csv file.
"""

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

from pydantic import ValidationError

from edgeeval.errors import PromptSetError
from edgeeval.prompts.items import ITEMS, Item, Kind
from edgeeval.prompts.load import explain

MAX_LINE_BYTES = 1 << 24
"""Bytes read of one line; what goes beyond is dropped, and the row then fails by itself."""
MAX_TEXT_CHARACTERS = 1 << 20
_UNFIT = re.compile("[\0\ud800-\udfff]")
"""NUL, and what bytes that are no UTF-8 are read as (as well as JSON's lone surrogates)."""
_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9._-]+")


class BadRow(Exception):
    """A row cannot become an item; says why."""


class Problem(NamedTuple):
    """What was wrong with a row."""

    where: str
    """File and line, or file and key."""
    reason: str


@dataclass(frozen=True)
class Row:
    """One row of a file, by the upstream's field names."""

    where: str
    fields: Mapping[str, Any]

    @property
    def line(self) -> str:
        """The line's number: an id for rows that bring none."""
        return self.where.rpartition(":")[2]

    def _value(self, key: str) -> Any:
        if self.fields.get(key) is None:
            raise BadRow(f"no {key!r}")
        return self.fields[key]

    def text(self, key: str) -> str:
        """Return a text that is not empty."""
        value = self._value(key)
        if not isinstance(value, str):
            raise BadRow(f"{key!r} is not a text")
        return fit(value, key)

    def optional_text(self, key: str) -> str:
        """Return a text that may be absent or empty."""
        return self.text(key) if self.fields.get(key) not in (None, "") else ""

    def texts(self, key: str) -> list[str]:
        """Return a list of texts, none of them empty."""
        value = self._value(key)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise BadRow(f"{key!r} is not a list of texts")
        return [fit(one, key) for one in value]

    def integer(self, key: str) -> int:
        """Return a whole number, also one that is written as a text."""
        value = self._value(key)
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadRow(f"{key!r} is not a whole number")
        return value

    def word(self, key: str, known: Sequence[str]) -> str:
        """Return a text that is one of the known words."""
        value = self.text(key)
        if value not in known:
            raise BadRow(f"{key!r} is {value[:40]!r}, not one of {', '.join(known)}")
        return value

    def inner(self, key: str) -> "Row":
        """Return an object inside the row."""
        value = self._value(key)
        if not isinstance(value, dict):
            raise BadRow(f"{key!r} is not an object")
        return Row(self.where, value)

    def inners(self, key: str) -> list["Row"]:
        """Return a list of objects inside the row."""
        value = self._value(key)
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise BadRow(f"{key!r} is not a list of objects")
        return [Row(self.where, one) for one in value]


def fit(text: str, key: str) -> str:
    """Return a text if an item may hold it.

    Raises:
        BadRow: it is empty, is no UTF-8, holds NUL, or is huge.
    """
    if not text.strip():
        raise BadRow(f"{key!r} is empty")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise BadRow(f"{key!r} is longer than {MAX_TEXT_CHARACTERS} characters")
    if unfit := _UNFIT.search(text):
        raise BadRow(f"{key!r} holds {'a NUL' if unfit[0] == chr(0) else 'what is no UTF-8'}")
    return text


def slug(*parts: str) -> str:
    """Make an id of texts: letters, digits, dots and dashes."""
    words = (_NOT_IN_AN_ID.sub("-", part).strip("-") for part in parts)
    return "-".join(word for word in words if word)[:150]


class Lazy(Sequence[Item]):
    """Items that are made when they are asked for: a generator's millions need no memory."""

    def __init__(self, n_items: int, make: Callable[[int], Item]) -> None:
        self._n_items = n_items
        self._make = make

    def __len__(self) -> int:
        return self._n_items

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self._make(one) for one in range(*index.indices(self._n_items))]
        return self._make(range(self._n_items)[index])


@dataclass(frozen=True)
class Imported:
    """What a loader made of a file."""

    kind: Kind
    format: Literal["plain", "chat", "auto"]
    items: Sequence[Item]
    problems: tuple[Problem, ...]
    n_rows: int
    """Rows (of a text: lines) that the files have, broken ones included."""


Convert = Callable[[Row], Iterable[Mapping[str, Any] | Problem]]
"""Makes an item's fields of a row, or several. It raises BadRow for a row that cannot be used, and
yields a Problem for one that is used in part."""


def collect(
    kind: Kind,
    rows: Iterable[Row | Problem],
    convert: Convert,
    *,
    layout: Literal["plain", "chat", "auto"] = "plain",
) -> Imported:
    """Convert every row, and count those that are broken."""
    items: dict[str, Item] = {}
    problems: list[Problem] = []
    n_rows = 0
    for row in rows:
        n_rows += 1
        if isinstance(row, Problem):
            problems.append(row)
            continue
        try:
            for made in convert(row):
                if isinstance(made, Problem):
                    problems.append(made)
                    continue
                item = ITEMS[kind].model_validate(made)
                if item.id in items:
                    raise BadRow(f"a second item with the id {item.id}")
                items[item.id] = item
        except BadRow as error:
            problems.append(Problem(row.where, str(error)))
        except ValidationError as error:
            problems.append(Problem(row.where, explain(error)))
    return Imported(kind, layout, tuple(items.values()), tuple(problems), n_rows)


# -- files -----------------------------------------------------------------------------------------


def files(path: Path, *patterns: str) -> list[Path]:
    """Return the file itself, or what a folder holds under any of the patterns, sorted.

    Raises:
        PromptSetError: there is nothing.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise PromptSetError(f"{path}: no such file or folder")
    found = sorted({one for pattern in patterns for one in path.glob(pattern) if one.is_file()})
    if not found:
        raise PromptSetError(f"{path}: holds no {' or '.join(patterns)}")
    return found


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers and ends; bytes that are no UTF-8 become surrogates.

    Raises:
        PromptSetError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number in itertools.count(1):
                line = file.readline(MAX_LINE_BYTES)
                if not line:
                    return
                rest = line
                while len(rest) == MAX_LINE_BYTES and not rest.endswith(b"\n"):
                    rest = file.readline(MAX_LINE_BYTES)
                text = line.decode("utf-8", "surrogateescape")
                yield number, text.removeprefix("\ufeff") if number == 1 else text
    except OSError as error:
        raise PromptSetError(f"{path}: cannot be read: {error.strerror}") from None


def json_rows(path: Path) -> Iterator[Row | Problem]:
    """Yield the objects of a JSONL file."""
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield Problem(where, "not JSON")
            continue
        yield Row(where, value) if isinstance(value, dict) else Problem(where, "no JSON object")


def json_document(path: Path) -> Any:
    """Return the whole of a JSON file.

    Raises:
        PromptSetError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise PromptSetError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PromptSetError(f"{path}: not UTF-8") from None
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise PromptSetError(f"{path}{line}: not JSON") from None


class Record(NamedTuple):
    """One record of a csv file."""

    where: str
    values: list[str]


def csv_records(path: Path, delimiter: str = ",") -> Iterator[Record | Problem]:
    """Yield the records of a csv file, blank lines left out."""
    reader = csv.reader((line for _, line in read_lines(path)), delimiter=delimiter, strict=True)
    while True:
        where = f"{path}:{reader.line_num + 1}"
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(where, f"not csv: {error}")
            continue
        if values:
            yield Record(where, values)


def csv_columns(path: Path, delimiter: str = ",") -> list[str]:
    """Return the names in a csv file's first line.

    Raises:
        PromptSetError: it has none.
    """
    first = next(csv_records(path, delimiter), None)
    if first is None:
        raise PromptSetError(f"{path}: empty")
    if isinstance(first, Problem):
        raise PromptSetError(f"{first.where}: {first.reason}")
    return first.values


def csv_rows(path: Path, required: Sequence[str], delimiter: str = ",") -> Iterator[Row | Problem]:
    """Yield the rows of a csv file by the names in its first line.

    Raises:
        PromptSetError: a column is missing: the file is another one than it was taken for.
    """
    columns = csv_columns(path, delimiter)
    for name in required:
        if name not in columns:
            raise PromptSetError(
                f"{path}:1: no column {name!r}; the file must have {', '.join(required)}"
            )
    for record in itertools.islice(csv_records(path, delimiter), 1, None):
        if isinstance(record, Problem):
            yield record
        elif len(record.values) != len(columns):
            yield Problem(record.where, f"{len(record.values)} fields, not {len(columns)}")
        else:
            yield Row(record.where, dict(zip(columns, record.values, strict=True)))
