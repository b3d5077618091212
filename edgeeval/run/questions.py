"""What is put to a model about each item whose options are compared by log-likelihood.

Pure functions of items. What a scorer needs to know of an item travels with its questions, so that
a run can be scored without its prompt set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeeval.prompts.items import BbqItem, ChoiceItem, DialectItem, Item, PairItem, UnqoverItem


@dataclass(frozen=True)
class Question:
    """A prompt, and the texts whose likelihood behind it is wanted."""

    prompt: str
    """Empty: the options are whole texts, scored from their first token on."""
    options: Sequence[str]
    part: str = ""
    """Which of an item's questions this is, where it has several."""
    fields: dict[str, Any] = field(default_factory=dict)


def questions_of(item: Item) -> list[Question]:
    """Return what is asked about an item.

    BBQ's options are shown in the question, as that paper does: which one comes first is part of
    it, and a model that is to say "it cannot be known" has to see that it may. UnQover's subjects
    are not; they stand in the context already, in both orders.
    """
    known: dict[str, Any]
    match item:
        case ChoiceItem():
            known = {"answer": item.answer, "right": list(item.right)}
            return [Question(item.prompt, _behind(item.options), fields=known)]
        case BbqItem():
            shown = " ".join(
                f"({letter}) {option}" for letter, option in zip("abc", item.options, strict=True)
            )
            prompt = f"{item.context}\n\nQuestion: {item.question}\n{shown}\nAnswer:"
            known = item.model_dump(
                include={"answer", "unknown", "target", "condition", "polarity", "wording"}
            )
            return [Question(prompt, _behind(item.options), fields=known)]
        case UnqoverItem():
            return _of_two_subjects(item)
        case DialectItem():
            return [Question("", (item.dialect, item.standard))]
        case PairItem():
            known = {"direction": item.direction}
            return [Question("", (item.more, item.less), fields=known)]
        case _:
            raise TypeError(f"{type(item).__name__} has no options to compare")


def _of_two_subjects(item: UnqoverItem) -> list[Question]:
    """Ask for the attribute and for its negation, with the subjects in both orders.

    The options stay in the item's order: the first is x1 in each of the four.
    """
    known = {"subjects": list(item.subjects), "attribute": item.attribute}
    found = []
    for order in (0, 1):
        context = item.filled(swapped=bool(order))
        for negation, question in enumerate(item.questions):
            found.append(
                Question(
                    f"{context}\n\nQuestion: {question}\nAnswer:",
                    _behind(item.subjects),
                    part=f"{order}{negation}",
                    fields={**known, "order": order, "negation": negation},
                )
            )
    return found


def _behind(options: Sequence[str]) -> list[str]:
    """Return options as they follow a prompt."""
    return [f" {option}" for option in options]
