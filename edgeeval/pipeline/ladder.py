"""Build or find the artifacts of an evaluation: the reference and its levels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgeeval.artifact.inspect import describe, quantized_types
from edgeeval.artifact.quantize import build
from edgeeval.artifact.source import find_source
from edgeeval.errors import EdgeevalError, InputError, did_you_mean, explain_os_error
from edgeeval.pipeline.request import Request
from edgeeval.recipe import Level, Recipe
from edgeeval.records import Artifact
from edgeeval.run.device import Engine, find_engine
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace


@dataclass(frozen=True)
class Ladder:
    """The artifacts of an evaluation."""

    reference: Artifact
    levels: tuple[Artifact, ...]
    lost: dict[str, str]
    """Level name -> why it could not be built."""
    order: tuple[str, ...]
    """Names of all levels as they were given."""


def build_ladder(
    request: Request, workspace: Workspace, progress: Progress = lambda line: None
) -> Ladder:
    """Build a recipe's reference and levels and measure nothing.

    Raises:
        InputError: the recipe cannot be carried out.
        WorkspaceBusy: another process works in this workspace.
    """
    with workspace.locked():
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        return find_ladder(request, workspace, engine, progress)


def find_ladder(
    request: Request, workspace: Workspace, engine: Engine, progress: Progress
) -> Ladder:
    """Return the reference and the levels, built where a recipe asks for it; the lock is held.

    Raises:
        InputError: the recipe or a given file cannot be used.
    """
    if request.recipe is not None:
        return _built_ladder(request, request.recipe, workspace, engine, progress)
    if request.reference is None:
        raise InputError("give a recipe, or a reference and the levels' files")
    reference = describe(workspace, request.reference, name=request.reference.stem, source="given")
    _require_unquantized(reference, request)
    for path in request.files:  # a mistyped name must not cost the measurement of the others
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    own = request.reference.resolve()
    levels = [Level(file=path) for path in request.files if path.resolve() != own]
    if not levels:
        raise InputError(f"{request.reference}: give levels to compare it with, not itself alone")
    return _add_levels(reference, levels, workspace, engine, progress)


def _require_unquantized(reference: Artifact, request: Request) -> None:
    kinds = quantized_types(reference.type_shares)
    if kinds and not request.allow_quantized_reference:
        raise InputError(
            f"{reference.path}: the reference is quantized ({', '.join(kinds)}); give the F16, "
            "BF16 or F32 file, or pass --quantized-reference to compare with it all the same"
        )


def _built_ladder(
    request: Request, recipe: Recipe, workspace: Workspace, engine: Engine, progress: Progress
) -> Ladder:
    levels = _chosen_levels(request, recipe)
    source = describe(workspace, find_source(workspace, recipe), name="source", source="given")
    kinds = quantized_types(source.type_shares)
    if next(iter(source.type_shares)) == recipe.reference:  # norms are F32 in every file
        reference = replace(source, name=recipe.reference)
    else:
        origin = f"dequantized from {kinds[0]}" if kinds else f"converted from {source.label}"
        reference = build(
            workspace,
            engine,
            source,
            recipe.reference,
            name=recipe.reference,
            origin=origin,
            progress=progress,
        )
    return _add_levels(reference, levels, workspace, engine, progress)


def _chosen_levels(request: Request, recipe: Recipe) -> list[Level]:
    labels = [level.label for level in recipe.levels]
    for name in request.levels:
        if name not in labels:
            raise InputError(f"--levels {name}: not in the recipe{did_you_mean(name, labels)}")
    return [level for level in recipe.levels if not request.levels or level.label in request.levels]


def _add_levels(
    reference: Artifact,
    levels: Sequence[Level],
    workspace: Workspace,
    engine: Engine,
    progress: Progress,
) -> Ladder:
    """Build or read each level; one that cannot be had is lost, the others go on."""
    found: list[Artifact] = []
    lost: dict[str, str] = {}
    names: list[str] = []
    for level in levels:
        name = _unique(level.label, [*names, reference.name])
        names.append(name)
        try:
            if level.file is not None:
                found.append(describe(workspace, level.file, name=name, source="given"))
            else:
                assert level.type is not None  # the recipe's schema says so
                found.append(
                    build(
                        workspace,
                        engine,
                        reference,
                        level.type,
                        name=name,
                        origin=f"quantized from {reference.name}",
                        progress=progress,
                    )
                )
        except (EdgeevalError, OSError) as error:
            lost[name] = explain_os_error(error) if isinstance(error, OSError) else str(error)
            progress(f"{name}: lost: {lost[name]}")
    return Ladder(reference, tuple(found), lost, tuple(names))


def _unique(name: str, taken: Sequence[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique = f"{name}-{number}"
        number += 1
    return unique
