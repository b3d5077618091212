"""`edgeeval verify`: derive a results.json again from what is in the workspace."""

from pathlib import Path

import click

from edgeeval.cli.options import json_option, quiet_option, talker, workspace_option
from edgeeval.errors import EXIT_ERROR

_MARKS = {"holds": "ok", "differs": "FAIL", "cannot be shown": "-"}


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@workspace_option
@json_option
@quiet_option
def command(results: Path, workspace: Path, as_json: bool, quiet: bool) -> None:
    """Derive every number of RESULTS (a results.json) again, past every cache.

    Exit code 0: all of it holds; 1: something differs, and is named; 2: the workspace lacks what
    the results were made of.
    """
    import json

    from edgeeval.errors import one_line
    from edgeeval.pipeline.verify import verify
    from edgeeval.store import Workspace

    checks = []
    for check in verify(results, Workspace(workspace), talker(quiet)):
        checks.append(check)
        if not as_json:
            click.echo(f"{_MARKS[check.outcome]:<4}  {check.name}: {one_line(check.said)}")
    if as_json:
        click.echo(json.dumps([check._asdict() for check in checks], indent=1))
    n_differ = sum(check.outcome == "differs" for check in checks)
    if not as_json:
        click.echo(f"{len(checks)} checks, {n_differ} differ" if n_differ else
                   f"{len(checks)} checks: everything can be derived again")  # fmt: skip
    if n_differ:
        raise SystemExit(EXIT_ERROR)
