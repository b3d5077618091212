"""Multiple choice: planted answerers get the scores that they must."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.compare import collect
from edgeeval.scores import tasks
from edgeeval.scores.measured import Measured
from edgeeval.scores.table import ScoreTable
from tests.scores.conftest import a_run, by_key, choice, measured, picks, values

N_ITEMS = 40

LIKELIHOODS = st.lists(st.floats(-1e6, 0), min_size=2, max_size=6)


def scored(level: Measured, reference: Measured | None = None) -> dict[str, ScoreTable]:
    return by_key(tasks.score(level, reference or level, None))


def answerer(options: list[int], n_options: int = 4) -> Measured:
    """Answer item i by options[i]; the right answers go round: 0, 1, 2, 3, 0, ..."""
    items = [
        picks(f"i{index}", option, index % n_options, n_options)
        for index, option in enumerate(options)
    ]
    return measured(a_run("choice", items))


ALWAYS_RIGHT = answerer([index % 4 for index in range(N_ITEMS)])
ALWAYS_WRONG = answerer([(index + 1) % 4 for index in range(N_ITEMS)])
ALWAYS_FIRST = answerer([0] * N_ITEMS)


class TestAccuracy:
    def test_worked_example(self) -> None:
        """By hand: sums choose 0, 1, 0; per byte -.5, -.5 and -.15 choose the last of item c."""
        run = a_run(
            "choice",
            [
                choice("a", [-1, -2], 0, [1, 1]),
                choice("b", [-3, -1], 0, [1, 1]),
                choice("c", [-1, -5, -1.5], 2, [2, 10, 10]),
            ],
        )
        found = scored(measured(run))
        assert values(found["tasks.accuracy"]) == [1, 0, 0]
        assert values(found["tasks.accuracy_norm"]) == [1, 0, 1]
        assert values(found["tasks.mc2"]) == pytest.approx(
            [
                1 / (1 + math.exp(-1)),
                1 / (1 + math.exp(2)),
                1 / (1 + math.exp(0.5) + math.exp(-3.5)),
            ]
        )

    @pytest.mark.parametrize(
        ("level", "accuracy"), [(ALWAYS_RIGHT, 1.0), (ALWAYS_WRONG, 0.0), (ALWAYS_FIRST, 0.25)]
    )
    def test_of_a_planted_answerer(self, level: Measured, accuracy: float) -> None:
        found = collect(scored(level).values(), [])
        assert found["tasks.accuracy"].result.estimate.value == accuracy
        assert found["tasks.accuracy_norm"].result.estimate.value == accuracy

    def test_of_one_position_is_what_chance_says(self) -> None:
        found = collect(scored(ALWAYS_FIRST).values(), [])["tasks.accuracy"]
        assert found.result.estimate.value == found.chance

    def test_chance_is_the_mean_over_items_of_one_option_in_n(self) -> None:
        """By hand: (1/2 + 1/4 + 1/4) / 3."""
        run = a_run("choice", [picks("a", 0, 0, 2), picks("b", 0, 0, 4), picks("c", 0, 0, 4)])
        found = scored(measured(run))
        assert found["tasks.accuracy"].chance == pytest.approx(1 / 3)
        assert found["tasks.flips"].chance is None

    def test_keeps_groups_and_templates(self) -> None:
        run = a_run("choice", [picks("a", 0, 0, subject="law")])
        (score,) = scored(measured(run))["tasks.accuracy"].scores
        assert score.groups == {"subject": "law"}
        assert score.cluster == "a"


class TestFlips:
    def test_worked_example(self) -> None:
        """By hand: right to wrong, wrong to right, wrong to another wrong, twice the same."""
        answers = [0, 0, 0, 0, 0]
        base, own = [0, 1, 1, 0, 2], [1, 0, 2, 0, 2]

        def run(options: list[int]) -> Measured:
            return measured(
                a_run(
                    "choice",
                    [
                        picks(f"i{index}", option, answer)
                        for index, (option, answer) in enumerate(zip(options, answers, strict=True))
                    ],
                )
            )

        found = scored(run(own), run(base))
        assert values(found["tasks.flips"]) == [1, 1, 1, 0, 0]
        assert values(found["tasks.flips_down"]) == [1, 0, 0, 0, 0]
        assert values(found["tasks.flips_up"]) == [0, 1, 0, 0, 0]

    def test_of_an_identical_level_are_none_and_its_difference_is_exactly_zero(self) -> None:
        base = list(scored(ALWAYS_FIRST).values())
        found = collect(scored(ALWAYS_FIRST, ALWAYS_FIRST).values(), base)
        for metric in ("tasks.flips", "tasks.flips_down", "tasks.flips_up"):
            assert found[metric].result.estimate.value == 0
        for metric in ("tasks.accuracy", "tasks.accuracy_norm", "tasks.mc2"):
            delta = found[metric].result.delta
            assert delta is not None
            assert delta.value == 0

    def test_of_the_opposite_of_the_reference_are_all_down(self) -> None:
        found = collect(scored(ALWAYS_WRONG, ALWAYS_RIGHT).values(), [])
        assert found["tasks.flips"].result.estimate.value == 1
        assert found["tasks.flips_down"].result.estimate.value == 1
        assert found["tasks.flips_up"].result.estimate.value == 0

    def test_show_what_accuracy_hides(self) -> None:
        """Both right on half of the items, never on the same ones."""
        first = answerer([index % 4 if index < 20 else (index + 1) % 4 for index in range(40)])
        second = answerer([index % 4 if index >= 20 else (index + 1) % 4 for index in range(40)])
        base = list(scored(first).values())
        found = collect(scored(second, first).values(), base)
        delta = found["tasks.accuracy"].result.delta
        assert delta is not None
        assert delta.value == 0
        assert found["tasks.flips"].result.estimate.value == 1


@given(st.lists(LIKELIHOODS, min_size=1, max_size=8))
def test_every_score_is_a_share_whatever_the_log_likelihoods(rows: list[list[float]]) -> None:
    run = a_run("choice", [choice(f"i{index}", row, 0) for index, row in enumerate(rows)])
    for table in scored(measured(run)).values():
        for value in values(table):
            assert value is not None
            assert 0 <= value <= 1


def test_reads_no_other_kind_of_set() -> None:
    assert scored(measured(a_run("open", []), a_run("text", []))) == {}


def test_any_of_several_right_options_will_do() -> None:
    """By hand: weights 1, e, e^2 of three options, the first and the third right."""
    item = choice("a", [0.0, 1.0, 2.0], 0) | {"right": [0, 2]}
    tables = scored(measured(a_run("choice", [item])))
    assert values(tables["tasks.accuracy"]) == [1]
    assert tables["tasks.accuracy"].chance == pytest.approx(2 / 3)
    share = (1 + math.exp(2)) / (1 + math.e + math.exp(2))
    assert values(tables["tasks.mc2"]) == pytest.approx([share])
