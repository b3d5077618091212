"""Print the summary in the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgeeval.records import Results
from edgeeval.report import format as fmt
from edgeeval.report.view import (
    STAR,
    VERDICT_MARKS,
    Column,
    Row,
    Summary,
    answer,
    obstacles,
    size_against_reference,
    summary,
)

_STYLES = {
    "pass": "green",
    "fail": "red",
    "inconclusive": "yellow",
    "not measured": "magenta",
    "lost": "magenta",
    "reference": "dim",
    "no verdict": "dim",
}
_GAP = 2
"""Spaces between columns."""
_MAX_NAME = 24
_ALWAYS_RANK = 2
"""Columns up to this rank stay, however narrow the terminal is; their texts wrap."""

_ASCII = str.maketrans(
    {"★": "*", "–": "-", "−": "-", "Δ": "d", "≤": "<=", "≥": ">=", "✓": "+", "✗": "x", "†": "!"}
    | {"○": "o", "·": ".", "…": "~"}
)


def print_summary(results: Results, console: Console) -> None:
    """Print one row a level, the recommendation, and why the other levels are not it.

    Where the terminal is narrow, the least important columns are left out and named below.
    """
    table = summary(results)
    kept, dropped = _fitting(table, console.width)
    heading = f"{results.name}: suite {results.suite}, policy {results.policy}"
    _say(console, Text(fmt.one_line(heading), style="bold"))
    console.print(_table(table.rows, kept, console))
    for note in _notes(results, table, dropped):
        _say(console, Text(fmt.one_line(note), style="dim"))
    console.print()
    _print_answer(results, console)
    for one in obstacles(results):
        line = Text("  ")
        line.append(f"{fmt.shorten(one.level, _MAX_NAME)} ", style="bold")
        line.append(f"{one.verdict}: ", style=_STYLES[one.verdict])
        line.append(fmt.one_line(one.why))
        _say(console, line)
    for text in results.watermarks:
        _say(console, Text(f"! {fmt.one_line(text)}", style="bold yellow"))


def _print_answer(results: Results, console: Console) -> None:
    given = answer(results)
    line = Text(fmt.one_line(f"{given.headline}. "), style="bold")
    line.append(" ")
    line.append(given.reason, style="not bold")
    _say(console, line)
    if given.not_covered:
        _say(console, Text(fmt.one_line(given.not_covered), style="dim"))


def _say(console: Console, text: Text) -> None:
    """Print a line that wraps at words; foreign text is never read as markup."""
    text.plain = _spoken(text.plain, console)
    console.print(text, soft_wrap=False)


def _spoken(text: str, console: Console) -> str:
    """Return what the terminal's encoding can say: an hour's results must not end in a traceback.

    Translation keeps most lengths, so that styles stay where they were.
    """
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII).encode("ascii", "replace").decode()
    return text


def _notes(results: Results, table: Summary, dropped: Sequence[Column]) -> list[str]:
    notes = ["Brackets: 95 % interval.", *table.notes]
    fell_back = next((column for column in dropped if column.title == "fell back"), None)
    if fell_back is not None:
        shares = (
            f"{row.name} {cell.text}"
            for row, cell in zip(table.rows, fell_back.cells, strict=True)
            if cell.text != fmt.MISSING
        )
        notes.append(f"fell back to other types: {', '.join(shares)}")
    if dropped:
        names = ", ".join(column.title for column in dropped)
        notes.append(f"Left out at this width, and in every report: {names}")
    return notes


def _fitting(table: Summary, width: int) -> tuple[list[Column], list[Column]]:
    """Return the columns that fit, and those that do not, least important first."""
    kept, dropped = list(table.columns), []
    while _needed(table.rows, kept) > width:
        least = max(kept, key=lambda column: column.rank, default=None)
        if least is None or least.rank <= _ALWAYS_RANK:
            break
        kept.remove(least)
        dropped.append(least)
    return kept, dropped


def _needed(rows: Sequence[Row], columns: Sequence[Column]) -> int:
    names = max(len(_name(row)) for row in rows)
    verdicts = max(len(_verdict(row)) for row in rows)
    widths = [max(_head_width(c.title), *(len(cell.text) for cell in c.cells)) for c in columns]
    return names + verdicts + sum(widths) + _GAP * (len(widths) + 1)


def _head_width(title: str) -> int:
    """Headings may wrap at spaces."""
    return max(len(word) for word in title.split())


def _name(row: Row) -> str:
    star = f"{STAR} " if row.is_recommended else "  "
    return star + fmt.shorten(row.name, _MAX_NAME)


def _verdict(row: Row) -> str:
    return f"{VERDICT_MARKS[row.verdict]} {row.verdict}"


def _table(rows: Sequence[Row], columns: Sequence[Column], console: Console) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("  level")
    for column in columns:
        table.add_column(_spoken(column.title, console), justify="right", vertical="top")
    table.add_column("verdict", no_wrap=True)
    for index, row in enumerate(rows):
        cells = [column.cells[index] for column in columns]
        table.add_row(
            Text(_spoken(_name(row), console), style="bold" if row.is_recommended else ""),
            *(
                Text(_spoken(cell.text, console), style=_STYLES.get(cell.verdict, ""))
                for cell in cells
            ),
            Text(_spoken(_verdict(row), console), style=_STYLES[row.verdict]),
        )
    return table
