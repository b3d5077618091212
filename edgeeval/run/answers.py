"""Lay out the beginnings of the reference's own greedy texts, for every level to read.

A level's own text parts from the reference's after a few tokens, and behind that point the two
models no longer answer the same question. So divergence on safety prompts and open prompts is
measured where both read the same words: the prompt, and what the reference wrote behind it
(teacher forcing). Pure functions of plans and runs: no tokenizer is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

KIND = "answers"
"""Kind and primitive of such a plan. No prompt set is of it."""


def answers_plan(
    plan: Mapping[str, Any], written: Mapping[str, Sequence[int]], n_tokens: int
) -> dict[str, Any]:
    """Return the plan that has the beginnings of texts read.

    It has the blocks and the context of the plan that had them written: one sequence an item
    where that one had several, so it fits.

    Args:
        plan: of texts that were generated.
        written: item id -> tokens of the reference's greedy text.
        n_tokens: so many of each text, at most.
    """
    blocks, excluded = [], []
    for block in plan["blocks"]:
        items = []
        for item in block["items"]:
            answer = list(written[item["id"]][:n_tokens])
            if not answer:
                reason = "the reference wrote nothing there that a level could diverge from"
                excluded.append({"item": item["id"], "reason": reason})
                continue
            items.append(
                {
                    "id": item["id"],
                    "template_id": item["template_id"],
                    "groups": item["groups"],
                    "tokens": [*item["prompt"], *answer],
                    "first": len(item["prompt"]) - 1,
                }
            )
        if items:
            blocks.append({"id": block["id"], "items": items})
    return {
        **plan,
        "kind": KIND,
        "primitive": KIND,
        "blocks": blocks,
        "excluded": excluded,
        "answer_tokens": n_tokens,
    }
