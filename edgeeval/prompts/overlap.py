"""Find evaluation text that a calibration text holds too: there a level is flattered."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from edgeeval.prompts.load import PromptSet

N_WORDS = 8
"""Words in a row that two texts must share: fewer are stock phrases."""

_WORD = re.compile(r"\w+")


def shingles(text: str) -> set[tuple[str, ...]]:
    """Return every run of N_WORDS words, in lower case and without punctuation."""
    words = _WORD.findall(text.casefold())
    return {tuple(words[start : start + N_WORDS]) for start in range(len(words) - N_WORDS + 1)}


def overlap(prompt_set: PromptSet, calibration: set[tuple[str, ...]]) -> float:
    """Return the share of a set's runs of words that stand in the calibration text too."""
    own: set[tuple[str, ...]] = set()
    for item in prompt_set.items:
        for text in _texts(item.model_dump(exclude={"id", "template_id", "groups"})):
            own |= shingles(text)
    return len(own & calibration) / len(own) if own else 0.0


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in an item, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _each(value.values())
    elif isinstance(value, list | tuple):
        yield from _each(value)


def _each(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        yield from _texts(value)
