"""Tell GitHub Actions what the gate decided: annotations, and the step's summary.

The limits are GitHub's: a runner shows 10 annotations of each kind a step and drops the rest in
silence, and refuses a summary beyond 1024 KiB as a whole. So what would be dropped is counted in
the last one that is shown, and a summary is cut between two of its sections.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgeeval.errors import InputError, one_line
from edgeeval.records import Results
from edgeeval.report import markdown
from edgeeval.report.view import case_title, gate_text

MAX_ANNOTATIONS = 10
"""Of one kind."""
MAX_SUMMARY_BYTES = 1024 * 1024
_MAX_MESSAGE = 2_000
"""Characters; a longer one is unreadable in the list."""
_CUT = "\n## Left out\n\nThe rest is in the reports: a step's summary holds 1 MiB.\n"

_KINDS = {"fail": "error", "lost": "error", "inconclusive": "warning", "not measured": "warning"}


class Annotation(NamedTuple):
    """A line in the list that GitHub shows beside a run."""

    kind: str
    title: str
    message: str

    def command(self) -> str:
        """Return the workflow command; what comes from strangers' files cannot end it early."""
        title = _escaped(self.title).replace(":", "%3A").replace(",", "%2C")
        return f"::{self.kind} title={title}::{_escaped(self.message)}"


def _escaped(text: str) -> str:
    line = one_line(text)
    line = line if len(line) <= _MAX_MESSAGE else f"{line[: _MAX_MESSAGE - 1]}…"
    return line.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def annotations(results: Results) -> list[str]:
    """Return workflow commands, one a line; at most ten of a kind."""
    by_kind: dict[str, list[Annotation]] = {"error": [], "warning": [], "notice": []}
    for one in _annotations(results):
        by_kind[one.kind].append(one)
    return [one.command() for found in by_kind.values() for one in _at_most_ten(found)]


def refusal(message: str) -> str:
    """Return the command that annotates a run with why nothing was measured."""
    return Annotation("error", "edgeeval gate: refused", message).command()


def _annotations(results: Results) -> Iterator[Annotation]:
    gate = gate_text(results)
    if gate is None or results.gate is None:
        return
    passed = results.gate.exit_code == 0
    yield Annotation("notice" if passed else "error", gate.headline, gate.reason)
    for case in results.gate.cases:
        if case.decides and case.verdict != "pass":
            kind = "error" if case.verdict in results.gate.fail_on else _KINDS[case.verdict]
            title = f"{case.level}: {case_title(case)}: {case.verdict}"
            yield Annotation(kind, title, case.reason)
    for text in (*gate.notes, *results.watermarks):
        yield Annotation("warning", results.name, text)


def _at_most_ten(found: list[Annotation]) -> list[Annotation]:
    if len(found) <= MAX_ANNOTATIONS:
        return found
    shown, rest = found[: MAX_ANNOTATIONS - 1], found[MAX_ANNOTATIONS - 1 :]
    titles = "; ".join(one.title for one in rest)
    return [*shown, Annotation(found[0].kind, f"and {len(rest)} more", titles)]


def step_summary(results: Results, room_bytes: int = MAX_SUMMARY_BYTES) -> str:
    """Return the Markdown report, cut to what fits between two sections; empty if nothing does."""
    text = markdown.write(results)
    if len(text.encode("utf-8", "replace")) <= room_bytes:
        return text
    room_bytes -= len(_CUT.encode())
    kept = ""
    for part in text.split("\n## "):
        longer = f"{kept}\n## {part}" if kept else part
        if len(longer.encode("utf-8", "replace")) > room_bytes:
            break
        kept = longer
    return kept + _CUT if kept else ""


def append_summary(results: Results, path: Path) -> None:
    """Add the report to a step's summary, which other commands of the step may have begun.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        taken = path.stat().st_size if path.exists() else 0
        text = step_summary(results, MAX_SUMMARY_BYTES - taken)
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
