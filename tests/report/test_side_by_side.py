"""Two evaluations side by side: what was asked, what is told apart, which verdicts changed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeeval.records import LevelResult, MetricResult, Results
from edgeeval.report import load_results
from edgeeval.report.jsonfile import write
from edgeeval.report.side_by_side import MetricPair, SideBySide, side_by_side
from tests.cli.in_process import edgeeval

LEVEL = "Q4_K_M"


def changed(results: Results, key: str, change: Callable[[MetricResult], MetricResult]) -> Results:
    def level(one: LevelResult) -> LevelResult:
        if one.name != LEVEL:
            return one
        return replace(one, metrics=one.metrics | {key: change(one.metrics[key])})

    return replace(results, levels=tuple(map(level, results.levels)))


def pair(found: SideBySide, key: str) -> MetricPair:
    return next(one for one in found.metrics if (one.level, one.key) == (LEVEL, key))


def moved(by: float) -> Callable[[MetricResult], MetricResult]:
    def move(one: MetricResult) -> MetricResult:
        assert one.value is not None and one.lower is not None and one.upper is not None
        return replace(one, value=one.value + by, lower=one.lower + by, upper=one.upper + by)

    return move


def test_an_evaluation_beside_itself_differs_in_nothing(results: Results) -> None:
    found = side_by_side(results, results)
    assert found.asked == ()
    assert {one.statement for one in found.metrics} <= {"equal", "undefined"}
    assert found.verdict_changes == []
    assert {one.weights for one in found.levels if one.status_a == "measured"} == {"same"}


def test_two_independent_means_are_told_apart_as_their_difference_is(results: Results) -> None:
    """Oracle: of normal means, MOVER is the usual interval √(h_a² + h_b²) around the difference."""
    key = "lm.kld_mean"
    own = next(one for one in results.levels if one.name == LEVEL).metrics[key]
    assert own.upper is not None and own.value is not None
    half = own.upper - own.value
    found = pair(side_by_side(results, changed(results, key, moved(1.5 * half))), key)
    assert found.difference.value == pytest.approx(1.5 * half)
    assert found.difference.upper == pytest.approx((1.5 + math.sqrt(2)) * half)
    assert found.difference.lower == pytest.approx((1.5 - math.sqrt(2)) * half)
    assert found.statement == "higher"
    less = pair(side_by_side(results, changed(results, key, moved(1.4 * half))), key)
    assert less.statement == "not told apart"
    back = pair(side_by_side(changed(results, key, moved(1.5 * half)), results), key)
    assert back.statement == "lower"


def test_other_items_permit_no_statement(results: Results) -> None:
    sets = (replace(results.prompt_sets[0], sha256="00" * 32), *results.prompt_sets[1:])
    other = changed(replace(results, prompt_sets=sets), "lm.kld_mean", moved(1.0))
    found = side_by_side(results, other)
    assert pair(found, "lm.kld_mean").statement == "other items"
    assert [one.what for one in found.asked] == [f"prompt set {sets[0].id}"]


def test_another_engine_and_reference_are_said_first(results: Results) -> None:
    made = replace(results.environment, n_threads=8, engine="llama-cpp-python 0.4")
    assert results.reference.artifact is not None
    file = replace(results.reference.artifact, weights_sha256="other weights")
    other = replace(
        results, environment=made, reference=replace(results.reference, artifact=file), seed=7
    )
    whats = [one.what for one in side_by_side(results, other).asked]
    assert whats == ["reference", "seed", "engine", "threads"]


def test_a_changed_verdict_is_listed_for_level_and_metric(results: Results) -> None:
    other = changed(results, "lm.kld_mean", lambda one: replace(one, verdict="fail"))
    levels = tuple(
        replace(one, verdict="fail") if one.name == LEVEL else one for one in other.levels
    )
    found = side_by_side(results, replace(other, levels=levels))
    assert found.verdict_changes == [
        f"{LEVEL}: pass → fail",
        f"{LEVEL}, lm.kld_mean: pass → fail",
    ]


def test_a_level_and_a_metric_that_one_has_alone_are_said_to_be(results: Results) -> None:
    fewer = replace(results, levels=results.levels[1:])
    found = side_by_side(results, fewer)
    gone = results.levels[0].name
    assert {one.statement for one in found.metrics if one.level == gone} == {"only in A"}
    assert next(one for one in found.levels if one.level == gone).status_b == ""
    assert f"{gone}:" not in " ".join(found.verdict_changes)


# -- the command line ----------------------------------------------------------------------------


@pytest.fixture
def two(results: Results, tmp_path: Path) -> tuple[Path, Path]:
    other = changed(results, "lm.kld_mean", moved(0.5))
    paths = (tmp_path / "a.json", tmp_path / "b.json")
    for path, one in zip(paths, (results, replace(other, seed=9)), strict=True):
        path.write_text(write(one), encoding="utf-8")
    return paths


def test_the_table_says_what_differs_and_counts_the_rest(two: tuple[Path, Path]) -> None:
    done = edgeeval("compare", *two)
    assert done.code == 0, done.err
    assert "What was not the same:" in done.out
    assert "lm.kld_mean" in done.out
    assert "higher" in done.out
    assert "more: the same value" in done.out
    assert "unpaired" in done.out
    assert "\x1b" not in done.out, "a level's hostile name reached the terminal"


def test_json_is_one_document(two: tuple[Path, Path]) -> None:
    document = edgeeval("compare", *two, "--json").document()
    assert document["asked"] == [{"what": "seed", "a": "1", "b": "9"}]
    statements = {(one["level"], one["key"]): one["statement"] for one in document["metrics"]}
    assert statements[(LEVEL, "lm.kld_mean")] == "higher"
    assert document["verdict_changes"] == []


def test_a_foreign_document_is_one_line(two: tuple[Path, Path], tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text('{"schema": "edgeeval/results@0"}')
    assert (
        "old.json: schema: 'edgeeval/results@0' is not"
        in edgeeval("compare", two[0], old).refusal()
    )
    assert "cannot be read" in edgeeval("compare", tmp_path / "gone.json", two[0]).refusal()
    big = two[1].read_text(encoding="utf-8").replace('"elapsed_s": ', '"elapsed_s": 1e999, "x": ')
    old.write_text(big, encoding="utf-8")
    assert "1e999 is not a JSON number" in edgeeval("compare", two[0], old).refusal()
    old.write_text(big.replace("1e999", "9" * 309), encoding="utf-8")
    assert "99 is not a JSON number" in edgeeval("compare", two[0], old).refusal()


_leaf = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6), st.just([]), st.just({}), st.sampled_from([1e308, -1e308, 10**400]),
)  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    places = []
    for key, one in inside:
        places.append((*path, key))
        if isinstance(one, dict | list) and len(path) < 6:
            places += _places(one, (*path, key))
    return places


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_document_is_compared_or_refused_in_one_line(
    two: tuple[Path, Path], data: st.DataObject
) -> None:
    document = json.loads(two[0].read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(_places(document)))
        inside = document
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = data.draw(_leaf)
    mutated = two[0].with_name("mutated.json")
    mutated.write_text(json.dumps(document), encoding="utf-8")
    done = edgeeval("compare", mutated, two[1], "--json")
    if done.code:
        done.refusal()
    else:
        done.document()
        edgeeval("compare", two[1], mutated)


def test_what_was_written_is_read(two: tuple[Path, Path]) -> None:
    assert load_results(two[1]).seed == 9
