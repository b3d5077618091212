"""Print two evaluations side by side."""

from collections.abc import Collection, Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgeeval.errors import one_line
from edgeeval.report import format as fmt
from edgeeval.report.side_by_side import MetricPair, SideBySide, explain

_WORDS = {"other items": "of other items", "no interval": "without interval"}
_STYLES = {"higher": "bold", "lower": "bold", "other items": "dim", "not told apart": "dim"}
_COUNTED = ("equal", "undefined")
"""Statements that are counted and not shown."""
_NO_NEWS = ("not told apart", "other items", "no interval")
"""These are shown where something is required of the metric."""
_MAX_NAME = 24


def print_side_by_side(found: SideBySide, console: Console) -> None:
    """Print what differs in what was asked, then in what came out."""
    if found.asked:
        console.print(_text("What was not the same:", "bold"))
        console.print(_asked(found))
    for note in found.notes:
        console.print(_text(note, "dim"))
    common = [one.level for one in found.levels if one.status_a and one.status_b]
    for side, levels in _alone(found):
        console.print(_text(f"Only in {side}: {', '.join(levels)}."))
    shown = [one for one in found.metrics if _is_shown(one, common)]
    if shown:
        console.print(_metrics(shown))
    for line in _counted(found, shown):
        console.print(_text(line, "dim"))
    for change in found.verdict_changes:
        console.print(_text(f"Verdict: {change}", "bold yellow"))
    if not found.verdict_changes:
        console.print(_text("No verdict changed."))
    console.print(_text(_recommendation(found), "bold"))


def _text(text: str, style: str = "") -> Text:
    return Text(one_line(text), style=style)


def _asked(found: SideBySide) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in ("", "A", "B"):
        table.add_column(head, overflow="fold")
    for one in found.asked:
        table.add_row(*map(_text, (one.what, one.a, one.b)))
    return table


def _alone(found: SideBySide) -> Iterator[tuple[str, list[str]]]:
    """Yield the levels that one evaluation has alone."""
    for side, status in (("A", "status_b"), ("B", "status_a")):
        levels = [one.level for one in found.levels if not getattr(one, status)]
        if levels:
            yield side, levels


def _is_shown(one: MetricPair, common: Collection[str]) -> bool:
    if one.statement in _COUNTED or one.level not in common:
        return False
    return one.is_required or one.statement not in _NO_NEWS


def _metrics(shown: list[MetricPair]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("level", no_wrap=True)
    table.add_column("metric", overflow="fold")
    for head in ("A", "B", "B − A"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("B is", no_wrap=True)
    for one in shown:
        unit = fmt.POINTS if one.unit == "share" else one.unit
        change = one.difference
        table.add_row(
            _text(fmt.shorten(one.level, _MAX_NAME)),
            _text(one.key),
            fmt.quantity(one.a.value, one.unit, one.a.lower, one.a.upper),
            fmt.quantity(one.b.value, one.unit, one.b.lower, one.b.upper),
            fmt.interval(change.value, change.lower, change.upper, unit, signed=True),
            _text(_WORDS.get(one.statement, one.statement), _STYLES.get(one.statement, "")),
        )
    return table


def _counted(found: SideBySide, shown: list[MetricPair]) -> Iterator[str]:
    """Say what the table leaves out, and what its words mean."""
    hidden = [one.statement for one in found.metrics if one not in shown]
    for statement in dict.fromkeys(hidden):
        yield f"{hidden.count(statement)} more: {explain(statement)} (--json has them)."
    if any(one.difference.lower is not None for one in found.metrics):
        yield (
            "Intervals of B − A are unpaired: of the same items a paired one, from the journals, "
            "would be narrower. Of cost.* they are ranges of repetitions."
        )


def _recommendation(found: SideBySide) -> str:
    a, b = found.recommended_a or "no level", found.recommended_b or "no level"
    return f"Both recommend {a}." if a == b else f"A recommends {a}, B {b}."
