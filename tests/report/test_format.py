"""Numbers as text: digits follow the interval, nothing is "nan", foreign text stays one line."""

from __future__ import annotations

import math

import pytest

from edgeeval.report import format as fmt


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        ((0.04812, 0.0441, 0.0523), "nats/token", "0.048 [0.044, 0.052]"),
        ((0.000824, 0.00075, 0.00089), "nats/token", "0.00082 [0.00075, 0.00089]"),
        ((0.4775, 0.4285, 0.5265), "share", "47.8 % [42.9, 52.6]"),
        ((105_454_112.0, 105_454_112.0, 105_454_112.0), "bytes", "105.5 MB"),
        ((4_370_000_000.0, None, None), "bytes", "4.37 GB"),
        ((18.43, 17.2, 19.7), "ratio", "18.4 [17.2, 19.7]"),
        ((99.325, 95.2, 103.4), "points", "99 [95, 103]"),
        ((0.05, None, 0.07), "nats/token", "0.050 [–, 0.070]"),
        ((0.0, 0.0, 0.0), "share", "0.0 %"),
        ((None, None, None), "share", "–"),
        ((math.nan, 0.0, 1.0), "share", "–"),
        ((1.0, -math.inf, math.inf), "ratio", "1.00"),
    ],
)
def test_an_estimate(number: tuple[float, float, float], unit: str, text: str) -> None:
    assert fmt.interval(*number, unit) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.0125, "−1.2"), (0.0125, "+1.2"), (-0.00001, "0.0"), (0.0, "0.0")]
)
def test_a_difference_of_shares_is_in_points_and_signed(value: float, text: str) -> None:
    bounds = (value - 0.02, value + 0.02)
    assert fmt.quantity(value, fmt.POINTS, *bounds, signed=True) == text


def test_a_limit_is_shown_as_it_was_written() -> None:
    assert fmt.exact(0.07, "nats/token") == "0.07"
    assert fmt.exact(0.03, "share") == "3 %"
    assert fmt.exact(-0.03, fmt.POINTS) == "−3"


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, "–"), (1e-12, "< 0.001"), (0.0321, "0.032"), (1.0, "> 0.999"), (math.nan, "–")],
)
def test_a_p_value(p: float | None, text: str) -> None:
    assert fmt.p_value(p) == text


@pytest.mark.parametrize(
    ("elapsed_s", "text"),
    [(7.25, "7.2 s"), (59.9, "59.9 s"), (59.99, "1 min 0 s"),
     (412.3, "6 min 52 s"), (7260, "2 h 1 min")],
)  # fmt: skip
def test_a_duration(elapsed_s: float, text: str) -> None:
    assert fmt.duration(elapsed_s) == text


def test_foreign_text_becomes_one_line_without_control_or_direction_marks() -> None:
    assert fmt.one_line("a\nb\x1b[31m\u202ec\u200b\udcff  d\u2028e") == "a b [31mc d e"


def test_a_shortened_name_keeps_what_tells_files_apart() -> None:
    short = fmt.shorten("SmolLM2-135M-Instruct.Q4_K_M", 16)
    assert len(short) == 16
    assert short.endswith("t.Q4_K_M")


@pytest.mark.parametrize(
    ("text", "expected"), [("why not", "Why not."), ("Done.", "Done."), ("", ""), (" x! ", "X!")]
)
def test_a_sentence(text: str, expected: str) -> None:
    assert fmt.sentence(text) == expected
