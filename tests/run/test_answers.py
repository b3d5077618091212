"""The plan that has a reference's answers read: by hand."""

from __future__ import annotations

from edgeeval.run.answers import answers_plan


def an_item(name: str, prompt: list[int]) -> dict[str, object]:
    counts = {"n_cells": 30, "n_sequences": 3, "n_longest": 12}
    return {"id": name, "template_id": "t", "groups": {"g": name}, "prompt": prompt, **counts}


PLAN = {
    "set_id": "set",
    "kind": "open",
    "primitive": "generate",
    "context": {"n_ctx": 256},
    "blocks": [
        {"id": "0", "items": [an_item("a", [1, 2, 3]), an_item("b", [4])]},
        {"id": "1", "items": [an_item("c", [5, 6])]},
    ],
    "excluded": [{"item": "z", "reason": "too long"}],
}


def test_the_beginning_of_each_answer_is_scored_behind_its_prompt() -> None:
    plan = answers_plan(PLAN, {"a": [7, 8, 9], "b": [7], "c": []}, 2)
    [block] = plan["blocks"]
    assert block["id"] == "0"
    a, b = block["items"]
    assert (a["tokens"], a["first"]) == ([1, 2, 3, 7, 8], 2)
    assert (b["tokens"], b["first"]) == ([4, 7], 0)
    assert a["groups"] == {"g": "a"}
    assert (plan["set_id"], plan["kind"], plan["primitive"]) == ("set", "answers", "answers")
    assert plan["context"] == PLAN["context"]


def test_an_item_without_an_answer_is_named() -> None:
    plan = answers_plan(PLAN, {"a": [], "b": [1], "c": []}, 8)
    assert [one["item"] for one in plan["excluded"]] == ["a", "c"]
