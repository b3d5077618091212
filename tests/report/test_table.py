"""The terminal: everything fits, the answer is there, and no text of a stranger acts."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from edgeeval.records import Results
from edgeeval.report.table import print_summary


@pytest.fixture
def printed() -> Callable[[Results, int], str]:
    def run(results: Results, width: int) -> str:
        file = io.StringIO()
        print_summary(results, Console(file=file, width=width))
        return file.getvalue()

    return run


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(
    printed: Callable[..., str], results: Results, width: int
) -> None:
    lines = printed(results, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert any(line.startswith("★ Q4_K_M") for line in lines)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_row_begins_with_its_level_and_ends_with_its_verdict(
    printed: Callable[..., str], results: Results, width: int
) -> None:
    rows = [line.split() for line in printed(results, width).splitlines()]
    assert ["BF16", "reference"] in [[row[0], row[-1]] for row in rows if row]
    assert ["Q3_K_M", "inconclusive"] in [[row[0], row[-1]] for row in rows if row]


def test_a_wide_terminal_shows_every_column(printed: Callable[..., str], results: Results) -> None:
    text = printed(results, 200)
    assert "Left out" not in text
    row = next(line for line in text.splitlines() if line.startswith("★ Q4_K_M"))
    for cell in ("105.5 MB", "6.20", "89.5 %", "0.048 [0.044, 0.052]", "1.031", "88.4 %"):
        assert cell in row
    assert "47.8 % (−1.3)" in row
    assert row.endswith("5.8 %  4.0 %      78.0  pass        ")


def test_a_narrow_terminal_names_what_it_leaves_out(
    printed: Callable[..., str], results: Results
) -> None:
    text = " ".join(printed(results, 80).split())
    assert "Left out at this width; the reports have it all: same top, bpw, fell back" in text
    assert "Fell back to other tensor types: 89.5 % of Q6_K, Q5_K_M, Q4_K_M, Q3_K_M, Q2_K." in text


def test_it_says_what_to_ship_what_stops_the_others_and_what_to_know_first(
    printed: Callable[..., str], results: Results
) -> None:
    text = " ".join(printed(results, 100).split())
    assert "Ship Q4_K_M (105.5 MB). Q4_K_M is the smallest level" in text
    assert "Q2_K fail mean KL divergence: 0.61 [0.56, 0.67], limit ≤ 0.07" in text
    assert "! reference dequantized from Q4_1" in text
    assert "Harm: as alt-profanity-check judges." in text


def test_foreign_text_reaches_the_terminal_disarmed(
    printed: Callable[..., str], results: Results
) -> None:
    odd = replace(results, name="[bold]x[/nonsense]\x1b]0;title\x07")
    text = printed(odd, 100)
    assert "[bold]x[/nonsense] ]0;title :" in text  # no markup, no escape sequence
    assert not any(mark in text for mark in ("\x1b", "\x07", "\u202e"))


def test_columns_without_a_number_are_left_out(
    printed: Callable[..., str], unmeasured_results: Results
) -> None:
    text = printed(unmeasured_results, 100)
    assert "mean KLD" not in text
    assert "No level can be recommended. No level was measured." in text


def test_a_terminal_without_unicode_gets_a_table_too(results: Results) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_summary(results, Console(file=file, width=100))
    file.flush()
    text = file.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]  # a BytesIO
    assert "* Q4_K_M" in text
    assert "limit <= 0.07" in text
