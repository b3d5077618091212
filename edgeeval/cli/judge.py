"""`edgeeval judge`: the local classifiers that score texts."""

from pathlib import Path

import click

from edgeeval.cli.options import workspace_option


@click.group()
def command() -> None:
    """List judges."""


@command.command("list")
@workspace_option
def list_judges(workspace: Path) -> None:
    """List the judges by name, with what they measure."""
    from edgeeval.judges import DEFAULT_JUDGE, refusal
    from edgeeval.judges.find import find_judge, judge_names
    from edgeeval.store import Workspace

    kept = Workspace(workspace)
    rules = refusal.describe()  # brought by its scorer; --judge does not change it
    for info in (*(find_judge(name, kept).info for name in judge_names(kept)), rules):
        default = " (default)" if info.name == DEFAULT_JUDGE else ""
        click.echo(f"{info.name}{default}\t{', '.join(info.labels)}\t{info.description}\t{info.id}")
