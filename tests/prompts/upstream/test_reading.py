"""Strangers' files: nothing is lost in silence, nothing is read as what it is not."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeeval.errors import PromptSetError
from edgeeval.prompts.upstream import reading
from edgeeval.prompts.upstream.reading import (
    BadRow,
    Problem,
    Record,
    Row,
    csv_records,
    csv_rows,
    files,
    fit,
    json_document,
    json_rows,
    slug,
)


def _file(folder: Path, data: bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


_one_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
_fields = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@_one_file
@given(table=st.lists(st.lists(_fields, min_size=2, max_size=3), min_size=1, max_size=5))
def test_csv_is_read_as_it_was_written(tmp_path: Path, table: list[list[str]]) -> None:
    """Oracle: the csv module's own writer, every field in quotes."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(table)
    records = list(csv_records(_file(tmp_path, text.getvalue().encode())))
    assert [record.values for record in records if isinstance(record, Record)] == table


def test_a_record_is_named_by_its_first_line(tmp_path: Path) -> None:
    path = _file(tmp_path, b'a,b\n"one\n\ntwo",2\nthree,4,5\nsix,7\n')
    rows = list(csv_rows(path, ("a", "b")))
    assert [row.where.rpartition(":")[2] for row in rows] == ["2", "5", "6"]
    assert isinstance(rows[0], Row)
    assert rows[0].text("a") == "one\n\ntwo"
    assert rows[1] == Problem(f"{path}:5", "3 fields, not 2")


def test_a_quote_that_is_not_closed_is_reported_where_it_opens(tmp_path: Path) -> None:
    path = _file(tmp_path, b'a,b\n1,2\n"3,4\n5,6\n')
    assert list(csv_rows(path, ("a",)))[1:] == [
        Problem(f"{path}:3", "not csv: unexpected end of data")
    ]


def test_a_huge_field_is_reported_and_the_rest_read(tmp_path: Path) -> None:
    path = _file(tmp_path, b"a,b\n" + b"x" * 200_000 + b",1\n2,3\n")
    problem, row = csv_rows(path, ("a",))
    assert problem == Problem(f"{path}:2", "not csv: field larger than field limit (131072)")
    assert isinstance(row, Row)
    assert row.text("a") == "2"


def test_a_line_longer_than_the_limit_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 20)
    path = _file(tmp_path, b'{"a": "short"}\n{"a": "' + b"x" * 90 + b'"}\n{"a": "third"}\n')
    first, second, third = json_rows(path)
    assert isinstance(first, Row)
    assert isinstance(third, Row)
    assert second == Problem(f"{path}:2", "not JSON")
    assert third.where == f"{path}:3"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xff", "'a' holds what is no UTF-8"),
        (b"x\0y", "'a' holds a NUL"),
        (b"  ", "'a' is empty"),
        (b"", "'a' is empty"),
    ],
)
def test_a_field_that_no_item_may_hold_breaks_its_row(
    tmp_path: Path, text: bytes, reason: str
) -> None:
    (row,) = csv_rows(_file(tmp_path, b"a,b\n" + text + b",1\n"), ("a",))
    assert isinstance(row, Row)
    with pytest.raises(BadRow) as raised:
        row.text("a")
    assert str(raised.value) == reason


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (row,) = csv_rows(_file(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n"), ("a", "b"))
    assert isinstance(row, Row)
    assert row.integer("a") == 1


def test_a_text_can_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_TEXT_CHARACTERS", 3)
    assert fit("abc", "a") == "abc"
    with pytest.raises(BadRow, match="'a' is longer than 3 characters"):
        fit("abcd", "a")


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3), ("3", 3), (" -3", -3), (True, None), (3.0, None), ("3.5", None)]
)
def test_whole_numbers_may_be_written_as_texts(value: object, number: int | None) -> None:
    row = Row("here", {"a": value})
    if number is None:
        with pytest.raises(BadRow, match="'a' is not a whole number"):
            row.integer("a")
    else:
        assert row.integer("a") == number


def test_another_file_is_told_by_its_columns(tmp_path: Path) -> None:
    with pytest.raises(PromptSetError, match=r"a\.csv:1: no column 'c'; the file must have b, c"):
        list(csv_rows(_file(tmp_path, b"a,b\n"), ("b", "c")))
    with pytest.raises(PromptSetError, match=r"a\.csv: empty"):
        list(csv_rows(_file(tmp_path, b"\n\n"), ("b",)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[1,\n 2", ":2: not JSON"),
        (b"[" * 100_000, ": not JSON"),
        (b'"\xff"', ": not UTF-8"),
        (b"9" * 5000, ": not JSON"),
        (b"", ":1: not JSON"),
    ],
)
def test_a_document_that_is_not_json_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = _file(tmp_path, data, "a.json")
    with pytest.raises(PromptSetError) as raised:
        json_document(path)
    assert str(raised.value) == f"{path}{message}"


def test_a_folder_is_searched_in_order_of_names(tmp_path: Path) -> None:
    one, two = _file(tmp_path, b"", "b.csv"), _file(tmp_path, b"", "a.csv")
    assert files(tmp_path, "*.csv", "b.*") == [two, one]
    assert files(one, "*.jsonl") == [one]
    with pytest.raises(PromptSetError, match=r"holds no \*\.jsonl or x$"):
        files(tmp_path, "*.jsonl", "x")


def test_ids_hold_what_an_id_may_hold() -> None:
    assert slug("bbq", "a b/c#d", "", "é") == "bbq-a-b-c-d"
    assert len(slug("x" * 500)) == 150
