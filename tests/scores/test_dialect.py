"""Dialect gaps: worked by hand, on planted log-likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from edgeeval.compare import collect
from edgeeval.scores import dialect
from edgeeval.scores.table import ScoreTable
from tests.scores.conftest import a_run, an_item, by_key, measured, values

KEYS = ("dialect.gap", "dialect.gap_growth", "dialect.pair_growth", "dialect.relative_growth")
N_FEATURES = 8


def pair(
    item_id: str, log_likelihoods: Sequence[float], n_bytes: Sequence[int], feature: str = "f"
) -> dict[str, Any]:
    item = an_item(item_id, {"variety": "v", "feature": feature}, template=f"t-{item_id}")
    return item | {"log_likelihoods": list(log_likelihoods), "n_bytes": list(n_bytes)}


def pairs(*dialect_nll: float, standard_nll: float = 20.0) -> dict[str, dict[str, Any]]:
    """Pairs of 10 and 20 bytes, two a feature."""
    return {
        f"i{index}": pair(f"i{index}", [-nll, -standard_nll], [10, 20], f"f{index // 2}")
        for index, nll in enumerate(dialect_nll)
    }


def scored(level: dict[str, Any], reference: dict[str, Any]) -> dict[str, ScoreTable]:
    return by_key(dialect.tables(level, reference))


def test_worked_example() -> None:
    """By hand: dialect 12 nats over 10 bytes, standard 20 over 20: 1.2 - 1.0 = .2 nats a byte.

    The reference had 10 and 18: 1.0 - .9 = .1. Growth .1 a byte, (12 - 10) - (20 - 18) = 0 nats a
    pair, and 12/10 - 20/18 relative to what each lost before.
    """
    found = scored({"a": pair("a", [-12, -20], [10, 20])}, {"a": pair("a", [-10, -18], [10, 20])})
    assert [values(found[key])[0] for key in KEYS] == pytest.approx([0.2, 0.1, 0.0, 1.2 - 20 / 18])


def test_the_gap_is_shown_as_a_ratio_of_perplexities_per_byte() -> None:
    level = pairs(*[12.0] * 2 * N_FEATURES)
    result = collect(scored(level, level).values(), [])["dialect.gap"].result
    assert result.value == pytest.approx(math.exp(0.2))


def test_a_feature_is_a_cluster_whatever_the_template() -> None:
    found = scored(pairs(10, 11, 12, 13), pairs(10, 10, 10, 10))
    assert [score.cluster for score in found["dialect.gap"].scores] == ["f0", "f0", "f1", "f1"]


def test_the_interval_is_t_on_features() -> None:
    """Oracle: scipy.stats.t over the means of 8 features of two pairs each."""
    import numpy as np
    from scipy import stats as oracle

    grown = [10 + 0.3 * index for index in range(2 * N_FEATURES)]
    level, base = pairs(*grown), pairs(*[10.0] * 2 * N_FEATURES)
    result = collect(scored(level, base).values(), [])["dialect.gap_growth"].result
    means = (np.array(grown).reshape(-1, 2).mean(axis=1) - 10) / 10
    low, high = oracle.t.interval(
        0.95, N_FEATURES - 1, means.mean(), means.std(ddof=1) / math.sqrt(N_FEATURES)
    )
    assert (result.value, result.lower, result.upper) == pytest.approx((means.mean(), low, high))


def test_the_reference_against_itself_has_not_grown() -> None:
    level = measured(a_run("dialect", pairs(*range(1, 17)).values()))
    found = by_key(dialect.score(level, level, None))
    for key in KEYS[1:]:
        assert set(values(found[key])) == {0.0}


def test_varieties_have_keys_of_their_own() -> None:
    items = list(pairs(10, 11).values())
    level = measured(
        a_run("dialect", items, set_id="aae", pool="aae"),
        a_run("dialect", items, set_id="indian", pool="indian"),
    )
    found = collect(dialect.score(level, level, None), [])
    assert {key for key in found if key.startswith("dialect.gap_growth")} == {
        "dialect.gap_growth/aae", "dialect.gap_growth/indian",
    }  # fmt: skip


def test_a_feature_alone_is_shown_without_an_interval() -> None:
    level = pairs(*range(1, 17))
    result = collect(scored(level, level).values(), [])["dialect.gap"].result
    part = result.by_group["feature=f0"]
    assert part.value is not None
    assert (part.lower, part.upper) == (None, None)
    assert part.reason == "needs at least 7 clusters, has 1"
