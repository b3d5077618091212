"""Cost: exact numbers of the file, medians of the repetitions."""

from __future__ import annotations

from typing import Any

import pytest

from edgeeval.compare import collect
from edgeeval.records import MetricResult
from edgeeval.scores import cost
from tests.scores.conftest import measured

PASS = {
    "prefill_tps": [400.0, 410.0, 390.0],
    "decode_tps": [50.0, 61.0, 45.0],
    "peak_rss_bytes": 300_000_000,
}


def results(timed: dict[str, Any] | None) -> dict[str, MetricResult]:
    level = measured(cost=timed)
    found = collect(cost.score(level, level, None), [])
    return {key: evidence.result for key, evidence in found.items()}


@pytest.mark.parametrize(
    ("metric", "value"),
    [("cost.size_bytes", 100_000_000), ("cost.bpw", 4.9), ("cost.fallback_share", 0.25)],
)
def test_the_file_s_own_numbers_are_exact(metric: str, value: float) -> None:
    estimate = results(None)[metric].estimate
    assert (estimate.value, estimate.lower, estimate.upper, estimate.n) == (value, value, value, 1)


def test_without_a_cost_pass_there_is_no_speed() -> None:
    assert set(results(None)) == {"cost.size_bytes", "cost.bpw", "cost.fallback_share"}


def test_speed_is_the_median_between_the_slowest_and_the_fastest() -> None:
    estimate = results(PASS)["cost.prefill_tps"].estimate
    assert (estimate.value, estimate.lower, estimate.upper, estimate.n) == (400, 390, 410, 3)


def test_repetitions_far_apart_are_marked_noisy() -> None:
    """By hand: (61 - 45) / 50 is 32 %, (410 - 390) / 400 is 5 %."""
    found = results(PASS)
    assert found["cost.decode_tps"].notes == ("noisy, rerun: repetitions lie 32% apart",)
    assert found["cost.prefill_tps"].notes == ()


def test_memory_is_measured_once() -> None:
    estimate = results(PASS)["cost.peak_rss_bytes"].estimate
    assert (estimate.value, estimate.n) == (300_000_000, 1)


def test_nothing_is_compared_with_the_reference() -> None:
    level = measured(cost=PASS)
    tables = list(cost.score(level, level, None))
    assert all(found.result.delta is None for found in collect(tables, tables).values())
