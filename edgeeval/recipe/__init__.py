"""Read quant_recipes/ (recipes, ladder presets, policies), or what a person types instead.

schema.py    what a recipe may hold
types.py     the quantization types that llama.cpp writes
load.py      a file, or a shipped name -> Recipe
target.py    what a person types instead of a recipe -> Recipe
policies.py  policies -> requirements
"""

from edgeeval.recipe.load import is_judge_file, ladder_names, load_recipe, recipe_names
from edgeeval.recipe.policies import load_policy, policy_names, requirements
from edgeeval.recipe.schema import AS_GIVEN, Imatrix, Level, Limit, ModelSource, Recipe
from edgeeval.recipe.target import BUNDLE_SUFFIX, is_recipe, recipe_of, recipe_of_files
from edgeeval.recipe.types import QUANTIZATION_TYPES

__all__ = [
    "AS_GIVEN",
    "BUNDLE_SUFFIX",
    "QUANTIZATION_TYPES",
    "Imatrix",
    "Level",
    "Limit",
    "ModelSource",
    "Recipe",
    "is_judge_file",
    "is_recipe",
    "ladder_names",
    "load_policy",
    "load_recipe",
    "policy_names",
    "recipe_names",
    "recipe_of",
    "recipe_of_files",
    "requirements",
]
