"""Language modelling: pooled over tokens, and no percentile of a handful of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edgeeval.compare import collect
from edgeeval.compare.estimates import MetricEvidence
from edgeeval.scores import lm
from edgeeval.scores.measured import Measured
from tests.scores.conftest import a_run, by_key, measured, values, window


def evidence(level: Measured, reference: Measured) -> dict[str, MetricEvidence]:
    return collect(lm.score(level, reference, None), lm.score(reference, reference, None))


def windows(
    seed: int, lengths: list[int], shift: float = 0.0, diverges: bool = False
) -> list[dict[str, Any]]:
    generator = np.random.default_rng(seed)
    items = []
    for index, length in enumerate(lengths):
        nll = generator.gamma(2, 1.5, length)
        kld = list(generator.gamma(0.5, 0.1, length))
        same = list((generator.random(length) < 0.8).astype(float))
        dp = list(generator.normal(-0.01, 0.1, length))
        items.append(
            window(
                f"w{index}",
                nll + shift,
                4 * length + 30 * index,
                [kld, same, dp] if diverges else None,
            )
        )
    return items


def all_of(items: list[dict[str, Any]], key: str) -> Any:
    return np.concatenate([item[key] for item in items], axis=-1).astype(np.float64)


LENGTHS = [255, 255, 40, 255, 100, 7, 255, 255]


class TestPerplexity:
    def test_is_exp_of_all_nll_over_all_tokens(self) -> None:
        """Windows of unequal length: a mean over windows would give another number."""
        items = windows(1, LENGTHS)
        level = measured(a_run("text", items))
        estimate = evidence(level, level)["lm.ppl"].result.estimate
        nll = all_of(items, "nll")
        assert estimate.value == pytest.approx(math.exp(nll.sum() / nll.size), rel=1e-9)
        assert estimate.n == nll.size
        assert estimate.value != pytest.approx(
            math.exp(np.mean([item["nll"].mean() for item in items])), rel=1e-3
        )

    def test_is_pooled_over_sets_before_exp(self) -> None:
        first, second = windows(2, LENGTHS), windows(3, [255] * 5, shift=1.0)
        second = [item | {"id": f"b/{item['id']}"} for item in second]
        level = measured(a_run("text", first, "a"), a_run("text", second, "b"))
        result = evidence(level, level)["lm.ppl"].result
        nll = all_of(first + second, "nll")
        assert result.estimate.value == pytest.approx(math.exp(nll.mean()), rel=1e-9)
        assert result.by_set["b"].value == pytest.approx(
            math.exp(all_of(second, "nll").mean()), rel=1e-9
        )

    def test_ratio_is_the_quotient_of_the_perplexities(self) -> None:
        own, base = windows(4, LENGTHS, shift=0.02), windows(4, LENGTHS)
        found = evidence(measured(a_run("text", own)), measured(a_run("text", base)))
        quotient = math.exp(all_of(own, "nll").mean()) / math.exp(all_of(base, "nll").mean())
        assert found["lm.ppl_ratio"].result.estimate.value == pytest.approx(quotient, rel=1e-6)

    def test_difference_is_the_logarithm_of_the_ratio_and_positive_where_the_level_is_worse(
        self,
    ) -> None:
        own, base = windows(4, LENGTHS, shift=0.02), windows(4, LENGTHS)
        delta = evidence(measured(a_run("text", own)), measured(a_run("text", base)))[
            "lm.ppl_ratio"
        ].result.delta
        assert delta is not None
        assert delta.value == pytest.approx(0.02, abs=1e-6)
        assert delta.n == len(LENGTHS)

    def test_of_an_identical_level_differs_by_exactly_nothing(self) -> None:
        items = windows(5, LENGTHS)
        found = evidence(measured(a_run("text", items)), measured(a_run("text", items)))
        assert found["lm.ppl_ratio"].result.estimate.value == 1
        for metric in ("lm.ppl_ratio", "lm.nll_per_byte"):
            delta = found[metric].result.delta
            assert delta is not None
            assert (delta.value, delta.lower, delta.upper) == (0, 0, 0)

    def test_nll_per_byte_is_all_nll_over_all_bytes(self) -> None:
        items = windows(6, LENGTHS)
        level = measured(a_run("text", items))
        expected = all_of(items, "nll").sum() / sum(item["n_bytes"] for item in items)
        found = evidence(level, level)["lm.nll_per_byte"].result.estimate.value
        assert found == pytest.approx(expected, rel=1e-9)

    def test_has_no_interval_from_six_windows(self) -> None:
        level = measured(a_run("text", windows(7, [255] * 6)))
        estimate = evidence(level, level)["lm.ppl"].result.estimate
        assert estimate.value is not None
        assert (estimate.lower, estimate.upper) == (None, None)
        assert estimate.reason == "needs at least 7 clusters, has 6"


class TestDivergence:
    def test_means_are_over_tokens(self) -> None:
        """Oracle: numpy over all tokens at once."""
        items = windows(8, LENGTHS, diverges=True)
        level = measured(a_run("text", items))
        found = evidence(level, measured(a_run("text", windows(9, LENGTHS))))
        kld, same, dp = all_of(items, "divergence")
        expected = {
            "lm.kld_mean": kld.mean(),
            "lm.same_top": same.mean(),
            "lm.dp_mean": dp.mean(),
            "lm.dp_rms": math.sqrt((dp**2).mean()),
        }
        for metric, value in expected.items():
            estimate = found[metric].result.estimate
            assert estimate.value == pytest.approx(value, rel=1e-6)
            assert estimate.n == kld.size
            assert estimate.lower is not None and estimate.upper is not None
            assert estimate.lower < value < estimate.upper
            assert found[metric].result.delta is None

    def test_rms_is_never_below_zero(self) -> None:
        """One window of seven differs: the t interval of the mean square reaches below 0."""
        items = [window(f"w{i}", [1], divergence=[[0], [1], [float(i == 0)]]) for i in range(7)]
        level = measured(a_run("text", items))
        lower = evidence(level, level)["lm.dp_rms"].result.estimate.lower
        assert lower == 0

    def test_is_not_reported_of_the_reference(self) -> None:
        reference = measured(a_run("text", windows(10, LENGTHS)))
        assert set(by_key(lm.score(reference, reference, None))) == {
            "lm.ppl", "lm.ppl_ratio", "lm.nll_per_byte",
        }  # fmt: skip

    def test_is_not_reported_where_a_window_lacks_it(self) -> None:
        items = [*windows(11, [9], diverges=True), window("x", [1.0])]
        level = measured(a_run("text", items))
        assert "lm.kld_mean" not in by_key(lm.score(level, level, None))


class TestPercentiles:
    @pytest.mark.parametrize(
        ("metric", "quantile", "min_n"),
        [
            ("lm.kld_median", 0.5, 100),
            ("lm.kld_p90", 0.9, 1_000),
            ("lm.kld_p95", 0.95, 2_000),
            ("lm.kld_p99", 0.99, 10_000),
        ],
    )
    def test_are_undefined_below_their_number_of_tokens_and_say_so(
        self, metric: str, quantile: float, min_n: int
    ) -> None:
        """Oracle: numpy's quantile over all tokens."""
        for n_tokens in (min_n - 1, min_n):
            sizes = [n_tokens // 8] * 7
            items = windows(12, [*sizes, n_tokens - sum(sizes)], diverges=True)
            level = measured(a_run("text", items))
            estimate = evidence(level, level)[metric].result.estimate
            assert estimate.n == n_tokens
            if n_tokens < min_n:
                assert (estimate.value, estimate.lower, estimate.upper) == (None, None, None)
                assert estimate.reason == f"needs {min_n:,} tokens, has {n_tokens:,}"
            else:
                kld = all_of(items, "divergence")[0]
                assert estimate.value == pytest.approx(np.quantile(kld, quantile), rel=1e-6)
                assert estimate.reason == ""

    def test_p999_needs_a_hundred_thousand_tokens(self) -> None:
        level = measured(a_run("text", windows(13, [99_999], diverges=True)))
        reason = evidence(level, level)["lm.kld_p999"].result.estimate.reason
        assert reason == "needs 100,000 tokens, has 99,999"

    def test_maximum_has_a_value_and_no_interval(self) -> None:
        items = windows(14, [30, 20], diverges=True)
        level = measured(a_run("text", items))
        estimate = evidence(level, level)["lm.kld_max"].result.estimate
        assert estimate.value == pytest.approx(all_of(items, "divergence")[0].max())
        assert (estimate.lower, estimate.upper) == (None, None)
        assert estimate.reason == "a maximum has no interval"

    def test_are_over_the_tokens_of_all_pooled_sets(self) -> None:
        first, second = windows(15, [600], diverges=True), windows(16, [500], diverges=True)
        second = [item | {"id": f"b/{item['id']}"} for item in second]
        level = measured(a_run("text", first, "a"), a_run("text", second, "b"))
        kld = all_of(first + second, "divergence")[0]
        estimate = evidence(level, level)["lm.kld_p90"].result.estimate
        assert estimate.value == pytest.approx(np.quantile(kld, 0.9), rel=1e-6)


def test_scores_are_finite_and_weighted_by_tokens() -> None:
    items = windows(17, LENGTHS, diverges=True)
    for table in lm.score(measured(a_run("text", items)), measured(a_run("text", items)), None):
        assert all(value is not None and math.isfinite(value) for value in values(table))
        if table.key != "lm.nll_per_byte":
            assert [score.weight for score in table.scores] == LENGTHS
