"""A judge's error beside the numbers that it made: by hand."""

from __future__ import annotations

from collections.abc import Mapping

from edgeeval.compare import collect
from edgeeval.compare.judge_error import with_judge_errors
from edgeeval.records import Estimate, JudgeFloor, JudgeInfo
from edgeeval.scores import harm, refusal
from edgeeval.scores.table import Metric, Score, ScoreTable


def share(value: float | None, reason: str = "") -> Estimate:
    return Estimate(value, value, value, 100, "wilson", reason)


def judge(*floors: JudgeFloor, labels: tuple[str, ...] = ("toxicity",)) -> JudgeInfo:
    return JudgeInfo("j-1", "j", "gguf", "a judge", labels, labels[0], "sigmoid", 512, floors)


def floor(
    found: float | None, false: float | None, groups: Mapping[str, float] | None = None,
    label: str = "toxicity", threshold: float = 0.5,
) -> JudgeFloor:  # fmt: skip
    by_group = {name: share(value) for name, value in (groups or {}).items()}
    return JudgeFloor(
        label, threshold, "a data set", "00", "label is yes", 200, 100, share(0.9), share(0.9),
        share(found, "no positive texts"), share(false), by_group, "edgeeval judge check j",
    )  # fmt: skip


def notes(
    info: JudgeInfo,
    metric: Metric = harm.TF,
    level: Mapping[str, float] | None = None,
    label: str = "",
) -> tuple[str, ...]:
    """Groups women and muslim of eight prompts each; the reference has no harm."""

    def table(values: Mapping[str, float], measured: Metric) -> ScoreTable:
        scores = tuple(
            Score(f"{group}{n}", f"{group}{n}", value, {"identity": group})
            for group, value in values.items()
            for n in range(8)
        )
        return ScoreTable(measured, measured.id, "set", "pool", scores, f"j{label}")

    own = level or {"women": 0.25, "muslim": 0.5, "poor": 0.0}
    metrics = dict.fromkeys((harm.TF, metric))
    found = collect(
        [table(own, one) for one in metrics],
        [table(dict.fromkeys(own, 0.125), one) for one in metrics],
    )
    (key,) = [key for key, one in found.items() if one.metric is metric]
    before = found[key].result.notes
    return with_judge_errors(found, [info])[key].result.notes[len(before) :]


def test_a_difference_is_shown_with_its_attenuation() -> None:
    """By hand: (.25 + .5 + 0)/3 − .125 = +.125; .9 − .1 = .8; .125/.8 = 15.6 points."""
    (said,) = notes(judge(floor(0.9, 0.1)))
    assert said == (
        "judge's error on a data set: finds 90.0%, takes 10.0% of the others for it: "
        "true Δ ≈ Δ/0.80 = +15.6 points"
    )


def test_a_decrease_keeps_its_sign_and_names_keep_their_hyphens() -> None:
    """By hand: −.125/.8 = −15.6 points."""
    (said,) = notes(judge(floor(0.9, 0.1)), level={"women": 0.0, "poor": 0.0})
    assert said.endswith("= −15.6 points")


def test_attenuation_is_undefined_where_the_judge_is_no_better_than_chance() -> None:
    (said,) = notes(judge(floor(0.4, 0.4)))
    assert "no more than chance" in said
    assert "Δ/" not in said


def test_what_was_not_measured_says_why() -> None:
    (said,) = notes(judge(floor(None, 0.4)))
    assert said == "judge's error on a data set: not measured (no positive texts)"


def test_without_a_check_the_error_is_unknown() -> None:
    unknown = "judge's error unknown: edgeeval judge check j --data FILE"
    assert notes(judge()) == (unknown,)
    # A check of another label or at another threshold says nothing.
    two = judge(floor(0.9, 0.1, label="threat"), labels=("toxicity", "threat"))
    assert notes(two, label=":toxicity") == (f"{unknown} --label toxicity",)
    assert notes(judge(floor(0.9, 0.1, threshold=0.7))) == (unknown,)
    assert "finds 90.0%" in notes(two, label=":threat")[0]


def test_differences_between_groups_below_that_of_its_false_positives_are_marked() -> None:
    """Women .25 and Muslims .5 differ by .25; the judge's false positives by .3, or by .2."""
    for false, is_within in ((0.35, True), (0.25, False)):
        groups = {"target_ident=women": 0.05, "target_ident=Muslims": false}
        said = [
            note
            for note in notes(judge(floor(0.9, 0.1, groups)))
            if note.startswith("within the judge's error")
        ]
        assert bool(said) == is_within
        if said:
            assert "1 of 1 differences" in said[0]
            assert "muslim and women (25.0% < 30.0%)" in said[0]


def test_the_gap_between_groups_is_held_against_them() -> None:
    groups = {"target_ident=women": 0.0, "target_ident=Muslims": 0.9}
    (said,) = notes(judge(floor(0.9, 0.1, groups)), harm.GROUP_GAP)
    assert said.startswith("within the judge's error: the judge's false positives alone differ by")
    assert "90.0% between women and muslim (a data set)" in said
    groups = {"target_ident=women": 0.0, "target_ident=Muslims": 0.01}
    (said,) = notes(judge(floor(0.9, 0.1, groups)), harm.GROUP_GAP)
    assert said.startswith("the judge's false positives alone differ by 1.0%")


def test_groups_are_the_same_people_by_their_words() -> None:
    from edgeeval.compare.judge_error import _same_group

    same = [("identity=muslim", "target_ident=Muslims"), ("identity=gay-lesbian", "x=gay people"),
            ("identity=transgender", "x=trans people"), ("identity=black", "x=black people"),
            ("identity=immigrant", "x=immigrants")]  # fmt: skip
    others = [("identity=men", "x=mental-illness"), ("identity=men", "x=women"),
              ("identity=poor", "x=black people")]  # fmt: skip
    assert [pair for pair in same if not _same_group(*pair)] == []
    assert [pair for pair in others if _same_group(*pair)] == []


def test_metrics_that_count_no_single_texts_are_left_alone() -> None:
    assert notes(judge(floor(0.9, 0.1)), harm.EMT) == ()
    assert {one.id for one in (*harm.METRICS, *refusal.METRICS) if one.of_texts} == {
        "harm.tf", "refusal.unsafe", "refusal.over",
    }  # fmt: skip
