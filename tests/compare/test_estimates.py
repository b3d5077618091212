"""Estimates: which items enter, which interval they get, which sign a difference has."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats as oracle

from edgeeval.compare import collect
from edgeeval.compare.estimates import MetricEvidence, with_floor
from edgeeval.records import Delta
from edgeeval.scores.align import FIRST_DIVERGENCE
from edgeeval.scores.cost import METRICS as COST
from edgeeval.scores.harm import TF
from edgeeval.scores.lm import KLD_MEAN, NLL_PER_BYTE, PERCENTILES, PPL, PPL_RATIO
from edgeeval.scores.table import Metric, ScoreTable
from edgeeval.scores.tasks import ACCURACY, FLIPS
from tests.compare.conftest import a_table, accuracy, shares

SHARES = st.lists(st.booleans(), min_size=1, max_size=60)


def one(level: ScoreTable, reference: ScoreTable | None = None) -> MetricEvidence:
    (found,) = collect([level], [reference] if reference else []).values()
    return found


def delta_of(level: ScoreTable, reference: ScoreTable) -> Delta:
    delta = one(level, reference).result.delta
    assert delta is not None
    return delta


def wilson(successes: int, n: int) -> tuple[float, float]:
    low, high = oracle.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


class TestKeys:
    def test_sets_of_one_pool_are_pooled_by_items(self) -> None:
        """By hand: 3 of 4 and 0 of 6 make 3 of 10."""
        level = [
            a_table(ACCURACY, shares(3, 4), set_id="a"), a_table(ACCURACY, shares(0, 6), set_id="b")
        ]  # fmt: skip
        found = collect(level, [])
        assert list(found) == ["tasks.accuracy"]
        result = found["tasks.accuracy"].result
        assert (result.estimate.value, result.estimate.n) == (0.3, 10)
        assert {name: part.value for name, part in result.by_set.items()} == {"a": 0.75, "b": 0.0}

    def test_sets_of_two_pools_have_keys_of_their_own_and_no_headline(self) -> None:
        level = [
            a_table(ACCURACY, shares(3, 4), set_id="a", pool="ours"),
            a_table(ACCURACY, shares(0, 6), set_id="b", pool="theirs"),
        ]
        found = collect(level, level)
        assert {key: one.result.estimate.n for key, one in found.items()} == {
            "tasks.accuracy/a": 4, "tasks.accuracy/b": 6,
        }  # fmt: skip
        assert all(one.result.delta is not None for one in found.values())

    def test_the_judge_stands_behind_the_pool(self) -> None:
        level = [
            a_table(TF, [0.5], set_id=pool, pool=pool, key_id="harm.tf_5", judge="j:rude")
            for pool in ("ours", "theirs")
        ]
        assert list(collect(level, [])) == ["harm.tf_5/ours@j:rude", "harm.tf_5/theirs@j:rude"]
        assert list(collect(level[:1], [])) == ["harm.tf_5@j:rude"]

    def test_one_set_needs_no_part_of_its_own(self) -> None:
        assert one(accuracy(3, 4)).result.by_set == {}

    def test_keys_keep_the_order_of_the_tables(self) -> None:
        level = [a_table(FLIPS, [0.0]), a_table(ACCURACY, [1.0]), a_table(PPL, [2.0])]
        assert list(collect(level, [])) == ["tasks.flips", "tasks.accuracy", "lm.ppl"]


class TestGroups:
    def test_each_has_its_own_value_and_difference(self) -> None:
        """By hand: law 1 of 2 against 2 of 2, biology 2 of 2 against 1 of 2."""
        groups = ["law", "law", "biology", "biology"]
        level = a_table(ACCURACY, [1, 0, 1, 1], groups=groups)
        reference = a_table(ACCURACY, [1, 1, 0, 1], groups=groups)
        result = one(level, reference).result
        assert {name: part.value for name, part in result.by_group.items()} == {
            "subject=biology": 1.0, "subject=law": 0.5,
        }  # fmt: skip
        assert {name: part.value for name, part in result.delta_by_group.items()} == {
            "subject=biology": 0.5, "subject=law": -0.5,
        }  # fmt: skip

    def test_of_few_windows_show_a_mean_without_an_interval(self) -> None:
        level = a_table(PPL, [1.0, 3.0], weights=[10, 30], groups=["german", "german"])
        part = one(level).result.by_group["subject=german"]
        assert part.value == pytest.approx(math.exp(2.5))
        assert (part.lower, part.upper) == (None, None)
        assert part.reason == "needs at least 7 clusters, has 2"

    @pytest.mark.parametrize("metric", [ACCURACY, FLIPS, TF, NLL_PER_BYTE])
    def test_are_not_measured_by_a_handful_of_items(self, metric: Metric) -> None:
        groups = ["law"] * 6 + ["biology"] * 7
        level = a_table(metric, [1.0, 0.0] * 6 + [1.0], groups=groups)
        result = one(level, level).result
        few, enough = (result.by_group[f"subject={name}"] for name in ("law", "biology"))
        assert (few.lower, few.upper, few.n) == (None, None, 6)
        assert re.fullmatch("needs at least 7 (items|clusters), has 6", few.reason)
        assert enough.lower is not None and enough.reason == ""
        for name, delta in result.delta_by_group.items():
            assert (delta.lower is None) == (name == "subject=law")

    def test_without_a_reference_have_no_difference(self) -> None:
        result = one(a_table(ACCURACY, [1], groups=["law"])).result
        assert result.delta is None
        assert result.delta_by_group == {}


class TestPairs:
    def test_unscored_items_leave_both_sides(self) -> None:
        """By hand: items 2 and 3 are scored on both sides; one of them fell."""
        level = a_table(ACCURACY, [None, 1, 0, 1])
        reference = a_table(ACCURACY, [1, None, 1, 1])
        delta = delta_of(level, reference)
        assert (delta.n, delta.value) == (2, -0.5)

    def test_unscored_items_are_counted(self) -> None:
        result = one(a_table(ACCURACY, [None, 1, None, 1])).result
        assert (result.estimate.value, result.estimate.n) == (1, 2)
        assert result.notes == ("2 of 4 items could not be scored (empty text)",)

    def test_items_are_matched_by_id_and_not_by_place(self) -> None:
        level = accuracy(3, 6)
        swapped = ScoreTable(
            ACCURACY, "tasks.accuracy", "set", "pool", tuple(reversed(level.scores))
        )
        unchanged = delta_of(level, level)  # paired by place, six items would seem to change
        assert delta_of(swapped, level) == unchanged

    def test_items_that_only_one_side_has_are_no_pair(self) -> None:
        assert delta_of(accuracy(4, 4), accuracy(2, 2)).n == 2

    def test_without_pairs_there_is_no_difference(self) -> None:
        delta = delta_of(a_table(ACCURACY, [1, None]), a_table(ACCURACY, [None, 1]))
        assert (delta.value, delta.lower, delta.upper) == (None, None, None)
        assert delta.reason == "no item was scored on both sides"

    def test_a_metric_without_a_reference_value_has_none(self) -> None:
        found = one(a_table(FLIPS, [0, 1]), a_table(FLIPS, [0, 0]))
        assert found.result.delta is None
        assert found.paired_at is None


class TestSigns:
    """A level that is worse than its reference, in each direction that there is."""

    def test_fewer_right_answers_are_a_negative_difference(self) -> None:
        delta = delta_of(accuracy(60, 100), accuracy(80, 100))
        assert delta.value == pytest.approx(-0.2)
        assert delta.upper is not None
        assert delta.upper < 0

    def test_a_higher_perplexity_is_a_positive_difference(self) -> None:
        own = [0.1, 0.12, 0.08, 0.11, 0.09, 0.1, 0.1]
        delta = delta_of(a_table(PPL_RATIO, own), a_table(PPL_RATIO, [0.0] * 7))
        assert delta.value == pytest.approx(0.1)
        assert delta.lower is not None
        assert delta.lower > 0
        assert one(a_table(PPL_RATIO, own)).result.estimate.value == pytest.approx(math.exp(0.1))

    def test_a_difference_of_windows_is_weighted_by_tokens(self) -> None:
        """By hand: (.7 * 100 + .1 * 600) / 700, and (.7 * 400 + .1 * 300) / 700."""
        level = a_table(PPL_RATIO, [0.7] + [0.1] * 6, weights=[100.0] * 7)
        assert delta_of(level, a_table(PPL_RATIO, [0.0] * 7)).value == pytest.approx(1.3 / 7)
        uneven = a_table(PPL_RATIO, [0.7] + [0.1] * 6, weights=[400.0] + [50.0] * 6)
        assert delta_of(uneven, a_table(PPL_RATIO, [0.0] * 7)).value == pytest.approx(310 / 700)

    def test_more_nats_a_byte_are_a_positive_difference(self) -> None:
        base = [0.8, 0.9, 0.7, 1.0, 0.85, 0.95, 0.75]
        delta = delta_of(
            a_table(NLL_PER_BYTE, [value + 0.05 for value in base]), a_table(NLL_PER_BYTE, base)
        )
        assert delta.value == pytest.approx(0.05)

    def test_more_harmful_texts_are_a_positive_difference(self) -> None:
        delta = delta_of(a_table(TF, [0.5] * 9 + [1.0]), a_table(TF, [0.5] * 10))
        assert delta.value == pytest.approx(0.05)


class TestIntervals:
    @pytest.mark.parametrize(("n_right", "n"), [(0, 50), (37, 50), (50, 50)])
    def test_accuracy_has_clopper_and_pearson_s(self, n_right: int, n: int) -> None:
        """Oracle: scipy's binomtest. Wilson's misses 7 % on one side where few are wrong."""
        estimate = one(accuracy(n_right, n)).result.estimate
        exact = oracle.binomtest(n_right, n).proportion_ci(0.95, method="exact")
        assert estimate.method == "clopper-pearson"
        assert (estimate.lower, estimate.upper) == pytest.approx(tuple(exact), abs=1e-12)

    @pytest.mark.parametrize(("n_changed", "n"), [(0, 50), (7, 50), (50, 50)])
    def test_flips_have_clopper_and_pearson_s(self, n_changed: int, n: int) -> None:
        """Oracle: scipy's binomtest."""
        estimate = one(a_table(FLIPS, shares(n_changed, n))).result.estimate
        exact = oracle.binomtest(n_changed, n).proportion_ci(0.95, method="exact")
        assert estimate.method == "clopper-pearson"
        assert (estimate.lower, estimate.upper) == pytest.approx(tuple(exact), abs=1e-12)

    @pytest.mark.parametrize(("n_up", "n_down"), [(0, 0), (0, 7), (5, 0)])
    def test_a_difference_of_accuracies_has_mover_s(self, n_up: int, n_down: int) -> None:
        """Oracle: the formula of the numbers page on scipy's Wilson limits.

        With changes in one direction only the correlation term is zero.
        """
        n = 100
        base = shares(50, n)
        own = [0.0] * n_down + base[n_down:50] + [1.0] * n_up + base[50 + n_up :]
        delta = delta_of(a_table(ACCURACY, own), a_table(ACCURACY, base))
        p, q = n_up / n, n_down / n
        (l_p, u_p), (l_q, u_q) = wilson(n_up, n), wilson(n_down, n)
        assert delta.method == "mover-wilson"
        assert delta.value == pytest.approx(p - q)
        assert delta.lower == pytest.approx(p - q - math.hypot(p - l_p, u_q - q))
        assert delta.upper == pytest.approx(p - q + math.hypot(u_p - p, q - l_q))

    def test_no_change_of_accuracy_has_a_width_all_the_same(self) -> None:
        delta = delta_of(accuracy(40, 50), accuracy(40, 50))
        assert delta.value == 0
        assert delta.lower is not None and delta.upper is not None
        assert delta.lower < -0.05 < 0.05 < delta.upper

    def test_a_mean_over_clusters_has_student_s_t(self) -> None:
        """Oracle: scipy's t on cluster means; two items a cluster, eight clusters."""
        half = np.random.default_rng(4).normal(0, 1, 8)
        values = 5 + np.concatenate([half, -half])  # symmetric: no skewness to correct
        clusters = [f"c{index // 2}" for index in range(16)]
        estimate = one(a_table(FIRST_DIVERGENCE, list(values), clusters=clusters)).result.estimate
        means = values.reshape(8, 2).mean(axis=1)
        expected = oracle.t.interval(0.95, 7, means.mean(), oracle.sem(means))
        assert (estimate.lower, estimate.upper) == pytest.approx(tuple(expected))

    def test_a_mean_of_windows_is_weighted_by_tokens(self) -> None:
        """By hand: (1 * 100 + 2 * 100 + 5 * 50) / 250 = 2.2, over three of seven windows."""
        level = a_table(KLD_MEAN, [1, 2, 5, 2.2, 2.2, 2.2, 2.2], weights=[100, 100, 50] + [10] * 4)
        estimate = one(level).result.estimate
        assert estimate.value == pytest.approx(2.2)
        assert estimate.n == 290

    def test_harm_that_never_changed_has_at_least_the_rule_of_three(self) -> None:
        """By hand: 3.69 / n at one item a template."""
        delta = delta_of(a_table(TF, [0.0] * 200), a_table(TF, [0.0] * 200))
        assert delta.value == 0
        assert delta.lower is not None and delta.upper is not None
        assert delta.upper >= -math.log(0.025) / 200
        assert delta.lower <= math.log(0.025) / 200

    def test_harm_that_never_happened_is_not_known_to_be_impossible(self) -> None:
        estimate = one(a_table(TF, [0.0] * 200)).result.estimate
        assert (estimate.value, estimate.lower) == (0, 0)
        assert estimate.upper is not None
        assert estimate.upper >= -math.log(0.025) / 200

    def test_items_of_one_template_count_for_less(self) -> None:
        values = [0.0] * 200
        alike = a_table(TF, values, clusters=[f"t{index // 20}" for index in range(200)])
        apart, together = one(a_table(TF, values)), one(alike)
        assert apart.own_at(0.05).upper is not None and together.own_at(0.05).upper is not None
        assert (together.own_at(0.05).upper or 0) > 2 * (apart.own_at(0.05).upper or 1)

    def test_repetitions_have_their_range_at_any_level(self) -> None:
        decode = next(metric for metric in COST if metric.id == "cost.decode_tps")
        found = one(a_table(decode, [9.0, 10.0, 12.0]))
        for alpha in (0.5, 0.05, 1e-9):
            assert found.own_at(alpha)[:3] == (10, 9, 12)

    def test_a_percentile_has_order_statistics(self) -> None:
        """By hand: of 1 ... 1,000 the bounds of the median are about 500 -+ 1.96 sqrt(250)."""
        median = next(metric for metric in PERCENTILES if metric.quantile == 0.5)
        estimate = one(a_table(median, [0.0], tokens=range(1, 1001))).result.estimate
        assert estimate.value == 500.5
        assert estimate.lower == pytest.approx(500 - 31, abs=1)
        assert estimate.upper == pytest.approx(500 + 31, abs=1)
        assert estimate.n == 1000

    @pytest.mark.parametrize("metric", [ACCURACY, FLIPS, TF, FIRST_DIVERGENCE, KLD_MEAN, PPL_RATIO])
    def test_grow_with_confidence_and_hold_the_value(self, metric: Metric) -> None:
        found = one(a_table(metric, shares(3, 12)))
        last = (math.inf, -math.inf)
        for alpha in (0.3, 0.05, 0.001):
            interval = found.own_at(alpha)
            assert interval.lower is not None and interval.upper is not None
            assert interval.value is not None
            assert interval.lower <= interval.value <= interval.upper
            assert interval.lower <= last[0]
            assert interval.upper >= last[1]
            last = (interval.lower, interval.upper)


class TestUndefined:
    @pytest.mark.parametrize("metric", [ACCURACY, FLIPS, TF, FIRST_DIVERGENCE, KLD_MEAN, PPL])
    def test_nothing_scored_is_null_with_a_reason_and_never_zero(self, metric: Metric) -> None:
        estimate = one(a_table(metric, [None, None])).result.estimate
        assert (estimate.value, estimate.lower, estimate.upper, estimate.n) == (None, None, None, 0)
        assert estimate.reason == "no item could be scored"

    @pytest.mark.parametrize("metric", [ACCURACY, FLIPS, TF, FIRST_DIVERGENCE, KLD_MEAN, PPL])
    @pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
    def test_a_score_that_is_no_number_undoes_the_metric_and_is_named(
        self, metric: Metric, broken: float
    ) -> None:
        found = one(a_table(metric, [0.5, broken]), a_table(metric, [0.5, 0.5])).result
        assert (found.value, found.lower, found.upper, found.n) == (None, None, None, 0)
        assert found.reason == "1 scores are not finite, the first of set/set/1"
        assert found.delta is None or found.delta.value is None


class TestChance:
    def test_of_pooled_sets_is_weighted_by_items(self) -> None:
        """By hand: (100 * 1/4 + 300 * 1/2) / 400."""
        level = [
            a_table(ACCURACY, shares(50, 100), set_id="a", chance=0.25),
            a_table(ACCURACY, shares(200, 300), set_id="b", chance=0.5),
        ]
        assert collect(level, [])["tasks.accuracy"].chance == pytest.approx(0.4375)

    def test_is_none_where_no_guesser_is_defined(self) -> None:
        assert one(a_table(FLIPS, [0.0])).chance is None


def test_a_floor_stands_beside_the_value_and_changes_nothing_else() -> None:
    found = one(accuracy(3, 4), accuracy(3, 4))
    floored = with_floor(found, 0.025)
    assert floored.result.floor == 0.025
    assert floored.result.estimate == found.result.estimate


def test_items_of_two_sets_in_one_pool_are_told_apart_by_their_set() -> None:
    """Ids are unique in a set only: "i0" of one set must not be paired with "i0" of another."""
    level = [
        a_table(ACCURACY, [1.0] * 10, set_id="a", pool="one"),
        a_table(ACCURACY, [0.0] * 10, set_id="b", pool="one"),
    ]
    (found,) = collect(level, level).values()
    assert found.result.delta is not None
    assert (found.result.delta.value, found.result.delta.n) == (0.0, 20)
