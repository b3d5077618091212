"""Read a recipe: by path, or by name where edgeeval ships it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from edgeeval.errors import RecipeError, did_you_mean
from edgeeval.ggml import UNQUANTIZED_TYPES
from edgeeval.recipe.schema import AS_GIVEN, PARTS, Level, Recipe
from edgeeval.recipe.types import QUANTIZATION_TYPES, READ_ONLY_TYPES, override_types
from edgeeval.resources import data_dir
from edgeeval.yamlfile import read_yaml

_FILE_SUFFIXES = {".yaml", ".yml"}
"""What tells a file's name from a shipped recipe's, which may have dots: llama-3.2-1b."""


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with edgeeval."""
    return sorted(path.stem for path in data_dir("quant_recipes").glob("*.yaml"))


def ladder_names() -> list[str]:
    """Return the names of the ladder presets: lists of levels that a recipe includes by name."""
    return sorted(path.stem for path in _ladders().glob("*.yaml"))


def _ladders() -> Path:
    return data_dir("quant_recipes") / "ladders"


def load_recipe(name_or_path: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe by path, or by name where edgeeval ships it.

    Args:
        name_or_path: its file, or a name of `recipe_names`.
        changes: keys that replace the recipe's own.

    Raises:
        RecipeError: it is not found or wrong; the message names file and key.
    """
    path = Path(name_or_path)
    if path.suffix not in _FILE_SUFFIXES and not path.is_file():
        shipped = data_dir("quant_recipes") / f"{name_or_path}.yaml"
        if not shipped.exists():
            hint = did_you_mean(name_or_path, recipe_names())
            raise RecipeError(f"recipe {name_or_path!r}: no such file and no shipped recipe{hint}")
        path = shipped
    content = read_yaml(path, RecipeError) | dict(changes or {})
    return parse_recipe(content, str(path), path.parent)


def parse_recipe(
    content: dict[str, Any], where: str, folder: Path, *, number_files: bool = False
) -> Recipe:
    """Check a recipe's content; paths in it are relative to `folder`.

    Args:
        content: as read from YAML.
        where: what to call it in messages.
        folder: where it stands.
        number_files: accept files of one name from several places; they get numbers later.

    Raises:
        RecipeError: it is wrong; the message begins with `where` and names the key.
    """
    if isinstance(content.get("levels"), str | list):
        content = content | {"levels": _expand(content["levels"], f"{where}: levels")}
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain(error, Recipe)}") from None
    _check(where, recipe)
    if not number_files:
        _check_labels(where, recipe.levels)
    return _relative_to(folder, recipe)


def _expand(levels: str | list[Any], where: str) -> list[Any]:
    """Put a preset's levels in the place of its name, and `{type: Q4_K_M}` in that of a type."""
    expanded: list[Any] = []
    for level in [levels] if isinstance(levels, str) else levels:
        if isinstance(level, str) and level in ladder_names():
            path = _ladders() / f"{level}.yaml"
            expanded += _expand(read_yaml(path, RecipeError)["levels"], where)
        else:
            expanded.append({"type": level} if isinstance(level, str) else level)
    return expanded


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line what a document's first error is, with the nearest valid key."""
    found = error.errors()
    # A misspelt key is also a missing one, and the spelling is what helps.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        part = model if len(first["loc"]) == 1 else PARTS[str(first["loc"][0])]
        return f"{where}: unknown key{did_you_mean(str(first['loc'][-1]), part.model_fields)}"
    return f"{where}: {message}" if where else message


def _check(where: str, recipe: Recipe) -> None:
    known = (*UNQUANTIZED_TYPES, AS_GIVEN)
    if recipe.reference not in known:
        raise RecipeError(
            f"{where}: reference: {recipe.reference!r} is not an unquantized type"
            f"{did_you_mean(recipe.reference, known)}"
        )
    for index, level in enumerate(recipe.levels):
        _check_level(f"{where}: levels.{index}", level, has_imatrix=recipe.imatrix is not None)
    labels = {level.label for level in recipe.levels}
    if recipe.ship is not None and recipe.ship not in labels:
        hint = did_you_mean(recipe.ship, labels)
        raise RecipeError(f"{where}: ship: {recipe.ship!r} is none of the levels{hint}")


def _check_labels(where: str, levels: Sequence[Level]) -> None:
    seen: set[str] = set()
    for index, level in enumerate(levels):
        if level.hf is not None and level.name is None:
            continue  # its files name it; of two uploaders' equal names, one gets a number
        if level.label in seen:
            raise RecipeError(
                f"{where}: levels.{index}: {level.label!r} is given twice; give one a `name`"
            )
        seen.add(level.label)


def _check_level(where: str, level: Level, *, has_imatrix: bool) -> None:
    if level.type is None:
        return
    if level.type in READ_ONLY_TYPES:
        raise RecipeError(f"{where}: {level.type}: {READ_ONLY_TYPES[level.type]}")
    if level.type not in QUANTIZATION_TYPES:
        hint = did_you_mean(level.type, (*QUANTIZATION_TYPES, *ladder_names()))
        raise RecipeError(f"{where}: {level.type!r} is no quantization type{hint}")
    tensors = override_types()
    for key, kind in level.tensors.items():
        if kind not in tensors:
            raise RecipeError(
                f"{where}.tensors.{key}: {kind!r} is no tensor type{did_you_mean(kind, tensors)}"
            )
    if QUANTIZATION_TYPES[level.type].needs_imatrix and not (has_imatrix and level.imatrix):
        raise RecipeError(
            f"{where}: {level.type} needs an imatrix; give the recipe one (imatrix: "
            "{text: calibration.txt}), or --imatrix TEXT"
        )


def is_judge_file(judge: str) -> bool:
    """Tell a judge's file from its name."""
    return judge.endswith(".gguf")


def _relative_to(folder: Path, recipe: Recipe) -> Recipe:
    """Make a recipe's paths relative to the place where the recipe stands."""
    model = recipe.model
    for key in ("gguf", "folder", "bundle"):
        if (path := getattr(model, key)) is not None:
            model = model.model_copy(update={key: folder / path})
    levels = tuple(
        level.model_copy(update={"file": str(folder / level.file)})
        if level.file is not None and level.hf is None
        else level
        for level in recipe.levels
    )
    imatrix = recipe.imatrix
    for key in ("text", "file"):
        if imatrix is not None and (path := getattr(imatrix, key)) is not None:
            imatrix = imatrix.model_copy(update={key: folder / path})
    judges = tuple(
        str(folder / judge) if is_judge_file(judge) else judge for judge in recipe.judges
    )
    return recipe.model_copy(
        update={"model": model, "levels": levels, "imatrix": imatrix, "judges": judges}
    )
