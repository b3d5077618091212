"""JUnit XML: what CI servers read of it, and that it says what the exit code says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.compare.gate import decide
from edgeeval.records import GateCase, LevelResult, Results
from edgeeval.report import write_report
from edgeeval.report.junit import write
from tests.evaluations import an_evaluation

ANY_TEXT = st.text(st.characters(), max_size=60)


def parsed(results: Results) -> ElementTree.Element:
    return ElementTree.fromstring(write(results))


def cases(root: ElementTree.Element) -> dict[tuple[str, str], str]:
    """Suite and case -> the element that says what became of it; "" for a pass."""
    return {
        (suite.attrib["name"], case.attrib["name"]): next((child.tag for child in case), "")
        for suite in root
        for case in suite.iter("testcase")
    }


class TestStructure:
    """What GitHub's reporters, GitLab and Jenkins read: testsuites > testsuite > testcase."""

    def test_has_the_elements_and_attributes_that_readers_ask_for(self, results: Results) -> None:
        root = parsed(results)
        assert root.tag == "testsuites"
        assert {"name", "tests", "failures", "errors", "skipped", "time"} <= root.attrib.keys()
        assert [suite.tag for suite in root] == ["testsuite"] * len(results.levels)
        for suite in root:
            assert {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"} <= (
                suite.attrib.keys()
            )
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
            # Jenkins' schema: properties first, then the cases, then what was printed.
            order = [child.tag for child in suite]
            assert order == sorted(
                order, key=["properties", "testcase", "system-out"].index
            )  # fmt: skip
            for case in suite.iter("testcase"):
                assert {"classname", "name", "time"} == case.attrib.keys()
                assert len(case) <= 1
                for child in case:
                    assert child.tag in ("failure", "error", "skipped")
                    assert child.attrib["message"]

    def test_counts_are_those_of_the_cases(self, results: Results) -> None:
        root = parsed(results)
        for element in (root, *root):
            found = list(element.iter("testcase"))
            assert int(element.attrib["tests"]) == len(found)
            for count, tag in (
                ("failures", "failure"), ("errors", "error"), ("skipped", "skipped"),
            ):  # fmt: skip
                assert int(element.attrib[count]) == sum(c.find(tag) is not None for c in found)
            assert float(element.attrib["time"]) >= 0

    def test_names_are_unique_within_a_suite(self, results: Results) -> None:
        level = GateCase("Q8_0", "", "level", "not measured", "first")
        twice = replace(
            results, gate=replace(decide(results, None), cases=(level, replace(level, reason="2")))
        )
        for suite in parsed(twice):
            names = [case.attrib["name"] for case in suite.iter("testcase")]
            assert len(names) == len(set(names))


class TestOutcomes:
    def test_one_case_a_level_and_requirement(self, results: Results) -> None:
        expected = {
            (level.name, metric.key): {"pass": "", "fail": "failure"}.get(
                metric.verdict or "", "skipped"
            )
            for level in results.levels
            for metric in level.metrics.values()
            if metric.requirement is not None
        }
        found = cases(parsed(results))
        assert expected.items() <= found.items()
        others = found.keys() - expected.keys()
        assert {found[one] for one in others} == {"error"}, "the lost level alone"

    def test_nothing_but_a_pass_looks_like_one(self, results: Results) -> None:
        for suite in parsed(results):
            for case in suite.iter("testcase"):
                for skipped in case.iter("skipped"):
                    assert skipped.attrib["message"].startswith(("inconclusive: ", "not measured"))

    @pytest.mark.parametrize("level", ["Q4_K_M", "Q3_K_M", "Q2_K", None])
    def test_says_what_the_exit_code_says(self, results: Results, level: str | None) -> None:
        """Red where the code is 3, nothing red where it is 0."""
        gate = decide(results, level)
        root = parsed(replace(results, gate=gate))
        red = int(root.attrib["failures"]) + int(root.attrib["errors"])
        assert (red == 0) == (gate.exit_code != 3)

    def test_of_a_level_that_the_gate_does_not_ask_about_is_skipped(self, results: Results) -> None:
        root = parsed(replace(results, gate=decide(results, "Q4_K_M")))
        found = [case for suite in root for case in suite.iter("testcase") if len(case)]
        assert found
        for case in found:
            assert case[0].tag == "skipped"
            assert case[0].attrib["message"].startswith("not judged by this gate; ")

    def test_inconclusive_is_a_failure_where_it_counts_as_one(self, results: Results) -> None:
        gate = decide(results, "Q3_K_M", fail_on=["inconclusive"])
        root = parsed(replace(results, gate=gate))
        types = {failure.attrib["type"] for failure in root.iter("failure")}
        assert types == {"inconclusive"}

    def test_a_lost_level_is_an_error_with_its_reason(self, results: Results) -> None:
        (error,) = parsed(results).iter("error")
        assert error.attrib["type"] == "lost"


class TestForeignText:
    @given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
    def test_no_text_breaks_the_document(self, name: str, reason: str, watermark: str) -> None:
        """Oracle: expat, which refuses what XML cannot hold."""
        lost = LevelResult(name, "lost", None, reason=reason)
        results = replace(an_evaluation(lost), name=name, watermarks=(watermark,))
        data = write(results).encode("utf-8", "strict")
        root = ElementTree.fromstring(data)
        assert [suite.tag for suite in root] == ["testsuite"]
        assert [len(list(suite.iter("testcase"))) for suite in root] == [1]
        with_gate = replace(results, gate=decide(results, None))
        assert ElementTree.fromstring(write(with_gate).encode()).attrib["errors"] == "1"

    def test_markup_arrives_as_text(self) -> None:
        reason = 'a "quoted" <b>reason</b> & ]]> more'
        lost = LevelResult("<level>", "lost", None, reason=reason)
        (error,) = parsed(an_evaluation(lost)).iter("error")
        assert error.attrib["message"] == reason


def test_is_written_by_its_suffix(results: Results, tmp_path: Path) -> None:
    write_report(results, tmp_path / "junit.xml")
    assert ElementTree.parse(tmp_path / "junit.xml").getroot().tag == "testsuites"
