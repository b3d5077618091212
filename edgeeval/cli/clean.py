"""`edgeeval clean`: delete what can be made again."""

from pathlib import Path
from typing import Any

import click

from edgeeval.cli.options import workspace_option


@click.command()
@click.option("--artifacts", is_flag=True, help="Built GGUF files: made again from the model.")
@click.option("--imatrix", is_flag=True, help="Importance matrices: computed again.")
@click.option("--judges", is_flag=True, help="Built judges: built again from what was fetched.")
@click.option("--runs", is_flag=True, help="Runs: measured again.")
@click.option("--calibration", is_flag=True, help="How fast this machine is, as plan measured it.")
@click.option("--bundles", is_flag=True, help="Unpacked bundles: unpacked again from their files.")
@click.option(
    "--downloads",
    is_flag=True,
    help="Fetched packages: fetched again. The Hugging Face cache is not touched: other programs "
    "share it.",
)
@click.option("--converter", is_flag=True, help="The converter's environment: fetched again.")
@click.option("--dry-run", is_flag=True, help="Only list what would be deleted, with sizes.")
@workspace_option
def command(workspace: Path, dry_run: bool, **parts: Any) -> None:
    """Delete parts of the workspace; results and reports stay. Without options, only leftovers.

    Never follows a link out of the workspace.
    """
    from edgeeval.report.format import quantity
    from edgeeval.store import LEFTOVERS, Workspace

    kept = Workspace(workspace)
    asked = [LEFTOVERS, *(part for part, is_asked in parts.items() if is_asked)]
    with kept.locked():
        found = kept.removable(*asked)
        for link in kept.links(*asked):
            click.echo(f"{link}: a link, left alone with what it leads to", err=True)
        for one in found:
            if dry_run:
                click.echo(f"{quantity(one.size_bytes, 'bytes')}\t{one.path}")
            else:
                one.remove()
    total = quantity(sum(one.size_bytes for one in found), "bytes")
    click.echo(f"{'would free' if dry_run else 'freed'} {total} in {kept.root}", err=True)
