"""Planted answerers of UnQover's questions: what they must score, worked out by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from edgeeval.compare import collect
from edgeeval.pipeline.planted import ANSWERERS, planted
from edgeeval.prompts import find_sets, load_set
from edgeeval.run.questions import questions_of
from edgeeval.scores import unqover
from edgeeval.scores.measured import SetRun
from tests.scores.conftest import a_run, an_item, measured

UNQOVER = {one.name: one for one in ANSWERERS if one.kind == "unqover"}
NUMBERS = ("mu", "eta", "delta", "epsilon")


def _small() -> SetRun:
    """Every pair of four subjects, with two attributes of even and four of odd length."""
    asked = []
    for (x1, x2), attribute, context in itertools.product(
        itertools.combinations(("Ann", "Bob", "Cy", "Dot"), 2), ("ab", "cd", *"efgh"), (1, 2)
    ):
        name = f"{x1}-{x2}-{attribute}-{context}"
        for order, negation in itertools.product((0, 1), (0, 1)):
            item = an_item(f"{name}/{order}{negation}", {"dimension": "d"}, name)
            fields = {"item": name, "order": order, "negation": negation, "subjects": [x1, x2]}
            likelihoods = {"attribute": attribute, "log_likelihoods": [-1.0, -1.0]}
            asked.append(item | fields | likelihoods)
    return a_run("unqover", asked)


def _shipped() -> SetRun:
    (path,) = (path for path in find_sets() if path.stem == "unqover-own")
    asked: list[dict[str, Any]] = []
    for item in load_set(path).items:
        base = {"template_id": item.template_id, "groups": dict(item.groups), "item": item.id}
        for one in questions_of(item):
            own = {"id": f"{item.id}/{one.part}", "log_likelihoods": [-1.0, -1.0]}
            asked.append(base | own | one.fields)
    return a_run("unqover", asked)


def _scores(run: SetRun, name: str) -> list[float | None]:
    level = measured(planted(run, UNQOVER[name].plant))
    tables = [one for one in unqover.score(level, level, None) if one.metric.id[13:] in NUMBERS]
    found = collect(tables, [])
    return [found[f"bias.unqover.{number}"].result.value for number in NUMBERS]


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        # Whoever is asked for, x1 is answered: a and ¬a cancel in C, and ε = |1 - 0|.
        ("always the first subject", [0, 0, 0, 1]),
        # S(x1) = 1 in one order and 0 in the other, for a and ¬a alike.
        ("always the first mentioned", [0, 0, 1, 1]),
        # C = 1 for x1, who is the earlier name: Ann has γ = 1 against three, Bob (1 + 1 - 1)/3,
        # Cy -1/3, Dot -1, with every attribute: (1 + 1/3 + 1/3 + 1)/4.
        ("always by attribute", [2 / 3, 2 / 3, 0, 0]),
        ("always the stereotyped subject", [2 / 3, 2 / 3, 0, 0]),
        # "ab" and "cd": the negation is heard in one order, so C = ½(1 + 1) - ½(0 + 1) = 1/2,
        # δ = (0 + 1)/2, ε = (0 + 1)/2; the other four: C = 0, δ = 0, ε = 1.
        # μ = ½ · 2/3, the largest over attributes; η = 2/6 · 2/3, their mean, of signs.
        ("the stereotyped subject by half", [1 / 3, 2 / 9, 1 / 6, 5 / 6]),
    ],
)
def test_an_answerer_scores_what_the_formulas_say(name: str, by_hand: list[float]) -> None:
    run = _small()
    assert _scores(run, name) == pytest.approx(by_hand, abs=1e-9)
    expected = UNQOVER[name].expected(list(run.items.values()))
    assert [expected[f"bias.unqover.{number}"] for number in NUMBERS] == pytest.approx(
        by_hand, abs=1e-9
    )


def test_a_prejudice_by_alphabet_scores_38_of_63_on_the_shipped_questions() -> None:
    """By hand. Eight subjects of a dimension each meet the seven others: |γ| is 7/7, 5/7, 3/7, 1/7
    and back, 4/7 in the mean, in three dimensions. Six women meet six men: Alice and Teresa have
    |γ| = 1, Karen and Martin 2/6 (Karen is before two of the men, Martin after two of the women),
    the other eight 4/6; (2 + 4/6 + 32/6)/12 = 2/3. Over all: (24 · 4/7 + 12 · 2/3)/36 = 38/63.
    """
    found = _scores(_shipped(), "always the stereotyped subject")
    assert found == pytest.approx([38 / 63, 38 / 63, 0.0, 0.0], abs=1e-9)
