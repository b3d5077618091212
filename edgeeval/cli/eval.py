"""`edgeeval eval`: the whole flow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeeval.cli.options import (
    device_option,
    json_option,
    quiet_option,
    talker,
    threads_option,
    workspace_option,
)
from edgeeval.cli.targets import (
    BUILD_OPTIONS,
    MEASURE_OPTIONS,
    request_from,
    targets_argument,
    with_options,
)
from edgeeval.errors import EXIT_INCOMPLETE, InputError

if TYPE_CHECKING:
    from edgeeval.records import Results


@click.command()
@targets_argument
@with_options(*MEASURE_OPTIONS, *BUILD_OPTIONS)
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Reports go here.")
@click.option("--fresh", is_flag=True, help="Measure again what is in the workspace.")
@threads_option
@device_option
@workspace_option
@json_option
@quiet_option
def command(**options: Any) -> None:
    """Measure every level of RECIPE (a name or a YAML file), or of FILES against --reference.

    MODEL stands for a recipe: a Hugging Face folder, a GGUF file to quantize, hf:owner/name, or
    hf:owner/name:FILE.gguf; --levels says what to build of it.

    Goes on where an earlier call was stopped. Exit code 0: every level was measured; 4: a level was
    lost; 1: the reference could not be measured; 2: bad input.
    """
    from edgeeval.pipeline import evaluate, results_dir
    from edgeeval.report import write_report
    from edgeeval.store import Workspace

    workspace = Workspace(options["workspace"])
    request = request_from(options)
    if options["output"] is not None:
        _make(options["output"])  # now, and not after minutes of measuring
    results = evaluate(request, workspace, talker(options["quiet"]))
    folder = options["output"] or results_dir(request, workspace)
    paths = [folder / name for name in ("report.html", "report.md", "results.json")]
    for path in paths:
        write_report(results, path)
    _print(results, paths, options["as_json"], options["quiet"])
    if any(level.status == "lost" for level in results.levels):
        raise SystemExit(EXIT_INCOMPLETE)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {folder}: cannot be made: {error.strerror}") from None


def _print(results: "Results", paths: list[Path], as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(paths[-1].read_text(encoding="utf-8"), nl=False)
        return
    from rich.console import Console

    from edgeeval.report.table import print_summary

    if not quiet:
        click.echo(err=True)
    print_summary(results, Console())
    for path in paths:
        click.echo(path)
