"""The long table: it parses back, keeps full precision, and arms no spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from edgeeval.records import Results
from edgeeval.report.csvfile import COLUMNS, write


@pytest.fixture
def rows(results: Results) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(write(results), newline="")))


def test_every_line_has_every_column(results: Results) -> None:
    lines = list(csv.reader(io.StringIO(write(results), newline="")))
    assert tuple(lines[0]) == COLUMNS
    assert {len(line) for line in lines} == {len(COLUMNS)}


def test_numbers_keep_their_precision(results: Results, rows: list[dict[str, str]]) -> None:
    metric = results.levels[3].metrics["lm.ppl_ratio"]
    row = next(r for r in rows if r["level"] == "Q4_K_M" and r["key"] == "lm.ppl_ratio")
    assert float(row["value"]) == metric.estimate.value
    assert metric.delta is not None
    assert float(row["delta_upper"]) == metric.delta.upper
    assert row["verdict"] == "pass"


def test_an_undefined_number_is_empty_and_says_why(rows: list[dict[str, str]]) -> None:
    row = next(r for r in rows if r["key"] == "lm.kld_p99")
    assert row["value"] == row["lower"] == ""
    assert row["reason"] == "needs 10,000 tokens, has 8,160"


def test_groups_and_sets_have_lines_of_their_own(rows: list[dict[str, str]]) -> None:
    accuracy = [r for r in rows if r["level"] == "Q8_0" and r["key"] == "tasks.accuracy"]
    assert [r["set"] for r in accuracy] == ["", "arc-easy", "", "", "", ""]
    assert [r["group"] for r in accuracy][2:] == [
        "subject=biology",
        "subject=law | <b>",
        "subject=history",
        "subject=law",
    ]
    assert [bool(r["delta"]) for r in accuracy] == [True, False, True, False, False, False]
    assert accuracy[-1]["reason"] == "needs at least 7 items, has 2"


def test_a_set_in_the_key_fills_the_set_column(rows: list[dict[str, str]]) -> None:
    row = next(r for r in rows if r["key"].startswith("novel.thing"))
    assert row["set"] == "some-set"


def test_a_lost_level_is_a_line(rows: list[dict[str, str]]) -> None:
    (lost,) = (r for r in rows if r["verdict"] == "lost")
    assert lost["key"] == ""
    assert "<script>" in lost["level"]  # data, not markup: csv has none


def test_no_text_begins_like_a_formula_and_numbers_may_be_negative(
    rows: list[dict[str, str]],
) -> None:
    (lost,) = (r for r in rows if r["verdict"] == "lost")
    assert lost["reason"].startswith("'=cmd()")
    texts = ("level", "key", "group", "set", "method", "verdict", "reason")
    assert not any(r[name].lstrip()[:1] in tuple("=+-@") for r in rows for name in texts)
    assert any(r["delta"].startswith("-") for r in rows)
