"""Turn a matplotlib drawing into an SVG element that stands inside a page.

The same drawing gives the same bytes, so that a report can be compared and cached.

The page's colours change between light and dark. matplotlib draws with the light palette, and each
colour then becomes a CSS variable with the light colour to fall back on.
"""

import importlib.util
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "ink": "#1c2024",
    "muted": "#62686f",
    "line": "#d3d7dc",
    "pass": "#1a7f4b",
    "fail": "#c4322b",
    "unsure": "#9a6200",
}
"""CSS variable -> its light value; `template.html.j2` gives both values."""

FONT_SIZE = 10
_POINTS_PER_INCH = 72


def is_available() -> bool:
    """Tell whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(
    name: str,
    size: tuple[float, float],
    paint: "Callable[[Axes], None]",
    finish: "Callable[[Axes], None] | None" = None,
) -> str:
    """Return what `paint` draws as an SVG element.

    Args:
        name: prefix of every id, for several figures share one page.
        size: width and height in points.
        paint: draws on the axes given.
        finish: draws what has to know where the rest has come to lie.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # Only widths are taken from this font; the page's own font has the missing characters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # Labels that need more room than there is: the figure is drawn without that adjustment.
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        matplotlib.rcdefaults()  # a person's own matplotlibrc must not change the report
        matplotlib.rcParams.update(_rc(name))
        width, height = (length / _POINTS_PER_INCH for length in size)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        paint(axes)
        if finish is not None:
            figure.draw_without_rendering()
            finish(axes)
        return _for_page(_svg_of(figure), name)


def _rc(name: str) -> dict[str, Any]:
    ink, muted = COLOURS["ink"], COLOURS["muted"]
    return {
        "figure.dpi": _POINTS_PER_INCH,  # so that a pixel of the layout is a point of the figure
        "svg.fonttype": "none",
        "svg.hashsalt": f"edgeeval-{name}",
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": FONT_SIZE,
        "text.color": ink,
        "axes.labelcolor": muted,
        "axes.edgecolor": muted,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": FONT_SIZE + 1,
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
    for variable, colour in COLOURS.items():
        svg = re.sub(rf"(fill|stroke): {colour}", rf"\1: var(--{variable}, {colour})", svg)
    return svg.strip()
