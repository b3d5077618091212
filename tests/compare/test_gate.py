"""The gate: from planted verdicts to an outcome, and from two evaluations to a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.compare import collect
from edgeeval.compare.gate import (
    Question,
    case_of_intervals,
    decide,
    engine_changes,
    mismatches,
    paired_cases,
    question_of,
    suspicion,
    unchanged_cases,
)
from edgeeval.errors import InputError
from edgeeval.records import (
    Delta,
    Direction,
    GateCase,
    LevelResult,
    MetricResult,
    Requirement,
    Results,
    Verdict,
)
from edgeeval.scores.lm import PPL_RATIO
from edgeeval.scores.tasks import ACCURACY
from tests.compare.conftest import a_table, accuracy
from tests.evaluations import an_artifact, an_evaluation

Word = Verdict | Literal["lost", "same"]

MARGIN = Requirement("tasks.accuracy", "margin", 0.03, "a test")
CEILING = Requirement("lm.kld_mean", "max", 0.07, "a test")


def a_metric(
    key: str, verdict: Verdict | None, requirement: Requirement | None = CEILING
) -> MetricResult:
    return MetricResult(
        key, key, "share", "max", 0.1, 0.0, 0.2, 9, "planted",
        requirement=requirement, verdict=verdict, reason=f"because of {key}",
    )  # fmt: skip


def a_level(name: str, *verdicts: Verdict, own: Verdict | None = None) -> LevelResult:
    """A level whose verdict is the worst of its requirements', as `judge_levels` says."""
    order: Sequence[Verdict] = ("fail", "not measured", "inconclusive", "pass")
    metrics = {f"m{i}": a_metric(f"m{i}", verdict) for i, verdict in enumerate(verdicts)}
    worst = next((word for word in order if word in verdicts), None)
    return LevelResult(name, "measured", an_artifact(name), metrics, own or worst, "as planted")


def ladder(*levels: LevelResult) -> Results:
    return an_evaluation(*levels)


def without(status: Literal["lost", "same"], name: str = "Q4_K_M") -> LevelResult:
    return LevelResult(name, status, None, reason="the disk is full")


class TestOneLevel:
    @pytest.mark.parametrize(
        ("verdicts", "outcome", "code"),
        [
            (["pass"], "passed", 0),
            (["pass", "pass"], "passed", 0),
            (["pass", "fail"], "failed", 3),
            (["fail", "inconclusive", "not measured"], "failed", 3),
            (["pass", "inconclusive"], "inconclusive", 4),
            (["pass", "not measured"], "not measured", 4),
            (["inconclusive", "not measured"], "not measured", 4),
            ([], "not measured", 4),
        ],
    )
    def test_passes_only_with_every_requirement(
        self, verdicts: list[Verdict], outcome: str, code: int
    ) -> None:
        gate = decide(ladder(a_level("Q4_K_M", *verdicts)), "Q4_K_M")
        assert (gate.outcome, gate.exit_code) == (outcome, code)

    def test_of_a_trial_is_no_pass(self) -> None:
        trial = "Limited to 8 items a set (--limit): a trial, no evidence."
        gate = decide(replace(ladder(a_level("Q4_K_M", "pass")), watermarks=(trial,)), "Q4_K_M")
        assert (gate.outcome, gate.exit_code) == ("not measured", 4)
        assert trial.removesuffix(".") in gate.reason

    def test_that_was_lost_is_no_pass(self) -> None:
        gate = decide(ladder(without("lost")), "Q4_K_M")
        assert (gate.outcome, gate.exit_code) == ("lost", 4)
        assert "the disk is full" in gate.reason

    def test_is_judged_alone(self) -> None:
        results = ladder(a_level("Q8_0", "pass"), a_level("Q2_K", "fail"))
        assert decide(results, "Q8_0").exit_code == 0
        assert decide(results, "Q2_K").exit_code == 3

    def test_names_what_stands_in_its_way(self) -> None:
        gate = decide(ladder(a_level("Q4_K_M", "pass", "fail", "inconclusive")), "Q4_K_M")
        assert gate.reason == ("Q4_K_M: fail: m1 (because of m1); inconclusive: m2 (because of m2)")

    def test_that_loses_to_the_correction_over_levels_is_inconclusive(self) -> None:
        """Each requirement alone would pass, the level among all levels does not."""
        gate = decide(ladder(a_level("Q4_K_M", "pass", own="inconclusive")), "Q4_K_M")
        assert (gate.outcome, gate.exit_code) == ("inconclusive", 4)

    def test_that_is_mistyped_is_answered_with_the_nearest(self) -> None:
        with pytest.raises(InputError, match=r"--level Q4_KM: .*did you mean 'Q4_K_M'"):
            decide(ladder(a_level("Q4_K_M", "pass")), "Q4_KM")

    def test_that_was_not_measured_twice_is_judged_as_its_twin(self) -> None:
        twin = a_level("Q4_K_M", "pass")
        same = LevelResult("copy", "same", replace(an_artifact("copy"), weights_sha256="Q4_K_M"))
        gate = decide(ladder(twin, same), "copy")
        assert gate.exit_code == 0
        assert gate.notes == ("copy is judged as Q4_K_M: the same weights",)

    def test_whose_twin_is_not_there_was_not_measured(self) -> None:
        assert decide(ladder(without("same")), "Q4_K_M").outcome == "not measured"


class TestInconclusive:
    @pytest.mark.parametrize("level", ["Q4_K_M", None])
    def test_counts_as_failed_where_asked(self, level: str | None) -> None:
        results = ladder(a_level("Q4_K_M", "inconclusive"))
        assert decide(results, level).exit_code == 4
        assert decide(results, level, fail_on=["inconclusive"]).exit_code == 3

    @pytest.mark.parametrize("verdict", ["not measured"])
    def test_makes_no_failure_of_what_was_not_measured(self, verdict: Verdict) -> None:
        results = ladder(a_level("Q4_K_M", verdict))
        assert decide(results, "Q4_K_M", fail_on=["inconclusive"]).exit_code == 4


class TestAnyLevel:
    @pytest.mark.parametrize(
        ("levels", "code"),
        [
            ([["fail"], ["pass"]], 0),
            ([["fail"], ["fail"]], 3),
            ([["fail"], ["inconclusive"]], 4),
            ([["fail"], ["not measured"]], 4),
            ([[]], 4),
        ],
    )
    def test_one_that_passes_is_enough(self, levels: list[list[Verdict]], code: int) -> None:
        named = [a_level(f"L{index}", *verdicts) for index, verdicts in enumerate(levels)]
        assert decide(ladder(*named), None).exit_code == code

    def test_a_lost_one_may_have_been_good_enough(self) -> None:
        assert decide(ladder(a_level("Q8_0", "fail"), without("lost")), None).exit_code == 4
        assert decide(ladder(a_level("Q8_0", "pass"), without("lost")), None).exit_code == 0

    @given(
        st.lists(
            st.lists(st.sampled_from(["pass", "fail", "inconclusive", "not measured"])),
            min_size=1,
            max_size=5,
        ),
        st.booleans(),
    )
    def test_code_0_means_that_a_level_kept_all_and_the_cases_say_the_same(
        self, levels: list[list[Verdict]], strict: bool
    ) -> None:
        """Oracle: brute force over the planted verdicts."""
        named = [a_level(f"L{index}", *verdicts) for index, verdicts in enumerate(levels)]
        fail_on = ["inconclusive"] if strict else []
        gate = decide(ladder(*named), None, fail_on=fail_on)
        keeps_all = [bool(found) and set(found) == {"pass"} for found in levels]
        assert (gate.exit_code == 0) == any(keeps_all)
        deciding = {case.verdict for case in gate.cases if case.decides}
        assert (gate.exit_code == 0) == (deciding == {"pass"})
        assert {case.level for case in gate.cases} == {level.name for level in named}


class TestWhatIsNoLevel:
    def test_the_reference_under_another_name(self) -> None:
        level = a_level("Q4_K_M", "pass")
        copied = replace(level, artifact=replace(an_artifact("Q4_K_M"), weights_sha256="BF16"))
        gate = decide(ladder(copied), "Q4_K_M")
        assert (gate.outcome, gate.exit_code) == ("not measured", 4)
        assert "nothing was quantized" in gate.reason

    @pytest.mark.parametrize(
        ("name", "label"), [("Q4_K_M", "F16"), ("m-Q4_K_M", "F16"), ("mine", "Q4_K_M")]
    )
    def test_one_that_was_never_quantized(self, name: str, label: str) -> None:
        file = replace(an_artifact(name), label=label, type_shares={"F16": 0.99, "F32": 0.01})
        level = replace(a_level(name, "pass"), artifact=file)
        gate = decide(ladder(level), name)
        assert gate.exit_code == 4
        assert "it says Q4_K_M and holds F16, F32: it was never quantized" in gate.reason

    @pytest.mark.parametrize("name", ["F16", "a-half-F16", "mine"])
    def test_one_that_promises_nothing_keeps_its_promise(self, name: str) -> None:
        file = replace(an_artifact(name), label="F16", type_shares={"F16": 1.0})
        level = replace(a_level(name, "pass"), artifact=file)
        assert decide(ladder(level), name).exit_code == 0

    def test_one_that_computes_what_the_reference_computes(self) -> None:
        level = a_level("Q4_K_M", "pass")
        largest = replace(a_metric("lm.kld_max", None, None), value=0.0)
        level = replace(level, metrics=level.metrics | {"lm.kld_max": largest})
        assert decide(ladder(level), "Q4_K_M").exit_code == 4
        assert suspicion(level, ladder().reference).startswith("no log-probability differs")


# --- against a baseline ---------------------------------------------------------------------------


def changed(value: float, half: float, direction: Direction = "higher") -> MetricResult:
    delta = Delta(value, value - half, value + half, 100, "planted")
    return replace(a_metric("tasks.accuracy", "pass", MARGIN), direction=direction, delta=delta)


class TestFromIntervals:
    @pytest.mark.parametrize(
        ("now", "then", "half", "direction", "verdict"),
        [
            (0.0, 0.0, 0.01, "higher", "pass"),  # −.02 is above −.03
            (0.0, 0.0, 0.02, "higher", "inconclusive"),  # −.04 is not
            (-0.10, 0.0, 0.01, "higher", "fail"),
            (0.10, 0.0, 0.01, "higher", "pass"),  # better
            (0.10, 0.0, 0.01, "lower", "fail"),
            (-0.10, 0.0, 0.01, "lower", "pass"),
            (0.10, 0.0, 0.01, "zero", "fail"),
            (-0.10, 0.0, 0.01, "zero", "fail"),
            (0.0, 0.0, 0.01, "zero", "pass"),
            (-0.10, -0.10, 0.01, "higher", "pass"),  # as bad as it was
        ],
    )
    def test_worked_by_hand(
        self, now: float, then: float, half: float, direction: Direction, verdict: Verdict
    ) -> None:
        case = case_of_intervals(
            "Q4_K_M", MARGIN, changed(now, half, direction), changed(then, half, direction)
        )
        assert case.verdict == verdict
        assert f"{now - then:+.4g}" in case.reason

    @pytest.mark.parametrize("earlier", [None, replace(changed(0.0, 0.01), delta=None)])
    def test_what_has_no_interval_was_not_measured(self, earlier: MetricResult | None) -> None:
        case = case_of_intervals("Q4_K_M", MARGIN, changed(0.0, 0.01), earlier)
        assert case.verdict == "not measured"

    @pytest.mark.parametrize("correlation", [-0.95, 0.0, 0.95])
    def test_a_change_of_the_margin_passes_at_most_one_time_in_twenty(
        self, correlation: float
    ) -> None:
        """Two normal estimates with known errors and any dependence; 4 standard errors of slack."""
        n = 4000
        generator = np.random.default_rng(1)
        noise = generator.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], n)
        passed = sum(
            case_of_intervals(
                "Q4_K_M", MARGIN, changed(-0.03 + 0.004 * a, 1.96 * 0.004),
                changed(0.004 * b, 1.96 * 0.004),
            ).verdict == "pass"
            for a, b in noise
        )  # fmt: skip
        assert passed / n <= 0.05 + 4 * (0.05 * 0.95 / n) ** 0.5


class TestPairedByItem:
    def test_of_many_items_that_all_got_worse(self) -> None:
        new, old = accuracy(700, 1000), accuracy(800, 1000)
        (case,) = paired_cases({"Q4_K_M": collect([new], [old])}, [MARGIN, CEILING])
        assert (case.kind, case.key, case.verdict) == ("baseline", "tasks.accuracy", "fail")

    def test_of_items_that_did_not_change(self) -> None:
        same = accuracy(800, 1000)
        (case,) = paired_cases({"Q4_K_M": collect([same], [same])}, [MARGIN])
        assert case.verdict == "pass"
        assert "paired by item with the baseline" in case.reason

    def test_of_perplexities_is_of_the_two_levels_and_not_of_level_and_reference(self) -> None:
        """Both are .2 nats above the reference: between them there is no change."""
        limit = Requirement("lm.ppl_ratio", "margin", 0.05, "a test")
        values = [0.2 + wiggle for wiggle in (-0.02, 0.02, -0.01, 0.01) * 4]
        both = collect([a_table(PPL_RATIO, values)], [a_table(PPL_RATIO, values)])
        assert paired_cases({"Q4_K_M": both}, [limit])[0].verdict == "pass"
        better = collect([a_table(PPL_RATIO, values)], [a_table(PPL_RATIO, [0.0] * 16)])
        assert paired_cases({"Q4_K_M": better}, [limit])[0].verdict == "fail"

    def test_without_an_item_in_common_was_not_measured(self) -> None:
        new = a_table(ACCURACY, [1.0] * 50)
        old = a_table(ACCURACY, [1.0] * 50, set_id="other", pool="pool")
        (case,) = paired_cases({"Q4_K_M": collect([new], [old])}, [MARGIN])
        assert case.verdict == "not measured"


class TestABaseline:
    def test_that_got_worse_fails_a_level_that_keeps_every_requirement(self) -> None:
        results = ladder(a_level("Q4_K_M", "pass"))
        worse = GateCase("Q4_K_M", "tasks.accuracy", "baseline", "fail", "changed by -0.1")
        gate = decide(results, "Q4_K_M", baseline=[worse], baseline_name="old.json")
        assert (gate.exit_code, gate.baseline) == (3, "old.json")
        assert "tasks.accuracy against the baseline" in gate.reason

    def test_with_the_same_weights_has_nothing_to_test(self) -> None:
        metrics = {"tasks.accuracy": changed(0.0, 0.02), "lm.kld_mean": a_metric("k", "pass")}
        level = replace(a_level("Q4_K_M", "pass"), metrics=metrics)
        cases = unchanged_cases(level, level)
        assert cases is not None
        assert [(case.key, case.verdict) for case in cases] == [("tasks.accuracy", "pass")]
        other = replace(level, artifact=replace(an_artifact("Q4_K_M"), weights_sha256="new"))
        assert unchanged_cases(level, other) is None

    def test_of_another_question_says_what_differs(self) -> None:
        ours = ladder(a_level("Q4_K_M", "pass"))
        assert mismatches(question_of(ours), question_of(ours)) == []
        theirs = replace(
            ours,
            suite="full",
            seed=7,
            prompt_sets=(replace(ours.prompt_sets[0], n_items=3),),
            reference=replace(ours.reference, artifact=an_artifact("another")),
        )
        found = "; ".join(mismatches(question_of(ours), question_of(theirs)))
        for word in ("suite is full", "seed is 7", "another reference", "other prompts"):
            assert word in found

    def test_is_asked_only_about_what_is_known_yet(self) -> None:
        theirs = question_of(ladder())
        ours = Question(theirs.suite, theirs.seed, None, None)
        assert mismatches(ours, theirs) == []

    def test_of_another_engine_is_said(self) -> None:
        ours = ladder()
        theirs = replace(ours, environment=replace(ours.environment, n_threads=64))
        assert engine_changes(ours, ours) == []
        assert engine_changes(ours, theirs) == ["n threads"]
