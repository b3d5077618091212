"""Write the report as one page that needs nothing else: no script, no font, no address.

It opens from a mail attachment, on a phone, offline and in ten years. Every text is escaped by the
template engine, and a content security policy forbids what an escape might have missed.
"""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from edgeeval.errors import one_line
from edgeeval.records import Results
from edgeeval.report import charts, details, view
from edgeeval.report import format as fmt
from edgeeval.report.summary import Summary, summary
from edgeeval.report.svg import is_available

if TYPE_CHECKING:
    from jinja2 import Template

_TILE_TITLES = ("mean KLD", "PPL ratio", "accuracy (Δ)", "flips", "harm", "tokens/s")
"""Columns of the summary that are repeated, large, for the recommended level."""


def write(results: Results) -> str:
    """Return the page."""
    return _template().render(_context(results)).rstrip() + "\n"


def _clean(value: Any) -> Any:
    """Take control characters and direction marks out of every text that enters the page."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return one_line(value)
    return value


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    text = files("edgeeval.report").joinpath("template.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    return environment.from_string(text)


def _context(results: Results) -> dict[str, Any]:
    table = summary(results)
    return {
        "results": results,
        "answer": view.answer(results),
        "gate": view.gate_text(results),
        "dominated": view.dominated(results),
        "tiles": _tiles(table),
        "summary": table,
        "obstacles": view.obstacles(results),
        "requirements": _by_requirement(results),
        "dimensions": details.dimensions(results),
        "tables": [
            ("Files", *details.artifacts(results)),
            ("Prompt sets", *details.prompt_sets(results)),
            ("Judges", *details.judges(results)),
        ],
        "facts": [
            ("Environment", details.environment(results)),
            ("Timings", details.timings(results)),
        ],
        "method_note": details.METHOD_NOTE,
        "marks": view.VERDICT_MARKS,
        "star": view.STAR,
        **_figures(results),
    }


def _by_requirement(results: Results) -> list[list[view.RequirementRow]]:
    """Group by requirement: a reader compares levels."""
    groups: dict[str, list[view.RequirementRow]] = {}
    for row in view.requirement_rows(results):
        groups.setdefault(row.key, []).append(row)
    return list(groups.values())


def _tiles(table: Summary) -> list[tuple[str, str]]:
    index = next((i for i, row in enumerate(table.rows) if row.is_recommended), None)
    if index is None:
        return []
    return [
        (column.title, column.cells[index].text)
        for column in table.columns
        if column.title in _TILE_TITLES and column.cells[index].text != fmt.MISSING
    ]


def _figures(results: Results) -> dict[str, Any]:
    """Return the figures, marked as safe: charts.py drew them and escaped their texts."""
    from markupsafe import Markup

    size = charts.size_and_divergence(results)
    return {
        "has_matplotlib": is_available(),
        "size_figure": None if size is None else Markup(size),  # noqa: S704 - charts.py escaped it
        "panels": [
            (panel.title, panel.limit, Markup(panel.svg))  # noqa: S704 - as above
            for panel in charts.requirement_panels(results)
        ],
    }
