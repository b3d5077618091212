"""Read what a person types on the command line instead of a recipe.

    smollm2-135m, mine.yaml                     a recipe
    model-F16.gguf                              a GGUF file to quantize from
    ./SmolLM2-135M                              a Hugging Face folder to convert
    hf:owner/name, hf:owner/name@revision       a repository to convert
    hf:owner/name:*F16*.gguf                    a GGUF file of a repository
    model.bundle                                as --reference: its run on another machine

A level is a type, the name of a ladder preset, a GGUF file, or `hf:owner/name:PATTERN`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeeval.errors import RecipeError
from edgeeval.recipe.load import load_recipe, parse_recipe, recipe_names
from edgeeval.recipe.schema import AS_GIVEN, Recipe
from edgeeval.resources import data_dir

_HUB = re.compile(r"^hf:(?P<hf>[^@:]+)(?:@(?P<revision>[^:]+))?(?::(?P<file>.+))?$")
BUNDLE_SUFFIX = ".bundle"
SHIPPED = "shipped"
DEFAULT_LADDER = "q2-q8"
DEFAULT_REFERENCE = "BF16"
"""Exact for checkpoints trained in it, and the fastest unquantized type on CPUs that know it."""


def _hub_keys(text: str) -> dict[str, str]:
    match = _HUB.match(text)
    if match is None:
        raise RecipeError(f"{text}: write hf:owner/name, hf:owner/name@revision or …:FILE.gguf")
    return {key: value for key, value in match.groupdict().items() if value is not None}


def _level(text: str) -> Any:
    if text.startswith("hf:"):
        keys = _hub_keys(text)
        if "file" not in keys:
            raise RecipeError(f"{text}: name the file: {text}:*Q4_K_M*.gguf")
        return keys
    return {"file": text} if text.endswith(".gguf") else text


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except OSError:  # no name that a file could have
        return False


def _model(text: str) -> dict[str, str]:
    if text.startswith("hf:"):
        return _hub_keys(text)
    if _is_folder(text):
        return {"folder": text}
    return {"bundle" if text.endswith(BUNDLE_SUFFIX) else "gguf": text}


def _name(text: str) -> str:
    """Return a name for a recipe that nobody wrote."""
    stem = re.split(r"[@:]", text.removeprefix("hf:"))[0] if text.startswith("hf:") else text
    stem = Path(stem).resolve().name if _is_folder(stem) else Path(stem).name
    plain = re.sub(
        r"[^A-Za-z0-9._+-]+", "-", stem.removesuffix(".gguf").removesuffix(BUNDLE_SUFFIX)
    ).strip("-._+")
    return plain[:100] or "model"


def is_recipe(target: str) -> bool:
    """Tell whether a target names a recipe, and does not stand for one.

    A shipped recipe's name is that recipe even beside a folder of the name, as `--output` makes
    one; ./name is the folder.
    """
    path = Path(target)
    stands = (
        target.startswith("hf:") or path.suffix in {".gguf", BUNDLE_SUFFIX} or _is_folder(target)
    )
    return target in recipe_names() or not stands


def recipe_of(
    target: str,
    *,
    levels: Sequence[str] = (),
    imatrix: str | None = None,
    reference_type: str | None = None,
    quantized_reference: bool = False,
) -> Recipe:
    """Return the recipe that a target names, or the one that it stands for.

    Args:
        target: as in this module's docstring.
        levels: what to build of a model, the ladder preset "q2-q8" by default; a recipe has its
            own (`edgeeval.Request.levels` chooses among them).
        imatrix: calibration text, an imatrix file (.gguf, .dat), or "shipped" for the text that
            comes with edgeeval: replaces the recipe's.
        reference_type: unquantized type of the reference: replaces the recipe's. Without one a GGUF
            file is taken as it is.
        quantized_reference: accept a reference that is itself quantized.

    Raises:
        RecipeError: there is no such recipe, or it is wrong.
    """
    changes = _changes(imatrix, reference_type, quantized_reference)
    if is_recipe(target):
        return load_recipe(target, changes)
    model = _model(target)
    if "bundle" in model:
        raise RecipeError(f"{target}: a bundle is a reference: --reference {target} LEVEL.gguf ...")
    content = {
        "name": _name(target),
        "model": model,
        "reference": AS_GIVEN if _is_file(model) else DEFAULT_REFERENCE,
        "levels": [_level(level) for level in levels or (DEFAULT_LADDER,)],
        "suite": "quick",
        **changes,
    }
    return parse_recipe(content, target, Path())


def recipe_of_files(
    reference: str,
    levels: Sequence[str],
    *,
    imatrix: str | None = None,
    reference_type: str | None = None,
    quantized_reference: bool = False,
) -> Recipe:
    """Return the recipe that compares levels with a reference file, taken as it is.

    Args:
        reference: a GGUF file, `hf:owner/name:FILE.gguf`, or a bundle.
        levels: GGUF files; types are built of the reference.
        imatrix: as in `recipe_of`.
        reference_type: dequantize the reference to this type first.
        quantized_reference: as in `recipe_of`.

    Raises:
        RecipeError: a name cannot be read.
    """
    model = _model(reference)
    if not _is_file(model) and "bundle" not in model:
        raise RecipeError(f"--reference {reference}: give a GGUF file or a bundle")
    named = [_level(level) for level in levels]
    if imatrix is not None and all(isinstance(one, dict) for one in named):
        raise RecipeError("--imatrix: nothing is quantized here, all levels are files")
    content = {
        "name": _name(model.get("file", reference)),
        "model": model,
        "reference": AS_GIVEN,
        "levels": named,
        "suite": "quick",
        **_changes(imatrix, reference_type, quantized_reference),
    }
    return parse_recipe(content, "--reference", Path(), number_files=True)


def _is_file(model: dict[str, str]) -> bool:
    """Tell whether a model is a GGUF file, and not to be converted first."""
    return "gguf" in model or "file" in model


def _changes(
    imatrix: str | None, reference_type: str | None, quantized_reference: bool
) -> dict[str, Any]:
    """Return the keys that options put into a recipe, or in the place of its own."""
    changes: dict[str, Any] = {"quantized_reference": True} if quantized_reference else {}
    if reference_type is not None:
        changes["reference"] = reference_type
    if imatrix is not None:
        shipped = data_dir("quant_recipes") / "calibration.txt"
        given = shipped if imatrix == SHIPPED else Path(imatrix).resolve()
        changes["imatrix"] = {"file" if given.suffix in {".gguf", ".dat"} else "text": str(given)}
    return changes
