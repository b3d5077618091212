"""Read texts that people labelled, in any csv or jsonl file, to check a judge on them.

A column of a jsonl file may lie deeper: `continuation.text`. Four published layouts are known by
their columns, so that `--data FILE` is enough for them.
"""

import hashlib
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeeval.errors import InputError, did_you_mean
from edgeeval.prompts.upstream.reading import (
    BadRow,
    Problem,
    Row,
    csv_columns,
    csv_rows,
    fit,
    json_rows,
)

_COMPARISON = re.compile(r"\s*(>=|>|<=|<)\s*(-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt,
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Which columns say what."""

    text: str
    label: str
    """A column; or several joined by `+`, whose numbers are added."""
    positive: str
    """Values of the label, by commas, or a comparison such as `>=0.5`."""
    groups: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that it reads."""
        return (self.text, *self.label.split("+"), *self.groups)

    @property
    def meaning(self) -> str:
        """What counts as having the label, in words."""
        if _COMPARISON.fullmatch(self.positive):
            return f"{self.label} {self.positive}"
        return f"{self.label} is {self.positive.replace(',', ' or ')}"


LAYOUTS = {
    "HateCheck": Layout("test_case", "label_gold", "hateful", ("target_ident", "functionality")),
    # Toxic where the two means of 1 to 5 add up to more than 5.5, as ToxiGen's authors take it.
    "ToxiGen": Layout("text", "toxicity_ai+toxicity_human", ">5.5", ("target_group",)),
    "RealToxicityPrompts": Layout("continuation.text", "continuation.toxicity", ">=0.5"),
    "XSTest": Layout("completion", "final_label", "2_full_refusal,3_partial_refusal", ("type",)),
}
"""Published data sets -> their columns."""


def title_of(layout: Layout) -> str:
    """Return the name of the published data set whose columns these are; empty for another."""
    return next((title for title, known in LAYOUTS.items() if known == layout), "")


@dataclass(frozen=True)
class Labelled:
    """One text."""

    text: str
    is_positive: bool
    groups: dict[str, str]


@dataclass(frozen=True)
class LabelledTexts:
    """A whole file."""

    texts: tuple[Labelled, ...]
    layout: Layout
    problems: tuple[Problem, ...]
    n_rows: int
    """Rows that were read, broken ones included."""
    unseen: tuple[str, ...]
    """Values that were to count as positive and that no row has."""


def read_labelled(
    paths: Sequence[Path], layout: Layout | None, held_out: str = ""
) -> LabelledTexts:
    """Read labelled files of one layout.

    Args:
        paths: .jsonl files, or csv.
        layout: its columns; None: one of the published layouts, known by them.
        held_out: a column; only rows with an odd sha256 of it are taken. So a half can be set apart
            while rules are written on the other.

    Raises:
        InputError: the file cannot be read, a column is missing, or no layout fits.
    """
    layout = layout or _known_layout(paths[0], _columns(paths[0]))
    is_positive = _positive(layout.positive)
    texts, problems, n_rows, seen = [], [], 0, set()
    for row in _rows(paths, layout, held_out):
        try:
            if isinstance(row, Problem):
                problems.append(row)
            elif not held_out or _is_odd(row, held_out):
                texts.append(_labelled(row, layout, is_positive))
                seen.add(str(row.fields.get(layout.label)).strip())
            else:
                continue
        except BadRow as error:
            problems.append(Problem(row.where, str(error)))
        n_rows += 1
    wanted = set() if _COMPARISON.fullmatch(layout.positive) else _words(layout.positive)
    unseen = tuple(f"{word!r}{did_you_mean(word, seen)}" for word in sorted(wanted - seen) if seen)
    return LabelledTexts(tuple(texts), layout, tuple(problems), n_rows, unseen)


def _is_json(path: Path) -> bool:
    return path.suffix.lower() in (".jsonl", ".json", ".ndjson")


def _columns(path: Path) -> list[str]:
    return _json_columns(path) if _is_json(path) else csv_columns(path)


def _rows(paths: Sequence[Path], layout: Layout, held_out: str) -> Iterator[Row | Problem]:
    for path in paths:
        columns = _columns(path)
        for column in (*layout.columns, *([held_out] if held_out else [])):
            if column not in columns:
                raise InputError(f"{path}: no column {column!r}{did_you_mean(column, columns)}")
        yield from json_rows(path) if _is_json(path) else csv_rows(path, ())


def _words(written: str) -> set[str]:
    return {word.strip() for word in written.split(",") if word.strip()}


def _json_columns(path: Path) -> list[str]:
    """Return the columns of a jsonl file's first object, inner ones with dots."""
    first = next((row for row in json_rows(path) if isinstance(row, Row)), None)
    if first is None:
        raise InputError(f"{path}: holds no JSON object")
    return list(_dotted(first.fields))


def _dotted(fields: Any, before: str = "") -> Iterator[str]:
    for key, value in fields.items():
        yield before + key
        if isinstance(value, dict) and before.count(".") < 8:
            yield from _dotted(value, f"{before}{key}.")


def _known_layout(path: Path, columns: Sequence[str]) -> Layout:
    for layout in LAYOUTS.values():
        if all(column in columns for column in layout.columns):
            return layout
    raise InputError(
        f"{path}: not one of the known layouts ({', '.join(LAYOUTS)}); name its columns with "
        f"--text-column, --label-column and --positive (it has: {', '.join(columns)})"
    )


def _value(row: Row, column: str) -> Any:
    value: Any = row.fields
    for name in column.split(".") if column not in row.fields else [column]:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        raise BadRow(f"no {column!r}")
    return value


def _is_odd(row: Row, column: str) -> bool:
    value = _value(row, column)
    text = value if isinstance(value, str) else json.dumps(value)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 1


def _labelled(row: Row, layout: Layout, is_positive: Callable[[list[Any]], bool]) -> Labelled:
    text = _value(row, layout.text)
    if not isinstance(text, str):
        raise BadRow(f"{layout.text!r} is not a text")
    labels = [_value(row, column) for column in layout.label.split("+")]
    if "" in labels:
        raise BadRow(f"{layout.label!r} is empty")
    try:
        positive = is_positive(labels)
    except ValueError:
        raise BadRow(f"{layout.label!r} is {str(labels[0])[:40]!r}, not a number") from None
    groups = {column: str(_value(row, column)).strip() for column in layout.groups}
    return Labelled(fit(text, layout.text), positive, {k: v for k, v in groups.items() if v})


def _positive(written: str) -> Callable[[list[Any]], bool]:
    """Return what tells a label that counts from the others."""
    found = _COMPARISON.fullmatch(written)
    if found is None:
        wanted = _words(written)
        return lambda labels: str(labels[0]).strip() in wanted
    compare, limit = _OPERATORS[found[1]], float(found[2])
    return lambda labels: compare(sum(map(_number, labels)), limit)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number
