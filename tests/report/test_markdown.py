"""Markdown: tables stay tables, and no text of a stranger opens a tag, a link or a cell."""

from __future__ import annotations

import re

import pytest

from edgeeval.records import Results
from edgeeval.report.markdown import escape, write


def _tables(text: str) -> list[list[str]]:
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    return [block.splitlines() for block in blocks]


def test_every_table_has_a_constant_number_of_cells(results: Results) -> None:
    tables = _tables(write(results))
    assert len(tables) > 15
    for lines in tables:
        counts = {len(re.split(r"(?<!\\)\|", line)) for line in lines}
        assert len(counts) == 1, lines[0]
        assert re.fullmatch(r"\|( --- \|)+", lines[1])


def test_hostile_text_is_escaped(results: Results) -> None:
    text = write(results)
    assert "<script" not in text
    assert "<img" not in text
    assert "<b>" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text
    tags = set(re.findall(r"</?[a-z]+", text))
    assert tags == {"<details", "</details", "<summary", "</summary"}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("a\nb", "a b"),
        ("`x`", r"\`x\`"),
        ("<b>&", "&lt;b&gt;&amp;"),
        (r"a\|b", r"a\\\|b"),
        ("[x](y)", r"[x\](y)"),
        ("0.048 [0.044, 0.052]", "0.048 [0.044, 0.052]"),
        ("Q4_K_M", "Q4_K_M"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_it_opens_with_what_to_know_and_what_to_ship(results: Results) -> None:
    lines = [line for line in write(results).splitlines() if line]
    assert lines[0] == "# smollm2-135m: which quantization level to ship"
    assert lines[1].startswith("> **Note:** reference dequantized from Q4_1")
    assert lines[2].startswith("**Ship Q4_K_M (105.5 MB).** Q4_K_M is the smallest level")


def test_every_dimension_group_and_origin_is_there(results: Results) -> None:
    text = write(results)
    titles = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert titles == [
        "Summary",
        "Requirements",
        "Language modelling",
        "Tasks",
        "Harm in continuations",
        "Same text as the reference",
        "Coherence",
        "Cost",
        "novel",
        "By group, set and threshold",
        "Files",
        "Prompt sets",
        "Judges",
        "Environment",
        "Timings",
        "How to read this",
    ]
    assert "subject=law \\| &lt;b&gt;" in text
    assert "CC-BY-4.0" in text
