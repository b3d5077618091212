"""Derive a results document again from the journals, past every cache, and say what differs.

Small named checks over the evidence, each with what it says of itself:

    evidence, plans, journals, arrays    what was kept is what was kept then
    file of X                            the model files are the ones that were measured
    judge's scores, judge again          the scores that were used, and the judge asked once more
    results: X                           every number, verdict and sentence of the document
    control: X                           what the scorers say of answers that are known beforehand

Times are not derived: nothing says again how long something took. Of `cost.*` it is held that the
document says what was recorded.
"""

import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeeval.artifact.inspect import describe
from edgeeval.errors import InputError, one_line
from edgeeval.judges.score import JudgedTexts, score_texts
from edgeeval.pipeline.bench import Bench, Check, Differs, TooFew, tried
from edgeeval.pipeline.bundle import foreign_of
from edgeeval.pipeline.conclude import Material, conclude, read_material
from edgeeval.pipeline.controls import run_controls
from edgeeval.pipeline.evidence import (
    Evidence,
    journal_digest,
    read_evidence,
    scores_digest,
)
from edgeeval.pipeline.judging import with_judges
from edgeeval.pipeline.measure import second_plans, settings_for
from edgeeval.pipeline.request import Chosen, choose
from edgeeval.records import Artifact, Results
from edgeeval.report import load_results
from edgeeval.run.arrays import is_as_saved
from edgeeval.run.clock import Clock
from edgeeval.run.schedule import Measurer, Progress
from edgeeval.store import Journal, Workspace, digest, read_json

_SHOWN = 3
"""Differences of a check that are spelled out."""
_MAX_LENGTH = 100
_ROUNDING = 1e-4
"""Batch mates may move a judge's score by a unit of its last decimal."""
_OF_A_FILE = (
    "sha256", "size_bytes", "weights_sha256", "vocabulary_sha256", "tokenizer_sha256",
    "chat_template_sha256", "architecture", "label", "n_params", "bpw", "type_shares",
)  # fmt: skip


def verify(
    path: Path, workspace: Workspace, progress: Progress = lambda line: None
) -> Iterator[Check]:
    """Derive a results document again and yield what each check says, as it is known.

    Args:
        path: a results.json.
        workspace: where it was made.
        progress: called with lines of talk.

    Raises:
        InputError: it is no results document, or the workspace lacks what it was derived from.
        WorkspaceBusy: another process works in this workspace.
    """
    results = load_results(path)
    if not workspace.root.is_dir():
        raise InputError(f"{workspace.root}: no such workspace; give the one of the evaluation")
    evidence = read_evidence(workspace, results.evidence)
    _require_there(workspace, evidence)
    with workspace.locked(), tempfile.TemporaryDirectory() as scratch:
        asked = evidence.request
        chosen = with_judges(asked, choose(asked, foreign_of(asked, workspace)), workspace)
        again = _Again(results, evidence, workspace, chosen, Path(scratch))
        again.require_plans()
        for name, check in again.checks():
            progress(name)
            yield tried(name, check)
        yield from again.of_the_numbers(progress)


def _require_there(workspace: Workspace, evidence: Evidence) -> None:
    wanted = [workspace.root / name for name in evidence.pieces]
    wanted += [array for name in evidence.pieces for array in _arrays(workspace.root / name)]
    if missing := [path for path in wanted if not path.is_file()]:
        more = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
        raise InputError(
            f"the workspace lacks {missing[0]}{more}, of which the results were made; run eval "
            "again"
        )


def _arrays(journal: Path) -> list[Path]:
    """Return the files that a journal of a run names; a damaged journal is found by its hash."""
    if journal.name != "journal.jsonl":
        return []
    try:
        lines = Journal(journal).read()
    except (InputError, OSError):
        return []
    names = [line[key] for line in lines for key in ("nll", "divergence") if key in line]
    return [journal.parent / "arrays" / name for name in names if isinstance(name, str)]


@dataclass(frozen=True)
class _Again:
    """A second derivation."""

    results: Results
    evidence: Evidence
    workspace: Workspace
    chosen: Chosen
    scratch: Path

    def measurer(self) -> Measurer:
        settings = settings_for(self.evidence.request, self.chosen, self.evidence.engine)
        clock = Clock(self.scratch / "timings.jsonl")
        return Measurer(self.workspace, settings, clock, lambda line: None)

    def require_plans(self) -> None:
        """Refuse where the prompt sets are not those that were planned.

        Raises:
            InputError: they are not.
        """
        measurer, reference = self.measurer(), self.evidence.reference
        orders = (False, True) if measurer.settings.suite.second_plan else (False,)
        if not all(measurer.has_plans(reference, second=second) for second in orders):
            raise InputError(
                "a prompt set or the suite is not what the evaluation asked: "
                f"{', '.join(one.prompt_set.id for one in self.chosen.sets)}; verify with the "
                f"edgeeval that made it ({self.evidence.environment.edgeeval}), or run eval again"
            )

    # -- what was kept ---------------------------------------------------------------------------

    def checks(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "evidence", self.evidence_is_whole
        yield "plans", self.plans_are_as_then
        yield "journals", self.journals_are_as_then
        yield "arrays", self.arrays_are_as_saved
        for artifact in (self.evidence.reference, *self.evidence.levels.values()):
            yield f"file of {artifact.name}", functools.partial(self.file_is_the_same, artifact)

    def evidence_is_whole(self) -> str:
        if self.evidence.hash != self.results.evidence:
            raise Differs(
                f"the results name {self.results.evidence[:12]}; what is kept under that name "
                f"hashes to {self.evidence.hash[:12]}: request, artifacts or hashes were changed"
            )
        return self.evidence.hash[:12]

    def plans_are_as_then(self) -> str:
        return self._as_then("plans", lambda path: digest(read_json(path)))

    def journals_are_as_then(self) -> str:
        return self._as_then("journal.jsonl", journal_digest)

    def _as_then(self, part: str, said_by: Callable[[Path], str]) -> str:
        names = [name for name in self.evidence.pieces if part in Path(name).parts]
        for name in names:
            now = tried(name, functools.partial(said_by, self.workspace.root / name))
            if now.outcome != "holds":
                raise Differs(f"{name}: cannot be read: {now.said}")
            if now.said != self.evidence.pieces[name]:
                raise Differs(
                    f"{name}: was changed: {self.evidence.pieces[name][:12]} then, "
                    f"{now.said[:12]} now"
                )
        return f"{len(names)} files"

    def arrays_are_as_saved(self) -> str:
        root = self.workspace.root
        arrays = [path for name in self.evidence.pieces for path in _arrays(root / name)]
        for path in arrays:
            try:
                is_same = is_as_saved(path)
            except (ValueError, EOFError, OSError) as error:
                raise Differs(f"{path.relative_to(root)}: cannot be read: {error}") from None
            if not is_same:
                raise Differs(f"{path.relative_to(root)}: was changed: its name is not its hash")
        return f"{len(arrays)} files"

    def file_is_the_same(self, artifact: Artifact) -> str:
        path = Path(artifact.path)
        if artifact.provenance.how == "bundled" or path.suffix == ".bundle":
            raise TooFew("it ran on another machine")
        if not path.is_file():
            raise TooFew(f"{path} is gone; its numbers are derived from its runs")
        found = describe(Workspace(self.scratch), path, name=artifact.name, source=artifact.source)
        for name in _OF_A_FILE:
            then, now = getattr(artifact, name), getattr(found, name)
            if then != now:
                raise Differs(f"{path}: {name}: {_shown(then)} then, {_shown(now)} now")
        return f"{artifact.sha256[:12]}, {path}"

    # -- numbers ---------------------------------------------------------------------------------

    def of_the_numbers(self, progress: Progress) -> Iterator[Check]:
        progress("deriving the numbers")
        try:
            material, derived, controls = self.derive()
        except Exception as error:  # whatever a damaged journal makes of them is a finding
            yield Check("results", "differs", f"cannot be derived: {_reason(error)}")
            return
        for judged in material.judgement.judged:
            name, asked = judged.info.name, (material.texts, judged)
            yield tried(f"{name}'s scores", functools.partial(self.scores_are_as_then, *asked))
            progress(f"asking {name} again")
            yield tried(f"{name} again", functools.partial(self.judge_says_the_same, *asked))
        for name, there, here in _sections(_document(self.results), _document(derived)):
            yield tried(f"results: {name}", functools.partial(_require_equal, there, here))
        yield from (one._replace(name=f"control: {one.name}") for one in controls)

    def derive(self) -> tuple[Material, Results, list[Check]]:
        """Return what is on disk, and the results that follow from it."""
        measurer, evidence = self.measurer(), self.evidence
        plans = measurer.plans(evidence.reference)
        finished = evidence.finished(plans, second_plans(measurer, evidence.reference))
        material = read_material(self.chosen, measurer, finished, kept_in=self._copied_scores())
        controls = run_controls(
            Bench(
                self.chosen.scorers, material.reference, material.levels, material.judgement.first
            )
        )
        derived = conclude(
            evidence.request, self.chosen, measurer, finished, material, evidence, controls
        )
        return material, derived, controls

    def _copied_scores(self) -> Path:
        """Return a copy of the judges' journals: verifying writes nothing into the workspace."""
        copied = self.scratch / "judged"
        shutil.copytree(self.workspace.folder("judged"), copied)
        return copied

    def scores_are_as_then(self, texts: Sequence[str], judged: JudgedTexts) -> str:
        """Hash the scores that were used, from the workspace's own journal."""
        name = f"judged/{judged.info.id}.jsonl"
        known: dict[str, dict[str, float]] = {}
        for line in Journal(self.workspace.root / name).read():
            known.setdefault(line["text"], line["scores"])
        now = scores_digest(JudgedTexts(judged.info, known), texts)
        then = self.evidence.pieces.get(name, "")
        if now != then:
            raise Differs(f"{name}: was changed: {then[:12]} then, {now[:12]} now")
        return f"{len(texts)} texts"

    def judge_says_the_same(self, texts: Sequence[str], judged: JudgedTexts) -> str:
        """Score every text again, in a worker, with nothing stored to lean on."""
        judge = next(one for one in self.chosen.judges if one.info.name == judged.info.name)
        again = score_texts(self.workspace, judge, texts, kept_in=self.scratch / "again")
        differing = [
            f"{label} {then:.4f} stored, {now:.4f} now, of {_shown(text)}"
            for text in texts
            for label in judged.info.labels
            if abs((then := judged.score(text, label)) - (now := again.score(text, label)))
            > _ROUNDING + 1e-9
        ]
        if differing:
            raise Differs(f"{len(differing)} of {len(texts)} texts: {differing[0]}")
        return f"{len(texts)} texts"


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


# -- two documents -------------------------------------------------------------------------------


def _document(results: Results) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(asdict(results)))
    del document["timings"]
    return document


def _sections(
    there: Mapping[str, Any], here: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield the parts of two documents: each level by itself, what is small together."""
    levels = ("levels", "reference")
    asked, derived = (
        _flat({key: value for key, value in of.items() if key not in levels})
        for of in (there, here)
    )
    yield "what was asked", asked, derived
    yield "reference", _flat(there["reference"]), _flat(here["reference"])
    names = [[level["name"] for level in of["levels"]] for of in (there, here)]
    yield "levels", {"names": names[0]}, {"names": names[1]}
    for level in here["levels"]:
        given: dict[str, Any] = next(
            (one for one in there["levels"] if one["name"] == level["name"]), {}
        )
        yield f"level {level['name']}", _flat(given), _flat(level)


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Return every leaf of a document by its path."""
    if isinstance(value, dict):
        parts: Sequence[tuple[str, Any]] = [(str(name), one) for name, one in value.items()]
    elif isinstance(value, list):
        parts = [(str(index), one) for index, one in enumerate(value)]
    else:
        return {key: value}
    flat: dict[str, Any] = {} if parts else {key: value}
    for name, one in parts:
        flat |= _flat(one, f"{key}.{name}" if key else name)
    return flat


_ABSENT = "absent"


def _require_equal(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Hold two flattened documents together.

    Raises:
        Differs: naming key, value there and value here.
    """
    keys = dict.fromkeys([*here, *there])
    differing = [key for key in keys if there.get(key, _ABSENT) != here.get(key, _ABSENT)]
    if not differing:
        return f"{len(keys)} values"
    shown = "; ".join(
        f"{key}: {_shown(there.get(key, _ABSENT))} in the results, "
        f"{_shown(here.get(key, _ABSENT))} derived"
        for key in differing[:_SHOWN]
    )
    more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    raise Differs(shown + more)


def _shown(value: Any) -> str:
    text = one_line(value if isinstance(value, str) else json.dumps(value, default=str))
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"
