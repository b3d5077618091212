"""Print the summary in the terminal."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgeeval.errors import one_line
from edgeeval.records import Results
from edgeeval.report import format as fmt
from edgeeval.report.summary import FELL_BACK, Cell, Column, Row, Summary, summary
from edgeeval.report.view import STAR, Obstacle, answer, dominated, gate_text, obstacles

_STYLES = {
    "pass": "green",
    "fail": "red",
    "inconclusive": "yellow",
    "not measured": "magenta",
    "lost": "magenta",
    "same": "dim",
    "reference": "dim",
    "no verdict": "dim",
}
_GAP = 2
"""Spaces between columns."""
_WIDE = 100
_MAX_NAME, _MAX_NAME_NARROW = 22, 16
"""Characters of a level's name, in a terminal of at least _WIDE columns and in a narrower one."""
_WISHED_RANK = 5
"""An interval goes to a second line rather than that a column up to this rank goes away."""
_ALWAYS_RANK = 2
"""Columns up to this rank stay, however narrow the terminal is."""

_ASCII = str.maketrans(
    {
        "★": "*",
        "–": "-",
        "−": "-",
        "Δ": "d",
        "≤": "<=",
        "≥": ">=",
        "✓": "+",
        "✗": "x",
        "†": "!",
        "≡": "=",
    }
    | {"○": "o", "·": ".", "…": "~"}
)


class _Layout(NamedTuple):
    """What fits."""

    names: list[str]
    kept: list[Column]
    widths: list[int]
    dropped: list[Column]


def print_summary(results: Results, console: Console) -> None:
    """Print one row a level, the recommendation, and why the other levels are not it.

    Where the terminal is narrow, the least important columns are left out and named below.
    """
    table = summary(results)
    layout = _layout(table, console.width)
    _say(console, f"{results.name}: suite {results.suite}, policy {results.policy}", "bold")
    console.print(_table(table.rows, layout, console))
    for note in [*_notes(table.rows, layout), dominated(results)]:
        if note:
            _say(console, note, "dim")
    console.print()
    given = answer(results)
    headline = _text(f"{given.headline}.", console, "bold")
    console.print(Text(" ").join([headline, _text(given.reason, console)]))
    if given.not_covered:
        _say(console, given.not_covered, "dim")
    if found := obstacles(results):
        console.print(_obstacles(found, console))
    for text in results.watermarks:
        _say(console, f"! {text}", "bold yellow")
    if gate := gate_text(results):
        _say(console, f"{gate.headline}. {gate.reason}", "bold")
        for text in gate.notes:
            _say(console, f"! {text}", "yellow")


def _say(console: Console, text: str, style: str) -> None:
    console.print(_text(text, console, style))


def _text(text: str, console: Console, style: str = "") -> Text:
    """Return a foreign text as one line without markup."""
    return Text(_spoken(one_line(text), console), style=style)


def _spoken(text: str, console: Console) -> str:
    """Return what the terminal's encoding can say: a star must not end an hour in a traceback."""
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII).encode("ascii", "replace").decode()
    return text


def _notes(rows: Sequence[Row], layout: _Layout) -> list[str]:
    notes = ["Brackets: 95 % interval."]
    notes += [column.note for column in layout.kept if column.note]
    notes += [_fell_back(rows, column) for column in layout.dropped if column.title == FELL_BACK]
    if layout.dropped:
        names = ", ".join(column.title for column in layout.dropped)
        notes.append(f"Left out at this width; the reports have it all: {names}.")
    return notes


def _fell_back(rows: Sequence[Row], column: Column) -> str:
    """Say in a line what a column would have said."""
    names: dict[str, list[str]] = {}
    for row, cell in zip(rows, column.cells, strict=True):
        if cell.text != fmt.MISSING:
            names.setdefault(cell.text, []).append(fmt.shorten(row.name, _MAX_NAME))
    shares = (f"{share} of {', '.join(levels)}" for share, levels in names.items())
    return f"Fell back to other tensor types: {'; '.join(shares)}."


def _obstacles(found: Sequence[Obstacle], console: Console) -> Table:
    max_name = _MAX_NAME if console.width >= _WIDE else _MAX_NAME_NARROW
    table = Table.grid(padding=(0, _GAP, 0, 0))
    for one in found:
        style = _STYLES[one.verdict]
        name = fmt.shorten(one.level, max_name)
        table.add_row(
            _text(name, console), _text(one.verdict, console, style), _text(one.why, console)
        )
    return table


def _layout(table: Summary, width: int) -> _Layout:
    """Choose the columns that fit: with intervals in line if that costs little, else below."""
    max_name = _MAX_NAME if width >= _WIDE else _MAX_NAME_NARROW
    names = [_name(row, max_name) for row in table.rows]
    room = width - max(map(len, names)) - max(len(row.verdict) for row in table.rows) - _GAP
    layout = _fitting(names, table.columns, room, _width_in_line)
    if all(column.rank > _WISHED_RANK for column in layout.dropped):
        return layout
    return _relaxed(_fitting(names, table.columns, room, _width_broken), room)


def _width_in_line(column: Column) -> int:
    return max(_head_width(column.title), *(len(cell.text) for cell in column.cells))


def _width_broken(column: Column) -> int:
    lines = [line for cell in column.cells for line in cell.lines]
    return max(_head_width(column.title), *map(len, lines))


def _head_width(title: str) -> int:
    """Headings may wrap at spaces."""
    return max(len(word) for word in title.split())


def _fitting(
    names: list[str], columns: Sequence[Column], room: int, measure: Callable[[Column], int]
) -> _Layout:
    """Leave out columns, the least important first, until the rest fits."""
    kept = list(columns)
    dropped: list[Column] = []
    while True:
        widths = [measure(column) for column in kept]
        droppable = [column for column in kept if column.rank > _ALWAYS_RANK]
        if _needed(widths) <= room or not droppable:
            return _Layout(names, kept, widths, dropped)
        least = max(droppable, key=lambda column: column.rank)
        kept.remove(least)
        dropped.append(least)


def _needed(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * len(widths)


def _relaxed(layout: _Layout, room: int) -> _Layout:
    """Give what room is left to the columns that need least of it to stand in line."""
    widths = list(layout.widths)
    in_line = [_width_in_line(column) for column in layout.kept]
    for index in sorted(range(len(widths)), key=lambda index: in_line[index] - widths[index]):
        wider = [*widths[:index], in_line[index], *widths[index + 1 :]]
        if _needed(wider) <= room:
            widths = wider
    return layout._replace(widths=widths)


def _name(row: Row, max_length: int) -> str:
    star = f"{STAR} " if row.is_recommended else "  "
    return star + fmt.shorten(row.name, max_length)


def _table(rows: Sequence[Row], layout: _Layout, console: Console) -> Table:
    # The box draws one space of the gap itself.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("  level")
    for column, width in zip(layout.kept, layout.widths, strict=True):
        title = _text(column.title, console)
        table.add_column(title, justify="right", vertical="top", max_width=width)
    table.add_column("verdict")
    for index, (name, row) in enumerate(zip(layout.names, rows, strict=True)):
        table.add_row(
            Text(_spoken(name, console), style="bold" if row.is_recommended else ""),
            *(
                _cell(column.cells[index], width, console)
                for column, width in zip(layout.kept, layout.widths, strict=True)
            ),
            _text(row.verdict, console, _STYLES[row.verdict]),
        )
    return table


def _cell(cell: Cell, width: int, console: Console) -> Text:
    text = cell.text if len(cell.text) <= width else "\n".join(cell.lines)
    return Text(_spoken(text, console), style=_STYLES.get(cell.verdict, ""))
