"""A slice of benchmarks/intervals.py: planted scores through the product's path, truth known."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
N_REPLICATES = 200


def test_no_bound_misses_its_truth_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Line: 4 % a side, plus four standard errors of 200 replicates: the errors are random."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    intervals = importlib.import_module("intervals")
    points = [one for one in intervals.all_points() if not one.line.startswith(("rejected", "BCa"))]
    limit = 0.04 + 4 * math.sqrt(0.04 * 0.96 / N_REPLICATES)
    for point in points[::61]:
        tally = intervals.simulate(point, N_REPLICATES, (3,))
        assert tally.miss <= limit, f"{point.line}: {point.where}"
