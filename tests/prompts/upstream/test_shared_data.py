"""Samples of the real data sets are read whole: as many items as the files have.

They lie beside the checkout and are no part of it; without them these tests skip.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from edgeeval.prompts import BbqItem, PairItem, RefusalItem
from edgeeval.prompts.upstream import ImportedSet, import_set

_BESIDE = Path(__file__).parents[4] / "shared" / "data"
DATA = Path(os.environ.get("EDGEEVAL_SHARED_DATA", _BESIDE))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")


def _read(name: str, place: str) -> ImportedSet:
    path = DATA / place
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return import_set(name, path)


def _n_lines(place: str) -> int:
    return sum(1 for line in (DATA / place).read_bytes().split(b"\n") if line.strip())


def _n_records(place: str, *, has_names: bool = True) -> int:
    with (DATA / place).open(newline="", encoding="utf-8") as file:
        return sum(1 for record in csv.reader(file) if record) - has_names


def _whole(made: ImportedSet, n_rows: int) -> None:
    assert made.problems == ()
    assert len(made.items) == made.n_rows == n_rows


def test_mmlu() -> None:
    made = _read("mmlu", "mmlu")
    _whole(made, _n_records("mmlu/astronomy_test.csv", has_names=False))


def test_realtoxicityprompts() -> None:
    made = _read("realtoxicityprompts", "realtoxicityprompts")
    place = "realtoxicityprompts/{}.jsonl"
    _whole(made, _n_lines(place.format("toxic")) + _n_lines(place.format("nontoxic")))


def test_toxigen() -> None:
    made = _read("toxigen", "toxigen")
    _whole(made, sum(_n_lines(f"toxigen/{path.name}") for path in (DATA / "toxigen").iterdir()))
    by_file = Counter(tuple(sorted(item.groups.items())) for item in made.items)
    assert set(by_file.values()) == {100}


def test_bold_with_its_two_empty_prompts() -> None:
    made = _read("bold", "bold")
    prompts = [
        prompt
        for path in (DATA / "bold").iterdir()
        for category in json.loads(path.read_bytes()).values()
        for article in category.values()
        for prompt in article
    ]
    assert made.n_rows == len(prompts)
    assert len(made.problems) == sum(not prompt.strip() for prompt in prompts) == 2
    assert len(made.items) == len(prompts) - 2


def test_xstest() -> None:
    made = _read("xstest", "xstest/xstest_prompts.csv")
    _whole(made, _n_records("xstest/xstest_prompts.csv"))
    unsafe = sum(item.unsafe for item in made.items if isinstance(item, RefusalItem))
    assert (len(made.items) - unsafe, unsafe) == (250, 200)  # README of the samples


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("advbench", "advbench_behaviors.csv"),
        ("harmbench", "harmbench_behaviors_text_val.csv"),
        ("strongreject", "strongreject_dataset.csv"),
    ],
)
def test_unsafe_requests(name: str, file: str) -> None:
    _whole(_read(name, "unsafe_behaviors"), _n_records(f"unsafe_behaviors/{file}"))


def test_wikitext_is_what_the_file_is() -> None:
    made = _read("wikitext", "wikitext2")
    data = (DATA / "wikitext2" / "test.txt").read_bytes()
    (item,) = made.items
    assert json.loads(item.model_dump_json())["text"].encode() + b"\n" == data
    assert made.n_rows == data.count(b"\n")


def test_truthfulqa_is_the_same_from_json_and_from_csv() -> None:
    """The authors made the json of the csv: each is the other's oracle."""
    for task in ("mc1", "mc2"):
        of_json = _read(f"truthfulqa:{task}", "truthfulqa/mc_task.json")
        of_csv = _read(f"truthfulqa:{task}", "truthfulqa/TruthfulQA.csv")
        assert len(of_json.items) == of_json.n_rows == _n_records("truthfulqa/TruthfulQA.csv")
        without_groups = [
            [item.model_dump(exclude={"groups"}) for item in made.items]
            for made in (of_json, of_csv)
        ]
        assert without_groups[0] == without_groups[1]
        empty = sum(
            "" in question[f"{task}_targets"]
            for question in json.loads((DATA / "truthfulqa" / "mc_task.json").read_bytes())
        )
        assert len(of_json.problems) == len(of_csv.problems) == empty


def test_crows_pairs() -> None:
    made = _read("crows-pairs", "crows_pairs")
    _whole(made, _n_records("crows_pairs/crows_pairs_anonymized.csv"))
    assert all(isinstance(item, PairItem) for item in made.items)


def test_bbq_has_one_target_in_every_item() -> None:
    made = _read("bbq", "bbq")
    _whole(made, sum(_n_lines(f"bbq/{path.name}") for path in (DATA / "bbq").glob("*.jsonl")))
    turned = Counter(
        (item.groups["category"], item.polarity, item.target == item.answer)
        for item in made.items
        if isinstance(item, BbqItem) and item.condition == "disambiguated"
    )
    # BBQ asks each question in both polarities about the same facts: who is the target turns
    for category in ("Age", "Disability_status"):
        aligned = turned[category, "negative", True], turned[category, "negative", False]
        other = turned[category, "non_negative", True], turned[category, "non_negative", False]
        assert sum(aligned) == sum(other)


def test_holistic_bias_makes_as_many_sentences_as_the_authors_code() -> None:
    """Oracle: sentences.py and holisticbiasr.py at 0ec714eb on the same files (texts compared)."""
    assert len(_read("holisticbias", "holistic_bias").items) == 566_625
    assert len(_read("holisticbiasr", "holistic_bias").items) == 214_460


@pytest.mark.parametrize(
    ("dimension", "n_questions"),
    [
        ("religion", 77_000),  # written by the authors' generator at 3e47969b (texts compared)
        ("ethnicity", 147_000),  # likewise
        ("gender", 2 * 70 * 70 * 4 * 70),  # names, names, templates, occupations
        ("country", 2 * (69 * 68 // 2) * (3 * 14 + 9 * 50)),  # pairs, templates with activities
    ],
)
def test_unqover_makes_as_many_questions_as_the_authors_code(
    dimension: str, n_questions: int
) -> None:
    """The generator writes both orders of the subjects apart; here they are one item."""
    made = _read(f"unqover:{dimension}", "unqover")
    assert made.problems == ()
    assert 2 * len(made.items) == n_questions
