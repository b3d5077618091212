"""Know the artifacts of an evaluation, and build each when something needs its file.

A rung is an artifact that may not be on the disk: its record outlives the file, so that a level
which was measured is neither kept nor built again for a report. That is how a ladder of seven
levels fits a disk that holds two.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeeval.artifact.checkpoint import read_checkpoint
from edgeeval.artifact.convert import convert, converted_path
from edgeeval.artifact.converter import find_converter
from edgeeval.artifact.imatrix import (
    Calibration,
    Imatrix,
    compute_imatrix,
    find_imatrix,
    given_imatrix,
)
from edgeeval.artifact.inspect import describe, keep_record, kept_record, quantized_types
from edgeeval.artifact.quantize import Build, build, known, level_build
from edgeeval.artifact.source import Found, find_level_files, find_model
from edgeeval.artifact.splits import first_part, model_name
from edgeeval.errors import EdgeevalError, InputError, did_you_mean, reason_of
from edgeeval.pipeline.request import Request
from edgeeval.recipe import AS_GIVEN, Level
from edgeeval.recipe import Imatrix as WantedImatrix
from edgeeval.records import Artifact
from edgeeval.run.device import Engine, find_engine
from edgeeval.run.foreign import Foreign
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace


@dataclass(frozen=True)
class Rung:
    """An artifact, whose file may have to be made first."""

    name: str
    known: Callable[[], Artifact | None]
    """Return its record, whether or not the file is there; None before it was made."""
    make: Callable[[], Artifact]
    """Return its record; its file is on the disk then."""
    is_ours: bool
    """Whether edgeeval made the file, and may delete it and make it again."""
    build: Callable[[Artifact], Build] | None = None
    """For what the quantizer writes: of which file, how; to ask for its size beforehand."""

    def delete(self, artifact: Artifact) -> None:
        """Delete the file if edgeeval can make it again; its record stays."""
        if self.is_ours:
            Path(artifact.path).unlink(missing_ok=True)


class Ladder:
    """A recipe's reference and levels, in one workspace."""

    def __init__(
        self,
        request: Request,
        workspace: Workspace,
        engine: Engine,
        progress: Progress,
        foreign: Foreign | None = None,
    ) -> None:
        """Find what the recipe names; nothing is built yet.

        Args:
            request: whose recipe.
            workspace: keeps what is built.
            engine: whose quantizer.
            progress: told what is built.
            foreign: the reference's run, where it came in a bundle.

        Raises:
            InputError: the recipe names what does not exist.
        """
        self._request = request
        self._recipe = request.recipe
        self._workspace = workspace
        self._engine = engine
        self._progress = progress
        self._foreign = foreign
        self.source: Artifact | None = None
        """The GGUF file that the reference is or is made of; None while a checkpoint is not
        converted."""
        self.reference = self._reference()
        self.levels = chosen_levels(request)
        self._given_imatrix = self._ready_made_imatrix()
        self.rungs = tuple(self._named(self._levels()))

    # -- the reference ---------------------------------------------------------------------------

    def _reference(self) -> Rung:
        if (foreign := self._foreign) is not None:
            reference = foreign.reference
            return Rung(reference.name, lambda: reference, lambda: reference, is_ours=False)
        found = find_model(self._workspace, self._recipe)
        if self._recipe.model.is_checkpoint:
            return self._converted(found)
        name = self._recipe.reference
        if name == AS_GIVEN:
            given = self._given(model_name(found.path), found)
            self.source = given.make()
            self._require_unquantized(self.source)
            return given
        self.source = source = self._given("source", found).make()
        kinds = quantized_types(source.type_shares)
        if not kinds and next(iter(source.type_shares)) == name:  # norms are F32 in every file
            return self._given(name, found)
        origin = f"dequantized from {kinds[0]}" if kinds else f"converted from {source.label}"
        return self._built(Build(source, name, name, origin, {}))

    def _require_unquantized(self, reference: Artifact) -> None:
        kinds = quantized_types(reference.type_shares)
        if kinds and not self._recipe.quantized_reference:
            raise InputError(
                f"{reference.path}: the reference is quantized ({', '.join(kinds)}); give the F16, "
                "BF16 or F32 file; or pass --quantized-reference to compare with it all the "
                "same, or --reference-type BF16 to dequantize it"
            )

    def _converted(self, found: Found) -> Rung:
        recipe, request = self._recipe, self._request
        converter = find_converter(
            self._workspace, checkout=request.converter, python=request.converter_python
        )

        kind = recipe.reference
        stored_as = read_checkpoint(found.path).quantization
        if stored_as is not None and not recipe.quantized_reference:
            raise InputError(
                f"{found.path}: its weights are quantized ({stored_as}), so a reference made of it "
                "is none; take the original model, or say quantized_reference: true in the recipe"
            )
        origin = f"dequantized from {stored_as}, converted" if stored_as else "converted"
        target = converted_path(self._workspace, converter, found.path, kind)

        def make() -> Artifact:
            path = convert(
                self._workspace, converter, found.path, out_type=kind, progress=self._progress
            )
            artifact = describe(
                self._workspace,
                path,
                name=kind,
                source=f"{origin} from {recipe.model.describe()}",
                provenance=replace(found.provenance, how="converted", converter=converter.id),
            )
            keep_record(artifact)
            return artifact

        return Rung(kind, lambda: kept_record(target, kind), make, is_ours=True)

    # -- the levels ------------------------------------------------------------------------------

    def _levels(self) -> Iterator[Rung]:
        for level in self.levels:
            if level.type is not None:
                yield self._level(level)
                continue
            for name, found in find_level_files(self._workspace, level):
                if not self._is_there_anyway(found.path.resolve()):
                    yield self._given(name, found)

    def _is_there_anyway(self, path: Path) -> bool:
        """Tell whether *.gguf named the reference too, or a later part of a split model."""
        own = self._recipe.model.gguf if not self.reference.is_ours else None
        files = [Path(level.file) for level in self.levels if level.file and not level.hf]
        given = {one.resolve() for one in (own, *files) if one is not None}
        is_reference = own is not None and path == own.resolve()
        return is_reference or (first_part(path) != path and first_part(path) in given)

    def _named(self, rungs: Iterator[Rung]) -> Iterator[Rung]:
        """Number the files of one name from several places."""
        taken = [self.reference.name]
        for rung in rungs:
            name = _unique(rung.name, taken)
            taken.append(name)
            yield _renamed(rung, name)
        if len(taken) == 1:
            raise InputError(f"{self.reference.name}: give levels to compare it with, not itself")

    def _level(self, level: Level) -> Rung:
        """Return a level that is built from the reference; its imatrix is made when it is."""

        def wanted() -> Build:
            return level_build(self.reference.make(), level, self._imatrix(level))

        def record() -> Artifact | None:
            reference = self.reference.known()
            if reference is None:
                return None
            imatrix = self._known_imatrix(reference) if level.imatrix else None
            if imatrix is None and self._uses_imatrix(level):
                return None
            return known(self._workspace, self._engine, level_build(reference, level, imatrix))

        def make() -> Artifact:
            return build(self._workspace, self._engine, wanted(), self._progress)

        return Rung(
            level.label, record, make, is_ours=True, build=lambda of: level_build(of, level, None)
        )

    def _uses_imatrix(self, level: Level) -> bool:
        return self._recipe.imatrix is not None and level.imatrix

    def _imatrix(self, level: Level) -> Imatrix | None:
        """Return the imatrix that a level is quantized with, computed if need be."""
        wanted = self._recipe.imatrix
        if wanted is None or not level.imatrix:
            return None
        if wanted.file is not None:
            return self._given_imatrix
        reference = self.reference.make()
        calibration = _calibration(wanted)
        return compute_imatrix(
            self._workspace, self._engine, reference, calibration, self._progress
        )

    def _known_imatrix(self, reference: Artifact) -> Imatrix | None:
        wanted = self._recipe.imatrix
        if wanted is None or wanted.file is not None:
            return self._given_imatrix
        return find_imatrix(self._workspace, self._engine, reference, _calibration(wanted))

    def _ready_made_imatrix(self) -> Imatrix | None:
        """Return the recipe's imatrix file, if it has one; find its text, if it has that.

        What is missing would else be seen at the first level, after the reference was measured.
        """
        wanted = self._recipe.imatrix
        if wanted is None or not any(level.type and level.imatrix for level in self.levels):
            return None
        if wanted.file is not None:
            return given_imatrix(self._workspace, wanted.file)
        assert wanted.text is not None  # one of the two, as the schema says
        if not wanted.text.is_file():
            raise InputError(f"imatrix: {wanted.text}: no such file")
        return None

    # -- rungs -----------------------------------------------------------------------------------

    def _given(self, name: str, found: Found) -> Rung:
        def make() -> Artifact:
            how = found.provenance.how
            return describe(
                self._workspace, found.path, name=name, source=how, provenance=found.provenance
            )

        return Rung(name, make, make, is_ours=False)

    def _built(self, wanted: Build) -> Rung:
        return Rung(
            wanted.name,
            lambda: known(self._workspace, self._engine, wanted),
            lambda: build(self._workspace, self._engine, wanted, self._progress),
            is_ours=True,
            build=lambda of: replace(wanted, source=of),
        )


def _calibration(wanted: WantedImatrix) -> Calibration:
    assert wanted.text is not None  # the caller has one of a text
    return Calibration(wanted.text, wanted.chunks, wanted.n_ctx)


def _renamed(rung: Rung, name: str) -> Rung:
    if name == rung.name:
        return rung

    def record() -> Artifact | None:
        artifact = rung.known()
        return replace(artifact, name=name) if artifact else None

    return replace(rung, name=name, known=record, make=lambda: replace(rung.make(), name=name))


def chosen_levels(request: Request) -> list[Level]:
    """Return the recipe's levels, or those of them that the request names.

    Raises:
        InputError: it names one that is not there.
    """
    levels = request.recipe.levels
    labels = [level.label for level in levels]
    for name in request.levels:
        if name not in labels:
            raise InputError(f"--levels {name}: not in the recipe{did_you_mean(name, labels)}")
    return [level for level in levels if not request.levels or level.label in request.levels]


def _unique(name: str, taken: Sequence[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique = f"{name}-{number}"
        number += 1
    return unique


@dataclass(frozen=True)
class Built:
    """What building a ladder left on the disk."""

    reference: Artifact
    levels: tuple[Artifact, ...]
    lost: dict[str, str]
    """Level name -> why it could not be built."""


def build_ladder(
    request: Request, workspace: Workspace, progress: Progress = lambda line: None
) -> Built:
    """Build a recipe's reference and levels and measure nothing.

    Raises:
        InputError: the recipe cannot be carried out.
        WorkspaceBusy: another process works in this workspace.
    """
    with workspace.locked():
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        ladder = Ladder(request, workspace, engine, progress)
        for level in ladder.levels:
            if level.note:
                progress(f"{level.label}: {level.note}")
        reference = ladder.reference.make()
        levels: list[Artifact] = []
        lost: dict[str, str] = {}
        for rung in ladder.rungs:
            try:
                levels.append(rung.make())
            except (EdgeevalError, OSError) as error:
                lost[rung.name] = reason_of(error)
                progress(f"{rung.name}: lost: {lost[rung.name]}")
        if request.keep == "levels":
            ladder.reference.delete(reference)
        return Built(reference, tuple(levels), lost)
