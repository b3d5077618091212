"""The exception tree is the one that its module draws, and says what to do with a mistyped word."""

from __future__ import annotations

import inspect
import re

import pytest

from edgeeval import errors

_BRANCH = re.compile(r"^(?P<indent>[\s│├└─]*)(?P<name>[A-Z]\w+)\s+(exit (?P<code>\d+)\s+)?\S")


def _drawn_tree() -> dict[str, tuple[str, int]]:
    """Read the docstring's drawing: class -> (parent, exit code; a child without one inherits)."""
    drawing = inspect.getdoc(errors).split("A caller writes:")[0]
    tree: dict[str, tuple[str, int]] = {}
    above: list[tuple[int, str]] = [(-1, "Exception")]
    for line in drawing.splitlines()[2:]:
        if not (found := _BRANCH.match(line)):
            continue
        depth = len(found["indent"])
        while above[-1][0] >= depth:
            above.pop()
        parent = above[-1][1]
        code = int(found["code"]) if found["code"] else tree[parent][1]
        tree[found["name"]] = (parent, code)
        above.append((depth, found["name"]))
    return tree


def _real_tree() -> dict[str, tuple[str, int]]:
    return {
        name: (value.__base__.__name__, value.exit_code)
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert _drawn_tree() == _real_tree()
    assert len(_real_tree()) >= 9


def test_exit_codes_are_those_of_the_design() -> None:
    """Oracle: the design's list. 0 done, 1 error, 2 input, 3 gate failed, 4 incomplete, 130 ^C."""
    assert errors.EXIT_ERROR == 1
    assert errors.EXIT_USAGE == 2
    assert errors.EXIT_GATE_FAILED == 3
    assert errors.EXIT_INCOMPLETE == 4
    assert errors.EXIT_INTERRUPTED == 130


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("Q4_KM", "Q4_K_M"),
        ("q4_k_m", "Q4_K_M"),
        ("Q8", "Q8_0"),
        ("q4-k-m", "Q4_K_M"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_word(word: str, nearest: str) -> None:
    known = ["Q8_0", "Q4_K_M", "F16"]
    assert errors.did_you_mean(word, known) == f" (did you mean {nearest!r}?)"


def test_a_word_that_is_near_nothing_is_answered_with_all_words_sorted() -> None:
    assert errors.did_you_mean("banana", ["Q8_0", "F16"]) == " (known: F16, Q8_0)"


def test_an_answer_is_possible_from_a_generator_and_from_nothing() -> None:
    assert errors.did_you_mean("F15", (word for word in ("F16",))) == " (did you mean 'F16'?)"
    assert errors.did_you_mean("F16", []) == " (known: )"


def test_untrusted_text_cannot_break_or_colour_the_line_that_quotes_it() -> None:
    assert errors.one_line("größer, 5 Δ") == "größer, 5 Δ"
    assert errors.one_line("a\nb\x1b[31m\u2028\0") == "a b [31m"
