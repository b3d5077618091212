"""Turn numbers into text: the one way for the terminal, Markdown, HTML and the figures.

A reader compares numbers down a column, so digits follow the interval: what the sample cannot tell
apart is not printed.
"""

import math
from typing import NamedTuple

from edgeeval.errors import one_line
from edgeeval.records import Delta, Estimate, JudgeFloor

MISSING = "–"
"""An absent or undefined number. Never "nan", never 0."""
MINUS = "−"

POINTS = "percentage points"
"""Unit of a difference between two shares."""
LOG_RATIO = "ln"
"""Unit of a difference that is the natural logarithm of a ratio."""

_MEGA, _GIGA = 1e6, 1e9
_MAX_DECIMALS = 6


class _Scale(NamedTuple):
    """How numbers of one unit are shown."""

    factor: float = 1.0
    suffix: str = ""
    min_decimals: int = 0
    max_decimals: int = _MAX_DECIMALS


def _scale(unit: str, size: float) -> _Scale:
    match unit:
        case "share":
            return _Scale(100.0, " %", 1, 2)
        case "percentage points":
            return _Scale(100.0, "", 1, 2)
        case "bytes" if abs(size) >= _GIGA:
            return _Scale(1 / _GIGA, " GB", 2, 2)
        case "bytes":
            return _Scale(1 / _MEGA, " MB", 1, 1)
    return _Scale()


def _decimals(value: float, half_width: float | None, scale: _Scale) -> int:
    """Return how many decimals are worth printing.

    With an interval: one digit of its half-width, two where that digit would be 1 to 3 (the rule of
    the Particle Data Group). Without: three digits of the value.
    """
    size = half_width or abs(value)
    if size == 0 or not math.isfinite(size):
        return scale.min_decimals
    exponent = math.floor(math.log10(size))
    kept = 3
    if half_width:
        kept = 2 if half_width / 10**exponent < 3.55 else 1
    return min(max(kept - 1 - exponent, scale.min_decimals), scale.max_decimals)


def _digits(value: float | None, decimals: int, *, signed: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{abs(value):,.{decimals}f}"
    if not text.strip("0.,"):
        return text  # no "-0.0"
    if value < 0:
        return MINUS + text
    return f"+{text}" if signed else text


def _bounds(*bounds: float | None, factor: float) -> list[float | None]:
    return [
        None if bound is None or not math.isfinite(bound) else bound * factor for bound in bounds
    ]


def _half_width(value: float, bounds: list[float | None]) -> float | None:
    distances = [abs(bound - value) for bound in bounds if bound is not None]
    return sum(distances) / len(distances) if any(distances) else None


def quantity(
    value: float | None,
    unit: str,
    lower: float | None = None,
    upper: float | None = None,
    *,
    signed: bool = False,
) -> str:
    """Return a number alone, such as "48.9 %", "105.5 MB" or "0.0482".

    Bounds are not shown; they say how many digits are. Units that a heading states (nats/token,
    tokens/s) are not repeated.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    scale = _scale(unit, value)
    value *= scale.factor
    half_width = _half_width(value, _bounds(lower, upper, factor=scale.factor))
    return _digits(value, _decimals(value, half_width, scale), signed=signed) + scale.suffix


def interval(
    value: float | None,
    lower: float | None,
    upper: float | None,
    unit: str,
    *,
    signed: bool = False,
) -> str:
    """Return a number with its interval, such as "0.048 [0.044, 0.052]".

    An interval of zero width (a size in bytes) says nothing and is left out.
    """
    alone = quantity(value, unit, lower, upper, signed=signed)
    if value is None or not math.isfinite(value):
        return alone
    scale = _scale(unit, value)
    value *= scale.factor
    bounds = _bounds(lower, upper, factor=scale.factor)
    half_width = _half_width(value, bounds)
    if half_width is None:
        return alone
    low, high = (_digits(bound, _decimals(value, half_width, scale)) for bound in bounds)
    return f"{alone} [{low}, {high}]"


def exact(value: float, unit: str) -> str:
    """Return a number that a person chose, with the digits that they wrote."""
    scale = _scale(unit, value)
    text = f"{abs(value) * scale.factor:.6g}"
    return (MINUS if value < 0 else "") + text + scale.suffix


def estimate(number: Estimate, unit: str) -> str:
    """Return an estimate with its interval."""
    return interval(number.value, number.lower, number.upper, unit)


def delta(number: Delta | None, unit: str) -> str:
    """Return a signed difference with its interval; `unit` is the difference's own."""
    if number is None:
        return MISSING
    return interval(number.value, number.lower, number.upper, unit, signed=True)


def floor_text(floor: JudgeFloor) -> str:
    """Return how wrong a judge is, in one line."""
    auc = interval(floor.auc.value, floor.auc.lower, floor.auc.upper, "")
    return one_line(
        f"{floor.label}, τ {floor.threshold:g}: finds {estimate(floor.sensitivity, 'share')}, takes"
        f" {estimate(floor.false_positive_rate, 'share')} of the others for it, AUC {auc} "
        f"({floor.data}: {floor.n:,} texts, {floor.n_positive:,} with {floor.positive})"
    )


def count(number: int) -> str:
    """Return a whole number with its thousands apart."""
    return f"{number:,}"


def p_value(p: float | None) -> str:
    """Return a p-value; beyond three decimals its size carries no news."""
    if p is None or not math.isfinite(p):
        return MISSING
    if p < 0.001:
        return "< 0.001"
    return "> 0.999" if p > 0.999 else f"{p:.3f}"


def duration(elapsed_s: float) -> str:
    """Return a time span in its two largest units."""
    if elapsed_s < 59.95:  # what rounds to 60.0 s is a minute
        return f"{elapsed_s:.1f} s"
    minutes, seconds = divmod(round(elapsed_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def shorten(text: str, max_length: int) -> str:
    """Return one line of at most `max_length` characters, cut in the middle.

    Files of one model begin alike and end in what tells them apart.
    """
    line = one_line(text)
    if len(line) <= max_length:
        return line
    n_head = (max_length - 1) // 3
    return f"{line[:n_head]}…{line[len(line) - (max_length - 1 - n_head) :]}"


def sentence(text: str) -> str:
    """Return a text as a sentence: capital first, full stop last."""
    line = one_line(text)
    if not line:
        return ""
    return line[0].upper() + line[1:] + ("" if line[-1] in ".!?" else ".")
