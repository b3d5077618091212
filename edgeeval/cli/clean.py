"""`edgeeval clean`: delete what can be made again."""

from pathlib import Path

import click

from edgeeval.cli.options import workspace_option


@click.command()
@click.option("--artifacts", is_flag=True, help="Built GGUF files: made again from the model.")
@click.option("--runs", is_flag=True, help="Runs: measured again.")
@click.option("--downloads", is_flag=True, help="Fetched models: fetched again.")
@workspace_option
def command(artifacts: bool, runs: bool, downloads: bool, workspace: Path) -> None:
    """Delete parts of the workspace; results and reports stay. Without options, only leftovers."""
    import shutil

    from edgeeval.store import Workspace

    kept = Workspace(workspace)
    with kept.locked():
        folders = ["logprobs", "log"]
        folders += ["artifacts"] if artifacts else []
        folders += ["downloads"] if downloads else []
        for folder in folders:
            shutil.rmtree(kept.root / folder, ignore_errors=True)
        if runs:
            kept.forget_runs()
    click.echo(f"cleaned {kept.root}", err=True)
