"""AUC and the difference of two independent shares, against sklearn, Newcombe's table and dice."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.stats import auc, share_difference, wilson

scores = st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=30)


@given(scores, scores)
def test_auc_is_sklearn_s_also_with_ties(positives: list[float], negatives: list[float]) -> None:
    """Oracle: sklearn.metrics.roc_auc_score."""
    from sklearn.metrics import roc_auc_score

    labels = [1] * len(positives) + [0] * len(negatives)
    found = auc(positives, negatives)
    assert found.value == pytest.approx(roc_auc_score(labels, positives + negatives), abs=1e-12)
    assert found.lower is not None
    assert found.upper is not None
    assert 0 <= found.lower <= found.value <= found.upper <= 1
    assert found.upper - found.lower > 0


@given(scores, scores)
def test_auc_of_swapped_classes_is_its_mirror(a: list[float], b: list[float]) -> None:
    one, other = auc(a, b), auc(b, a)
    assert one.value is not None
    assert (one.value, one.lower, one.upper) == pytest.approx(
        (1 - (other.value or 0), 1 - (other.upper or 0), 1 - (other.lower or 0)), abs=1e-9
    )


def test_the_bounds_lie_z_hanley_mcneil_errors_away() -> None:
    """By hand: with classes of one size, k is their size less one: Hanley and McNeil's formula."""
    rng = np.random.default_rng(1)
    found = auc(rng.normal(1, 1, 40), rng.normal(0, 1, 40))
    assert found.value is not None
    for theta in (found.lower, found.upper):
        assert theta is not None
        q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
        variance = (theta * (1 - theta) + 39 * (q1 - theta**2) + 39 * (q2 - theta**2)) / 1600
        assert abs(found.value - theta) == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-5)


def test_the_auc_s_interval_covers() -> None:
    """Oracle: normal scores whose true AUC is Φ(d/√2) = .80; 95 % ± 2 % of 1,000 samples."""
    rng = np.random.default_rng(7)
    true, shift = 0.8, 0.8416212 * math.sqrt(2)
    covered = 0
    for _ in range(1000):
        found = auc(rng.normal(shift, 1, 30), rng.normal(0, 1, 60))
        assert found.lower is not None
        assert found.upper is not None
        covered += found.lower <= true <= found.upper
    assert 0.93 <= covered / 1000 <= 0.98


def test_a_class_without_texts_leaves_auc_undefined() -> None:
    assert auc([], [0.5]).value is None
    assert auc([], [0.5]).reason == "no positive texts"
    assert auc([0.5], []).reason == "no negative texts"


@pytest.mark.parametrize(
    ("counts", "bounds"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((10, 10, 0, 20), (0.6791, 1.0000)),
    ],
)
def test_the_difference_of_shares_is_newcombe_s(
    counts: tuple[int, int, int, int], bounds: tuple[float, float]
) -> None:
    """Oracle: Newcombe (1998), table II, method 10."""
    found = share_difference(*counts)
    assert (found.lower, found.upper) == pytest.approx(bounds, abs=5e-5)
    assert found.n == counts[1] + counts[3]


@given(st.integers(0, 20), st.integers(0, 20))
def test_the_difference_from_itself_holds_zero(successes: int, failures: int) -> None:
    n = successes + failures
    found = share_difference(successes, n, successes, n)
    if n == 0:
        assert found.value is None
        assert found.reason
    else:
        assert found.lower is not None
        assert found.upper is not None
        assert found.lower < 0 == found.value < found.upper
        assert wilson(successes, n).value == successes / n
