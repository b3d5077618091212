"""Text that levels were tuned on is found among the text that they are tested on."""

from __future__ import annotations

from pathlib import Path

from edgeeval.prompts import find_sets, load_set, text_file_set
from edgeeval.prompts.overlap import N_WORDS, overlap, shingles
from edgeeval.resources import data_dir

_WORDS = [f"word{index}" for index in range(40)]


def _text(folder: Path, words: list[str]) -> Path:
    path = folder / "text.txt"
    path.write_text(" ".join(words), encoding="utf-8")
    return path


def test_a_text_overlaps_with_itself_wholly_whatever_its_case_and_punctuation(
    tmp_path: Path,
) -> None:
    own = text_file_set(_text(tmp_path, _WORDS), None)
    assert overlap(own, shingles(", ".join(_WORDS).upper())) == 1.0


def test_half_a_text_is_found_as_the_share_of_its_runs(tmp_path: Path) -> None:
    """By hand: 40 words have 33 runs of 8, and the first 20 of them 13."""
    own = text_file_set(_text(tmp_path, _WORDS), None)
    assert overlap(own, shingles(" ".join(_WORDS[:20]))) == 13 / 33


def test_fewer_words_in_a_row_are_a_stock_phrase(tmp_path: Path) -> None:
    own = text_file_set(_text(tmp_path, _WORDS), None)
    assert overlap(own, shingles(" ".join(_WORDS[: N_WORDS - 1]))) == 0.0
    assert overlap(own, set()) == 0.0


def test_the_shipped_calibration_text_holds_nothing_of_the_shipped_prompt_sets() -> None:
    text = (data_dir("quant_recipes") / "calibration.txt").read_text(encoding="utf-8")
    calibration = shingles(text)
    assert len(calibration) > 10_000
    shares = {path.stem: overlap(load_set(path), calibration) for path in find_sets()}
    assert set(shares.values()) == {0.0}, shares
