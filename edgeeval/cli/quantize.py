"""`edgeeval quantize`: build a recipe's files."""

from pathlib import Path

import click

from edgeeval.cli.options import (
    device_option,
    quiet_option,
    talker,
    threads_option,
    words,
    workspace_option,
)
from edgeeval.errors import EXIT_INCOMPLETE


@click.command()
@click.argument("recipe")
@click.option("--levels", help="Only these of the recipe's levels: Q8_0,Q4_K_M")
@threads_option
@device_option
@workspace_option
@quiet_option
def command(
    recipe: str,
    levels: str | None,
    threads: int | None,
    device: str,
    workspace: Path,
    quiet: bool,
) -> None:
    """Build the reference and the levels of RECIPE; print a line a file."""
    from edgeeval.pipeline import Request, build_ladder
    from edgeeval.recipe import load_recipe
    from edgeeval.store import Workspace

    loaded = load_recipe(recipe)
    request = Request(
        loaded.name, recipe=loaded, levels=words(levels), n_threads=threads, device=device
    )
    ladder = build_ladder(request, Workspace(workspace), talker(quiet))
    for artifact in (ladder.reference, *ladder.levels):
        click.echo(
            f"{artifact.name}\t{artifact.size_bytes}\t{artifact.bpw:.2f} bpw\t"
            f"{artifact.fallback_share:.0%} fell back\t{artifact.path}"
        )
    for name, reason in ladder.lost.items():
        click.echo(f"edgeeval: {name}: {reason}", err=True)
    if ladder.lost:
        raise SystemExit(EXIT_INCOMPLETE)
