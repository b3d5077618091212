"""The results document: what is written is what is read, and a damaged one is named."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeeval.errors import InputError
from edgeeval.records import Results
from edgeeval.report import load_results, write_report
from edgeeval.report.jsonfile import write

Document = dict[str, Any]


@pytest.fixture
def edited(results: Results, tmp_path: Path) -> Callable[[Callable[[Document], object]], Path]:
    def edit(change: Callable[[Document], object]) -> Path:
        document = json.loads(write(results))
        change(document)
        path = tmp_path / "results.json"
        path.write_text(json.dumps(document))
        return path

    return edit


def test_a_round_trip_changes_nothing(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_report(results, path)
    loaded = load_results(path)
    assert loaded == results
    assert write(loaded).encode() == path.read_bytes()


def test_keys_stand_in_the_order_of_the_records(results: Results) -> None:
    document = json.loads(write(results))
    assert list(document)[:3] == ["name", "suite", "policy"]
    assert document["schema"] == "edgeeval/results@1"


def test_nan_is_refused_when_written(results: Results) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(replace(results, timings=replace(results.timings, elapsed_s=math.nan)))


def test_a_wrong_value_is_named_by_file_and_key(edited: Any) -> None:
    path = edited(lambda document: document["timings"].update(elapsed_s="long"))
    with pytest.raises(InputError, match=r"results\.json: timings\.elapsed_s: .*valid number"):
        load_results(path)


def test_a_missing_key_is_named(edited: Any) -> None:
    path = edited(lambda document: document["levels"][2].pop("status"))
    with pytest.raises(InputError, match=r"results\.json: levels\.2\.status: .*required"):
        load_results(path)


def test_another_schema_is_named_before_any_key(edited: Any) -> None:
    path = edited(lambda document: (document.clear(), document.update(schema="edgeeval/results@9")))
    with pytest.raises(InputError, match="schema: 'edgeeval/results@9' is not"):
        load_results(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "NaN", '{"schema": NaN}', "[" * 100_000])
def test_what_is_no_results_document_is_an_input_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"results\.json: "):
        load_results(path)


def test_an_absent_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_results(tmp_path / "results.json")
