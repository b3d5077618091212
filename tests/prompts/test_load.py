"""A prompt set is read whole or refused with file and line: no item is skipped in silence."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeeval.errors import PromptSetError
from edgeeval.prompts import (
    BbqItem,
    ChoiceItem,
    Header,
    PromptSet,
    TextItem,
    load_set,
    text_file_set,
)
from edgeeval.prompts.load import WHOLE_FILE

_HEADER: dict[str, Any] = {
    "schema": "edgeeval/prompt-set@1",
    "id": "mine",
    "version": 1,
    "kind": "choice",
    "pool": "mine",
    "licence": "CC-BY-4.0",
    "authors": "a person",
    "format": "plain",
    "suites": {"quick": 1, "full": 2},
    "source": "written for this test",
    "limits": "shows nothing",
}
_ITEM: dict[str, Any] = {
    "id": "q1",
    "template_id": "q1",
    "groups": {"subject": "a"},
    "question": "Which?",
    "options": ["one", "two"],
    "answer": 1,
}
_BBQ: dict[str, Any] = {
    "id": "b1",
    "template_id": "b",
    "groups": {"category": "age", "group": "old"},
    "context": "An old man met a young man. The young man had lost his way.",
    "question": "Who was lost?",
    "options": ["The old man", "The young man", "Unknown"],
    "answer": 1,
    "unknown": 2,
    "target": 0,
    "condition": "disambiguated",
    "polarity": "negative",
    "aligned": False,
    "wording": "label",
    "source": "written for this test",
}
_UNQOVER: dict[str, Any] = {
    "id": "u1",
    "template_id": "u",
    "groups": {"dimension": "country"},
    "context": "Near {x1} sat {x2}.",
    "questions": ["Who sang?", "Who did not sing?"],
    "subjects": ["Ann", "Bob"],
    "attribute": "singer",
}
_PAIR: dict[str, Any] = {
    "id": "p1",
    "template_id": "p",
    "groups": {"bias_type": "age", "group": "old"},
    "more": "The old man was lost.",
    "less": "The young man was lost.",
    "direction": "group",
}
_DIALECT: dict[str, Any] = {
    "dialect": "She happy.",
    "standard": "She is happy.",
    "feature_source": "eWAVE 177",
}


def _write(folder: Path, *lines: Any) -> Path:
    path = folder / "set.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(PromptSetError) as raised:
        load_set(path)
    message = str(raised.value)
    assert message.startswith(f"{path}")
    assert len(message.splitlines()) == 1
    return message.removeprefix(str(path))


def _without(key: str, record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


# -- a sound set ---------------------------------------------------------------------------------


def test_a_sound_set_keeps_its_items_in_file_order(tmp_path: Path) -> None:
    loaded = load_set(_write(tmp_path, _HEADER, _ITEM, "", _ITEM | {"id": "q2", "answer": 0}))
    assert loaded.id == "mine"
    assert [item.id for item in loaded.items] == ["q1", "q2"]
    assert loaded.items[0] == ChoiceItem.model_validate(_ITEM)


def test_each_kind_has_a_schema_of_its_own(tmp_path: Path) -> None:
    base = {"id": "i", "template_id": "i", "groups": {}}
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    for kind, item in [
        ("open", base | {"prompt": "Once"}),
        ("text", base | {"text": "Once upon a time"}),
        ("text", base | {"messages": turns}),
        ("dialect", base | _DIALECT),
        ("refusal", base | {"prompt": "Help me rob a bank.", "unsafe": True}),
        ("bbq", _BBQ),
        ("unqover", _UNQOVER),
        ("pairs", _PAIR),
    ]:
        loaded = load_set(_write(tmp_path, _HEADER | {"kind": kind}, item))
        assert len(loaded.items) == 1
    assert "Field required" in _refusal(_write(tmp_path, _HEADER | {"kind": "open"}, _ITEM))


def test_windows_line_ends_and_line_separators_inside_a_text_are_read(tmp_path: Path) -> None:
    """JSON allows U+2028, U+0085 and U+000B's kin unescaped in a text: only \\n ends a line."""
    question = "one\u2028two\u2029three\u0085four"
    item = json.dumps(_ITEM | {"question": question}, ensure_ascii=False)
    path = tmp_path / "set.jsonl"
    path.write_bytes(f"{json.dumps(_HEADER)}\r\n{item}\r\n".encode())
    (loaded,) = load_set(path).items
    assert isinstance(loaded, ChoiceItem)
    assert loaded.question == question


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "q2", ', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"id": ' + "9" * 5000 + "}", "not JSON"),
        (_without("question", _ITEM), "question: Field required"),
        (_without("groups", _ITEM), "groups: Field required"),
        (_ITEM | {"answer": 2}, "answer 2 names none of 2 options"),
        (_ITEM | {"answer": -1}, "answer: "),
        (_ITEM | {"answer": "one"}, "answer: "),
        (_ITEM | {"options": ["same", "same"]}, "two options are the same"),
        (_ITEM | {"options": ["only"]}, "options: "),
        (_ITEM | {"options": ["one", ""]}, "options.1: "),
        (_ITEM | {"question": ""}, "question: "),
        (_ITEM | {"question": "\ud800"}, "question: "),
        (_ITEM | {"also_right": [2]}, "answer 2 names none of 2 options"),
        (_ITEM | {"also_right": [1]}, "an option is named as right twice"),
        (_ITEM | {"layout": "upside down"}, "layout: "),
        (_ITEM | {"hint": "two"}, "hint: "),
        (_ITEM | {"id": "a/b"}, "id: "),
        (_ITEM | {"id": "a#1"}, "id: "),
        (_ITEM | {"id": "a b"}, "id: "),
        (_ITEM | {"id": ""}, "id: "),
        (_ITEM | {"groups": {"subject": 1}}, "groups.subject: "),
    ],
)
def test_a_broken_item_is_named_with_its_line(tmp_path: Path, line: Any, message: str) -> None:
    found = _refusal(_write(tmp_path, _HEADER, _ITEM | {"id": "first"}, line))
    assert found.startswith(f":3: {message}")


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("dialect", _DIALECT | {"standard": "She happy."}, "dialect and standard are the same"),
        ("dialect", _without("feature_source", _DIALECT), "feature_source: Field required"),
        ("refusal", {"prompt": "Help me rob a bank."}, "unsafe: Field required"),
        ("refusal", {"prompt": "Help me rob a bank.", "unsafe": "perhaps"}, "unsafe: "),
    ],
)
def test_a_broken_item_of_another_kind_is_named_with_its_line(
    tmp_path: Path, kind: str, fields: dict[str, Any], message: str
) -> None:
    item = {"id": "i", "template_id": "i", "groups": {}} | fields
    found = _refusal(_write(tmp_path, _HEADER | {"kind": kind}, item))
    assert found.startswith(f":2: {message}")


_AMBIGUOUS = {"condition": "ambiguous", "answer": 2, "aligned": None}


@pytest.mark.parametrize(
    ("kind", "item", "message"),
    [
        ("bbq", _BBQ | {"options": ["The old man", "Unknown"]}, "options.2: Field required"),
        ("bbq", _BBQ | {"options": ["He", "He", "Unknown"]}, "two options are the same"),
        ("bbq", _BBQ | {"target": 2}, "target 2 is the unknown option; it must be a person"),
        ("bbq", _BBQ | {"target": 3}, "target: "),
        ("bbq", _BBQ | {"answer": 2, "aligned": None}, "the answer to an item that is disambig"),
        ("bbq", _BBQ | _AMBIGUOUS | {"answer": 0}, "the answer to an item that is ambiguous must"),
        ("bbq", _BBQ | {"aligned": True}, "aligned must be false by condition and answer"),
        ("bbq", _BBQ | {"aligned": None}, "aligned must be false by condition and answer"),
        ("bbq", _BBQ | {"answer": 0}, "aligned must be true by condition and answer"),
        ("bbq", _BBQ | _AMBIGUOUS | {"aligned": False}, "aligned must be null by condition"),
        ("bbq", _BBQ | {"polarity": "positive"}, "polarity: "),
        ("bbq", _BBQ | {"wording": "proper"}, "wording: "),
        ("bbq", _without("source", _BBQ), "source: Field required"),
        ("unqover", _UNQOVER | {"context": "Near {x1} sat Bob."}, "context: give {x1} and {x2}"),
        ("unqover", _UNQOVER | {"context": "{x1}, {x1}, {x2}"}, "context: give {x1} and {x2}"),
        ("unqover", _UNQOVER | {"questions": ["Who?", "Who?"]}, "the two questions are the same"),
        ("unqover", _UNQOVER | {"subjects": ["Ann", "Ann"]}, "the two subjects are the same"),
        ("unqover", _UNQOVER | {"subjects": ["Ann"]}, "subjects.1: Field required"),
        ("pairs", _PAIR | {"less": _PAIR["more"]}, "more and less are the same"),
        ("pairs", _PAIR | {"direction": "both"}, "direction: "),
    ],
)
def test_a_broken_item_of_a_bias_set_is_named_with_its_line(
    tmp_path: Path, kind: str, item: Any, message: str
) -> None:
    found = _refusal(_write(tmp_path, _HEADER | {"kind": kind}, item))
    assert found.startswith(f":2: {message}")


def test_an_ambiguous_question_is_answered_by_the_unknown_option(tmp_path: Path) -> None:
    header = _HEADER | {"kind": "bbq"}
    (loaded,) = load_set(_write(tmp_path, header, _BBQ | _AMBIGUOUS)).items
    assert isinstance(loaded, BbqItem)
    assert loaded.answer == loaded.unknown == 2


def test_a_repeated_id_names_both_lines(tmp_path: Path) -> None:
    found = _refusal(_write(tmp_path, _HEADER, _ITEM, _ITEM | {"id": "q2"}, "", _ITEM))
    assert found == ":5: id 'q1' was used on line 2; ids are unique"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (_without("licence", _HEADER), "licence: Field required"),
        (_HEADER | {"licence": ""}, "licence: "),
        (_HEADER | {"licens": "MIT"}, "licens: Extra inputs are not permitted (did you mean 'li"),
        (_HEADER | {"kind": "chat"}, "kind: "),
        (_HEADER | {"format": "html"}, "format: "),
        (_HEADER | {"version": 0}, "version: "),
        (_HEADER | {"suites": {"quick": "many"}}, "suites.quick: "),
        (_HEADER | {"schema": "edgeeval/prompt-set@2"}, "schema: "),
        (_HEADER | {"id": "a/b"}, "id: "),
        (_ITEM, "schema: Field required"),
    ],
)
def test_a_wrong_header_is_named_as_the_header(
    tmp_path: Path, header: dict[str, Any], message: str
) -> None:
    found = _refusal(_write(tmp_path, header, _ITEM))
    assert found.startswith(":1: header: ")
    assert message in found


def test_a_header_below_blank_lines_is_named_with_its_own_line(tmp_path: Path) -> None:
    assert _refusal(_write(tmp_path, "", "", _ITEM)).startswith(":3: header: ")


def test_a_set_without_items_is_refused(tmp_path: Path) -> None:
    assert "no items" in _refusal(_write(tmp_path, _HEADER))


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_refused_and_told_what_line_1_must_be(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(content)
    assert "line 1 must be the header (edgeeval/prompt-set@1)" in _refusal(path)


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path, _HEADER, _ITEM)
    with path.open("ab") as file:
        file.write('{"id": "größer"}\n'.encode("latin-1"))
    assert _refusal(path).startswith(":3: not UTF-8")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "No such file" in _refusal(tmp_path / "missing.jsonl")
    assert "Is a directory" in _refusal(tmp_path)


# -- order and identity --------------------------------------------------------------------------


def _set_of(groups: list[str]) -> PromptSet:
    items = [
        _ITEM | {"id": f"q{index}", "groups": {"subject": group}}
        for index, group in enumerate(groups)
    ]
    header = Header.model_validate(_HEADER)
    return PromptSet(header, tuple(ChoiceItem.model_validate(item) for item in items))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30))
def test_the_first_n_items_of_the_stratified_order_are_balanced(groups: list[str]) -> None:
    """No group is two items ahead of another one that still has items."""
    prompt_set = _set_of(groups)
    ordered = prompt_set.stratified()
    assert sorted(item.id for item in ordered) == sorted(item.id for item in prompt_set.items)
    total = Counter(groups)
    taken: Counter[str] = Counter()
    for item in ordered:
        taken[item.groups["subject"]] += 1
        waiting = [taken[group] for group in total if taken[group] < total[group]]
        assert not waiting or max(taken.values()) <= min(waiting) + 1


def test_the_stratified_order_keeps_the_file_order_within_a_group() -> None:
    ordered = _set_of(["a", "a", "a", "b", "b"]).stratified()
    assert [item.id for item in ordered] == ["q0", "q3", "q1", "q4", "q2"]


def test_the_hash_depends_on_every_item_and_on_the_header_but_not_on_suite_sizes(
    tmp_path: Path,
) -> None:
    def sha256(header: dict[str, Any], *items: dict[str, Any]) -> str:
        return load_set(_write(tmp_path, header, *items)).sha256

    plain = sha256(_HEADER, _ITEM)
    assert plain == sha256(_HEADER | {"suites": {"standard": 300}}, _ITEM)
    assert plain == sha256(dict(reversed(_HEADER.items())), dict(reversed(_ITEM.items())))
    others = [
        sha256(_HEADER | {"format": "chat"}, _ITEM),
        sha256(_HEADER | {"version": 2}, _ITEM),
        sha256(_HEADER, _ITEM | {"answer": 0}),
        sha256(_HEADER, _ITEM | {"question": "Which? "}),
        sha256(_HEADER, _ITEM, _ITEM | {"id": "q2"}),
        sha256(_HEADER, _ITEM | {"id": "q2"}, _ITEM),
    ]
    assert len({plain, *others}) == 1 + len(others)


# -- a plain text --------------------------------------------------------------------------------


def test_a_text_loses_one_newline_at_its_end_and_nothing_else(tmp_path: Path) -> None:
    """Oracle: llama-perplexity's reading of -f (common/arg.cpp pops one trailing newline)."""
    path = tmp_path / "wiki test.txt"
    path.write_bytes(b"  one\r\n\ntwo \n\n")
    prompt_set = text_file_set(path, 7)
    (item,) = prompt_set.items
    assert isinstance(item, TextItem)
    assert item.text == "  one\r\n\ntwo \n"
    assert prompt_set.id == "wiki-test.txt"
    assert set(prompt_set.header.suites.values()) == {7}
    assert set(text_file_set(path, None).header.suites.values()) == {WHOLE_FILE}


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(PromptSetError, match=r"empty\.txt: empty"):
        text_file_set(path, None)


def test_a_missing_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptSetError, match="cannot be read: No such file"):
        text_file_set(tmp_path / "missing.txt", None)


@pytest.mark.parametrize("name", ["größe (1).txt", "#.txt", "a" * 250])
def test_any_file_name_makes_an_id(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"text \xff")
    assert text_file_set(tmp_path / name, None).items


# -- anything at all -----------------------------------------------------------------------------

_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["\ud800", "choice", "open", "text", "bbq", "unqover", "pairs"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)  # fmt: skip


def _load_or_refuse(folder: Path, content: bytes) -> None:
    path = folder / "set.jsonl"
    path.write_bytes(content)
    try:
        load_set(path)
    except PromptSetError as error:
        assert str(error).startswith(str(path))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
@example(json.dumps(_HEADER).encode())
@example(b"\xef\xbb\xbf" + json.dumps(_HEADER).encode())
@example(b'{"a": "\\ud800"}\n')
@example(b'{"\\ud800": 1}\n')
def test_no_bytes_raise_anything_but_a_prompt_set_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("set")
    _load_or_refuse(folder, content)
    _load_or_refuse(folder, json.dumps(_HEADER).encode() + b"\n" + content)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(list(_HEADER)) | st.text(max_size=5), _ANY_JSON, max_size=2),
    st.dictionaries(st.sampled_from(list(_ITEM)) | st.text(max_size=5), _ANY_JSON, max_size=2),
)
@example({}, {"\ud800": 1})
@example({"\ud800": 1}, {})
@example({}, {"groups": {"\ud800": "a"}})
@example({"suites": {"\ud800": 1}}, {})
def test_no_change_of_a_sound_set_raises_anything_but_a_prompt_set_error(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any], item: dict[str, Any]
) -> None:
    content = json.dumps(_HEADER | header) + "\n" + json.dumps(_ITEM | item) + "\n"
    _load_or_refuse(tmp_path_factory.mktemp("set"), content.encode())
