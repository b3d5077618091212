"""Tell people what an evaluation found. One file a format; the table below names them.

    view.py        what every reader sees first, as plain texts: answer, reasons, requirements
    summary.py     the table of all levels
    details.py     everything else, as plain texts
    format.py      how a number becomes text
    table.py       the terminal
    html.py        the page that people share, with pictures from charts.py (svg.py, labels.py)
    markdown.py    the same for a repository or a pull request
    jsonfile.py    the results document itself, written and read
    side_by_side.py  two evaluations, number by number
    junit.py       the gate's cases, for the test tab of a CI server
    github.py      annotations and step summary of GitHub Actions
    csvfile.py     one line a number, for a spreadsheet or a data frame

A report is made from a `Results` document alone, so it can be made again at any time.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

from edgeeval.errors import InputError
from edgeeval.records import Results
from edgeeval.store import write_atomic

WRITERS = {
    ".html": "edgeeval.report.html:write",
    ".md": "edgeeval.report.markdown:write",
    ".json": "edgeeval.report.jsonfile:write",
    ".csv": "edgeeval.report.csvfile:write",
    ".xml": "edgeeval.report.junit:write",
}
"""File suffix -> "module:function"; the function turns results into the file's text."""

Writer = Callable[[Results], str]


def writer(path: Path) -> Writer:
    """Return the function that writes a report of this file's kind.

    A command asks before it computes for an hour, so that a mistyped suffix costs nothing.

    Raises:
        InputError: no format has this suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        known = ", ".join(sorted(WRITERS))
        raise InputError(f"{path}: no report format has the suffix {suffix!r} (known: {known})")
    module, function = WRITERS[suffix].split(":")
    return cast(Writer, getattr(importlib.import_module(module), function))


def write_report(results: Results, path: Path) -> None:
    """Write a report in the format that the file's suffix names, whole or not at all.

    Raises:
        InputError: no format has this suffix, or the file cannot be written there.
    """
    text = writer(path)(results)
    # A file name that is not UTF-8 reaches us with lone surrogates, which no file can hold.
    data = text.encode("utf-8", "replace")
    try:
        write_atomic(path, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def load_results(path: Path) -> Results:
    """Read a results document.

    Raises:
        InputError: the file cannot be read or is not one; names file and key.
    """
    from edgeeval.report.jsonfile import read

    return read(path)
