"""Draw the two figures that say most, as SVG to stand inside a page.

matplotlib comes with the extra `report`; without it there are no figures and the page says how to
get them. The same results give the same bytes, so that a report can be compared and cached.

The page's colours change between light and dark. matplotlib draws with the light palette, and each
colour then becomes a CSS variable with the light colour to fall back on.
"""

import importlib.util
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeeval.records import MetricResult, Results
from edgeeval.report import format as fmt
from edgeeval.report.view import LOST, NO_VERDICT, delta_unit, level_verdict, limit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {
    "ink": "#1c2024",
    "muted": "#62686f",
    "line": "#d3d7dc",
    "pass": "#1a7f4b",
    "fail": "#c4322b",
    "unsure": "#9a6200",
}
"""CSS variable -> its light value; `template.html.j2` gives both values."""

_STYLE_OF = {
    "pass": ("pass", "o"),
    "fail": ("fail", "X"),
    "inconclusive": ("unsure", "^"),
}
"""Verdict -> colour and marker; every other verdict is a grey square."""

_MEGA = 1e6
_MAX_NAME = 20
_POINTS_PER_INCH = 72
_FONT_SIZE = 10
_CLIP = 3.0
"""A panel shows up to this many limits to each side; what lies further out becomes an arrow."""


def is_available() -> bool:
    """Tell whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


# --- from matplotlib to a page --------------------------------------------------------------------


def _draw(name: str, size: tuple[float, float], paint: "Callable[[Axes], None]") -> str:
    """Return what `paint` draws as an SVG element.

    Args:
        name: prefix of every id, for several figures share one page.
        size: width and height in points.
        paint: draws on the axes given.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # Only widths are taken from this font; the page's own font has the missing characters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()  # a person's own matplotlibrc must not change the report
        matplotlib.rcParams.update(_rc(name))
        width, height = (length / _POINTS_PER_INCH for length in size)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        return _for_page(_svg_of(figure), name)


def _rc(name: str) -> dict[str, Any]:
    ink, muted = _COLOURS["ink"], _COLOURS["muted"]
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": f"edgeeval-{name}",
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": _FONT_SIZE,
        "text.color": ink,
        "axes.labelcolor": muted,
        "axes.edgecolor": muted,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": _FONT_SIZE + 1,
        "axes.titlelocation": "left",
        "axes.titlecolor": ink,
        "xtick.color": muted,
        "ytick.color": muted,
        "legend.frameon": False,
    }


def _svg_of(figure: "Figure") -> str:
    """Return the SVG without a date or any other mark of when and by what it was made."""
    buffer = io.StringIO()
    absent = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=absent, transparent=True)
    return buffer.getvalue()


def _for_page(svg: str, name: str) -> str:
    """Turn a document into an element: no prolog, no fixed size, ids and colours of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    head = f'<svg {box.group() if box else ""} aria-hidden="true" focusable="false"'
    svg = f"{head}>{rest}".replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    for variable, colour in _COLOURS.items():
        svg = re.sub(rf"(fill|stroke): {colour}", rf"\1: var(--{variable}, {colour})", svg)
    return svg.strip()


# --- size against divergence ----------------------------------------------------------------------


class _Point(NamedTuple):
    """A level in the first figure."""

    name: str
    size_mb: float
    kld: float
    lower: float | None
    upper: float | None
    verdict: str
    is_pareto: bool


def _points(results: Results) -> list[_Point]:
    found = []
    for level in results.levels:
        metric = level.metrics.get("lm.kld_mean")
        if level.artifact is None or metric is None or metric.estimate.value is None:
            continue
        kld = metric.estimate
        found.append(
            _Point(
                fmt.shorten(level.name, _MAX_NAME),
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
        axes.grid(True, color=_COLOURS["line"], linewidth=0.6)
        axes.set_axisbelow(True)
        _paint_front(axes, points, floor)
        for point in points:
            _paint_point(axes, point, floor)
        axes.margins(x=0.16, y=0.12)
        if limit is not None:
            _paint_limit(axes, limit)
        _label_points(axes, points, floor)

    return _draw("size", (520, 340), paint)


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
        axes.plot(sizes, klds, color=_COLOURS["muted"], linewidth=1, zorder=1)


def _paint_point(axes: "Axes", point: _Point, floor: float) -> None:
    colour, marker = _style(point.verdict)
    kld = max(point.kld, floor)
    low, high = (max(edge or kld, floor) for edge in (point.lower, point.upper))
    axes.plot([point.size_mb] * 2, [low, high], color=colour, linewidth=1.6, zorder=2)
    axes.plot(
        [point.size_mb], [kld], marker, color=colour, markersize=8, zorder=3,
        markeredgecolor=colour,
    )  # fmt: skip


def _style(verdict: str) -> tuple[str, str]:
    colour, marker = _STYLE_OF.get(verdict, ("muted", "s"))
    return _COLOURS[colour], marker


def _paint_limit(axes: "Axes", limit: float) -> None:
    bottom, top = axes.get_ylim()
    top = max(top, limit * 1.5)
    axes.set_ylim(bottom, top)
    axes.axhspan(limit, top, color=_COLOURS["fail"], alpha=0.08, linewidth=0, zorder=0)
    axes.axhline(limit, color=_COLOURS["fail"], linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.text(
        0.995, limit, f"limit {fmt.quantity(limit, '')}", color=_COLOURS["fail"], ha="right",
        va="bottom", transform=axes.get_yaxis_transform(), fontsize=_FONT_SIZE - 1,
    )  # fmt: skip


_PLACES = (
    ((9, 0), "left", "center"),
    ((-9, 0), "right", "center"),
    ((0, 11), "center", "bottom"),
    ((0, -11), "center", "top"),
    ((9, 10), "left", "bottom"),
    ((-9, -10), "right", "top"),
)
"""Offset in points and alignment of a label, best first."""


def _label_points(axes: "Axes", points: Sequence[_Point], floor: float) -> None:
    """Write each name where it covers neither a point nor another name, if there is such a place."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    places = axes.transData.transform([(p.size_mb, max(p.kld, floor)) for p in points])
    taken = [_Box(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    for point, (x, y) in zip(points, places, strict=True):
        boxes = [_label_box(x, y, point.name, place) for place in _PLACES]
        free = [index for index, one in enumerate(boxes) if not any(map(one.meets, taken))]
        chosen = free[0] if free else 0
        taken.append(boxes[chosen])
        offset, horizontal, vertical = _PLACES[chosen]
        axes.annotate(
            point.name, (point.size_mb, max(point.kld, floor)), offset,
            textcoords="offset points", ha=horizontal, va=vertical, color=_COLOURS["ink"],
        )  # fmt: skip


class _Box(NamedTuple):
    """A rectangle on the canvas."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: "_Box") -> bool:
        """Tell whether the rectangles overlap."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )


def _label_box(
    x: float, y: float, name: str, place: tuple[tuple[int, int], str, str]
) -> _Box:
    (right, up), horizontal, vertical = place
    width, height = 0.62 * _FONT_SIZE * len(name), 1.2 * _FONT_SIZE
    left = x + right - {"left": 0.0, "center": 0.5, "right": 1.0}[horizontal] * width
    bottom = y + up - {"bottom": 0.0, "center": 0.5, "top": 1.0}[vertical] * height
    return _Box(left, bottom, left + width, bottom + height)


# --- requirements ---------------------------------------------------------------------------------


class _Bar(NamedTuple):
    """One level in a panel: a number with its interval, in the panel's unit."""

    name: str
    value: float | None
    lower: float | None
    upper: float | None
    verdict: str


class _Panel(NamedTuple):
    """One requirement over all levels."""

    title: str
    axis: str
    limits: tuple[float, ...]
    """The limit; both ends of an equivalence margin."""
    fails_above: bool
    fails_below: bool
    bars: tuple[_Bar, ...]


def requirement_panels(results: Results) -> list[str]:
    """Draw each requirement as a forest plot: levels, intervals, the limit, the failing side.

    Returns:
        One SVG element a requirement; none without matplotlib.
    """
    if not is_available():
        return []
    drawn = []
    for number, panel in enumerate(_panels(results)):
        size = (330, 72 + 19 * len(panel.bars))
        drawn.append(_draw(f"requirement{number}", size, lambda axes, p=panel: _paint_panel(axes, p)))
    return drawn


def _panels(results: Results) -> Iterator[_Panel]:
    required: dict[str, MetricResult] = {}
    for level in results.levels:
        for key, metric in level.metrics.items():
            if metric.requirement is not None and _number(metric) is not None:
                required.setdefault(key, metric)
    for key, metric in required.items():
        yield _panel(results, key, metric)


def _number(metric: MetricResult) -> Any:
    """Return the estimate or the difference that the requirement looks at, if it has a value."""
    requirement = metric.requirement
    compared = requirement is not None and requirement.kind == "margin"
    number = metric.delta if compared else metric.estimate
    return None if number is None or number.value is None else number


def _panel(results: Results, key: str, metric: MetricResult) -> _Panel:
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
    return _Panel(
        title=fmt.one_line(f"{fmt.shorten(metric.title, 30)}: {limit_text(metric)}"),
        axis=f"difference from the reference, {name}" if is_margin else fmt.shorten(name, 30),
        limits=limits,
        fails_above=direction not in ("higher", "min"),
        fails_below=fails_below,
        bars=tuple(_bar(level.name, level.metrics.get(key), factor) for level in results.levels),
    )


def _bar(name: str, metric: MetricResult | None, factor: float) -> _Bar:
    name = fmt.shorten(name, _MAX_NAME)
    number = None if metric is None else _number(metric)
    if metric is None or number is None:
        return _Bar(name, None, None, None, LOST)
    value, lower, upper = (
        None if edge is None else edge * factor
        for edge in (number.value, number.lower, number.upper)
    )
    return _Bar(name, value, lower, upper, metric.verdict or NO_VERDICT)


def _window(panel: _Panel) -> tuple[float, float]:
    """Return the span to show: all that is near the limit, and zero."""
    edges = [edge for bar in panel.bars for edge in bar[1:4] if edge is not None]
    low, high = min([0.0, *edges, *panel.limits]), max([0.0, *edges, *panel.limits])
    reach = _CLIP * max(abs(limit) for limit in panel.limits)
    if reach > 0 and (panel.fails_above or min(panel.limits) < 0):
        low, high = max(low, -reach), min(high, reach)
    pad = 0.06 * ((high - low) or 1.0)
    return (low - pad if low < 0 else low), high + pad


def _paint_panel(axes: "Axes", panel: _Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = _window(panel)
    axes.set_xlim(low, high)
    axes.set_ylim(len(panel.bars) - 0.4, -0.6)
    axes.set_yticks(range(len(panel.bars)), [bar.name for bar in panel.bars])
    for label in axes.get_yticklabels():
        label.set_color(_COLOURS["ink"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(panel.axis)
    axes.set_title(panel.title)
    if low < 0 < high:
        axes.axvline(0, color=_COLOURS["line"], linewidth=1, zorder=0)
    _paint_failing_side(axes, panel, low, high)
    for row, bar in enumerate(panel.bars):
        _paint_bar(axes, bar, row, low, high)


def _paint_failing_side(axes: "Axes", panel: _Panel, low: float, high: float) -> None:
    red = _COLOURS["fail"]
    if panel.fails_above:
        axes.axvspan(max(panel.limits), high, color=red, alpha=0.09, linewidth=0, zorder=0)
    if panel.fails_below:
        axes.axvspan(low, min(panel.limits), color=red, alpha=0.09, linewidth=0, zorder=0)
    for limit in panel.limits:
        axes.axvline(limit, color=red, linewidth=1, linestyle=(0, (4, 3)), zorder=1)


def _paint_bar(axes: "Axes", bar: _Bar, row: int, low: float, high: float) -> None:
    colour, marker = _style(bar.verdict)
    if bar.value is None:
        axes.text(low, row, "  not measured", color=_COLOURS["muted"], va="center")
        return
    if low <= bar.value <= high:
        edges = (edge if edge is not None else bar.value for edge in (bar.lower, bar.upper))
        start, end = (min(max(edge, low), high) for edge in edges)
        axes.plot([start, end], [row, row], color=colour, linewidth=1.8, zorder=2)
        axes.plot(
            [bar.value], [row], marker, color=colour, markersize=7, zorder=3, clip_on=False
        )
        return
    is_high = bar.value > high
    edge, arrow, side = (high, ">", "right") if is_high else (low, "<", "left")
    text = fmt.quantity(bar.value, "")
    axes.plot([edge], [row], arrow, color=colour, markersize=7, zorder=3, clip_on=False)
    axes.annotate(
        text, (edge, row), (-9 if is_high else 9, 0), textcoords="offset points", ha=side,
        va="center", color=colour,
    )  # fmt: skip
