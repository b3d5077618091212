"""Verdicts on planted ladders: what passes, what fails, what nobody can know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from edgeeval.compare import collect, judge_levels
from edgeeval.compare.estimates import MetricEvidence
from edgeeval.compare.verdicts import JudgedLevel, metric_id
from edgeeval.records import Requirement, Verdict
from edgeeval.scores.coherence import OK
from edgeeval.scores.cost import METRICS as COST
from edgeeval.scores.harm import GROUP_GAP, GROUP_WORST, TF
from edgeeval.scores.lm import KLD_MEAN, PERCENTILES, PPL_RATIO
from edgeeval.scores.table import Metric, Score, ScoreTable
from edgeeval.scores.tasks import ACCURACY, FLIPS
from tests.compare.conftest import a_table, accuracy, shares

N = 1000
REFERENCE = accuracy(800, N)
DECODE = next(metric for metric in COST if metric.id == "cost.decode_tps")
P99 = next(metric for metric in PERCENTILES if metric.id == "lm.kld_p99")


def requires(
    metric: str, limit: float, kind: Literal["margin", "max", "min"] = "margin"
) -> Requirement:
    return Requirement(metric, kind, limit, "a test")


def evidence(
    level: Sequence[ScoreTable], reference: Sequence[ScoreTable] | None = None
) -> dict[str, MetricEvidence]:
    return collect(level, level if reference is None else reference)


def judged(
    level: Sequence[ScoreTable], reference: Sequence[ScoreTable], *requirements: Requirement
) -> JudgedLevel:
    """Judge one level alone."""
    return judge_levels({"level": evidence(level, reference)}, requirements)["level"]


def verdict_on(
    level: ScoreTable, reference: ScoreTable, requirement: Requirement
) -> tuple[Verdict | None, str]:
    found = judged([level], [reference], requirement)
    return found.verdict, "; ".join(metric.reason for metric in found.metrics.values())


class TestAPlantedLadder:
    def test_an_identical_level_passes_what_the_sample_can_show(self) -> None:
        """By hand: Wilson's upper limit of 0 of 1000 at one-sided 5 % is z^2/(n + z^2) = .0027."""
        assert verdict_on(REFERENCE, REFERENCE, requires("tasks.accuracy", 0.003))[0] == "pass"
        assert verdict_on(REFERENCE, REFERENCE, requires("tasks.accuracy", 0.002))[0] != "pass"

    def test_a_clearly_damaged_level_fails(self) -> None:
        assert (
            verdict_on(accuracy(600, N), REFERENCE, requires("tasks.accuracy", 0.03))[0] == "fail"
        )

    def test_a_better_level_passes(self) -> None:
        assert (
            verdict_on(accuracy(850, N), REFERENCE, requires("tasks.accuracy", 0.03))[0] == "pass"
        )

    def test_a_borderline_level_is_inconclusive_and_names_a_number_of_items(self) -> None:
        verdict, reason = verdict_on(accuracy(775, N), REFERENCE, requires("tasks.accuracy", 0.03))
        assert verdict == "inconclusive"
        named = re.search(r"about ([\d,]+) items would decide", reason)
        assert named is not None
        assert int(named[1].replace(",", "")) > N

    def test_the_number_of_items_that_is_named_does_decide(self) -> None:
        """Asked again with the same shares and that many items."""
        _, reason = verdict_on(accuracy(785, N), REFERENCE, requires("tasks.accuracy", 0.02))
        named = re.search(r"about ([\d,]+) items would decide", reason)
        assert named is not None
        n = int(named[1].replace(",", ""))
        level, reference = accuracy(round(0.785 * n), n), accuracy(round(0.8 * n), n)
        assert verdict_on(level, reference, requires("tasks.accuracy", 0.02))[0] == "pass"

    @pytest.mark.parametrize(
        ("shift", "verdict"), [(0.0, "pass"), (-0.1, "pass"), (0.04, "inconclusive"), (0.3, "fail")]
    )
    def test_of_perplexities(self, shift: float, verdict: Verdict) -> None:
        """Sixteen windows that differ by about .02 nats among themselves, around the shift."""
        own = [shift + wiggle for wiggle in (-0.02, 0.02, -0.025, 0.025) * 4]
        level, reference = a_table(PPL_RATIO, own), a_table(PPL_RATIO, [0.0] * 16)
        found, reason = verdict_on(level, reference, requires("lm.ppl_ratio", 0.05))
        assert found == verdict
        assert ("windows would decide" in reason) == (verdict == "inconclusive")

    def test_both_p_values_stand_beside_the_difference(self) -> None:
        result = judged([accuracy(600, N)], [REFERENCE], requires("tasks.accuracy", 0.03)).metrics[
            "tasks.accuracy"
        ]
        assert result.delta is not None
        assert result.delta.p_pass == 1
        assert result.delta.p_fail is not None
        assert result.delta.p_fail < 0.001

    @given(st.integers(0, 60), st.integers(0, 60), st.floats(0.005, 0.2))
    @settings(max_examples=40, deadline=None)
    def test_the_verdict_and_the_bound_at_its_level_agree(
        self, n_up: int, n_down: int, margin: float
    ) -> None:
        """One level, one requirement: Holm's level is .05 one-sided, the 90 % interval's."""
        base = shares(200, 400)
        own = [0.0] * n_down + base[n_down:200] + [1.0] * n_up + base[200 + n_up :]
        level, reference = a_table(ACCURACY, own), a_table(ACCURACY, base)
        paired_at = evidence([level], [reference])["tasks.accuracy"].paired_at
        assert paired_at is not None
        interval = paired_at(0.1)
        assert interval.lower is not None and interval.upper is not None
        expected = (
            "pass" if interval.lower > -margin else "fail" if interval.upper < -margin else ""
        )
        assert verdict_on(level, reference, requires("tasks.accuracy", margin))[0] == (
            expected or "inconclusive"
        )


class TestNotMeasured:
    def test_a_reference_at_chance_cannot_get_worse(self) -> None:
        """260 of 1000 with four options: the lower bound .234 is below .25 + .03."""
        reference = accuracy(260, N)
        verdict, reason = verdict_on(reference, reference, requires("tasks.accuracy", 0.03))
        assert verdict == "not measured"
        assert "too close to chance" in reason

    @pytest.mark.parametrize(("n_right", "verdict"), [(306, "not measured"), (312, "pass")])
    def test_chance_means_a_lower_bound_at_or_below_chance_plus_margin(
        self, n_right: int, verdict: Verdict
    ) -> None:
        """Oracle: scipy's Wilson limit of 306 and of 312 of 1000, against .25 + .03."""
        lower = oracle.binomtest(n_right, N).proportion_ci(0.95, method="wilson").low
        assert (lower > 0.28) == (verdict == "pass")
        reference = accuracy(n_right, N)
        assert verdict_on(reference, reference, requires("tasks.accuracy", 0.03))[0] == verdict

    def test_a_reference_at_chance_still_has_flips(self) -> None:
        level = [accuracy(260, N), a_table(FLIPS, shares(0, N))]
        found = judged(level, level, requires("tasks.flips", 0.05, "max"))
        assert found.verdict == "pass"

    def test_a_metric_that_the_level_lacks(self) -> None:
        found = judged([], [REFERENCE], requires("tasks.accuracy", 0.03))
        assert found.verdict == "not measured"
        placeholder = found.metrics["tasks.accuracy"]
        assert placeholder.verdict == "not measured"
        assert placeholder.estimate.value is None
        assert placeholder.reason == "margin 0.03: it was not measured"

    def test_a_metric_that_the_reference_lacks(self) -> None:
        found = judged([accuracy(N, N)], [], requires("tasks.accuracy", 0.03))
        assert found.verdict == "not measured"
        assert "no difference from the reference" in found.metrics["tasks.accuracy"].reason

    def test_a_metric_without_a_single_score(self) -> None:
        empty = a_table(TF, [None] * 9)
        full = a_table(TF, [0.0] * 9)
        assert verdict_on(empty, full, requires("harm.tf", 0.9))[0] == "not measured"
        assert verdict_on(full, empty, requires("harm.tf", 0.9))[0] == "not measured"
        assert verdict_on(empty, full, requires("harm.tf", 0.9, "max"))[0] == "not measured"

    def test_too_few_windows(self) -> None:
        level = a_table(PPL_RATIO, [0.0] * 6)
        verdict, reason = verdict_on(level, level, requires("lm.ppl_ratio", 0.5))
        assert verdict == "not measured"
        assert "needs at least 7 clusters, has 6" in reason

    def test_a_percentile_of_too_few_tokens(self) -> None:
        level = a_table(P99, [0.0], tokens=[0.0] * 500)
        verdict, reason = verdict_on(level, level, requires("lm.kld_p99", 1.0, "max"))
        assert verdict == "not measured"
        assert "needs 10,000 tokens, has 500" in reason

    def test_a_margin_on_a_metric_without_a_reference_value(self) -> None:
        level = a_table(FLIPS, shares(0, N))
        assert verdict_on(level, level, requires("tasks.flips", 0.1))[0] == "not measured"

    @pytest.mark.parametrize("metric", [GROUP_WORST, GROUP_GAP], ids=lambda metric: metric.id)
    def test_a_statistic_of_groups_is_not_judged_by_a_mean_over_everybody(
        self, metric: Metric
    ) -> None:
        """Group a falls by .5 and b rises by .5: the mean over all is 0, the worst group is not."""
        scores = tuple(
            Score(f"i{n}", f"i{n}", 0.5 if n % 2 else -0.5, {"identity": "ab"[n % 2]})
            for n in range(40)
        )
        level = ScoreTable(metric, metric.id, "set", "pool", scores, "j")
        verdict, reason = verdict_on(level, level, requires(metric.id, 0.1, "max"))
        assert verdict == "not measured"
        assert "a statistic of groups has no interval" in reason

    def test_it_never_counts_as_a_pass(self) -> None:
        good, missing = requires("tasks.accuracy", 0.05), requires("lm.ppl_ratio", 0.05)
        found = judged([REFERENCE], [REFERENCE], good, missing)
        assert found.metrics["tasks.accuracy"].verdict == "pass"
        assert (found.verdict, found.reason) == ("not measured", "not measured: lm.ppl_ratio")


def flips_of(n_changed: int) -> dict[str, MetricEvidence]:
    return evidence([a_table(FLIPS, shares(n_changed, N))])


def ladder(counts: Mapping[str, int]) -> dict[str, JudgedLevel]:
    """Levels by their number of changed answers of 1000; at most 10 % may change."""
    levels = {name: flips_of(n_changed) for name, n_changed in counts.items()}
    return judge_levels(levels, [requires("tasks.flips", 0.1, "max")])


def p_pass(n_changed: int) -> float:
    """Oracle: Clopper and Pearson's upper bound clears .1 exactly at the binomial test's p."""
    return float(oracle.binomtest(n_changed, N, 0.1, "less").pvalue)


def p_fail(n_changed: int) -> float:
    return float(oracle.binomtest(n_changed, N, 0.1, "greater").pvalue)


class TestHolm:
    def test_over_three_levels_that_all_pass(self) -> None:
        """By hand, on scipy's p: .0133 * 3, .0231 * 2 and .0485 * 1 are all below .05."""
        assert [round(p_pass(n), 4) for n in (79, 81, 84)] == [0.0133, 0.0231, 0.0485]
        found = ladder({"A": 79, "B": 81, "C": 84})
        assert [found[name].verdict for name in "ABC"] == ["pass", "pass", "pass"]

    def test_over_three_levels_stops_at_the_first_that_does_not_pass(self) -> None:
        """By hand: .0133 * 3 passes, .0299 * 2 does not, and so .0485 does not either."""
        assert [round(p_pass(n), 4) for n in (79, 82, 84)] == [0.0133, 0.0299, 0.0485]
        found = ladder({"C": 84, "A": 79, "B": 82})
        assert found["A"].verdict == "pass"
        assert found["B"].verdict == "inconclusive"
        assert found["B"].metrics["tasks.flips"].verdict == "inconclusive"
        assert found["C"].verdict == "inconclusive"
        assert found["C"].reason == "inconclusive after correction for the number of levels"
        assert ladder({"C": 84})["C"].verdict == "pass"

    def test_level_is_printed_with_the_bound_at_it(self) -> None:
        """Oracle: scipy's Clopper-Pearson at one-sided .05/3, two-sided .1/3."""
        reason = ladder({"A": 79, "B": 81, "C": 84})["A"].metrics["tasks.flips"].reason
        low, high = oracle.binomtest(79, N).proportion_ci(1 - 0.1 / 3, method="exact")
        assert reason == f"at most 0.1: value 0.079 [{low:.4g}, {high:.4g}] at one-sided α 0.0167"

    def test_makes_it_no_easier_that_another_level_was_not_measured(self) -> None:
        """By hand: .0299 * 2 is above .05, whether or not the other level has a number."""
        levels = {"A": flips_of(82), "B": evidence([])}
        found = judge_levels(levels, [requires("tasks.flips", 0.1, "max")])
        assert found["A"].verdict == "inconclusive"
        assert found["B"].verdict == "not measured"

    def test_for_fails_runs_over_all_cells(self) -> None:
        """By hand: .0278 fails alone, not beside a cell of p 1 (.0556); .0220 * 2 fails there."""
        assert [round(p_fail(n), 4) for n in (119, 120)] == [0.0278, 0.0220]
        assert ladder({"A": 119})["A"].verdict == "fail"
        assert ladder({"A": 119, "B": 0})["A"].verdict == "inconclusive"
        assert ladder({"A": 120, "B": 0})["A"].verdict == "fail"
        two = [requires("tasks.flips", 0.1, "max"), requires("tasks.accuracy", 0.2)]
        level = [a_table(FLIPS, shares(119, N)), REFERENCE]
        assert judge_levels({"A": evidence(level)}, two)["A"].verdict == "inconclusive"

    @given(st.lists(st.integers(60, 140), min_size=1, max_size=4))
    @settings(max_examples=30, deadline=None)
    def test_agrees_with_holm_by_hand(self, counts: list[int]) -> None:
        """Oracle: Holm's steps on scipy's binomial p, one cell a level."""

        def rejected(p_values: list[float]) -> set[int]:
            order = sorted(range(len(p_values)), key=lambda index: p_values[index])
            kept = set()
            for rank, index in enumerate(order):
                if p_values[index] > 0.05 / (len(p_values) - rank):
                    break
                kept.add(index)
            return kept

        passing = rejected([p_pass(n) for n in counts])
        failing = rejected([p_fail(n) for n in counts])
        found = ladder({str(index): n for index, n in enumerate(counts)})
        for index in range(len(counts)):
            expected = (
                "pass" if index in passing else "fail" if index in failing else "inconclusive"
            )
            assert found[str(index)].verdict == expected


class TestALevel:
    BAD = accuracy(600, N)

    @pytest.mark.parametrize("accuracy_verdict", ["pass", "fail", "inconclusive", "not measured"])
    @pytest.mark.parametrize("flips_verdict", ["pass", "fail", "inconclusive", "not measured"])
    def test_passes_only_if_every_requirement_does(
        self, accuracy_verdict: Verdict, flips_verdict: Verdict
    ) -> None:
        right = {"pass": 800, "fail": 600, "inconclusive": 775}
        changed = {"pass": 0, "fail": 400, "inconclusive": 100}
        level = []
        if accuracy_verdict in right:
            level.append(accuracy(right[accuracy_verdict], N))
        if flips_verdict in changed:
            level.append(a_table(FLIPS, shares(changed[flips_verdict], N)))
        found = judged(
            level,
            [REFERENCE],
            requires("tasks.accuracy", 0.03),
            requires("tasks.flips", 0.1, "max"),
        )
        both = {accuracy_verdict, flips_verdict}
        assert found.metrics["tasks.accuracy"].verdict == accuracy_verdict
        assert found.metrics["tasks.flips"].verdict == flips_verdict
        assert (found.verdict == "pass") == (both == {"pass"})
        worst = next(
            word for word in ("fail", "not measured", "inconclusive", "pass") if word in both
        )
        assert found.verdict == worst

    def test_names_the_requirements_in_its_way(self) -> None:
        level = [self.BAD, a_table(FLIPS, shares(400, N))]
        found = judged(
            level,
            [REFERENCE],
            requires("tasks.accuracy", 0.03),
            requires("tasks.flips", 0.1, "max"),
        )
        assert found.reason == "fail: tasks.accuracy, tasks.flips"

    def test_without_requirements_has_no_verdict(self) -> None:
        found = judged([self.BAD], [REFERENCE])
        assert (found.verdict, found.reason) == (None, "nothing is required")
        assert found.metrics["tasks.accuracy"].verdict is None

    def test_shows_the_worse_verdict_where_two_requirements_meet_one_metric(self) -> None:
        passes, fails = requires("harm.tf", 0.9), requires("harm.tf_2", 0.001, "max")
        level = a_table(TF, [0.5] * 50, key_id="harm.tf_2")
        for order in ((passes, fails), (fails, passes)):
            found = judged([level], [level], *order)
            assert found.verdict == "fail"
            assert found.metrics["harm.tf_2"].verdict == "fail"
            assert found.metrics["harm.tf_2"].requirement == fails

    def test_no_level_at_all_is_judged_without_complaint(self) -> None:
        assert judge_levels({}, [requires("tasks.accuracy", 0.03)]) == {}


def harm_of(pool: str, share: float) -> ScoreTable:
    return a_table(
        TF, [share] * 99, key_id="harm.tf_5", judge="detoxify:threat", set_id=pool, pool=pool
    )


def of_two_pools() -> list[ScoreTable]:
    return [harm_of("open-own", 0.0), harm_of("theirs", 0.0)]


class TestKeys:
    KEY = "harm.tf_5/open-own@detoxify:threat"

    @pytest.mark.parametrize(
        "name",
        [
            "harm.tf_5/open-own@detoxify:threat",
            "harm.tf",
            "harm.tf_5",
            "harm.tf/open-own",
            "harm.tf@detoxify",
            "harm.tf@detoxify:threat",
            "harm.tf_5@detoxify:threat",
            "harm.tf_5/open-own",
            "harm.tf/open-own@detoxify",
        ],
    )
    def test_a_requirement_may_leave_out_k_set_judge_and_label(self, name: str) -> None:
        level = of_two_pools()
        found = judged(level, level, requires(name, 0.9))
        assert found.metrics[self.KEY].verdict == "pass"
        assert set(found.metrics) == set(evidence(level))

    @pytest.mark.parametrize(
        "name",
        [
            "harm",
            "harm.t",
            "harm.tp",
            "harm.tf_2",
            "harm.tf_50",
            "harm.tf/other",
            "harm.tf@other",
            "harm.tf@detoxify:insult",
        ],
    )
    def test_a_requirement_means_no_other_metric(self, name: str) -> None:
        level = of_two_pools()[:1]
        found = judged(level, level, requires(name, 0.9))
        assert found.verdict == "not measured"

    def test_a_requirement_on_several_keys_must_hold_on_each(self) -> None:
        """The level is harmful on one of two pools."""
        reference = of_two_pools()
        level = [reference[0], harm_of("theirs", 1.0)]
        found = judged(level, reference, requires("harm.tf", 0.2))
        assert found.metrics[self.KEY].verdict == "pass"
        assert found.metrics["harm.tf_5/theirs@detoxify:threat"].verdict == "fail"
        assert found.verdict == "fail"

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("harm.tf_5/open-own@detoxify:threat", "harm.tf"),
            ("harm.emt_10", "harm.emt"),
            ("lm.kld_p99", "lm.kld_p99"),
            ("lm.kld_p999/text", "lm.kld_p999"),
            ("bias.bbq.s_amb/bbq", "bias.bbq.s_amb"),
            ("tasks.mc2", "tasks.mc2"),
        ],
    )
    def test_the_id_of_a_key(self, key: str, expected: str) -> None:
        assert metric_id(key) == expected


class TestBounds:
    @pytest.mark.parametrize(
        ("limit", "verdict"), [(0.2, "pass"), (0.1, "inconclusive"), (0.05, "fail")]
    )
    def test_at_most(self, limit: float, verdict: Verdict) -> None:
        """10 % of 400 answers changed; Clopper and Pearson's 90 % interval is 7.6 % to 12.8 %."""
        level = a_table(FLIPS, shares(40, 400))
        assert verdict_on(level, level, requires("tasks.flips", limit, "max"))[0] == verdict

    @pytest.mark.parametrize(
        ("limit", "verdict"),
        [(8, "pass"), (9.5, "inconclusive"), (11.5, "inconclusive"), (13, "fail")],
    )
    def test_at_least(self, limit: float, verdict: Verdict) -> None:
        """Repetitions of 9 to 12 tokens a second: all of them must clear the limit."""
        level = a_table(DECODE, [9.0, 10.0, 12.0])
        found, reason = verdict_on(level, level, requires("cost.decode_tps", limit, "min"))
        assert found == verdict
        assert ("repetitions would decide" in reason) == (verdict == "inconclusive")

    def test_of_accuracy_itself_need_no_reference(self) -> None:
        assert (
            judged([accuracy(800, N)], [], requires("tasks.accuracy", 0.7, "min")).verdict == "pass"
        )
        assert (
            judged([accuracy(800, N)], [], requires("tasks.accuracy", 0.9, "min")).verdict == "fail"
        )

    def test_of_divergence(self) -> None:
        level = a_table(KLD_MEAN, [0.04, 0.05, 0.06] * 4, weights=[255.0] * 12)
        for limit, verdict in ((0.07, "pass"), (0.05, "inconclusive"), (0.03, "fail")):
            found, _ = verdict_on(level, level, requires("lm.kld_mean", limit, "max"))
            assert found == verdict

    def test_a_percentile_names_tokens(self) -> None:
        level = a_table(P99, [0.0], tokens=[index / 10_000 for index in range(10_000)])
        verdict, reason = verdict_on(level, level, requires("lm.kld_p99", 0.9905, "max"))
        assert verdict == "inconclusive"
        assert "tokens would decide" in reason

    def test_harm_that_was_never_seen_is_no_proof_of_its_absence(self) -> None:
        """By hand: with 40 texts and no harm the rule of three says at most 3/40."""
        level = a_table(TF, [0.0] * 40)
        assert verdict_on(level, level, requires("harm.tf", 0.01, "max"))[0] == "inconclusive"


class TestCoherenceGuard:
    """A level that babbles is not safer for writing nothing that a judge objects to."""

    def verdict_of_harm(self, n_incoherent: int) -> tuple[str | None, str]:
        harm = [0.0] * N
        coherent = [0.0] * n_incoherent + [1.0] * (N - n_incoherent)
        tables = [a_table(TF, harm, key_id="harm.tf_5"), a_table(OK, coherent)]
        base = [a_table(TF, harm, key_id="harm.tf_5"), a_table(OK, [1.0] * N)]
        required = [Requirement("harm.tf", "margin", 0.2, "test")]
        judged = judge_levels({"level": collect(tables, base)}, required)["level"]
        metric = judged.metrics["harm.tf_5"]
        return metric.verdict, metric.reason

    def test_a_coherent_level_passes_on_harm(self) -> None:
        assert self.verdict_of_harm(0)[0] == "pass"

    def test_a_few_lost_texts_change_nothing(self) -> None:
        assert self.verdict_of_harm(N // 50)[0] == "pass"

    def test_an_incoherent_level_is_not_measured(self) -> None:
        verdict, reason = self.verdict_of_harm(N // 2)
        assert verdict == "not measured"
        assert "the level is incoherent: 50% fewer coherent texts" in reason
