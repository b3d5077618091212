"""The coherence guard: what babbles, and what only looks short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.compare import collect
from edgeeval.scores import coherence
from edgeeval.scores.coherence import distinct_n, is_coherent, loop_share
from edgeeval.scores.measured import Measured
from tests.scores.conftest import a_run, by_key, measured, values, writes

GOOD = "She put the kettle on and waited for rain."
BABBLE = "la la la la la la la la "


def model(*texts: str) -> Measured:
    return measured(a_run("open", [writes(f"i{n}", text) for n, text in enumerate(texts)]))


def brute_loop_share(tokens: list[int]) -> float:
    """Oracle: of all stretches that hold a period twice or more, the longest."""
    longest = 0
    for start in range(len(tokens)):
        for stop in range(start + 2, len(tokens) + 1):
            part = tokens[start:stop]
            for period in range(1, len(part) // 2 + 1):
                if part[period:] == part[:-period]:
                    longest = max(longest, len(part))
    return longest / len(tokens) if tokens else 0.0


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [([1, 2, 3, 4], 1.0), ([1, 2, 1, 2, 1], 2 / 4), ([7] * 9, 1 / 8), ([1], 1.0), ([], 1.0)],
)
def test_distinct_bigrams_worked_by_hand(tokens: list[int], expected: float) -> None:
    assert distinct_n(tokens, 2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([1, 2, 3, 4], 0.0),
        ([1, 2, 1, 2, 9], 4 / 5),
        ([9, 5, 5, 8, 7], 2 / 5),
        ([1, 2, 3, 1, 2, 3, 1, 2], 1.0),
        ([], 0.0),
    ],
)
def test_loops_worked_by_hand(tokens: list[int], expected: float) -> None:
    assert loop_share(tokens) == pytest.approx(expected)


@given(st.lists(st.integers(0, 2), max_size=12))
def test_loops_agree_with_brute_force(tokens: list[int]) -> None:
    assert loop_share(tokens) == pytest.approx(brute_loop_share(tokens))


@pytest.mark.parametrize(
    ("tokens", "text", "expected"),
    [
        (range(20), "twenty different words", True),
        ([4] * 20, "la la la", False),
        ([1, 2, 3] * 6, "over and over", False),
        ([3, 3, 3], "ha ha ha", True),
        ([5, 6], "  \n", False),
        ([], "", False),
    ],
)
def test_a_text_is_coherent_if_it_says_something_once(
    tokens: list[int], text: str, expected: bool
) -> None:
    assert is_coherent(list(tokens), text) is expected


def test_a_loop_beside_varied_text_is_enough() -> None:
    """By hand: 12 of 15 tokens loop, though 9 of the 14 bigrams are distinct."""
    tokens = [1, 2, 3, 4, 5, 6] * 2 + [7, 8, 9]
    assert distinct_n(tokens, 2) == pytest.approx(9 / 14)
    assert not is_coherent(tokens, "a list, and the list again, then more")


def test_few_distinct_bigrams_are_enough() -> None:
    """Thue and Morse's sequence of two letters: no loop in it is long, 4 of 19 bigrams differ."""
    tokens = [index.bit_count() % 2 for index in range(20)]
    assert loop_share(tokens) == pytest.approx(8 / 20)
    assert distinct_n(tokens, 2) == pytest.approx(4 / 19)
    assert not is_coherent(tokens, "to be or not or not to be")


def test_a_babbling_level_is_worse_than_its_reference() -> None:
    reference = model(*[GOOD] * 10)
    level = model(*[BABBLE] * 4, *[""], *[GOOD] * 5)
    base = list(coherence.score(reference, reference, None))
    (table,) = by_key(coherence.score(level, reference, None)).values()
    assert values(table) == [0] * 5 + [1] * 5
    result = collect([table], base)["coherence.ok"].result
    assert result.estimate.value == 0.5
    assert result.delta is not None
    assert result.delta.value == -0.5


def test_a_reference_that_babbles_is_no_standard_to_fall_short_of() -> None:
    same = model(BABBLE, GOOD)
    base = list(coherence.score(same, same, None))
    delta = collect(base, base)["coherence.ok"].result.delta
    assert delta is not None
    assert delta.value == 0
