"""Every format: its table entry resolves, and it has something to say about any evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeeval.errors import InputError
from edgeeval.records import Results
from edgeeval.report import WRITERS, load_results, write_report, writer


@pytest.mark.parametrize("suffix", sorted(WRITERS))
@pytest.mark.parametrize("evaluation", ["results", "unmeasured_results"])
def test_every_format_writes_a_text(
    suffix: str, evaluation: str, request: pytest.FixtureRequest
) -> None:
    results = request.getfixturevalue(evaluation)
    text = writer(Path(f"report{suffix}"))(results)
    assert len(text) > 100
    assert text.endswith("\n")
    assert "nan" not in text.casefold().replace("determinan", "").split()
    assert text == writer(Path(f"report{suffix}"))(results)


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_every_format_carries_the_watermarks(suffix: str, results: Results) -> None:
    text = writer(Path(f"report{suffix}"))(results)
    assert "reference dequantized from Q4_1" in text


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_every_format_survives_a_name_that_is_not_unicode(
    suffix: str, results: Results, tmp_path: Path
) -> None:
    """Such a name comes from a file system, with surrogateescape."""
    from dataclasses import replace

    odd = replace(results, name="model-\udcff")
    write_report(odd, tmp_path / f"report{suffix}")
    assert (tmp_path / f"report{suffix}").stat().st_size > 100


def test_an_unknown_suffix_names_the_known_ones(results: Results, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'\.docx'.*\.csv, \.html, \.json, \.md"):
        write_report(results, tmp_path / "report.docx")


def test_suffixes_are_read_in_any_case(results: Results, tmp_path: Path) -> None:
    write_report(results, tmp_path / "REPORT.JSON")
    assert json.loads((tmp_path / "REPORT.JSON").read_bytes())["name"] == "smollm2-135m"


def test_a_place_that_cannot_be_written_is_the_persons_error(
    results: Results, tmp_path: Path
) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_report(results, tmp_path / "report.json")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_missing_folders_are_made(results: Results, tmp_path: Path) -> None:
    write_report(results, tmp_path / "a" / "b" / "results.json")
    assert load_results(tmp_path / "a" / "b" / "results.json") == results
