"""`edgeeval gate`: may this level be shipped? The exit code says it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

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
from edgeeval.errors import GateRefused, InputError

if TYPE_CHECKING:
    from edgeeval.pipeline.gate import GateOptions
    from edgeeval.records import Results

_FILE = click.Path(dir_okay=False, path_type=Path)
_OF_THE_DECISION = frozenset(
    {"results", "level", "baseline", "fail_on", "outputs", "github", "as_json", "quiet"}
)
"""Parameters that have a meaning where nothing is measured."""


@click.command()
@targets_argument
@click.option("--level", help="The level to judge.  [default: the recipe's `ship`, or any]")
@click.option("--baseline", type=_FILE, help="An earlier results.json: must not be worse than it.")
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice(["inconclusive"]),
    help="Count this as failed: exit code 3 instead of 4.",
)
@click.option("--results", type=_FILE, help="Judge this results.json; measure nothing.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=_FILE,
    help="Report to write; its ending chooses the format: junit.xml, report.html.",
)
@click.option(
    "--github/--no-github",
    envvar="GITHUB_ACTIONS",
    help="Annotations and step summary.  [default: where GITHUB_ACTIONS is true]",
)
@with_options(*MEASURE_OPTIONS, *BUILD_OPTIONS)
@click.option("--fresh", is_flag=True, help="Measure again what is in the workspace.")
@threads_option
@device_option
@workspace_option
@json_option
@quiet_option
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Measure RECIPE (as `eval` does) and say by the exit code whether a level may be shipped.

    Exit code 0: it keeps every requirement; 3: it fails one; 4: inconclusive, not measured, lost,
    or, before anything is run, a sample that could not show it; 2: bad input; 1: the reference
    could not be measured. Where one level is judged, only that one is measured.
    """
    from edgeeval.pipeline import results_dir
    from edgeeval.pipeline.gate import gate, gate_stored, only_what_is_judged
    from edgeeval.report import load_results, write_report, writer
    from edgeeval.report.github import refusal
    from edgeeval.store import Workspace

    for path in options["outputs"]:
        writer(path)  # a mistyped ending must not cost a whole measurement first
    asked = _asked(options)
    paths = list(options["outputs"])
    if options["results"] is not None:
        _refuse_measuring(context)
        results = gate_stored(load_results(options["results"]), asked)
    else:
        workspace, request = Workspace(options["workspace"]), request_from(options)
        # Its own folder: an `eval` of the whole recipe keeps its results.
        request = only_what_is_judged(request, asked.level or request.recipe.ship)
        try:
            results = gate(request, workspace, asked, talker(options["quiet"]), _warn)
        except GateRefused as error:
            if options["github"]:
                click.echo(refusal(str(error)), err=True)
            raise
        paths.append(results_dir(request, workspace) / "results.json")
    for path in paths:
        write_report(results, path)
    _print(results, paths, options)
    if options["github"]:
        _tell_github(results)
    assert results.gate is not None  # what both ways return
    raise SystemExit(results.gate.exit_code)


def _asked(options: dict[str, Any]) -> "GateOptions":
    from edgeeval.pipeline.gate import GateOptions
    from edgeeval.report import load_results

    path = options["baseline"]
    return GateOptions(
        level=options["level"],
        baseline=None if path is None else load_results(path),
        baseline_name="" if path is None else str(path),
        fail_on=options["fail_on"],
    )


def _refuse_measuring(context: click.Context) -> None:
    """Refuse what would change a measurement: verdicts are in the results, at their margins."""
    given = [
        parameter.opts[0] if isinstance(parameter, click.Option) else "RECIPE"
        for parameter in context.command.params
        if parameter.name is not None
        and parameter.name not in _OF_THE_DECISION
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise InputError(
            f"{', '.join(given)}: --results judges what was measured before; leave it out, or "
            "leave out --results"
        )


def _warn(line: str) -> None:
    from edgeeval.errors import one_line

    click.echo(f"edgeeval: {one_line(line)}", err=True)


def _print(results: "Results", paths: list[Path], options: dict[str, Any]) -> None:
    if options["as_json"]:
        from edgeeval.report.jsonfile import write

        click.echo(write(results), nl=False)
        return
    from rich.console import Console

    from edgeeval.report.table import print_summary

    if not options["quiet"]:
        click.echo(err=True)
    print_summary(results, Console())
    for path in paths:
        click.echo(path)


def _tell_github(results: "Results") -> None:
    """Add to the step's summary, and print annotations where a runner reads them."""
    import os

    from edgeeval.report.github import annotations, append_summary

    for line in annotations(results):
        click.echo(line, err=True)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        append_summary(results, Path(path))
