"""`edgeeval doctor`: is everything there?"""

from pathlib import Path

import click

from edgeeval.cli.options import json_option, workspace_option
from edgeeval.errors import EXIT_ERROR


@click.command()
@workspace_option
@json_option
def command(workspace: Path, as_json: bool) -> None:
    """Check Python, packages, engine, CPU features, judge, disk; exit 1 if something fails."""
    import json

    from edgeeval.doctor import examine
    from edgeeval.store import Workspace

    checks = examine(Workspace(workspace))
    if as_json:
        click.echo(json.dumps([check._asdict() for check in checks], indent=1))
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<12} {check.found}")
            if check.fix:
                click.echo(f"      {'fix' if not check.ok else 'note'}: {check.fix}")
    if not all(check.ok for check in checks):
        raise SystemExit(EXIT_ERROR)
