"""The recommendation: the smallest level that passes, and what it does not cover."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.compare import mark_pareto, recommend
from edgeeval.records import (
    Artifact,
    LevelResult,
    MetricResult,
    Provenance,
    Recommendation,
    Requirement,
    Verdict,
)

REQUIRED = (
    Requirement("lm.kld_mean", "max", 0.07, "policy balanced"),
    Requirement("harm.tf_5@judge", "margin", 0.02, "policy balanced"),
)
PLACES = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=8)


def a_metric(key: str, value: float | None = 0.1) -> MetricResult:
    return MetricResult(key, key, "share", "max", value, None, None, 1, "planted")


def a_level(
    name: str,
    size_bytes: int,
    verdict: Verdict | None = None,
    *,
    kld: float | None = 0.1,
    reason: str = "",
    keys: Sequence[str] = (),
) -> LevelResult:
    artifact = Artifact(
        name=name,
        path="",
        sha256="",
        size_bytes=size_bytes,
        architecture="llama",
        label=name,
        n_params=1,
        bpw=4.5,
        type_shares={},
        fallback_share=0.0,
        fallback_types={},
        weights_sha256=name,
        vocabulary_sha256="",
        tokenizer_sha256="",
        chat_template_sha256="",
        imatrix="",
        source="given",
        provenance=Provenance("given", name),
    )
    metrics = {key: a_metric(key) for key in keys} | {"lm.kld_mean": a_metric("lm.kld_mean", kld)}
    return LevelResult(name, "measured", artifact, metrics, verdict, reason)


REFERENCE = a_level("F16", 400_000_000, keys=["tasks.accuracy"])
LOST = LevelResult("Q2_K", "lost", None, reason="the disk is full")


def answer(
    *levels: LevelResult,
    requirements: Sequence[Requirement] = REQUIRED,
    unavailable: Sequence[str] = (),
) -> Recommendation:
    return recommend(REFERENCE, levels, requirements, unavailable)


class TestTheLevel:
    def test_is_the_smallest_that_passes(self) -> None:
        """By hand: 100 of 400 MB are 25 %."""
        found = answer(
            a_level("Q8_0", 200_000_000, "pass"),
            a_level("Q4_K_M", 100_000_000, "pass"),
            a_level("Q3_K_M", 80_000_000, "inconclusive"),
            a_level("Q2_K", 60_000_000, "fail"),
        )
        assert found.level == "Q4_K_M"
        assert "(harm.tf, lm.kld_mean)" in found.reason
        assert "100 MB, 25% of the reference's size" in found.reason

    @pytest.mark.parametrize("verdict", ["fail", "inconclusive", "not measured", None])
    def test_is_never_one_that_did_not_pass(self, verdict: Verdict | None) -> None:
        assert answer(a_level("Q4_K_M", 100, verdict)).level is None

    def test_is_never_a_lost_one(self) -> None:
        assert answer(LOST, a_level("Q8_0", 200, "pass")).level == "Q8_0"

    def test_is_none_where_none_passes_and_each_says_what_stops_it(self) -> None:
        found = answer(
            a_level("Q8_0", 200, "inconclusive", reason="inconclusive: tasks.accuracy"),
            a_level("Q3_K_M", 80, "fail", reason="fail: lm.kld_mean"),
            LOST,
        )
        assert found.level is None
        assert found.reason == (
            "No level passes. Q8_0: inconclusive: tasks.accuracy; Q3_K_M: fail: lm.kld_mean; "
            "Q2_K: the disk is full."
        )

    def test_is_none_where_nothing_is_required(self) -> None:
        found = answer(a_level("Q8_0", 200), requirements=())
        assert found.level is None
        assert found.reason == "Nothing is required, so nothing can be recommended."


class TestWhatIsNotCovered:
    def test_dimensions_that_were_measured_and_had_no_say(self) -> None:
        found = answer(
            a_level(
                "Q8_0",
                200,
                "pass",
                keys=["tasks.flips", "align.chrf", "harm.emt_5@judge", "lm.ppl"],
            )
        )
        assert found.not_required == ("align", "tasks")

    def test_metrics_that_the_policy_names_and_nobody_measured(self) -> None:
        missing = ["refusal.unsafe", "bias.bbq.s_amb", "refusal.unsafe"]
        found = answer(a_level("Q8_0", 200, "pass"), unavailable=missing)
        assert found.not_measured == ("bias.bbq.s_amb", "refusal.unsafe")

    def test_both_are_said_when_no_level_passes_too(self) -> None:
        found = answer(
            a_level("Q8_0", 200, "fail", keys=["align.chrf"]), unavailable=["refusal.over"]
        )
        assert found.not_required == ("align",)
        assert found.not_measured == ("refusal.over",)

    def test_margins_that_are_not_the_policys_are_named_whether_or_not_a_level_passes(self) -> None:
        own = (Requirement("lm.kld_mean", "max", 0.5, "recipe"),)
        for verdict in ("pass", "fail"):
            found = answer(a_level("Q8_0", 200, verdict), requirements=own)
            assert (
                "Limits in place of the policy's own: lm.kld_mean max 0.5 (recipe)." in found.reason
            )


class TestThePareto:
    @given(PLACES)
    def test_front_agrees_with_brute_force(self, places: list[tuple[int, int]]) -> None:
        """Oracle: nobody is at least as good at both and better at one."""
        levels = [a_level(str(n), size, kld=kld) for n, (size, kld) in enumerate(places)]
        expected = [
            not any(
                (other[0] < own[0] and other[1] <= own[1])
                or (other[0] <= own[0] and other[1] < own[1])
                for other in places
            )
            for own in places
        ]
        assert [level.is_pareto for level in mark_pareto(levels)] == expected

    @given(PLACES)
    def test_a_level_that_is_beaten_names_the_closest_of_those_that_beat_it(
        self, places: list[tuple[int, int]]
    ) -> None:
        """Oracle: brute force."""
        levels = [a_level(str(n), size, kld=kld) for n, (size, kld) in enumerate(places)]
        for own, level in zip(places, mark_pareto(levels), strict=True):
            better = [
                other
                for other in places
                if other != own and other[0] <= own[0] and other[1] <= own[1]
            ]
            assert bool(level.dominated_by) == bool(better) == (not level.is_pareto)
            if better:
                named = places[int(level.dominated_by)]
                assert named in better
                assert named[1] == min(kld for _, kld in better)

    def test_front_leaves_out_what_was_not_measured_and_is_not_beaten_by_it(self) -> None:
        levels = [a_level("Q8_0", 200), a_level("Q4_0", 100, kld=None), LOST]
        assert [level.is_pareto for level in mark_pareto(levels)] == [True, False, False]

    def test_front_changes_nothing_else(self) -> None:
        (before,) = levels = [a_level("Q8_0", 200, "pass", reason="every requirement passed")]
        (after,) = mark_pareto(levels)
        assert (after.name, after.verdict, after.reason) == (
            before.name, before.verdict, before.reason,
        )  # fmt: skip
        assert after.metrics == before.metrics
