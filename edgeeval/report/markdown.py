"""Write the report as GitHub-flavoured Markdown, for a repository or a pull request.

Names, paths, groups and reasons come from files that strangers made. Each is escaped where it
enters, so that none can end a table's cell, open a tag or pose as a link.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from edgeeval.errors import one_line
from edgeeval.records import Results
from edgeeval.report import details
from edgeeval.report.summary import summary
from edgeeval.report.view import (
    STAR,
    VERDICT_MARKS,
    answer,
    dominated,
    gate_text,
    obstacles,
    requirement_rows,
)

_SPECIAL = re.compile(r"[\\`*|~$]|\](?=[(\[])")
_PLAIN_CODE = re.compile(r"[\w .:/@=+,()%-]+", re.ASCII)


def escape(text: str) -> str:
    """Return foreign text as one line that Markdown and HTML leave alone."""
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\g<0>", line)


def _code(text: str) -> str:
    """Return a key or a hash as code, so that "@judge" mentions nobody."""
    line = one_line(text)
    return f"`{line}`" if _PLAIN_CODE.fullmatch(line) else escape(line)


def write(results: Results) -> str:
    """Return the report."""
    parts = [
        _head(results),
        _summary(results),
        _requirements(results),
        _dimensions(results),
        _origins(results),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table of cells that are Markdown already."""
    yield _line(heads)
    yield _line(["---"] * len(heads))
    for row in rows:
        yield _line(row)
    yield ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(results: Results) -> Iterator[str]:
    given = answer(results)
    yield f"# {escape(results.name)}: which quantization level to ship"
    yield ""
    for text in results.watermarks:
        yield f"> **Note:** {escape(text)}"
        yield ""
    yield f"**{escape(given.headline)}.** {escape(given.reason)}"
    yield ""
    if given.share:
        yield f"Size: {escape(given.share)}."
        yield ""
    if given.not_covered:
        yield escape(given.not_covered)
        yield ""
    yield from _gate(results)
    yield (
        f"Suite {_code(results.suite)}, policy {_code(results.policy)}, reference "
        f"{_code(results.reference.name)}, edgeeval {_code(results.environment.edgeeval)}."
    )
    yield ""


def _gate(results: Results) -> Iterator[str]:
    gate = gate_text(results)
    if gate is None:
        return
    yield f"**{escape(gate.headline)}.** {escape(gate.reason)}"
    yield ""
    for note in gate.notes:
        yield f"> **Note:** {escape(note)}"
        yield ""
    if gate.cases:
        yield from _table(
            ("level", "the gate asks", "verdict", "reason"),
            (
                (escape(level), escape(what), _verdict(verdict), escape(reason))
                for level, what, verdict, reason in gate.cases
            ),
        )


def _summary(results: Results) -> Iterator[str]:
    table = summary(results)
    yield "## Summary"
    yield ""
    rows = []
    for index, row in enumerate(table.rows):
        name = f"{STAR} **{escape(row.name)}**" if row.is_recommended else escape(row.name)
        cells = [_with_mark(column.cells[index]) for column in table.columns]
        rows.append([name, *cells, _verdict(row.verdict)])
    yield from _table(["level", *(escape(c.title) for c in table.columns), "verdict"], rows)
    yield f"{STAR} recommended. Brackets hold 95 % intervals."
    for column in table.columns:
        if column.note:
            yield escape(column.note)
    if note := dominated(results):
        yield escape(note)
    yield ""
    for one in obstacles(results):
        yield f"- **{escape(one.level)}** {one.verdict}: {escape(one.why)}"
    yield ""


def _with_mark(cell: tuple[str, str]) -> str:
    text, verdict = cell
    return f"{escape(text)} {VERDICT_MARKS[verdict]}" if verdict else escape(text)


def _verdict(verdict: str) -> str:
    return f"{VERDICT_MARKS[verdict]} {verdict}" if verdict else ""


def _requirements(results: Results) -> Iterator[str]:
    rows = requirement_rows(results)
    yield "## Requirements"
    yield ""
    if not rows:
        yield "Nothing was required."
        yield ""
        return
    yield from _table(
        ("level", "requirement", "measured", "limit", "verdict", "reason", "p pass / fail"),
        (
            (
                escape(row.level),
                f"{escape(row.title)} {_code(row.key)}",
                escape(row.measured),
                escape(row.limit),
                _verdict(row.verdict),
                escape(row.reason),
                escape(row.evidence),
            )
            for row in rows
        ),
    )
    sources = dict.fromkeys(f"{row.key.split('@')[0]}: {row.source}" for row in rows)
    yield f"Limits set by: {escape('; '.join(sources))}."
    yield ""


def _dimensions(results: Results) -> Iterator[str]:
    found = details.dimensions(results)
    for dimension in found:
        yield f"## {escape(dimension.title)}"
        yield ""
        for block in dimension.blocks:
            yield f"**{escape(block.title)}** {_code(block.key)} ({escape(block.about)})"
            yield ""
            yield from _table(
                ("level", "value", "difference", "n", "verdict", "remark"),
                ([*map(escape, row[:4]), _verdict(row.verdict), escape(row.remark)]
                 for row in block.rows),
            )  # fmt: skip
    grouped = [block for dimension in found for block in dimension.blocks if block.groups]
    if grouped:
        yield "## By group, set and threshold"
        yield ""
        yield "Exploratory: nothing here was corrected for looking at many groups."
        yield ""
    for block in grouped:
        yield from _groups(block)


def _groups(block: details.MetricBlock) -> Iterator[str]:
    if block.groups is None:
        return
    yield f"<details><summary>{escape(block.title)} ({escape(block.key)})</summary>"
    yield ""
    yield from _table(
        ["group", *map(escape, block.groups.levels)],
        ([escape(name), *map(escape, texts)] for name, texts in block.groups.rows),
    )
    yield "</details>"
    yield ""


def _origins(results: Results) -> Iterator[str]:
    tables = (
        ("Files", details.artifacts(results)),
        ("Prompt sets", details.prompt_sets(results)),
        ("Judges", details.judges(results)),
        ("Environment", (("what", "value"), details.environment(results))),
        ("Timings", (("what", "value"), details.timings(results))),
    )
    for title, (heads, rows) in tables:
        if rows:
            yield f"## {title}"
            yield ""
            yield from _table(heads, ([*map(escape, row)] for row in rows))
    yield "## How to read this"
    yield ""
    for paragraph in details.METHOD_NOTE:
        yield escape(paragraph)
        yield ""
