"""Bias sets: the targets, pairs and questions are those of the authors' own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeeval.errors import PromptSetError
from edgeeval.prompts import BbqItem, OpenItem, PairItem, UnqoverItem
from edgeeval.prompts.upstream import (
    bbq,
    crows_pairs,
    holistic_bias,
    stereoset,
    unqover,
    winobias,
)
from edgeeval.prompts.upstream.reading import Imported
from tests.prompts.upstream.samples import SAMPLES, bbq_row, jsonl, sample, write

# -- bbq -----------------------------------------------------------------------------------------


def _bbq(folder: Path, *rows: dict[str, Any], metadata: str | None = None) -> Imported:
    files = {"data/Some.jsonl": jsonl(*rows)}
    if metadata is not None:
        files["analysis_scripts/additional_metadata.csv"] = metadata
    return bbq.read(write(folder, files))


def _items(imported: Imported) -> list[BbqItem]:
    assert imported.problems == ()
    assert all(isinstance(item, BbqItem) for item in imported.items)
    return list(imported.items)  # type: ignore[arg-type]


def _about(category: str, first: list[str], second: list[str], groups: list[str]) -> dict[str, Any]:
    """What differs between categories; the third option is the unknown one."""
    return {
        "category": category,
        "answer_info": {"ans0": first, "ans1": second, "ans2": ["Not known", "unknown"]},
        "additional_metadata": {"stereotyped_groups": groups, "source": "made up"},
        "ans0": "The first",
        "ans1": "The second",
        "ans2": "Not known",
        "label": 2,
    }


def test_bbq_targets_the_stereotyped_in_a_negative_question_and_the_other_in_the_other(
    tmp_path: Path,
) -> None:
    settled = {"context_condition": "disambig", "label": 2}
    negative, other, right, wrong = _items(
        _bbq(
            tmp_path,
            bbq_row(0),
            bbq_row(1, question_polarity="nonneg"),
            bbq_row(2, **settled),
            bbq_row(3, question_polarity="nonneg", **settled),
        )
    )
    assert (negative.target, negative.unknown, negative.aligned) == (2, 1, None)
    assert (other.target, other.polarity) == (0, "non_negative")
    assert (right.aligned, wrong.aligned) == (True, False)
    assert {item.groups["group"] for item in (negative, other, right, wrong)} == {"old"}
    assert negative.template_id == "bbq-Age-3"


@pytest.mark.parametrize(
    ("category", "first", "second", "groups", "stereotyped"),
    [
        # parts of words must not match: "old" in "nonOld", "African" in "African American"
        ("Age", ["a girl", "nonOld"], ["her nan", "old"], ["old"], 1),
        (
            "Race_ethnicity",
            ["African", "African"],
            ["Black", "Black"],
            ["Black", "African American"],
            1,
        ),
        ("Race_ethnicity", ["Una Oak", "F-White"], ["Ida Elm", "F-Asian"], ["Asian"], 1),
        ("Nationality", ["Kenyan", "Africa"], ["Greek", "Europe"], ["Kenyan", "Malian"], 0),
        ("SES", ["the judge", "highSES"], ["the janitor", "lowSES"], ["low SES"], 1),
        ("Gender_identity", ["girl", "girl"], ["boy", "boy"], ["F"], 0),
        ("Gender_identity", ["Una", "F"], ["Bo", "M"], ["M"], 1),
        (
            "Gender_identity",
            ["Una", "nonTrans_F"],
            ["Bo", "trans_M"],
            ["Transgender women", "transgender men", "trans"],
            1,
        ),
        (
            "Disability_status",
            ["deaf", "disabled"],
            ["bold", "nonDisabled"],
            ["disabled", "D/deaf"],
            0,
        ),
        ("Physical_appearance", ["slim", "nonObese"], ["fat", "obese"], ["obese"], 1),
        ("Sexual_orientation", ["gay", "gay"], ["straight", "straight"], ["lesbian", "gay"], 0),
    ],
)
def test_bbq_finds_the_stereotyped_person_of_every_category(
    tmp_path: Path,
    category: str,
    first: list[str],
    second: list[str],
    groups: list[str],
    stereotyped: int,
) -> None:
    row = bbq_row(0, **_about(category, first, second, groups))
    (item,) = _items(_bbq(tmp_path, row))
    assert item.target == stereotyped


def _intersection(number: int, first: str, second: str) -> dict[str, Any]:
    about = _about("Race_x_gender", ["Una Oak", first], ["Bo Elm", second], ["Black"])
    return bbq_row(number, **about)


def test_bbq_tells_two_people_of_one_race_apart_by_the_questions_other_items(
    tmp_path: Path,
) -> None:
    """The stereotype is about Black women, which `stereotyped_groups` does not say."""
    rows = [
        _intersection(0, "F-Black", "F-White"),
        _intersection(1, "M-White", "F-Black"),
        _intersection(2, "M-Black", "F-Black"),
    ]
    items = _items(_bbq(tmp_path, *rows))
    assert [item.target for item in items] == [0, 1, 1]
    assert [item.groups["group"] for item in items] == ["F-Black"] * 3


def test_bbq_reports_an_item_without_one_target(tmp_path: Path) -> None:
    rows = [
        bbq_row(
            0,
            **_about(
                "Nationality", ["Kenyan", "Africa"], ["Malian", "Africa"], ["Malian", "Kenyan"]
            ),
        ),
        bbq_row(
            1, **_about("Nationality", ["Greek", "Europe"], ["Thai", "AsiaPacific"], ["Malian"])
        ),
        bbq_row(2, **_about("Age", ["a", "old"], ["b", "nonOld"], [])),
        _intersection(3, "M-Black", "F-Black"),
        bbq_row(4, label=0),
        bbq_row(5),
    ]
    imported = _bbq(tmp_path, *rows)
    assert (len(imported.items), imported.n_rows) == (1, 6)
    assert [reason for _, reason in imported.problems] == [
        "no single target: both people are of the stereotyped groups",
        "no single target: nobody is of the stereotyped groups",
        "'stereotyped_groups' is empty; put additional_metadata.csv beside the file",
        "no single target: both people are of the stereotyped groups",
        "the answer to an item that is ambiguous must be the unknown option",
    ]


def test_bbq_tells_names_from_labels(tmp_path: Path) -> None:
    """By the question's number, as BBQ_results_metadata.R does; at intersections by the text."""
    label, name = _items(
        _bbq(tmp_path / "base", bbq_row(0, question_index="25"), bbq_row(1, question_index="26"))
    )
    assert (label.wording, name.wording) == ("label", "name")
    named = _intersection(0, "F-Black", "M-White")
    labelled = bbq_row(
        1,
        **_about("Race_x_gender", ["Black woman", "F-Black"], ["White man", "M-White"], ["Black"]),
    )
    items = _items(_bbq(tmp_path / "x", named, labelled))
    assert [item.wording for item in items] == ["name", "label"]


def test_bbq_takes_targets_and_wording_from_the_metadata(tmp_path: Path) -> None:
    """`target_loc` is already turned for non-negative questions; it may contradict the groups."""
    metadata = (
        "category,question_index,example_id,target_loc,label_type,Known_stereotyped_groups\n"
        '"Age","3",0,0,"name","old"\n"Age","3",1,0,"label","old"\n"Age","3",2,NA,"label","old"\n'
        '"Age"\n'
    )
    rows = (bbq_row(0), bbq_row(1, question_polarity="nonneg"), bbq_row(2), bbq_row(3))
    imported = _bbq(tmp_path, *rows, metadata=metadata)
    first, second = imported.items
    assert isinstance(first, BbqItem)
    assert isinstance(second, BbqItem)
    assert (first.target, first.wording, first.groups["group"]) == (0, "name", "nonOld")
    assert (second.target, second.wording, second.groups["group"]) == (0, "label", "old")
    assert [reason for _, reason in imported.problems] == [
        "no single target: 'target_loc' is NA",
        "not in additional_metadata.csv",
        "1 fields, not 6",
    ]


# -- unqover -------------------------------------------------------------------------------------


def _asked(imported: Imported) -> list[tuple[str, ...]]:
    assert imported.problems == ()
    asked = []
    for item in imported.items:
        assert isinstance(item, UnqoverItem)
        asked += [(item.filled(swapped=one), *item.questions) for one in (False, True)]
    return asked


def test_unqover_asks_what_its_generator_asks(tmp_path: Path) -> None:
    """Oracle: the authors' generator, followed by hand; articles agree with the first letter."""
    imported = unqover.read_religion(sample("unqover:religion", tmp_path))
    assert len(imported.items) == 3 * 2 * 2  # pairs, templates, activities
    asked = _asked(imported)
    assert len(set(asked)) == 24
    kind = ("Who was kind?", "Who was cruel?")
    assert ("An Atheist man met a Druid man.", *kind) in asked
    assert ("A Druid man met an Atheist man.", *kind) in asked
    assert ("Some Jain men met Druid men.", "Who were loud?", "Who were quiet?") in asked


def test_unqover_counts_the_forms_of_an_activity_as_one_attribute(tmp_path: Path) -> None:
    items = unqover.read_religion(sample("unqover:religion", tmp_path)).items
    assert {item.attribute for item in items} == {"were-kind", "were-loud"}  # type: ignore[union-attr]


def test_unqover_takes_the_form_of_a_subject_that_the_template_has(tmp_path: Path) -> None:
    asked = _asked(unqover.read_country(sample("unqover:country", tmp_path)))
    assert asked == [
        ("He flew from Utopia to Atlantis.", "Which was rich?", "Which was poor?"),
        ("He flew from Atlantis to Utopia.", "Which was rich?", "Which was poor?"),
        ("An Utopian met an Atlantean.", "Who were tall?", "Who were short?"),
        ("An Atlantean met an Utopian.", "Who were tall?", "Who were short?"),
    ]


def test_unqover_pairs_every_woman_with_every_man(tmp_path: Path) -> None:
    items = unqover.read_gender(sample("unqover:gender", tmp_path)).items
    assert [item.subjects for item in items] == [("Una", "Bo"), ("Ida", "Bo")]  # type: ignore[union-attr]


def test_unqover_refuses_lists_whose_forms_do_not_match(tmp_path: Path) -> None:
    files = SAMPLES["unqover:country"]
    name = "word_lists/nouns/subjects/country"
    write(tmp_path, files | {name: files[name] + "[subj] Nowhere\n"})
    with pytest.raises(
        PromptSetError, match=r"country: not aligned: '\[subj\]' 3, '\[subj:dem\]' 2"
    ):
        unqover.read_country(tmp_path)


def test_unqover_reports_lines_that_are_no_slot_and_no_template(tmp_path: Path) -> None:
    files = SAMPLES["unqover:ethnicity"]
    subjects, slots = "word_lists/nouns/subjects/ethnicity", "word_lists/slots/ethnicity_noact"
    write(
        tmp_path,
        files
        | {subjects: files[subjects] + "Celts\n", slots: files[slots] + "[subj1] met me.\tWho?\n"},
    )
    imported = unqover.read_ethnicity(tmp_path)
    assert len(imported.items) == 1
    assert [reason for _, reason in imported.problems] == [
        "not a slot in brackets and a term",
        "not a context with two subjects, two questions",
    ]


# -- holistic bias -------------------------------------------------------------------------------


def test_holistic_bias_makes_the_sentences_of_the_authors_generator(tmp_path: Path) -> None:
    """Oracle: sentences.py followed by hand. Three nouns alone, four descriptors alone, three each
    before three nouns and one before its two, three phrases with a noun and one without."""
    imported = holistic_bias.read(sample("holisticbias", tmp_path))
    prompts = [item.prompt for item in imported.items if isinstance(item, OpenItem)]
    with_noun, without = 3 + 3 * 3 + 2 + 3, 4 + 1
    assert len(prompts) == len(set(prompts)) == 2 * with_noun + without
    assert {
        "I'm an aunt.",
        "I like uncles.",
        "I'm young.",
        "I'm an adolescent man.",
        "I'm a US-made aunt.",
        "I like male men.",
        "I'm male.",
        "I'm an uncle with grey hair.",
        "I like men with grey hair.",
        "I'm a youth.",
    } <= set(prompts)
    assert not {"I like young.", "I'm a male aunt.", "I like youths."} & set(prompts)


def test_holistic_bias_r_sets_noun_phrases_into_the_regard_prompts(tmp_path: Path) -> None:
    """Oracle: ROBBIE's holisticbiasr.py followed by hand: all phrases but descriptors alone."""
    imported = holistic_bias.read_robbie(sample("holisticbiasr", tmp_path))
    prompts = [item.prompt for item in imported.items if isinstance(item, OpenItem)]
    assert len(prompts) == len(set(prompts)) == 10 * (3 + 3 * 3 + 2 + 4)
    assert "The US-made aunt had a part-time job as" in prompts
    assert "The youth was well-known for" in prompts


def test_holistic_bias_reports_broken_entries_and_goes_on(tmp_path: Path) -> None:
    files = SAMPLES["holisticbias"]
    descriptors = {"age": {"young": ["young", 7, {"preference": "reviewed"}], "old": "old"}}
    templates = {"I'm {noun_phrase}.": {}, "{noun_phrase.__class__}": {}}
    write(
        tmp_path,
        files
        | {
            "v1.1/descriptors.json": json.dumps(descriptors),
            "v1.1/sentence_templates.json": json.dumps(templates),
        },
    )
    imported = holistic_bias.read(tmp_path)
    assert [(where, reason) for where, reason in imported.problems] == [
        ("sentence_templates.json: {noun_phrase.__class__}", "has not one place for a noun phrase"),
        ("descriptors.json: age: young[1]", "'descriptor' is not a text"),
        ("descriptors.json: age: young[2]", "no 'descriptor'"),
        ("descriptors.json: age: old", "no 'descriptor'"),
    ]
    assert len(imported.items) == 3 + (1 + 3) + (3 + 1)


# -- pairs ---------------------------------------------------------------------------------------


def _pairs(imported: Imported) -> list[PairItem]:
    assert all(isinstance(item, PairItem) for item in imported.items)
    return list(imported.items)  # type: ignore[arg-type]


def test_crows_pairs_keep_the_more_stereotyped_sentence_first(tmp_path: Path) -> None:
    first, second = _pairs(crows_pairs.read(sample("crows-pairs", tmp_path)))
    assert (first.more, first.less) == (
        "The old bard forgot, as ever.",
        "The young bard forgot, as ever.",
    )
    assert second.groups == {"bias_type": "profession", "stereo_antistereo": "antistereo"}
    assert second.more == "Bards sing well."


def test_stereoset_compares_stereotype_and_anti_stereotype(tmp_path: Path) -> None:
    within, after = _pairs(stereoset.read(sample("stereoset", tmp_path)))
    assert (within.more, within.less) == ("The tuner is patient.", "The tuner is hasty.")
    assert (after.more, after.less) == (
        "He is a Pict. He is painted.",
        "He is a Pict. He is plain.",
    )
    assert after.groups == {"bias_type": "race", "target": "Pict", "task": "intersentence"}


def test_winobias_pairs_differ_in_pronouns_only(tmp_path: Path) -> None:
    name = "stereotyped_type2.txt.test"
    imported = winobias.read(
        write(
            tmp_path,
            {
                f"pro_{name}": (
                    "1 The cook met [the smith] and gave [him] [his] due. \n2 The cook slept.\n"
                    "3 [She] sang.\n4 [He] sang.\n"
                ),
                f"anti_{name}": (
                    "1 The cook met [the smith] and gave [her] [her] due.\n2 The smith slept.\n"
                    "[He] sang.\n"
                ),
            },
        )
    )
    (item,) = _pairs(imported)
    assert item.more == "The cook met the smith and gave him his due."
    assert item.less == "The cook met the smith and gave her her due."
    assert [reason for _, reason in imported.problems] == [
        "the two sentences differ in more than pronouns",
        "the anti-stereotyped sentence has no number before it",
        f"has no counterpart: anti_{name} has another number of lines",
    ]
