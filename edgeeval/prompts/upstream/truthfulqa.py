"""TruthfulQA's two multiple-choice tasks, from `mc_task.json` or from `TruthfulQA.csv`.

mc1 has one right option; mc2 has all true and all false reference answers, and its number is the
probability that falls on the true ones. The csv holds the answers in cells, with semicolons between
them; the authors made the json of it, and left an empty option where a cell ends in a semicolon.
An empty option cannot be answered: it is left out, and reported.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from edgeeval.errors import PromptSetError
from edgeeval.prompts.upstream.reading import (
    BadRow,
    Imported,
    Problem,
    Row,
    collect,
    csv_rows,
    files,
    fit,
    json_document,
)

_COLUMNS = ("Type", "Category", "Question", "Best Answer", "Correct Answers", "Incorrect Answers")
Task = Literal["mc1", "mc2"]


def read_mc1(path: Path) -> Imported:
    """Read the questions with one right option each."""
    return _read(path, "mc1")


def read_mc2(path: Path) -> Imported:
    """Read the questions with all true and all false answers."""
    return _read(path, "mc2")


def _read(given: Path, task: Task) -> Imported:
    """Read a file; of a folder the csv, which tells the categories, or else the json."""
    path = sorted(files(given, "TruthfulQA.csv", "mc_task.json", "data/mc_task.json"))[0]
    if path.suffix.lower() == ".csv":
        return collect("choice", _numbered(csv_rows(path, _COLUMNS)), partial(_of_csv, task=task))
    return collect("choice", _numbered(_json_rows(path)), partial(_of_json, task=task))


def _json_rows(path: Path) -> Iterator[Row | Problem]:
    document = json_document(path)
    if not isinstance(document, list):
        raise PromptSetError(f"{path}: not a list of questions, as mc_task.json is")
    for index, value in enumerate(document):
        where = f"{path}[{index}]"
        yield Row(where, value) if isinstance(value, dict) else Problem(where, "no JSON object")


def _numbered(rows: Iterator[Row | Problem]) -> Iterator[Row | Problem]:
    for number, row in enumerate(rows, 1):
        yield row if isinstance(row, Problem) else Row(row.where, {**row.fields, "number": number})


def _of_json(row: Row, task: Task) -> Iterator[Mapping[str, Any] | Problem]:
    targets = row.inner(f"{task}_targets").fields
    if any(label not in (0, 1) for label in targets.values()):
        raise BadRow(f"'{task}_targets' has a label that is neither 0 nor 1")
    yield from _item(row, task, row.text("question"), targets, {})


def _of_csv(row: Row, task: Task) -> Iterator[Mapping[str, Any] | Problem]:
    true = [row.text("Best Answer")] if task == "mc1" else row.text("Correct Answers").split(";")
    false = row.text("Incorrect Answers").split(";")
    # as the authors' json: in this order, an answer that is given twice counted once
    targets = {one.strip(): 1 for one in true} | {one.strip(): 0 for one in false}
    groups = {"type": row.text("Type"), "category": row.text("Category")}
    yield from _item(row, task, row.text("Question"), targets, groups)


def _item(
    row: Row, task: Task, question: str, targets: Mapping[str, int], groups: Mapping[str, str]
) -> Iterator[Mapping[str, Any] | Problem]:
    options = [fit(option, "option") for option in targets if option]
    right = [index for index, option in enumerate(options) if targets[option] == 1]
    if not right or len(right) == len(options):
        raise BadRow("has no right option, or no wrong one")
    if task == "mc1" and len(right) > 1:
        raise BadRow("has more than one right option")
    if len(options) < len(targets):
        yield Problem(row.where, "an empty option was left out; the question is kept")
    item_id = f"truthfulqa-{task}-{row.fields['number']}"
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": groups,
        "question": question,
        "options": options,
        "answer": right[0],
        "also_right": right[1:],
    }
