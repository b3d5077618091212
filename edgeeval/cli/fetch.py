"""`edgeeval fetch`: the only verb that may use the network."""

from pathlib import Path

import click

from edgeeval.cli.options import quiet_option, talker, workspace_option
from edgeeval.errors import InputError


@click.command()
@click.argument("targets", nargs=-1, metavar="[RECIPE | hf:OWNER/NAME[:FILE.gguf]]...")
@click.option("--converter", is_flag=True, help="What converts Hugging Face models to GGUF.")
@click.option("--judge", "judges", multiple=True, help="A classifier, by NAME: detoxify-unbiased …")
@click.option("--data", "sets", multiple=True, help="A published data set, by NAME.")
@workspace_option
@quiet_option
def command(
    targets: tuple[str, ...],
    converter: bool,
    judges: tuple[str, ...],
    sets: tuple[str, ...],
    workspace: Path,
    quiet: bool,
) -> None:
    """Get what RECIPE names and only the network has; afterwards everything works offline.

    HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE mean what they always mean;
    EDGEEVAL_GITHUB_ENDPOINT is where GitHub's files are, if not at GitHub. A download that was
    stopped goes on where it stopped. `edgeeval prompts catalogue` lists the data sets; of one whose
    files cannot be held against a hash it is said what to download by hand.
    """
    from edgeeval.artifact.converter_env import fetch_converter
    from edgeeval.artifact.data import fetch_data, import_line, known_data
    from edgeeval.artifact.source import fetch_recipe
    from edgeeval.judges.fetch import fetch_judge, known_judge
    from edgeeval.recipe import recipe_of
    from edgeeval.store import Workspace

    if not (targets or converter or judges or sets):
        raise InputError(
            "fetch: name a RECIPE or hf:owner/name, or give --converter, --judge or --data"
        )
    entries = [known_judge(name) for name in judges]
    known_sets = {name: known_data(name) for name in sets}
    recipes = [recipe_of(target) for target in targets]
    kept = Workspace(workspace)
    with kept.locked():
        if converter:
            click.echo(fetch_converter(kept, talker(quiet)).script)
        for entry in entries:
            click.echo(fetch_judge(kept, entry, talker(quiet)))
        for name, data_set in known_sets.items():
            click.echo(f"{name}: {data_set.terms}", err=True)
            folder = fetch_data(kept, data_set, talker(quiet))
            click.echo(folder)
            click.echo("now run:", err=True)
            click.echo(import_line(name, str(folder)), err=True)
        for recipe in recipes:
            for path in fetch_recipe(kept, recipe, talker(quiet)):
                click.echo(path)
