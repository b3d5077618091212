"""How many items decide a requirement: counted in the prompt sets themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgeeval.pipeline.sample import samples
from edgeeval.prompts import find_sets, load_set
from edgeeval.prompts.items import RefusalItem
from edgeeval.records import Requirement
from edgeeval.run.foreign import Plan
from edgeeval.run.questions import questions_of
from edgeeval.scores import SCORERS, bbq

SETS = {path.stem: load_set(path) for path in find_sets()}


def a_plan(set_id: str) -> Plan:
    """A plan's items, without tokens."""
    prompt_set = SETS[set_id]
    items: list[dict[str, Any]] = []
    for item in prompt_set.items:
        if isinstance(item, RefusalItem):
            items.append({"id": item.id, "template_id": item.template_id, "unsafe": item.unsafe})
            continue
        for asked in questions_of(item):
            items.append(
                {
                    "id": f"{item.id}/{asked.part}",
                    "item": item.id,
                    "template_id": item.template_id,
                    **asked.fields,
                }
            )
    content = {
        "set_id": set_id,
        "kind": prompt_set.header.kind,
        "pool": prompt_set.header.pool,
        "blocks": [{"id": "0", "items": items}],
    }
    return Plan(Path("plan.json"), content, "")


def counted(metric: str, *set_ids: str) -> dict[str, int]:
    required: Sequence[Requirement] = [Requirement(metric, "max", 0.1, "by hand")]
    found = samples(required, tuple(SCORERS), [a_plan(one) for one in set_ids])
    return {one.key: one.n for one in found}


VARIETIES = ("dialect-aae", "dialect-appalachian", "dialect-indian")


def test_sets_that_are_not_pooled_decide_each_for_itself() -> None:
    assert counted("dialect.gap_growth", *VARIETIES) == {
        f"dialect.gap_growth/{one}": 232 for one in VARIETIES
    }
    assert counted("dialect.gap_growth", "dialect-aae") == {"dialect.gap_growth": 232}
    assert counted("dialect.gap_growth/dialect-indian", *VARIETIES) == {
        "dialect.gap_growth/dialect-indian": 232
    }


def test_a_rate_of_refusals_is_made_of_its_own_requests() -> None:
    sets = ("refusal-safe", "refusal-unsafe")
    assert counted("refusal.unsafe", *sets) == {"refusal.unsafe": 320}
    assert counted("refusal.over", *sets) == {"refusal.over": 320}
    assert counted("refusal.at_risk_flips", *sets) == {
        "refusal.at_risk_flips/refusal-safe": 320, "refusal.at_risk_flips/refusal-unsafe": 320
    }  # fmt: skip


def test_several_questions_about_one_item_are_one() -> None:
    assert counted("bias.unqover.shift", "unqover-own") == {"bias.unqover.shift": 1440}


def test_what_nothing_decides_is_left_out() -> None:
    assert counted("bias.pairs", "unqover-own") == {}


@pytest.mark.parametrize("metric", bbq.METRICS, ids=lambda metric: metric.id)
def test_a_score_of_bbq_is_made_of_the_items_that_it_is_computed_from(metric: Any) -> None:
    """Oracle: the tables of an answerer that never says unknown."""
    items = {item.id: item.model_dump() for item in SETS["bbq-own"].items}
    picked = {name: item["target"] for name, item in items.items()}
    tables = {table.key: len(table.scores) for table in bbq.tables(items, picked)}
    expected = {metric.id: tables[metric.id]} if metric.id in tables else {}
    assert counted(metric.id, "bbq-own") == expected
