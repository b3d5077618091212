"""GitHub Actions: annotations that the runner reads as they are meant, summaries within limits."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.compare.gate import decide
from edgeeval.errors import InputError
from edgeeval.records import GateCase, LevelResult, Results
from edgeeval.report.github import (
    MAX_ANNOTATIONS,
    MAX_SUMMARY_BYTES,
    Annotation,
    annotations,
    append_summary,
    refusal,
    step_summary,
)
from tests.evaluations import an_evaluation


class Read(NamedTuple):
    """What the runner makes of a line."""

    kind: str
    title: str
    message: str


def read(line: str) -> Read:
    """Oracle: the runner's rules. Command, then properties, then data, each unescaped."""
    assert "\n" not in line and "\r" not in line
    head, message = line.removeprefix("::").split("::", 1)
    kind, _, properties = head.partition(" ")
    (title,) = [one.split("=", 1)[1] for one in properties.split(",")]

    def unescaped(text: str, *, is_property: bool) -> str:
        for code, character in (("%3A", ":"), ("%2C", ",")) if is_property else ():
            text = text.replace(code, character)
        return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")

    return Read(kind, unescaped(title, is_property=True), unescaped(message, is_property=False))


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_ends_a_command_early(title: str, message: str) -> None:
    from edgeeval.errors import one_line

    line = Annotation("error", title, message).command()
    found = read(line)
    # A text that holds an escape's own code ("%3A") is the one thing that cannot come back.
    if "%" not in title + message:
        assert found == Read("error", one_line(title), one_line(message))
    assert line.startswith("::error title=")


def test_a_failed_gate_is_an_error_with_its_reasons(results: Results) -> None:
    gate = decide(results, "Q2_K")
    found = [read(line) for line in annotations(replace(results, gate=gate))]
    assert found[0] == Read("error", "Gate on Q2_K: failed (exit code 3)", f"{gate.reason}.")
    failed = [case for case in gate.cases if case.decides and case.verdict == "fail"]
    assert [one.kind for one in found].count("error") == 1 + len(failed)


def test_a_passed_gate_is_a_notice_and_levels_it_does_not_ask_about_are_silent(
    results: Results,
) -> None:
    found = [read(line) for line in annotations(replace(results, gate=decide(results, "Q4_K_M")))]
    assert found[-1].kind == "notice"
    assert {one.kind for one in found[:-1]} == {"warning"}
    assert [one.message for one in found[:-1]] == list(results.watermarks)


def test_an_evaluation_without_a_gate_has_none(results: Results) -> None:
    assert annotations(results) == []


def test_what_the_runner_would_drop_is_counted_in_the_last_that_it_shows() -> None:
    cases = tuple(GateCase("L", f"m{i}", "requirement", "fail", "bad") for i in range(25))
    results = an_evaluation(LevelResult("L", "lost", None, reason="lost"))
    gate = replace(decide(results, "L"), cases=cases)
    errors = [read(line) for line in annotations(replace(results, gate=gate))]
    errors = [one for one in errors if one.kind == "error"]
    assert len(errors) == MAX_ANNOTATIONS
    assert errors[-1].title == "and 17 more"  # 1 + 25 less the 9 that are shown
    assert "m24" in errors[-1].message


def test_a_refusal_is_an_error() -> None:
    assert read(refusal("50 % of 3, not: enough")) == Read(
        "error", "edgeeval gate: refused", "50 % of 3, not: enough"
    )


class TestTheSummary:
    def test_is_the_report_where_it_fits(self, results: Results) -> None:
        from edgeeval.report.markdown import write

        judged = replace(results, gate=decide(results, None))
        assert step_summary(judged) == write(judged)
        assert "Gate on any level: passed (exit code 0)" in step_summary(judged)

    @pytest.mark.parametrize("room_bytes", [3_000, 6_000, 10_000, 20_000])
    def test_is_cut_between_two_sections(self, results: Results, room_bytes: int) -> None:
        whole, text = step_summary(results), step_summary(results, room_bytes)
        assert len(text.encode()) <= room_bytes
        if text != whole:
            kept, rest = text.split("\n## Left out\n")
            assert whole.startswith(f"{kept}\n## ")
            assert "reports" in rest

    def test_is_empty_where_nothing_fits(self, results: Results) -> None:
        assert step_summary(results, 10) == ""

    def test_is_added_to_what_the_step_has_written(self, results: Results, tmp_path: Path) -> None:
        path = tmp_path / "summary.md"
        path.write_text("# before\n")
        append_summary(results, path)
        assert path.read_text().startswith("# before\n# smollm2-135m")

    def test_never_makes_the_file_larger_than_github_takes(
        self, results: Results, tmp_path: Path
    ) -> None:
        path = tmp_path / "summary.md"
        path.write_bytes(b"x" * (MAX_SUMMARY_BYTES - 5_000))
        append_summary(results, path)
        assert MAX_SUMMARY_BYTES - 5_000 < path.stat().st_size <= MAX_SUMMARY_BYTES
        append_summary(results, path)
        assert path.stat().st_size <= MAX_SUMMARY_BYTES

    def test_that_cannot_be_written_is_one_line(self, results: Results, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be written"):
            append_summary(results, tmp_path)


def test_levels_beaten_by_smaller_ones_are_named(results: Results) -> None:
    from edgeeval.report.view import dominated

    assert dominated(results) == ""
    beaten = replace(results.levels[1], is_pareto=False, dominated_by="Q5_K_M")
    named = replace(results, levels=(results.levels[0], beaten, *results.levels[2:]))
    assert dominated(named) == "Larger and no better (mean KLD): Q6_K than Q5_K_M."
    assert re.search(r"Q6\\?_K than Q5\\?_K\\?_M", step_summary(named))
