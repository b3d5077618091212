"""`edgeeval recipes` lists what `fetch` and `eval` take by name."""

from __future__ import annotations

from edgeeval.recipe import load_recipe, recipe_names
from tests.cli.in_process import edgeeval


def test_every_shipped_recipe_has_a_line_with_model_licence_and_levels() -> None:
    lines = edgeeval("recipes").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == recipe_names()
    for line in lines:
        name, model, licence, levels = line.split("\t")
        recipe = load_recipe(name)
        assert model == recipe.model.describe()
        assert licence == recipe.licence != ""
        assert levels.split(" ") == [level.label for level in recipe.levels]


def test_the_document_is_what_the_files_hold() -> None:
    for document in edgeeval("recipes", "--json").document():
        recipe = load_recipe(document["name"])
        assert document["licence"] == recipe.licence
        assert len(document["levels"]) == len(recipe.levels)
