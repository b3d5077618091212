"""The detoxify package itself as a judge, in PyTorch: `--judge detoxify:FOLDER`.

For what the engine does not run (the "-small" models are ALBERT), and to hold GGUF judges against
the original. FOLDER has Detoxify's .ckpt, and config.json and the tokenizer of the model that it
was trained from; nothing is looked up on the Hub, and nothing in the pickle is run.
"""

import importlib.util
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgeeval.artifact.checkpoint import inside, read_json_object
from edgeeval.errors import InputError, ModelFileError
from edgeeval.judges import Judge, Judged
from edgeeval.judges.checkpoint import DETOXIFY_NAMES, primary_of
from edgeeval.records import JudgeInfo
from edgeeval.run.worker import Emit, run_job
from edgeeval.store import Journal, Workspace, digest

_PREFIX = "detoxify:"
_PACKAGES = ("detoxify", "torch", "transformers")
_MODELS = tuple(
    f"{family}ForSequenceClassification" for family in ("Albert", "Bert", "Roberta", "XLMRoberta")
)
_TOKENIZERS = ("AlbertTokenizer", "BertTokenizer", "RobertaTokenizer", "XLMRobertaTokenizer")
"""A checkpoint names the classes that it wants: these and no others, with or without `Fast`."""
_BATCH = 16
_ID_DIGITS = 16


def names(workspace: Workspace) -> tuple[str, ...]:
    """Return none: a folder may be anywhere."""
    del workspace
    return ()


def find(name: str, workspace: Workspace) -> Judge | None:
    """Return the judge in a folder.

    Raises:
        InputError: the extra is not installed, or the folder has no such checkpoint.
    """
    if not name.startswith(_PREFIX):
        return None
    if importlib.util.find_spec("detoxify") is None:
        raise InputError(
            f"judge {name}: the detoxify package is not installed; pip install 'edgeeval[detoxify]'"
        )
    return _describe(Path(name.removeprefix(_PREFIX)), workspace)


def _describe(given: Path, workspace: Workspace) -> Judge:
    checkpoints = sorted(given.glob("*.ckpt")) if given.is_dir() else []
    if len(checkpoints) != 1:
        raise InputError(
            f"judge {_PREFIX}{given}: {len(checkpoints)} checkpoints there; name a folder with one "
            ".ckpt of Detoxify's, its config.json and its tokenizer"
        )
    folder = given.resolve()
    files = sorted(path for path in folder.iterdir() if path.is_file())
    hashes = {path.name: workspace.file_sha256(inside(folder, path)) for path in files}
    versions = [version(package) for package in _PACKAGES]
    model_id = digest([hashes, versions])[:_ID_DIGITS]
    labels = _labels(workspace, model_id, folder)
    name = f"{folder.name}-pytorch"
    info = JudgeInfo(
        id=f"{name}-{model_id}",
        name=name,
        kind="detoxify",
        description=f"Detoxify {versions[0]} in PyTorch {versions[1]}",
        labels=labels,
        primary=primary_of(folder, labels, None),
        activation="sigmoid",
        max_tokens=_max_tokens(folder),
    )
    return Judge(info, {"folder": str(folder)})


def _labels(workspace: Workspace, model_id: str, folder: Path) -> tuple[str, ...]:
    """Return a checkpoint's classes: a pickle tells them, so a worker is asked, once."""
    known = Journal(workspace.folder("judges") / "detoxify.jsonl")
    for line in known.read():
        if line["model"] == model_id:
            return tuple(line["labels"])
    events: list[dict[str, Any]] = []
    run_job(workspace, "detoxify", {"folder": str(folder)}, events.append)
    known.append({"model": model_id, "labels": events[0]["labels"]})
    return tuple(events[0]["labels"])


def work(job: dict[str, Any], emit: Emit) -> None:
    """Say what a checkpoint's classes are (in a worker process)."""
    loaded = _load_checkpoint(Path(job["folder"]))
    emit({"event": "labels", "labels": _classes(loaded)})


def _max_tokens(folder: Path) -> int:
    config = read_json_object(folder, "config.json")
    n_positions = config.get("max_position_embeddings")
    if type(n_positions) is not int or n_positions < 3:
        raise ModelFileError(f"{folder}/config.json: max_position_embeddings: {n_positions!r}")
    reserved = 2 if config.get("model_type") in ("roberta", "xlm-roberta") else 0
    return n_positions - reserved


def _load_checkpoint(folder: Path) -> dict[str, Any]:
    """Read a pickle, as data only.

    Raises:
        ModelFileError: it is broken, asks for code, or is none of Detoxify's.
    """
    import torch

    (path,) = folder.glob("*.ckpt")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        arch, dataset = loaded["config"]["arch"]["args"], loaded["config"]["dataset"]["args"]
        whole = (
            isinstance(loaded["state_dict"], dict)
            and arch["model_name"] in _MODELS
            and arch["tokenizer_name"].removesuffix("Fast") in _TOKENIZERS
            and all(isinstance(name, str) for name in dataset["classes"])
            and len(dataset["classes"]) == arch["num_classes"]
        )
    except Exception as error:  # a broken archive may raise anything
        raise ModelFileError(
            f"{path}: no checkpoint of Detoxify's, or broken: {type(error).__name__}"
        ) from None
    if not whole:
        raise ModelFileError(f"{path}: its classes or its model are none of Detoxify's")
    return dict(loaded)


def _classes(loaded: dict[str, Any]) -> list[str]:
    classes = loaded["config"]["dataset"]["args"]["classes"]
    return [DETOXIFY_NAMES.get(name, name) for name in classes]


def load(folder: str) -> Callable[[list[str]], Judged]:
    """Return the scoring function: Detoxify's own `predict`, in batches of texts of one length.

    The model is put together by Detoxify from the folder. Its constructor is passed by: that reads
    the pickle with its code, and looks the base model up on the Hub even where a folder is given.
    """
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="true")
    from detoxify.detoxify import Detoxify, get_model_and_tokenizer

    loaded = _load_checkpoint(Path(folder))
    weights = {
        str(name).removeprefix("model."): value for name, value in loaded["state_dict"].items()
    }
    arguments = loaded["config"]["arch"]["args"] | {"model_type": folder, "state_dict": weights}
    judge = Detoxify.__new__(Detoxify)
    judge.model, judge.tokenizer = get_model_and_tokenizer(**arguments)
    judge.class_names, judge.device = _classes(loaded), "cpu"
    judge.tokenizer.model_max_length = _max_tokens(Path(folder))

    def score(texts: list[str]) -> Judged:
        whole = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates
        lengths = [len(judge.tokenizer(text)["input_ids"]) for text in whole]
        found: dict[str, list[float]] = {name: [0.0] * len(whole) for name in judge.class_names}
        order = sorted(range(len(whole)), key=lengths.__getitem__)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            predicted = judge.predict([whole[index] for index in batch])
            for name, values in predicted.items():
                listed = values if isinstance(values, list) else [values]  # of one text: a number
                for index, value in zip(batch, listed, strict=True):
                    found[name][index] = value
        return Judged(found, [n_tokens > judge.tokenizer.model_max_length for n_tokens in lengths])

    return score
