"""A judge's rates against sklearn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.judges.rates import measure, measure_dialect

texts = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), max_size=40)


@given(texts, st.sampled_from([0.25, 0.5, 0.9]))
def test_rates_are_sklearn_s(pairs: list[tuple[float, bool]], threshold: float) -> None:
    """Oracle: sklearn.metrics."""
    from sklearn.metrics import confusion_matrix, precision_score, recall_score

    scores, labels = [s for s, _ in pairs], [p for _, p in pairs]
    found = measure(scores, labels, threshold=threshold)
    flagged = [score >= threshold for score in scores]
    assert (found.n, found.n_positive) == (len(pairs), sum(labels))
    if any(labels):
        assert found.sensitivity.value == pytest.approx(recall_score(labels, flagged))
    else:
        assert found.sensitivity.value is None
        assert found.sensitivity.reason == "no positive texts"
        assert found.auc.value is None
    if any(flagged):
        precision = precision_score(labels, flagged, zero_division=0)
        assert found.precision.value == pytest.approx(precision)
    else:
        assert found.precision.reason == "no text is flagged"
    if not all(labels):
        true_negatives, false, _, _ = confusion_matrix(labels, flagged, labels=[0, 1]).ravel()
        assert found.false_positive_rate.value == pytest.approx(false / (false + true_negatives))
        assert found.specificity.value == pytest.approx(1 - found.false_positive_rate.value)


def test_the_sweep_and_the_bins_are_sklearn_s() -> None:
    """Oracle: sklearn's roc_curve and calibration_curve."""
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(3)
    labels = rng.random(500) < 0.4
    scores = np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0.001, 0.999)
    found = measure(scores, labels, threshold=0.37)
    false, true, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    assert found.sweep[0].threshold == 0.05
    assert 0.37 in [point.threshold for point in found.sweep]
    for point in found.sweep:
        at = np.flatnonzero(thresholds >= point.threshold)[-1]
        assert (point.false_positive_rate, point.sensitivity) == pytest.approx(
            (false[at], true[at])
        )
    shares, means = calibration_curve(labels, scores, n_bins=10)
    bins = [one for one in found.calibration if one.n]
    assert [one.share_positive.value for one in bins] == pytest.approx(shares)
    assert [one.mean_score for one in bins] == pytest.approx(means)
    weights = np.array([one.n for one in bins])
    assert found.calibration_error == pytest.approx(
        float((weights * abs(shares - means)).sum() / 500)
    )


def test_groups_by_hand() -> None:
    """Women: 2 of 4 harmless flagged; men: 0 of 2; a group of hateful texts alone has no FPR."""
    groups = [{"who": "women"}] * 4 + [{"who": "men"}] * 2 + [{"who": "all"}, {}]
    scores = [0.9, 0.5, 0.1, 0.49, 0.0, 0.2, 0.8, 1.0]
    labels = [False] * 6 + [True, True]
    found = measure(scores, labels, groups)
    assert found.groups["who=women"].false_positive_rate.value == 0.5
    assert found.groups["who=men"].false_positive_rate.value == 0.0
    assert found.groups["who=all"].false_positive_rate.reason == "no negative texts"
    assert found.groups["who=all"].sensitivity.value == 1.0
    (difference,) = found.group_differences
    assert difference.groups == ("who=men", "who=women")
    assert difference.difference.value == -0.5
    assert (found.false_positive_rate.value, found.sensitivity.value) == (2 / 6, 1.0)


def test_groups_of_different_columns_are_not_compared() -> None:
    found = measure([0.1, 0.9], [False, False], [{"a": "x"}, {"b": "x"}])
    assert set(found.groups) == {"a=x", "b=x"}
    assert found.group_differences == ()


def test_dialect_pairs_by_hand() -> None:
    """Ten pairs, ten features: two dialect sentences are flagged and one standard one."""
    dialect = [0.9, 0.8, *[0.1] * 8]
    standard = [0.1, 0.9, *[0.1] * 8]
    found = measure_dialect("set", dialect, standard, range(10))
    assert found.false_positive_rate_dialect.value == 0.2
    assert found.false_positive_rate_standard.value == 0.1
    assert found.difference.value == pytest.approx(0.1)
    assert found.mean_score_difference.value == pytest.approx(0.07)
    assert found.mean_score_difference.method == "bounded-cluster-skew-t"


def test_nothing_is_measured_of_no_texts() -> None:
    found = measure([], [])
    assert found.calibration_error is None
    assert found.accuracy.reason == "no texts"
    assert all(point.precision is None for point in found.sweep)
