"""Read policies: what a level may cost, metric by metric."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from edgeeval.errors import RecipeError, did_you_mean
from edgeeval.recipe.load import explain
from edgeeval.recipe.schema import Limit
from edgeeval.records import Requirement
from edgeeval.resources import data_dir
from edgeeval.yamlfile import read_yaml


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
            raise RecipeError(f"{path}: {metric}: {explain(error, Limit)}") from None
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
