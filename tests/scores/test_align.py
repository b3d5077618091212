"""Alignment: distances between greedy texts, each against its own oracle."""

from __future__ import annotations

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.scores import align
from edgeeval.scores.measured import Measured
from edgeeval.scores.table import ScoreTable
from tests.scores.conftest import a_run, by_key, measured, values, writes

ALL = ("align.exact_match", "align.first_divergence", "align.edit_similarity", "align.chrf")
TEXTS = st.text(st.sampled_from("ab c"), max_size=12)


def model(*texts: str, sampled: str = "the same for all") -> Measured:
    return measured(
        a_run("open", [writes(f"i{n}", text, [sampled]) for n, text in enumerate(texts)], samples=1)
    )


def compared(own: str, base: str) -> dict[str, float]:
    found = by_key(align.score(model(own), model(base), None))
    scores = {key: values(table)[0] for key, table in found.items()}
    return {key: value for key, value in scores.items() if value is not None}


def levenshtein(own: str, base: str) -> int:
    """Oracle: the recursion of the definition, row by row."""
    row = list(range(len(base) + 1))
    for i, a in enumerate(own, 1):
        previous, row = row, [i]
        for j, b in enumerate(base, 1):
            row.append(min(row[-1] + 1, previous[j] + 1, previous[j - 1] + (a != b)))
    return row[-1]


def test_worked_example() -> None:
    """By hand: kitten to sitting takes 3 edits of 7 letters; no first letter in common."""
    found = compared("kitten", "sitting")
    assert found["align.exact_match"] == 0
    assert found["align.first_divergence"] == 0
    assert found["align.edit_similarity"] == pytest.approx(1 - 3 / 7)


def test_first_divergence_counts_shared_tokens() -> None:
    """Tokens of these texts are their bytes."""
    assert compared("abcd", "abxd")["align.first_divergence"] == 2
    assert compared("ab", "abxd")["align.first_divergence"] == 2


def test_an_identical_text_is_as_near_as_can_be() -> None:
    assert compared("word for word", "word for word") == {
        "align.exact_match": 1, "align.first_divergence": 13,
        "align.edit_similarity": 1, "align.chrf": 100,
    }  # fmt: skip


def test_two_empty_texts_are_identical_and_one_is_as_far_as_can_be() -> None:
    both, one = compared("", ""), compared("", "something")
    assert [both[key] for key in ALL] == [1, 0, 1, 100]
    assert [one[key] for key in ALL] == [0, 0, 0, 0]


@given(TEXTS, TEXTS)
def test_edit_similarity_is_levenshtein_over_the_longer_text(own: str, base: str) -> None:
    longer = max(len(own), len(base))
    expected = 1 - levenshtein(own, base) / longer if longer else 1.0
    assert compared(own, base)["align.edit_similarity"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("own", "base"),
    [
        ("The cat sat on the mat.", "The cat is sitting on the mat."),
        ("Ein Satz über Käse", "Ein Satz über Brot"),
        ("x", "completely different"),
        ("quick brown fox", "brown quick fox"),
    ],
)
def test_chrf_is_sacrebleu_s(own: str, base: str) -> None:
    expected = sacrebleu.sentence_chrf(own, [base]).score
    assert compared(own, base)["align.chrf"] == pytest.approx(expected)


def test_reads_the_greedy_text_alone() -> None:
    own, base = model("a b c", sampled="one thing"), model("a b c", sampled="another")
    assert values(by_key(align.score(own, base, None))["align.exact_match"]) == [1]


def test_the_reference_is_not_compared_with_itself() -> None:
    reference = model("text")
    assert list(align.score(reference, reference, None)) == []


def test_no_score_is_missing_or_outside_its_range() -> None:
    own, base = model("", " ", "abc", "\U0001f600"), model("x", "", "abd", "\U0001f601")
    tables: dict[str, ScoreTable] = by_key(align.score(own, base, None))
    assert set(tables) == set(ALL)
    for key, table in tables.items():
        highest = 100 if key == "align.chrf" else 4 if key == "align.first_divergence" else 1
        assert all(value is not None and 0 <= value <= highest for value in values(table))
