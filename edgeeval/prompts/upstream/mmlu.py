"""MMLU: csv files without a first line of names: question, A, B, C, D, letter of the answer.

The prompt is that of the authors' evaluate.py to the letter (its two spaces before the subject are
theirs): the subject's examples from the dev file, then the question; the options are the letters.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.errors import PromptSetError
from edgeeval.prompts.upstream.reading import (
    BadRow,
    Imported,
    Problem,
    Row,
    collect,
    csv_records,
    files,
    fit,
    slug,
)

_LETTERS = ("A", "B", "C", "D")
_NAMES = ("question", *_LETTERS, "answer")
_FILE_NAME = re.compile(r"(.+)_(test|val)\.csv")


def read(path: Path) -> Imported:
    """Read one subject's `…_test.csv` (or `…_val.csv`), or all of a folder's.

    The subject's `…_dev.csv` stands beside it, or in the folder `dev` as in the authors' archive.
    """
    found = files(path, "*_test.csv", "test/*_test.csv")
    return collect("choice", chain.from_iterable(map(_rows, found)), _item)


def _rows(path: Path) -> Iterator[Row | Problem]:
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        raise PromptSetError(f"{path}: MMLU's files are called SUBJECT_test.csv or SUBJECT_val.csv")
    subject = name[1]
    head = f"The following are multiple choice questions (with answers) about  {_words(subject)}."
    shots = "".join(_shots(path, subject))
    for number, row in enumerate(_named(path), 1):
        if isinstance(row, Row):
            place = {"subject": subject, "number": f"{name[2]}-{number}"}
            yield Row(row.where, {**row.fields, **place, "head": f"{head}\n\n{shots}"})
        else:
            yield row


def _shots(path: Path, subject: str) -> Iterator[str]:
    """Yield the few-shot examples, which must be whole: they are part of every prompt."""
    name = f"{subject}_dev.csv"
    for candidate in (path.with_name(name), path.parent.parent / "dev" / name):
        if candidate.is_file():
            break
    else:
        raise PromptSetError(f"{path}: needs {name} beside it, for the few-shot examples")
    for row in _named(candidate):
        if isinstance(row, Problem):
            raise PromptSetError(f"{row.where}: {row.reason}")
        try:
            yield f"{_asked(row)} {_answer(row)}\n\n"
        except BadRow as error:
            raise PromptSetError(f"{row.where}: {error}") from None


def _named(path: Path) -> Iterator[Row | Problem]:
    for record in csv_records(path):
        if isinstance(record, Problem):
            yield record
        elif len(record.values) != len(_NAMES):
            yield Problem(record.where, f"{len(record.values)} fields, not {len(_NAMES)}")
        else:
            yield Row(record.where, dict(zip(_NAMES, record.values, strict=True)))


def _words(subject: str) -> str:
    return subject.replace("_", " ")


def _asked(row: Row) -> str:
    options = "".join(f"\n{letter}. {fit(row.fields[letter], letter)}" for letter in _LETTERS)
    return f"{row.text('question')}{options}\nAnswer:"


def _answer(row: Row) -> str:
    return row.word("answer", _LETTERS)


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    subject = row.fields["subject"]
    item_id = slug("mmlu", subject, row.fields["number"])
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": {"subject": subject},
        "question": row.fields["head"] + _asked(row),
        "options": _LETTERS,
        "answer": _LETTERS.index(_answer(row)),
        "layout": "verbatim",
    }
