"""Options that several verbs share, and the talk on stderr."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click

from edgeeval.errors import one_line

workspace_option = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".edgeeval"),
    envvar="EDGEEVAL_WORKSPACE",
    show_default=True,
    help="Where artifacts, runs and results are kept.",
)
threads_option = click.option(
    "--threads", type=click.IntRange(1), help="Threads; the physical cores by default."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "metal"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress on stderr.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


_COUNTED = re.compile(r"\b\d[\d.,]* ?(of|%|MB|tensors|chunks).*")
"""What counts in a line of progress: `block 3 of 40`, `60 % written`."""


def words(value: str | None) -> tuple[str, ...]:
    """Split a comma-separated option."""
    return tuple(word.strip() for word in value.split(",") if word.strip()) if value else ()


def talker(quiet: bool) -> Callable[[str], None]:
    """Return the progress function: one line that is rewritten on a terminal, lines elsewhere."""
    if quiet:
        return lambda line: None
    if not sys.stderr.isatty():
        last_step = ""

        def say_starts(line: str) -> None:
            """Print a line unless only its numbers differ from the one before it."""
            nonlocal last_step
            step = _COUNTED.sub("", line)
            if step != last_step:
                click.echo(one_line(line), err=True)
            last_step = step

        return say_starts

    def rewrite(line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        click.echo(f"\r\x1b[2K{one_line(line)[:width]}", nl=False, err=True)

    return rewrite
