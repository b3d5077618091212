"""Make a judge of a classifier checkpoint: the body of `edgeeval judge build`.

A judge is built once and then believed for every text, so it is held against its own checkpoint
first: PyTorch answers the probe texts (probe.json), the built file answers them, and a judge whose
token ids differ, or whose probabilities differ by more than `TOLERANCES`, is not kept.
"""

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeeval.artifact.converter import Converter, explain_failure, find_converter, launch, new_log
from edgeeval.errors import InputError, ModelFileError, WorkerFailed, did_you_mean
from edgeeval.judges import Judge, Judged
from edgeeval.judges import gguf as gguf_judges
from edgeeval.judges.catalogue import catalogue
from edgeeval.judges.checkpoint import (
    SAFETENSORS,
    Classifier,
    Wishes,
    read_classifier,
    require_vocabulary,
    weights_file,
)
from edgeeval.judges.fetch import find_files
from edgeeval.judges.gguf_file import (
    FILE_TYPES,
    JudgeFile,
    read_judge_file,
    set_difference,
    write_judge_file,
)
from edgeeval.judges.pytorch.oracle import FAULT
from edgeeval.run.schedule import Progress
from edgeeval.run.worker import run_job
from edgeeval.store import Workspace, replace_durably, require_space

TOLERANCES = {"F32": 5e-3, "F16": 5e-3, "Q8_0": 5e-2}
"""File type -> largest difference of a probability from PyTorch's. llama.cpp's GELU alone makes up
to 1e-3; eight bits a weight were measured at .04 on a RoBERTa of base size."""
_ORACLE = Path(__file__).parent / "pytorch" / "oracle.py"
_PROBE = Path(__file__).with_name("probe.json")
_BYTES = {"F32": 4, "F16": 2, "Q8_0": 2}
_MARGIN_BYTES = 64 << 20


@dataclass(frozen=True)
class Source:
    """What a judge is made of."""

    name: str
    """What the judge is called."""
    folder: Path
    """Configuration, tokenizer and weights."""
    origin: str
    description: str
    wishes: Wishes


def probe_texts() -> list[str]:
    """Return the texts that every judge is compared on."""
    texts: list[str] = json.loads(_PROBE.read_text(encoding="utf-8"))
    return texts


def find_source(workspace: Workspace, given: str, wishes: Wishes) -> Source:
    """Return what a name or a path stands for.

    Raises:
        NotFetched: it is known by that name, and was not fetched.
        InputError: there is no such folder, and no such name.
    """
    path = Path(given)
    if path.is_dir():
        folder = path.resolve()
        return Source(folder.name, folder, folder.name, f"{folder.name}, a text classifier", wishes)
    known = catalogue()
    if given not in known:
        near = did_you_mean(given, known)
        raise InputError(f"{given}: no such folder, and no judge of that name{near}")
    entry, files = known[given], find_files(workspace, given)
    stated = Wishes(
        wishes.labels or entry.labels, wishes.activation or entry.activation, wishes.primary
    )
    origin = f"{entry.hf}@{files.commit}"
    return Source(given, files.folder, origin, entry.description, stated)


def build_judge(
    workspace: Workspace,
    source: Source,
    *,
    file_type: str,
    target: Path | None,
    progress: Progress,
    converter: Converter | None = None,
) -> Judge:
    """Build a judge and compare it with its checkpoint; nothing is written if it does not hold.

    Args:
        workspace: keeps the judge, under judges/, and has the converter's environment.
        source: from `find_source`.
        file_type: one of `FILE_TYPES`.
        target: where to write it instead.
        progress: told each step.
        converter: whose environment PyTorch is in; by default the one that was fetched.

    Raises:
        NotFetched: the converter's environment is not there.
        ModelFileError: the checkpoint cannot become a judge, or the judge is not like it.
        WorkerFailed: PyTorch or the engine failed.
    """
    if file_type not in FILE_TYPES:
        raise InputError(f"type {file_type!r}{did_you_mean(file_type, FILE_TYPES)}")
    target = target or gguf_judges.judge_path(workspace, source.name)
    if target.suffix != ".gguf":
        raise InputError(f"{target}: a judge's file ends in .gguf")
    target.parent.mkdir(parents=True, exist_ok=True)
    pytorch = PyTorch(workspace, converter or find_converter(workspace))
    with tempfile.TemporaryDirectory(dir=workspace.folder("log")) as scratch:
        classifier = _read(pytorch, source, Path(scratch), progress)
        progress(f"{source.name}: asking PyTorch about {len(probe_texts())} texts")
        answers = pytorch.answers(classifier, Path(scratch))
        require_vocabulary(classifier, answers.n_tokens)
        _require_disk(target, classifier, file_type)
        temporary = target.with_name(f".{target.stem}.tmp.gguf")
        try:
            progress(f"{source.name}: writing {file_type}")
            write_judge_file(
                temporary,
                classifier,
                file_type,
                name=source.name,
                source=source.origin,
                description=source.description,
                tokenizer=answers.tokenizer,
                truncation_side=answers.truncation_side,
                n_probes=len(answers.ids),
            )
            set_difference(temporary, _compared(workspace, temporary, answers, progress))
            replace_durably(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return gguf_judges.describe(target, workspace)


def _read(pytorch: "PyTorch", source: Source, scratch: Path, progress: Progress) -> Classifier:
    weights, detoxify = weights_file(source.folder), None
    if weights.name != SAFETENSORS:
        progress(f"{source.name}: reading {weights.name} without running it")
        unpacked = pytorch.unpack(weights, scratch)
        weights, detoxify = unpacked.weights, unpacked.detoxify
    return read_classifier(source.folder, weights, source.wishes, detoxify)


def _require_disk(target: Path, classifier: Classifier, file_type: str) -> None:
    n_params = sum(tensor.n_params for tensor in classifier.tensors.values())
    needed_bytes = n_params * _BYTES[file_type] + _MARGIN_BYTES
    require_space(target.parent, needed_bytes, f"{target.stem} as {file_type}")


@dataclass(frozen=True)
class Unpacked:
    """What a pickle held."""

    weights: Path
    """As safetensors."""
    detoxify: dict[str, Any] | None
    """Detoxify's configuration, if it is one of its checkpoints."""


@dataclass(frozen=True)
class Answers:
    """What PyTorch says of the probe texts."""

    ids: list[list[int]]
    outputs: list[list[float]]
    tokenizer: str
    """A tokenizer.json."""
    truncation_side: str
    n_tokens: int
    """Of the vocabulary."""


class PyTorch:
    """The converter's environment, asked about checkpoints."""

    def __init__(self, workspace: Workspace, converter: Converter) -> None:
        self._workspace = workspace
        self._converter = replace(converter, script=_ORACLE)

    def unpack(self, checkpoint: Path, scratch: Path) -> Unpacked:
        """Turn a pickle into safetensors, without running what it asks for.

        Raises:
            ModelFileError: it is broken, or no checkpoint.
        """
        job = {
            "checkpoint": str(checkpoint),
            "weights": str(scratch / SAFETENSORS),
            "config": str(scratch / "detoxify.json"),
        }
        self._run("unpack", job, checkpoint, scratch)
        config = json.loads((scratch / "detoxify.json").read_bytes())
        return Unpacked(scratch / SAFETENSORS, config if isinstance(config, dict) else None)

    def answers(self, classifier: Classifier, scratch: Path) -> Answers:
        """Ask a checkpoint about the probe texts.

        Raises:
            ModelFileError: transformers does not take its configuration, weights or tokenizer.
        """
        job = {
            "folder": str(classifier.folder),
            "architecture": classifier.architecture,
            "config": dict(classifier.config),
            "n_labels": len(classifier.labels),
            "weights": str(classifier.weights),
            "names": {name: tensor.name for name, tensor in classifier.tensors.items()},
            "max_tokens": classifier.max_tokens,
            "texts": probe_texts(),
            "tokenizer": str(scratch / "tokenizer.json"),
            "answers": str(scratch / "answers.json"),
        }
        self._run("answer", job, classifier.folder, scratch)
        found = json.loads((scratch / "answers.json").read_bytes())
        return Answers(tokenizer=(scratch / "tokenizer.json").read_text(encoding="utf-8"), **found)

    def _run(self, command: str, job: dict[str, Any], about: Path, scratch: Path) -> None:
        path, printed = scratch / f"{command}.json", list[str]()
        path.write_text(json.dumps(job), encoding="utf-8")
        log_path = new_log(self._workspace, f"judge-{command}")
        status = launch(
            self._converter, [command, str(path)], log_path=log_path, on_line=printed.append
        )
        faults = [line.removeprefix(FAULT) for line in printed if line.startswith(FAULT)]
        if faults:
            log_path.unlink()
            raise ModelFileError(f"{about}: {faults[0]}")
        if status != 0:
            failure = explain_failure(printed, status)
            raise WorkerFailed(f"{about}: PyTorch: {failure.reason}; its log: {log_path}")
        log_path.unlink()


def _compared(workspace: Workspace, path: Path, answers: Answers, progress: Progress) -> float:
    """Return the largest difference of a probability from PyTorch's.

    Raises:
        ModelFileError: a token id differs, or a probability by more than the tolerance.
    """
    file = read_judge_file(path)
    progress(f"{path.stem}: comparing with PyTorch")
    texts = probe_texts()
    ids, _ = gguf_judges.tokenizer_of(file)(texts)
    for text, ours, theirs in zip(texts, ids, answers.ids, strict=True):
        if ours != theirs or not ours:
            raise ModelFileError(
                f"{file.source}: the tokenizers library makes other token ids of {text[:40]!r} "
                "than transformers does"
            )
    judged = judge_texts(workspace, path, texts)
    expected = gguf_judges.probabilities_of(np.array(answers.outputs, np.float64), file.activation)
    found = np.array([judged.scores[label] for label in file.labels]).T
    difference = float(np.abs(found - expected).max())
    tolerance = TOLERANCES[file.file_type]
    if not difference <= tolerance:  # NaN is no pass
        raise ModelFileError(
            f"{file.source}: as {file.file_type} its probabilities differ from PyTorch's by up to "
            f"{difference:.2g}, more than {tolerance:g}; not kept"
        )
    return difference


def judge_texts(workspace: Workspace, path: Path, texts: list[str]) -> Judged:
    """Score texts with a judge's file in a worker, past every cache."""
    found: list[Judged] = []
    judge = gguf_judges.describe(path, workspace)
    job = {"judge": judge.info.name, "kind": judge.info.kind, "arguments": judge.arguments}

    def keep(event: dict[str, Any]) -> None:
        by_label = {label: [row[label] for row in event["scores"]] for label in judge.info.labels}
        found.append(Judged(by_label, event["truncated"]))

    run_job(workspace, "judge", job | {"texts": texts}, keep)
    return found[0]


def comparison(file: JudgeFile) -> str:
    """Say how far a judge is from the model that it was made of."""
    return (
        f"largest difference of a probability from PyTorch's: {file.difference:.1e} over "
        f"{file.n_probes} texts (at most {TOLERANCES[file.file_type]:g} is accepted)"
    )
