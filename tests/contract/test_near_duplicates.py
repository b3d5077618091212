"""No two texts of a prompt set are nearly the same, and the check for it finds those that are."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from edgeeval.prompts import (
    BbqItem,
    ChoiceItem,
    DialectItem,
    OpenItem,
    PairItem,
    PromptSet,
    RefusalItem,
    TextItem,
    UnqoverItem,
    find_sets,
    load_set,
)
from edgeeval.prompts.items import Item

SETS = [load_set(path) for path in find_sets()]
_MAX_OF_WORDS = 0.2
"""Jaccard similarity of word 5-grams: texts written apart share next to none."""
_MAX_OF_LETTERS = 0.35
"""Jaccard similarity of character 4-grams. Sentences that show one construction share its words
(at most .29 as first written; sentence pairs .26, requests and open prompts .23, BBQ .16)."""
_MAX_OF_QUESTIONS = 0.5
"""The same for short questions, which share their words more often: the closest pair of ours has
.45 ("Where were the ancient Olympic Games held?" and "Where were the first modern Olympic Games
held, in 1896?"); the same question about another word or country has .52 to .65."""
_MIN_WORDS = 8
"""A text of as many words stays too like its original when any one of them is replaced."""
_MAX_PLANTED = 60


class Written(NamedTuple):
    """A text that somebody wrote."""

    owner: str
    """Its template; texts of one template are alike by design."""
    text: str


def _of_item(item: Item) -> list[str]:
    if isinstance(item, ChoiceItem):
        return [item.question]
    if isinstance(item, OpenItem | RefusalItem):
        return [item.prompt]
    if isinstance(item, DialectItem):
        return [item.dialect, item.standard]
    if isinstance(item, BbqItem):
        return [f"{item.context} {item.question}"]
    if isinstance(item, UnqoverItem):
        return [item.context]
    if isinstance(item, PairItem):
        return [item.more]
    assert isinstance(item, TextItem)
    return [item.text or "\n".join(turn.content for turn in item.messages)]


def _written(items: Sequence[Item]) -> list[list[Written]]:
    """Return lists to be looked through, each by itself: a dialect's sentences, their twins.

    Items of kind unqover are every context of a dimension crossed with every attribute: there the
    contexts are what was written.
    """
    columns: dict[int, dict[Written, None]] = defaultdict(dict)
    for item in items:
        for place, text in enumerate(_of_item(item)):
            owner = text if isinstance(item, UnqoverItem) else item.template_id
            columns[place][Written(owner, text)] = None
    return [list(column) for column in columns.values()]


def _words_5(text: str) -> set[tuple[str, ...]]:
    words = text.casefold().split()
    return {tuple(words[start : start + 5]) for start in range(max(1, len(words) - 4))}


def _letters_4(text: str) -> set[str]:
    letters = " ".join(re.findall(r"[\w']+", text.casefold()))
    return {letters[start : start + 4] for start in range(max(1, len(letters) - 3))}


def _alike_in_words(written: Sequence[Written]) -> set[tuple[Written, Written]]:
    grams = [_words_5(text) for _, text in written]
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    shared: Counter[tuple[int, int]] = Counter()
    for index, found in enumerate(grams):  # only texts that share a 5-gram are compared
        for gram in found:
            shared.update((other, index) for other in holders[gram])
            holders[gram].append(index)
    return {
        (written[one], written[other])
        for (one, other), n_shared in shared.items()
        if n_shared > _MAX_OF_WORDS * (len(grams[one]) + len(grams[other]) - n_shared)
        and written[one].owner != written[other].owner
    }


def _alike_in_letters(written: Sequence[Written], limit: float) -> set[tuple[Written, Written]]:
    """Compare one text of each template: the others of it say the same."""
    firsts = list({one.owner: one for one in reversed(written)}.values())
    grams = [_letters_4(text) for _, text in firsts]
    return {
        (firsts[one], firsts[other])
        for one, other in itertools.combinations(range(len(firsts)), 2)
        if len(grams[one] & grams[other]) > limit * len(grams[one] | grams[other])
    }


def _near_duplicates(kind: str, written: Sequence[Written]) -> set[tuple[Written, Written]]:
    found = _alike_in_words(written)
    if kind != "text":  # long texts of one language share most of their 4-grams
        found |= _alike_in_letters(
            written, _MAX_OF_QUESTIONS if kind == "choice" else _MAX_OF_LETTERS
        )
    return found


def _id(prompt_set: PromptSet) -> str:
    return prompt_set.id


@pytest.mark.parametrize("prompt_set", SETS, ids=_id)
def test_no_two_texts_of_a_set_are_nearly_the_same_but_those_of_one_template(
    prompt_set: PromptSet,
) -> None:
    for written in _written(prompt_set.items):
        assert _near_duplicates(prompt_set.header.kind, written) == set()


def test_no_unsafe_request_is_nearly_a_safe_one() -> None:
    requests = [item for one in SETS if one.header.kind == "refusal" for item in one.items]
    for written in _written(requests):
        assert _near_duplicates("refusal", written) == set()


@pytest.mark.parametrize("prompt_set", SETS, ids=_id)
def test_a_text_with_one_word_replaced_is_found_in_every_set(prompt_set: PromptSet) -> None:
    """The check itself, on planted near-duplicates: of a few texts, each with one word replaced
    at a random place, every one is found, and found to be like its original."""
    draw = random.Random(1)
    for written in _written(prompt_set.items):
        firsts = list({one.owner: one for one in reversed(written)}.values())
        long = [one for one in firsts if len(one.text.split()) >= _MIN_WORDS]
        originals = draw.sample(long, min(len(long), _MAX_PLANTED))
        assert len(originals) >= min(len(firsts), 8)
        planted = {}
        for one in originals:
            words = one.text.split()
            words[draw.randrange(len(words))] = "lantern"
            planted[Written(f"planted: {one.owner}", " ".join(words))] = one
        found = _near_duplicates(prompt_set.header.kind, [*originals, *planted])
        assert {frozenset(pair) for pair in found} >= {frozenset(pair) for pair in planted.items()}
