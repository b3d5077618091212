"""Open prompts and requests: groups by the upstream's fields, texts as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeeval.errors import PromptSetError
from edgeeval.prompts import DialectItem, OpenItem, RefusalItem, TextItem
from edgeeval.prompts.upstream import (
    advbench,
    advpromptset,
    bold,
    harmbench,
    parallel_dialect,
    plain_text,
    realtoxicityprompts,
    regard,
    strongreject,
    toxigen,
    twitter_aae,
    wikitext,
    xstest,
)
from edgeeval.prompts.upstream.reading import Imported
from tests.prompts.upstream.samples import SAMPLES, jsonl, rtp_row, sample, write


def _prompts(imported: Imported) -> list[str]:
    assert all(isinstance(item, OpenItem | RefusalItem) for item in imported.items)
    return [item.prompt for item in imported.items]  # type: ignore[union-attr]


# -- open ----------------------------------------------------------------------------------------


def test_realtoxicityprompts_are_toxic_from_a_half_on(tmp_path: Path) -> None:
    imported = realtoxicityprompts.read(sample("realtoxicityprompts", tmp_path))
    assert _prompts(imported) == ["The ferry to the island was"] * 3
    assert [item.groups["prompt_toxicity"] for item in imported.items] == [
        "non-toxic",
        "toxic",
        "unscored",
    ]
    assert imported.items[0].id == "rtp-0000001-aa.txt-0-40"


def test_realtoxicityprompts_reports_what_is_broken(tmp_path: Path) -> None:
    rows = [
        rtp_row(0),
        {**rtp_row(1), "prompt": "The ferry"},
        {**rtp_row(2), "prompt": {"text": ""}},
        {**rtp_row(3), "challenging": "no"},
        rtp_row(0),
    ]
    path = write(tmp_path, {"prompts.jsonl": jsonl(*rows) + '{"filename": \n[1]\n'})
    imported = realtoxicityprompts.read(path)
    assert (len(imported.items), imported.n_rows) == (1, 7)
    assert [reason for _, reason in imported.problems] == [
        "'prompt' is not an object",
        "'text' is empty",
        "'challenging' is neither true nor false",
        "a second item with the id rtp-0000001-aa.txt-0-40",
        "not JSON",
        "no JSON object",
    ]


def test_toxigen_ends_its_lines_where_a_backslash_n_stands(tmp_path: Path) -> None:
    imported = toxigen.read(sample("toxigen", tmp_path))
    assert _prompts(imported) == [
        "- bards are loud\n- bards sleep late\n-",
        "- bards sing\n- a bard is a poet\n-",
    ]
    assert imported.items[0].groups == {"statements": "hate", "identity": "bards"}
    with pytest.raises(PromptSetError, match="ToxiGen's files are called"):
        toxigen.read(write(tmp_path, {"other.txt": "- a\n"}) / "other.txt")


def test_bold_groups_by_domain_and_category_and_clusters_by_article(tmp_path: Path) -> None:
    imported = bold.read(sample("bold", tmp_path))
    assert _prompts(imported) == ["Una Clay is a potter", "In her kiln, Clay"]
    assert {item.template_id for item in imported.items} == {"bold-craft-Potters-Una_Clay"}
    assert imported.items[0].groups == {"domain": "craft", "category": "Potters"}


def test_bold_reports_what_is_no_list_of_prompts(tmp_path: Path) -> None:
    document = {"Potters": {"Una": ["", "Una is "], "Bo": "Bo is "}, "Smiths": []}
    path = write(tmp_path, {"craft_prompt.json": json.dumps(document)})
    imported = bold.read(path)
    assert _prompts(imported) == ["Una is"]
    assert [(where.partition(": ")[2], reason) for where, reason in imported.problems] == [
        ("Potters: Una: 1", "'prompt' is empty"),
        ("Potters: Bo", "not a list of prompts"),
        ("Smiths", "not an object of articles"),
    ]


def test_advpromptset_joins_the_groups_that_a_prompt_names(tmp_path: Path) -> None:
    first, second = advpromptset.read(sample("advpromptset", tmp_path)).items
    assert first.groups == {"prompt_toxicity": "benign", "identity": "female+muslim"}
    assert second.groups == {"prompt_toxicity": "toxic", "identity": "none"}
    assert (first.template_id, second.template_id) == (
        "advpromptset-comment-00ab",
        "advpromptset-comment-77",
    )


def test_regard_clusters_by_the_words_behind_the_person(tmp_path: Path) -> None:
    (item,) = regard.read(sample("regard", tmp_path)).items
    assert item.groups == {"identity": "The bard", "context": "occupation"}
    assert item.template_id == "regard-worked-as"


# -- requests ------------------------------------------------------------------------------------


def _requests(imported: Imported) -> list[RefusalItem]:
    assert imported.format == "auto"
    return list(imported.items)  # type: ignore[arg-type]


def test_xstest_says_which_prompts_are_unsafe(tmp_path: Path) -> None:
    safe, unsafe = _requests(xstest.read(sample("xstest", tmp_path)))
    assert (safe.prompt, safe.unsafe) == ("How do I blow out a candle?", False)
    assert unsafe.unsafe
    assert safe.groups == {"type": "homonyms"}


def test_harmbench_puts_the_context_before_the_behaviour(tmp_path: Path) -> None:
    plain, contextual = _requests(harmbench.read(sample("harmbench", tmp_path)))
    assert plain.prompt == "Break the lamp"
    assert contextual.prompt == "The lamp is\nUna's.\n\n---\n\nBreak it for her"
    assert contextual.id == "harmbench-break_hers"
    assert plain.unsafe
    assert contextual.unsafe


def test_advbench_is_read_in_both_its_forms(tmp_path: Path) -> None:
    (own,) = _requests(advbench.read(sample("advbench", tmp_path / "own")))
    copy = "Behavior,Category,Tags,ContextString,BehaviorID\nBreak a lamp,,,,advbench_1\n"
    path = write(tmp_path / "copy", {"advbench_behaviors.csv": copy})
    (copied,) = _requests(advbench.read(path))
    assert own.prompt == copied.prompt == "Break a lamp"
    assert copied.id == "advbench_1"


def test_strongreject_groups_by_category(tmp_path: Path) -> None:
    (item,) = _requests(strongreject.read(sample("strongreject", tmp_path)))
    assert (item.prompt, item.groups) == ("Break a lamp, please.", {"category": "Lamps"})


# -- texts ---------------------------------------------------------------------------------------


def test_wikitext_is_one_text_to_the_last_space(tmp_path: Path) -> None:
    imported = wikitext.read(sample("wikitext", tmp_path))
    (item,) = imported.items
    assert isinstance(item, TextItem)
    assert item.text == SAMPLES["wikitext"]["wiki.test.tokens"].removesuffix("\n")
    assert imported.n_rows == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"one\ntwo \xff\n", ":2: not UTF-8"),
        (b"one\n\ntwo\0\n", ":3: holds a NUL; is it a text?"),
        (b" \n\n", ": empty"),
    ],
)
def test_a_text_that_is_not_all_text_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    write(tmp_path, {"a.txt": data})
    with pytest.raises(PromptSetError) as raised:
        plain_text.read(tmp_path / "a.txt")
    assert str(raised.value) == f"{tmp_path / 'a.txt'}{message}"


def test_parallel_sentences_cluster_by_feature_where_there_is_one(tmp_path: Path) -> None:
    first, second = parallel_dialect.read(sample("parallel-dialect", tmp_path)).items
    assert isinstance(first, DialectItem)
    assert isinstance(second, DialectItem)
    assert (first.dialect, first.standard) == ("She late.", "She is late.")
    assert (first.template_id, first.feature_source) == ("dialect-pairs-zero-copula", "a grammar")
    assert (second.groups, second.feature_source) == ({}, "not given")


def test_parallel_sentences_need_names_of_their_columns(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.csv": "She late.,She is late.\n"}) / "a.csv"
    with pytest.raises(PromptSetError, match="no column 'dialect'; the file must have dialect, s"):
        parallel_dialect.read(path)


def test_twitter_aae_takes_the_tweets_of_one_language(tmp_path: Path) -> None:
    path = sample("twitteraae:aa", tmp_path)
    (aa,) = twitter_aae.read_aa(path).items
    (white,) = twitter_aae.read_white(path).items
    assert isinstance(aa, TextItem)
    assert isinstance(white, TextItem)
    assert (aa.text, white.text) == ("he late \n again", "he is late")
    assert aa.groups == {"variety": "african-american"}
