"""Find the files that a recipe names: on disk, in a fetched package, in a fetched repository.

`find_*` never uses the network: what is not there yet is refused with the `edgeeval fetch` that
gets it. `fetch_*` is called by that verb alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeeval.artifact.hub import MODEL_FILES, RepoFiles, fetch_repo, find_repo
from edgeeval.artifact.package import fetch_package, find_package
from edgeeval.artifact.splits import is_first_or_only, model_name
from edgeeval.errors import InputError
from edgeeval.recipe import Level, ModelSource, Recipe, recipe_names
from edgeeval.records import Provenance
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace


@dataclass(frozen=True)
class Found:
    """A file or folder that a recipe names."""

    path: Path
    provenance: Provenance


def find_model(workspace: Workspace, recipe: Recipe) -> Found:
    """Return a recipe's model: a GGUF file, or a folder to convert.

    Raises:
        NotFetched: only the network has it.
        InputError: it does not exist, a pattern names several files, or a bundle has no model.
    """
    model = recipe.model
    if model.bundle is not None:
        raise InputError(
            f"{model.bundle}: a bundle holds the run of a reference, not its model; give the model"
        )
    if model.gguf is not None:
        return _given_file(model.gguf, "model.gguf")
    if model.folder is not None:
        if not model.folder.is_dir():
            raise InputError(f"model.folder: {model.folder}: no such folder")
        return Found(model.folder, Provenance("given", str(model.folder)))
    if model.package is not None:
        path = find_package(workspace, model.package, _fetch_command(recipe))
        return Found(path, Provenance("fetched", model.package))
    assert model.hf is not None  # the schema asks for one of them
    repository = find_repo(
        workspace,
        model.hf,
        revision=model.revision,
        patterns=_model_patterns(model),
        named=_target(model.hf, model.revision, model.file),
    )
    if model.is_checkpoint:
        return Found(repository.folder, _fetched(repository))
    files = _models_of(repository)
    if len(files) != 1:
        names = ", ".join(path.name for path in files)
        raise InputError(f"model.file: {model.file!r} names {len(files)} models: {names}; name one")
    return Found(files[0], _fetched(repository))


def find_level_files(workspace: Workspace, level: Level) -> list[tuple[str, Found]]:
    """Return the ready-made files that a level names: name and file, several for a pattern.

    Raises:
        NotFetched: only the network has them.
        InputError: they do not exist, or several would have the level's one name.
    """
    assert level.file is not None  # the caller has a level of files
    if level.hf is None:
        found = _given_file(Path(level.file), "levels")
        return [(level.name or model_name(found.path), found)]
    repository = find_repo(
        workspace,
        level.hf,
        revision=level.revision,
        patterns=[level.file],
        named=_target(level.hf, level.revision, level.file),
    )
    files = _models_of(repository)
    if level.name is not None and len(files) > 1:
        raise InputError(f"levels: {level.name}: {level.file!r} names {len(files)} models")
    return [(level.name or model_name(path), Found(path, _fetched(repository))) for path in files]


def fetch_recipe(workspace: Workspace, recipe: Recipe, progress: Progress) -> list[Path]:
    """Get everything that a recipe names and only the network has; return the paths.

    Raises:
        EdgeevalError: it could not be had; what came is kept and the next call goes on.
    """
    model = recipe.model
    is_here = model.gguf or model.folder
    paths = [find_model(workspace, recipe).path] if is_here else []
    if model.bundle is not None:
        paths.append(_given_file(model.bundle, "model.bundle").path)
    if model.package is not None:
        paths.append(fetch_package(workspace, model.package))
    if model.hf is not None:
        patterns = _model_patterns(model)
        repository = fetch_repo(
            workspace, model.hf, revision=model.revision, patterns=patterns, progress=progress
        )
        paths += [repository.folder] if model.is_checkpoint else _models_of(repository)
    for level in recipe.levels:
        if level.hf is not None and level.file is not None:
            repository = fetch_repo(
                workspace,
                level.hf,
                revision=level.revision,
                patterns=[level.file],
                progress=progress,
            )
            paths += _models_of(repository)
    return paths


def _fetch_command(recipe: Recipe) -> str:
    named = recipe.name if recipe.name in recipe_names() else "RECIPE (this recipe's file)"
    return f"edgeeval fetch {named}"


def _target(hf: str, revision: str | None, file: str | None) -> str:
    """Return what `edgeeval fetch` calls a repository or a file of it (recipe/target.py)."""
    return f"hf:{hf}" + (f"@{revision}" if revision else "") + (f":{file}" if file else "")


def _given_file(path: Path, key: str) -> Found:
    if not path.is_file():
        raise InputError(f"{key}: {path}: no such file")
    return Found(path, Provenance("given", str(path)))


def _model_patterns(model: ModelSource) -> Sequence[str]:
    return MODEL_FILES if model.file is None else [model.file]


def _models_of(repository: RepoFiles) -> list[Path]:
    """Return a repository's GGUF files; of a split one, the first part."""
    paths = [file.path for file in repository.files if file.name.endswith(".gguf")]
    return [path for path in paths if is_first_or_only(path)]


def _fetched(repository: RepoFiles) -> Provenance:
    return Provenance("fetched", repository.repo, revision=repository.commit)
