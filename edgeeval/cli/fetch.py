"""`edgeeval fetch`: the only verb that may use the network."""

from pathlib import Path

import click

from edgeeval.cli.options import workspace_option


@click.command()
@click.argument("recipe")
@workspace_option
def command(recipe: str, workspace: Path) -> None:
    """Get the model of RECIPE (a name or a YAML file); afterwards everything works offline."""
    from edgeeval.artifact.source import fetch_source
    from edgeeval.recipe import load_recipe
    from edgeeval.store import Workspace

    kept = Workspace(workspace)
    with kept.locked():
        click.echo(fetch_source(kept, load_recipe(recipe)))
