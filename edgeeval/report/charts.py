"""Draw the figures that say most: size against divergence, and every requirement.

matplotlib comes with the extra `report`; without it there are no figures and the page says how to
get them.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from edgeeval.errors import one_line
from edgeeval.records import Delta, Estimate, MetricResult, Results
from edgeeval.report import format as fmt
from edgeeval.report.labels import Box, place_labels, without_common_prefix
from edgeeval.report.svg import COLOURS, FONT_SIZE, draw, is_available
from edgeeval.report.view import NO_VERDICT, delta_unit, judged_title, level_verdict, limit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE_OF = {
    "pass": ("pass", "o"),
    "fail": ("fail", "X"),
    "inconclusive": ("unsure", "^"),
}
"""Verdict -> colour and marker; every other verdict is a grey square."""

_MEGA = 1e6
_MAX_NAME = 20
_PANEL_WIDTH = 370
"""In points, like every size here."""
_CLIP = 3.0
"""A panel shows up to this many limits to each side; what lies further out becomes an arrow."""


class _Point(NamedTuple):
    """A level in the first figure."""

    name: str
    size_mb: float
    kld: float
    lower: float | None
    upper: float | None
    verdict: str
    is_pareto: bool


def _names(results: Results) -> list[str]:
    names = without_common_prefix([one_line(level.name) for level in results.levels])
    return [fmt.shorten(name, _MAX_NAME) for name in names]


def _points(results: Results) -> list[_Point]:
    found = []
    for name, level in zip(_names(results), results.levels, strict=True):
        metric = level.metrics.get("lm.kld_mean")
        if level.artifact is None or metric is None or metric.estimate.value is None:
            continue
        kld = metric.estimate
        found.append(
            _Point(
                name,
                level.artifact.size_bytes / _MEGA,
                kld.value if kld.value is not None else math.nan,
                kld.lower,
                kld.upper,
                level_verdict(results, level),
                level.is_pareto,
            )
        )
    return found


def size_and_divergence(results: Results) -> str | None:
    """Draw file size against mean KLD; lower left is better.

    Returns:
        An SVG element, or None without matplotlib or without a level that has both numbers.
    """
    points = _points(results)
    positive = [point.kld for point in points if point.kld > 0]
    if not is_available() or not positive:
        return None
    limit = _kld_limit(results)
    floor = min(positive) / 3
    """A logarithmic axis has no zero: a level equal to the reference stands at its lower end."""

    def paint(axes: "Axes") -> None:
        axes.set_yscale("log")
        axes.set_xlabel("file size, MB")
        axes.set_ylabel("mean KL divergence, nats/token (log)")
        axes.grid(True, color=COLOURS["line"], linewidth=0.6)
        axes.set_axisbelow(True)
        _paint_front(axes, points, floor)
        for point in points:
            _paint_point(axes, point, floor)
        axes.margins(x=0.16, y=0.12)
        if limit is not None:
            _paint_limit(axes, limit)
        _label_decades(axes)

    def finish(axes: "Axes") -> None:
        _label_points(axes, points, floor, limit)

    return draw("size", (440, 300), paint, finish)


def _label_decades(axes: "Axes") -> None:
    """Write 0.01, not a power of ten; where two decades are not in view, 0.02 and 0.05 as well."""
    bottom, top = axes.get_ylim()
    is_short = top < 100 * bottom

    def minor(value: float, _: object) -> str:
        text = f"{value:g}"
        return text if is_short and text.strip("0.") in ("2", "5") else ""

    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(minor)


def _kld_limit(results: Results) -> float | None:
    for level in results.levels:
        metric = level.metrics.get("lm.kld_mean")
        if metric is not None and metric.requirement is not None:
            return metric.requirement.limit if metric.requirement.limit > 0 else None
    return None


def _paint_front(axes: "Axes", points: Sequence[_Point], floor: float) -> None:
    front = sorted((point.size_mb, max(point.kld, floor)) for point in points if point.is_pareto)
    if len(front) > 1:
        sizes, klds = zip(*front, strict=True)
        axes.plot(sizes, klds, color=COLOURS["muted"], linewidth=1, zorder=1)


def _paint_point(axes: "Axes", point: _Point, floor: float) -> None:
    colour, marker = _style(point.verdict)
    kld = max(point.kld, floor)
    edges = (kld if edge is None else edge for edge in (point.lower, point.upper))
    low, high = (max(edge, floor) for edge in edges)
    axes.plot([point.size_mb] * 2, [low, high], color=colour, linewidth=1.6, zorder=2)
    axes.plot(
        [point.size_mb], [kld], marker, color=colour, markersize=8, zorder=3,
        markeredgecolor=colour,
    )  # fmt: skip


def _style(verdict: str) -> tuple[str, str]:
    colour, marker = _STYLE_OF.get(verdict, ("muted", "s"))
    return COLOURS[colour], marker


def _paint_limit(axes: "Axes", limit: float) -> None:
    bottom, top = axes.get_ylim()
    top = max(top, limit * 1.5)
    axes.set_ylim(bottom, top)
    axes.axhspan(limit, top, color=COLOURS["fail"], alpha=0.08, linewidth=0, zorder=0)
    axes.axhline(limit, color=COLOURS["fail"], linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.text(
        0.995, limit, f"limit {fmt.exact(limit, '')}", color=COLOURS["fail"], ha="right",
        va="bottom", transform=axes.get_yaxis_transform(), fontsize=FONT_SIZE - 1,
    )  # fmt: skip


def _label_points(
    axes: "Axes", points: Sequence[_Point], floor: float, limit: float | None
) -> None:
    """Write each name where it covers no point, no other name and not the limit."""
    places = [axes.transData.transform((p.size_mb, max(p.kld, floor))) for p in points]
    window = axes.get_window_extent()
    inside = Box(window.x0, window.y0, window.x1, window.y1)
    obstacles = []
    if limit is not None:
        y = axes.transData.transform((points[0].size_mb, limit))[1]
        obstacles.append(Box(window.x0, y - 2, window.x1, y + 2))
        obstacles.append(Box(window.x1 - 6 * FONT_SIZE, y, window.x1, y + 1.2 * FONT_SIZE))
    names = [point.name for point in points]
    found = place_labels(names, [(x, y) for x, y in places], obstacles, inside, FONT_SIZE)
    for point, place in zip(points, found, strict=True):
        if place is None:
            continue
        label = axes.annotate(
            point.name, (point.size_mb, max(point.kld, floor)), (place.right, place.up),
            textcoords="offset points", ha=place.horizontal, va=place.vertical,
            color=COLOURS["ink"],
        )  # fmt: skip
        label.set_in_layout(False)  # the places were chosen for the layout as it is


# --- requirements ---------------------------------------------------------------------------------


class _Bar(NamedTuple):
    """One level in a panel: a number with its interval, in the panel's unit."""

    name: str
    value: float | None
    lower: float | None
    upper: float | None
    verdict: str


class Panel(NamedTuple):
    """A drawn requirement."""

    title: str
    limit: str
    svg: str


class _Forest(NamedTuple):
    """One requirement over all levels."""

    axis: str
    limits: tuple[float, ...]
    """The limit; both ends of an equivalence margin."""
    fails_above: bool
    fails_below: bool
    bars: tuple[_Bar, ...]


def requirement_panels(results: Results) -> list[Panel]:
    """Draw each requirement as a forest plot: levels, intervals, the limit, the failing side.

    Returns:
        One panel a requirement; none without matplotlib.
    """
    if not is_available():
        return []
    panels = []
    for number, (key, metric) in enumerate(_required(results).items()):
        forest = _forest(results, key, metric)
        size = (_PANEL_WIDTH, 48 + 19 * len(forest.bars))
        svg = draw(f"requirement{number}", size, partial(_paint_forest, forest))
        panels.append(Panel(judged_title(metric), limit_text(metric), svg))
    return panels


def _required(results: Results) -> dict[str, MetricResult]:
    """Return the required metrics of which at least one level has a number."""
    required: dict[str, MetricResult] = {}
    for level in results.levels:
        for key, metric in level.metrics.items():
            if metric.requirement is not None and _number(metric) is not None:
                required.setdefault(key, metric)
    return required


def _number(metric: MetricResult) -> Estimate | Delta | None:
    """Return the estimate or the difference that the requirement looks at, if it has a value."""
    requirement = metric.requirement
    compared = requirement is not None and requirement.kind == "margin"
    number = metric.delta if compared else metric.estimate
    return None if number is None or number.value is None else number


def _forest(results: Results, key: str, metric: MetricResult) -> _Forest:
    requirement = metric.requirement
    assert requirement is not None  # the caller chose metrics that have one
    is_margin = requirement.kind == "margin"
    unit = delta_unit(metric) if is_margin else metric.unit
    factor = {"share": 100.0, fmt.POINTS: 100.0, "bytes": 1 / _MEGA}.get(unit, 1.0)
    name = {"share": "%", fmt.LOG_RATIO: "ln ratio", "bytes": "MB"}.get(unit, unit)
    direction = metric.direction if is_margin else requirement.kind
    limit = requirement.limit * factor
    fails_below = direction in ("higher", "min", "zero")
    limits = {"higher": (-limit,), "zero": (-limit, limit)}.get(direction, (limit,))
    return _Forest(
        axis=f"difference from the reference, {name}" if is_margin else fmt.shorten(name, 30),
        limits=limits,
        fails_above=direction not in ("higher", "min"),
        fails_below=fails_below,
        bars=tuple(
            _bar(name, level.metrics.get(key), factor)
            for name, level in zip(_names(results), results.levels, strict=True)
        ),
    )


def _bar(name: str, metric: MetricResult | None, factor: float) -> _Bar:
    number = None if metric is None else _number(metric)
    if metric is None or number is None:
        return _Bar(name, None, None, None, NO_VERDICT)
    value, lower, upper = (
        None if edge is None else edge * factor
        for edge in (number.value, number.lower, number.upper)
    )
    return _Bar(name, value, lower, upper, metric.verdict or NO_VERDICT)


def _window(forest: _Forest) -> tuple[float, float]:
    """Return the span to show: all that is near the limit, and zero."""
    edges = [edge for bar in forest.bars for edge in bar[1:4] if edge is not None]
    edges += [0.0, *(1.2 * limit for limit in forest.limits)]  # some of the failing side shows
    low, high = min(edges), max(edges)
    reach = _CLIP * max(abs(limit) for limit in forest.limits)
    if reach > 0 and (forest.fails_above or min(forest.limits) < 0):
        low, high = max(low, -reach), min(high, reach)
    pad = 0.05 * ((high - low) or 1.0)
    return low - pad, high + pad


def _paint_forest(forest: _Forest, axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = _window(forest)
    axes.set_xlim(low, high)
    axes.set_ylim(len(forest.bars) - 0.4, -0.6)
    axes.set_yticks(range(len(forest.bars)), [bar.name for bar in forest.bars])
    for label in axes.get_yticklabels():
        label.set_color(COLOURS["ink"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(forest.axis)
    if low < 0 < high:
        axes.axvline(0, color=COLOURS["line"], linewidth=1, zorder=0)
    _paint_failing_side(axes, forest, low, high)
    for row, bar in enumerate(forest.bars):
        _paint_bar(axes, bar, row, low, high)


def _paint_failing_side(axes: "Axes", forest: _Forest, low: float, high: float) -> None:
    red = COLOURS["fail"]
    if forest.fails_above:
        axes.axvspan(max(forest.limits), high, color=red, alpha=0.09, linewidth=0, zorder=0)
    if forest.fails_below:
        axes.axvspan(low, min(forest.limits), color=red, alpha=0.09, linewidth=0, zorder=0)
    for limit in forest.limits:
        axes.axvline(limit, color=red, linewidth=1, linestyle=(0, (4, 3)), zorder=1)


def _paint_bar(axes: "Axes", bar: _Bar, row: int, low: float, high: float) -> None:
    colour, marker = _style(bar.verdict)
    if bar.value is None:
        axes.annotate(
            "not measured", (low, row), (6, 0), textcoords="offset points", va="center",
            color=COLOURS["muted"],
        )  # fmt: skip
        return
    if low <= bar.value <= high:
        edges = (edge if edge is not None else bar.value for edge in (bar.lower, bar.upper))
        start, end = (min(max(edge, low), high) for edge in edges)
        axes.plot([start, end], [row, row], color=colour, linewidth=1.8, zorder=2)
        axes.plot([bar.value], [row], marker, color=colour, markersize=7, zorder=3, clip_on=False)
        return
    is_high = bar.value > high
    edge, arrow, side = (high, ">", "right") if is_high else (low, "<", "left")
    text = fmt.quantity(bar.value, "")
    axes.plot([edge], [row], arrow, color=colour, markersize=7, zorder=3, clip_on=False)
    axes.annotate(
        text, (edge, row), (-9 if is_high else 9, 0), textcoords="offset points", ha=side,
        va="center", color=colour,
    )  # fmt: skip
