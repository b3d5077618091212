"""Multiple-choice tasks: what the model reads is what the authors (or the harness) let it read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeeval.errors import PromptSetError
from edgeeval.prompts import ChoiceItem
from edgeeval.prompts.upstream import arc, hellaswag, mmlu, truthfulqa, winogrande
from edgeeval.prompts.upstream.reading import Imported
from tests.prompts.upstream.samples import SAMPLES, jsonl, sample, write


def _choices(imported: Imported) -> list[ChoiceItem]:
    items = list(imported.items)
    assert all(isinstance(item, ChoiceItem) for item in items)
    return items  # type: ignore[return-value]


# -- mmlu ----------------------------------------------------------------------------------------

_MMLU_PROMPT = """\
The following are multiple choice questions (with answers) about  chemistry.

Which metal is liquid at room temperature?
A. iron
B. mercury
C. tin
D. zinc
Answer: B

Which is a noble gas, if any?
A. neon
B. chlorine, gaseous
C. oxygen
D. hydrogen
Answer: A

What does "pH" measure?
A. heat
B. mass
C. acidity
D. colour
Answer:"""


def test_mmlu_asks_as_the_authors_evaluate_py_does(tmp_path: Path) -> None:
    """Oracle: gen_prompt and format_example of that script, followed by hand."""
    _, item = _choices(mmlu.read(sample("mmlu", tmp_path)))
    assert item.prompt == _MMLU_PROMPT
    assert item.options == ("A", "B", "C", "D")
    assert item.answer == 2
    assert item.groups == {"subject": "chemistry"}


def test_mmlu_reads_the_folders_of_the_authors_archive(tmp_path: Path) -> None:
    beside = mmlu.read(sample("mmlu", tmp_path / "beside"))
    files = SAMPLES["mmlu"]
    write(tmp_path, {f"data/{name[10:-4].strip('_')}/{name}": text for name, text in files.items()})
    assert mmlu.read(tmp_path / "data").items == beside.items


def test_mmlu_needs_its_examples_whole(tmp_path: Path) -> None:
    files = SAMPLES["mmlu"]
    write(tmp_path, {"chemistry_test.csv": files["chemistry_test.csv"]})
    with pytest.raises(PromptSetError, match=r"needs chemistry_dev\.csv beside it"):
        mmlu.read(tmp_path)
    write(tmp_path, {"chemistry_dev.csv": "a,b,c,d,e,F\n"})
    with pytest.raises(PromptSetError, match=r"chemistry_dev\.csv:1: 'answer' is 'F', not one of"):
        mmlu.read(tmp_path)


def test_mmlu_counts_broken_rows_by_line(tmp_path: Path) -> None:
    files = SAMPLES["mmlu"]
    broken = files["chemistry_test.csv"] + "Why?,a,b,c\nWho?,a,,c,d,A\nHow?,a,b,c,d,E\n"
    write(tmp_path, files | {"chemistry_test.csv": broken})
    imported = mmlu.read(tmp_path)
    assert (len(imported.items), imported.n_rows) == (2, 5)
    assert [(where.rpartition(":")[2], reason) for where, reason in imported.problems] == [
        ("3", "4 fields, not 6"),
        ("4", "'B' is empty"),
        ("5", "'answer' is 'E', not one of A, B, C, D"),
    ]


# -- arc, hellaswag, winogrande ------------------------------------------------------------------


def test_arc_reads_the_authors_form_and_the_hubs(tmp_path: Path) -> None:
    first, second = _choices(arc.read(sample("arc", tmp_path)))
    assert (first.id, first.question) == ("arc-Made_1", "Which of these floats on water?")
    assert (first.options, first.answer) == (("a nail", "a cork", "a coin"), 1)
    assert (second.options, second.answer) == (("trout", "bat"), 1)
    assert first.prompt == "Question: Which of these floats on water?\nAnswer:"


def test_arc_reports_a_key_that_names_nothing(tmp_path: Path) -> None:
    row = {"id": "x", "question": "?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}}
    write(tmp_path, {"test.jsonl": jsonl(row | {"answerKey": "C"}, row, row | {"answerKey": "A"})})
    imported = arc.read(tmp_path / "test.jsonl")
    assert (len(imported.items), imported.n_rows) == (1, 3)
    assert [reason for _, reason in imported.problems] == [
        "answerKey 'C' is the label of no choice, or of several",
        "no 'answerKey'",
    ]


def test_hellaswag_cleans_as_the_harness_does(tmp_path: Path) -> None:
    """Oracle: `preprocess` of lm-evaluation-harness's hellaswag/utils.py, followed by hand."""
    (item,) = _choices(hellaswag.read(sample("hellaswag", tmp_path)))
    assert item.prompt == "Baking bread: How to knead. Flour the board. Press the dough. The baker"
    assert item.options == ("folds it.", "eats the board.", "sells it.", "leaves.")
    assert item.template_id == "hellaswag-wikihow-1"


def test_hellaswag_reports_rows_without_labels(tmp_path: Path) -> None:
    row = json.loads(SAMPLES["hellaswag"]["hellaswag_val.jsonl"])
    rows = jsonl(row, row | {"ind": 8, "label": ""}, row | {"ind": 9, "label": 4}, row)
    imported = hellaswag.read(write(tmp_path, {"hellaswag_val.jsonl": rows}))
    assert (len(imported.items), imported.n_rows) == (1, 4)
    assert [reason for _, reason in imported.problems] == [
        "no 'label': the test split's answers are not public",
        "label 4 names none of 4 endings",
        "a second item with the id hellaswag-7",
    ]


def test_winogrande_scores_the_sentence_from_the_blank_on(tmp_path: Path) -> None:
    first, second = _choices(winogrande.read(sample("winogrande", tmp_path)))
    assert first.prompt == "Sentence: Ann thanked Eva because"
    assert first.options == ("Ann had helped.", "Eva had helped.")
    assert first.answer == 1
    assert second.prompt == "Sentence:"
    assert second.options == ("Ann was thanked by Eva.", "Ben was thanked by Eva.")
    assert first.template_id == second.template_id


# -- truthfulqa ----------------------------------------------------------------------------------


def test_truthfulqa_mc1_leaves_an_empty_option_out_and_says_so(tmp_path: Path) -> None:
    imported = truthfulqa.read_mc1(sample("truthfulqa:mc1", tmp_path))
    (item,) = _choices(imported)
    assert item.options == ("Nothing", "It grows", "It sings")
    assert item.right == (0,)
    (problem,) = imported.problems
    assert problem.reason == "an empty option was left out; the question is kept"


def test_truthfulqa_mc2_has_several_right_options(tmp_path: Path) -> None:
    of_csv = truthfulqa.read_mc2(sample("truthfulqa:mc2", tmp_path))
    of_json = truthfulqa.read_mc2(sample("truthfulqa:mc1", tmp_path))
    for (item,) in (_choices(of_csv), _choices(of_json)):
        assert item.options == ("Nothing", "It stays a lamp", "It grows", "It sings")
        assert item.right == (0, 1)
    assert of_csv.items[0].groups == {"type": "Adversarial", "category": "Fables"}
