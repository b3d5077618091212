"""Remember what an evaluation's results were derived from, so that they can be derived again.

    evidence/<hash>.json    the request, the artifacts, and a hash of every plan, journal and score
                            that entered

The hash stands in the results. It covers what was measured and nothing of where: the same
evaluation in another folder has the same one, and a journal that was changed since has another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeeval.errors import InputError
from edgeeval.pipeline.measure import Finished
from edgeeval.pipeline.request import Request
from edgeeval.recipe import is_judge_file
from edgeeval.records import Artifact, Environment
from edgeeval.run.device import Engine
from edgeeval.run.foreign import Plan
from edgeeval.run.schedule import Measurer
from edgeeval.store import Journal, Workspace, digest, text_digest, write_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from edgeeval.judges.score import JudgedTexts

_TIMES = ("elapsed_s", "native_s")
"""Keys of a journal's line that differ between equal runs."""


@dataclass(frozen=True)
class Evidence:
    """What the results of one evaluation were derived from."""

    request: Request
    engine: Engine
    environment: Environment
    reference: Artifact
    order: tuple[str, ...]
    """Names of all levels; this and the next four are those of `Finished`."""
    levels: dict[str, Artifact]
    lost: dict[str, str]
    same: dict[str, str]
    problems: tuple[str, ...]
    pieces: dict[str, str]
    """File in the workspace -> hash of what it says; of a judge's scores, of those that were
    used."""
    schema: Literal["edgeeval/evidence@1"] = "edgeeval/evidence@1"

    @property
    def hash(self) -> str:
        """Return the hash of all that can change a number or a verdict, paths left out."""
        request = self.request
        asked = [request.suite, request.policy, request.levels, request.only, request.n_ctx]
        asked += [request.windows, request.limit, request.seed, request.judges]
        files = {name: one.sha256 for name, one in self.levels.items()}
        measured = [self.reference.sha256, files, self.order, sorted(self.lost), self.same]
        made_with = [asdict(self.engine), asdict(self.environment)]
        return digest([self.schema, asked, measured, len(self.problems), made_with, self.pieces])

    def finished(self, plans: Sequence[Plan], second: Sequence[Plan]) -> Finished:
        """Return what measuring left behind, with its plans read again."""
        return Finished(
            self.reference, plans, second, self.order, self.levels, self.lost, self.same,
            list(self.problems),
        )  # fmt: skip


def gather(
    request: Request,
    environment: Environment,
    measurer: Measurer,
    finished: Finished,
    judged: "Sequence[JudgedTexts]",
    texts: Sequence[str],
) -> Evidence:
    """Hash everything that an evaluation's numbers come from.

    Args:
        request: what was asked.
        environment: what computed.
        measurer: whose journals.
        finished: what was measured.
        judged: the scores of every judge that judged.
        texts: which of their scores were used.
    """
    pieces = {str(path): said for path, said in _pieces(measurer, finished)}
    for one in judged:
        pieces[f"judged/{one.info.id}.jsonl"] = scores_digest(one, texts)
    return Evidence(
        request=request,
        engine=measurer.settings.engine,
        environment=environment,
        reference=finished.reference,
        order=finished.order,
        levels=finished.levels,
        lost=finished.lost,
        same=finished.same,
        problems=tuple(finished.problems),
        pieces=dict(sorted(pieces.items())),
    )


def _pieces(measurer: Measurer, finished: Finished) -> Iterator[tuple[Path, str]]:
    root = measurer.workspace.root
    for plan in (*finished.plans, *finished.second):
        yield plan.path.relative_to(root), plan.sha256
    for folder in run_folders(measurer, finished):
        journal = folder / "journal.jsonl"
        yield journal.relative_to(root), journal_digest(journal)


def run_folders(measurer: Measurer, finished: Finished) -> Iterator[Path]:
    """Yield the folder of every run and divergence that the numbers come from."""
    reference = finished.reference
    for plan in (*finished.plans, *finished.second):
        yield measurer.run_dir(reference, plan)
    for plan in finished.plans:
        for level in finished.complete:
            yield measurer.run_dir(level, plan)
            if plan.content["primitive"] == "windows" and level.sha256 != reference.sha256:
                yield measurer.divergence_dir(level, reference, plan)


def journal_digest(path: Path) -> str:
    """Return the hash of what a journal says, times and the order of its lines left out.

    Raises:
        InputError: a line is not one of a journal.
    """
    lines = [
        {key: value for key, value in line.items() if key not in _TIMES}
        for line in Journal(path).read()
    ]
    return digest(sorted(lines, key=lambda line: str(line.get("block"))))


def scores_digest(judged: "JudgedTexts", texts: Sequence[str]) -> str:
    """Return the hash of a judge's scores of these texts."""
    labels = judged.info.labels
    by_text = {text_digest(one): [judged.score(one, label) for label in labels] for one in texts}
    return digest([judged.info.id, labels, by_text])


# -- on disk -------------------------------------------------------------------------------------


@cache
def _adapter() -> "TypeAdapter[Evidence]":
    from pydantic import TypeAdapter

    return TypeAdapter(Evidence)


def _path(workspace: Workspace, evidence_hash: str) -> Path:
    return workspace.root / "evidence" / f"{evidence_hash[:32]}.json"


def keep_evidence(workspace: Workspace, evidence: Evidence) -> None:
    """Write it into the workspace."""
    kept = replace(evidence, request=_found_from_anywhere(evidence.request))
    write_json(_path(workspace, evidence.hash), _adapter().dump_python(kept, mode="json"))


def _found_from_anywhere(request: Request) -> Request:
    """Make the paths of a request's inputs absolute: a later call may come from another folder."""

    def absolute(model: Any, *keys: str) -> Any:
        paths = {key: getattr(model, key) for key in keys}
        return model.model_copy(
            update={key: path.absolute() for key, path in paths.items() if path is not None}
        )

    def judges(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(str(Path(one).absolute()) if is_judge_file(one) else one for one in names)

    recipe = request.recipe
    changed = {
        "judges": judges(recipe.judges),
        "model": absolute(recipe.model, "gguf", "folder", "bundle"),
    }
    if recipe.imatrix is not None:
        changed["imatrix"] = absolute(recipe.imatrix, "text", "file")
    return replace(
        request,
        recipe=recipe.model_copy(update=changed),
        judges=judges(request.judges),
        text=request.text.absolute() if request.text else None,
        prompts=tuple(path.absolute() for path in request.prompts),
    )


def read_evidence(workspace: Workspace, evidence_hash: str) -> Evidence:
    """Read what a results document's numbers were derived from.

    Raises:
        InputError: the workspace does not have it, or it is damaged.
    """
    from pydantic import ValidationError

    if not evidence_hash:
        raise InputError(
            "the results name no evidence: they were written by another version; run eval again"
        )
    path = _path(workspace, evidence_hash)
    try:
        return _adapter().validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{workspace.root} has no evidence {evidence_hash[:12]} of these results; give the "
            "--workspace that they were made in, or run eval again"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {key}: {first['msg']}; run eval again") from None
