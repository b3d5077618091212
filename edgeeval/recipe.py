"""Read quant_recipes/*.yaml into a Recipe, and policies into requirements."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgeeval.errors import RecipeError, did_you_mean
from edgeeval.records import Requirement
from edgeeval.resources import data_dir
from edgeeval.yamlfile import read_yaml

UNQUANTIZED_TYPES = ("F32", "F16", "BF16")

NEEDS_IMATRIX = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K_S"})
"""Levels that llama.cpp refuses without an imatrix (tensor_requires_imatrix in llama-quant.cpp)."""

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]
_Package = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSource(_Strict):
    """Where the model comes from: one of the keys."""

    package: _Package | None = None
    """A Python package, with its version, that carries one GGUF file."""
    gguf: Path | None = None
    """A GGUF file; relative to the recipe."""

    @model_validator(mode="after")
    def _one(self) -> "ModelSource":
        if (self.package is None) == (self.gguf is None):
            raise ValueError("give one of package (name==version) or gguf (path)")
        return self


class Level(_Strict):
    """A level to build or a file to take."""

    type: str | None = None
    """Quantization type, such as Q4_K_M."""
    file: Path | None = None
    """A ready-made GGUF file; relative to the recipe."""
    name: _Name | None = None

    @model_validator(mode="after")
    def _one(self) -> "Level":
        if (self.type is None) == (self.file is None):
            raise ValueError("give one of type or file")
        return self

    @property
    def label(self) -> str:
        """The level's name in every table."""
        return self.name or self.type or (self.file.stem if self.file else "")


class Limit(_Strict):
    """One requirement as a person writes it: exactly one of the three."""

    margin: Annotated[float, Field(gt=0)] | None = None
    max: float | None = None
    min: float | None = None
    reason: str = ""
    """Why this number (policies say it)."""

    @model_validator(mode="after")
    def _one(self) -> "Limit":
        if sum(value is not None for value in (self.margin, self.max, self.min)) != 1:
            raise ValueError("give exactly one of margin, max, min")
        return self


class Recipe(_Strict):
    """A model, the levels to compare and what they must keep."""

    name: _Name
    model: ModelSource
    reference: str
    """Type of the unquantized file to make or to take."""
    levels: tuple[Level, ...] = Field(min_length=1)
    suite: str = "standard"
    policy: str = "balanced"
    require: dict[str, Limit] = Field(default_factory=dict)
    ship: str | None = None
    """The level that `gate` judges."""

    @model_validator(mode="before")
    @classmethod
    def _short_levels(cls, value: Any) -> Any:
        """Accept `Q4_K_M` for `{type: Q4_K_M}`."""
        if isinstance(value, dict) and isinstance(value.get("levels"), list):
            levels = [{"type": one} if isinstance(one, str) else one for one in value["levels"]]
            return value | {"levels": levels}
        return value


def quantization_types() -> list[str]:
    """Return the level names that llama.cpp knows, F32 to IQ1_S."""
    from gguf import LlamaFileType

    names = (kind.name for kind in LlamaFileType if kind.name != "GUESSED")
    return [name.removeprefix("MOSTLY_").removeprefix("ALL_") for name in names]


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with edgeeval."""
    return sorted(path.stem for path in data_dir("quant_recipes").glob("*.yaml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by path, or by name where edgeeval ships it.

    Raises:
        RecipeError: it is not found or wrong; the message names file and key.
    """
    path = Path(name_or_path)
    if not path.suffix and not path.is_file():
        shipped = data_dir("quant_recipes") / f"{name_or_path}.yaml"
        if not shipped.exists():
            hint = did_you_mean(name_or_path, recipe_names())
            raise RecipeError(f"recipe {name_or_path!r}: no such file and no shipped recipe{hint}")
        path = shipped
    try:
        recipe = Recipe.model_validate(read_yaml(path, RecipeError))
    except ValidationError as error:
        raise RecipeError(f"{path}: {_explain(error, Recipe)}") from None
    _check_types(path, recipe)
    return _relative_to(path.parent, recipe)


_PARTS: dict[str, type[BaseModel]] = {"model": ModelSource, "levels": Level, "require": Limit}


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        part = model if len(first["loc"]) == 1 else _PARTS[str(first["loc"][0])]
        return f"{where}: unknown key{did_you_mean(str(first['loc'][-1]), part.model_fields)}"
    return f"{where}: {message}" if where else message


def _check_types(path: Path, recipe: Recipe) -> None:
    if recipe.reference not in UNQUANTIZED_TYPES:
        raise RecipeError(
            f"{path}: reference: {recipe.reference!r} is not an unquantized type"
            f"{did_you_mean(recipe.reference, UNQUANTIZED_TYPES)}"
        )
    known = quantization_types()
    labels: set[str] = set()
    for index, level in enumerate(recipe.levels):
        where = f"{path}: levels.{index}"
        if level.type is not None and level.type not in known:
            raise RecipeError(
                f"{where}: {level.type!r} is no quantization type{did_you_mean(level.type, known)}"
            )
        if level.type in NEEDS_IMATRIX:
            raise RecipeError(
                f"{where}: {level.type} needs an imatrix, which this version cannot make; "
                "give a ready-made file instead ({file: path.gguf})"
            )
        if level.label in labels:
            raise RecipeError(f"{where}: {level.label!r} is given twice; give one a `name`")
        labels.add(level.label)
    if recipe.ship is not None and recipe.ship not in labels:
        hint = did_you_mean(recipe.ship, labels)
        raise RecipeError(f"{path}: ship: {recipe.ship!r} is none of the levels{hint}")


def _relative_to(folder: Path, recipe: Recipe) -> Recipe:
    model = recipe.model
    if model.gguf is not None:
        model = model.model_copy(update={"gguf": folder / model.gguf})
    levels = tuple(
        level.model_copy(update={"file": folder / level.file}) if level.file else level
        for level in recipe.levels
    )
    return recipe.model_copy(update={"model": model, "levels": levels})


def policy_names() -> list[str]:
    """Return the names of the policies that come with edgeeval."""
    return sorted(path.stem for path in (data_dir("quant_recipes") / "policies").glob("*.yaml"))


def load_policy(name_or_path: str) -> dict[str, Limit]:
    """Read a policy: metric id -> limit.

    Raises:
        RecipeError: it is not found or wrong.
    """
    path = Path(name_or_path)
    if not path.suffix:
        path = data_dir("quant_recipes") / "policies" / f"{name_or_path}.yaml"
        if not path.exists():
            hint = did_you_mean(name_or_path, policy_names())
            raise RecipeError(f"policy {name_or_path!r} is unknown{hint}")
    limits = {}
    for metric, value in read_yaml(path, RecipeError).items():
        try:
            limits[metric] = Limit.model_validate(value)
        except ValidationError as error:
            raise RecipeError(f"{path}: {metric}: {_explain(error, Limit)}") from None
    return limits


def requirements(limits: Mapping[str, Limit], source: str) -> list[Requirement]:
    """Turn limits as written into requirement records."""
    records = []
    for metric, limit in limits.items():
        if limit.margin is not None:
            records.append(Requirement(metric, "margin", limit.margin, source))
        elif limit.max is not None:
            records.append(Requirement(metric, "max", limit.max, source))
        elif limit.min is not None:
            records.append(Requirement(metric, "min", limit.min, source))
    return records
