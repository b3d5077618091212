"""`edgeeval recipes`: the recipes that come with edgeeval."""

import click

from edgeeval.cli.options import json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the recipes that come with edgeeval: name, model, licence, levels.

    `edgeeval fetch NAME` gets the model of one, `edgeeval eval NAME` measures it.
    """
    import json

    from edgeeval.recipe import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    if as_json:
        shown = [recipe.model_dump(mode="json", exclude_unset=True) for recipe in recipes]
        click.echo(json.dumps(shown, indent=1))
        return
    for recipe in recipes:
        levels = " ".join(level.label for level in recipe.levels)
        licence = recipe.licence or "licence not stated"
        click.echo(f"{recipe.name}\t{recipe.model.describe()}\t{licence}\t{levels}")
