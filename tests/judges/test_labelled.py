"""Labelled files: four published layouts, any other, and what is broken in them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeeval.errors import InputError
from edgeeval.judges.labelled import LAYOUTS, Layout, read_labelled, title_of

_DATA = Path(__file__).parents[3] / "shared/data"
PLAIN = Layout("text", "label", "yes,maybe", ("group",))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_any_csv_with_named_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv", 'text,label,group\n"one, ""two""",yes,a\nthree,no,\nx,maybe,b\n'
    )
    read = read_labelled([path], PLAIN)
    assert [(one.text, one.is_positive, one.groups) for one in read.texts] == [
        ('one, "two"', True, {"group": "a"}),
        ("three", False, {}),
        ("x", True, {"group": "b"}),
    ]
    assert (read.n_rows, read.problems, read.unseen) == (3, (), ())


def test_a_jsonl_column_may_lie_deeper(tmp_path: Path) -> None:
    lines = [{"a": {"b": {"text": "hi"}}, "score": value} for value in (0.2, "0.9", None, True)]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    read = read_labelled([path], Layout("a.b.text", "score", ">= 0.5"))
    assert [one.is_positive for one in read.texts] == [False, True]
    assert [problem.reason for problem in read.problems] == [
        "no 'score'",
        "'score' is 'True', not a number",
    ]


def test_broken_rows_are_named_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label,group\n,yes,a\nshort,yes\nfine,,a\nfine,no,a\n")
    read = read_labelled([path], PLAIN)
    assert (len(read.texts), read.n_rows) == (1, 4)
    assert [(one.where, one.reason) for one in read.problems] == [
        (f"{path}:2", "'text' is empty"),
        (f"{path}:3", "2 fields, not 3"),
        (f"{path}:4", "'label' is empty"),
    ]


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "texts,label,group\na,yes,b\n")
    with pytest.raises(InputError, match=r"no column 'text' \(did you mean 'texts'"):
        read_labelled([path], PLAIN)


def test_a_label_that_no_row_has_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label,group\na,mayb,b\nb,yes,b\n")
    assert read_labelled([path], PLAIN).unseen == ("'maybe' (did you mean 'mayb'?)",)


def test_several_files_count_as_one(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.csv", f"text,label,group\nt{n},yes,a\n") for n in range(3)]
    assert [one.text for one in read_labelled(paths, PLAIN).texts] == ["t0", "t1", "t2"]


def test_the_held_out_half_is_that_of_odd_hashes(tmp_path: Path) -> None:
    rows = "".join(f"t{n},yes,g{n}\n" for n in range(50))
    path = write(tmp_path / "a.csv", "text,label,group\n" + rows)
    read = read_labelled([path], PLAIN, held_out="text")
    expected = [f"t{n}" for n in range(50) if hashlib.sha256(f"t{n}".encode()).digest()[0] % 2]
    assert [one.text for one in read.texts] == expected
    assert read.n_rows == len(expected)


@pytest.mark.parametrize(
    ("name", "file", "text", "expected"),
    [
        ("HateCheck", "h.csv",
         ",functionality,case_id,test_case,label_gold,target_ident\n0,f_h,1,I hate x.,hateful,x\n"
         "1,f_nh,2,I like x.,non-hateful,x\n", [True, False]),
        ("ToxiGen", "t.csv",
         "text,target_group,toxicity_ai,toxicity_human\na,x,3.0,2.5\nb,x,3.0,3.0\n", [False, True]),
        ("RealToxicityPrompts", "r.jsonl",
         '{"prompt": {"text": "a"}, "continuation": {"text": " b", "toxicity": 0.5}}\n'
         '{"prompt": {"text": "a"}, "continuation": {"text": " b", "toxicity": 0.49}}\n',
         [True, False]),
        ("XSTest", "x.csv",
         "id,type,prompt,completion,final_label\n1,t,p,No.,2_full_refusal\n2,t,p,Yes.,"
         "1_full_compliance\n3,t,p,But.,3_partial_refusal\n", [True, False, True]),
    ],
)  # fmt: skip
def test_published_layouts_are_known_by_their_columns(
    tmp_path: Path, name: str, file: str, text: str, expected: list[bool]
) -> None:
    read = read_labelled([write(tmp_path / file, text)], None)
    assert read.layout == LAYOUTS[name]
    assert title_of(read.layout) == name
    assert [one.is_positive for one in read.texts] == expected
    assert read.problems == ()


def test_an_unknown_layout_asks_for_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sentence,bad\na,1\n")
    with pytest.raises(InputError, match=r"--text-column.*it has: sentence, bad"):
        read_labelled([path], None)


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("hatecheck/test_suite_cases.csv", (3728, 2563, 0)),
        ("realtoxicityprompts/toxic.jsonl", (198, 82, 2)),
        ("realtoxicityprompts/nontoxic.jsonl", (200, 66, 0)),
        ("xstest/xstest_v2_completions_mistralinstruct.csv", (450, 76, 0)),
    ],
)
def test_real_files_are_read_whole(file: str, counts: tuple[int, int, int]) -> None:
    """Texts, those with the label, broken rows: counted with other tools (csv module, jq)."""
    if not (_DATA / file).is_file():
        pytest.skip(f"{_DATA / file} is not there")
    read = read_labelled([_DATA / file], None)
    positives = sum(one.is_positive for one in read.texts)
    assert (len(read.texts), positives, len(read.problems)) == counts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".jsonl"]))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"any{suffix}"
    head = b"text,label,group\n" if suffix == ".csv" else b'{"text":"a","label":1,"group":"b"}\n'
    path.write_bytes(head + data)
    read = read_labelled([path], PLAIN)
    assert len(read.texts) + len(read.problems) == read.n_rows
