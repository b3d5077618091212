"""Judges that are GGUF files: classifiers such as Detoxify's, run by the engine.

`edgeeval judge build` makes them (build.py). At scoring time PyTorch is not needed and not
imported: the tokenizers library makes token ids of the file's own tokenizer.json, llama.cpp does
the rest.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeeval.errors import InputError, ModelFileError, NotFetched
from edgeeval.judges import Judge, Judged
from edgeeval.judges.catalogue import catalogue
from edgeeval.judges.gguf_file import JudgeFile, read_judge_file, read_tokenizer
from edgeeval.records import JudgeInfo
from edgeeval.run.device import Engine, find_engine
from edgeeval.store import Workspace, digest

KIND = "gguf"
FOLDER = "judges"
_BATCH_TOKENS = 512
"""Tokens that are computed at once, or as many as the longest text has."""
_SUFFIX = ".gguf"
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}", re.ASCII)
_ID_DIGITS = 16


def judge_path(workspace: Workspace, name: str) -> Path:
    """Return where the judge of a name is built.

    Raises:
        InputError: it is no name: metrics' keys have it after an @, and files are named by it.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"judge {name!r}: a name has letters, digits, dots, dashes and underscores"
        )
    return workspace.root / FOLDER / f"{name}{_SUFFIX}"


def names(workspace: Workspace) -> tuple[str, ...]:
    """Return the judges that were built here."""
    paths = sorted((workspace.root / FOLDER).glob(f"*{_SUFFIX}"))
    return tuple(path.stem for path in paths if _NAME.fullmatch(path.stem))


def find(name: str, workspace: Workspace) -> Judge | None:
    """Return the judge that was built here under a name, or the one in a file.

    Raises:
        NotFetched: it is known by that name, and was not built here.
        InputError: the file is not there or no judge.
    """
    if name.endswith(_SUFFIX):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"judge {name}: no such file")
        if not _NAME.fullmatch(path.stem):
            raise InputError(
                f"judge {name}: the judge is named after its file, in letters, digits, dots, "
                "dashes and underscores; rename it"
            )
        return describe(path, workspace)
    path = workspace.root / FOLDER / f"{name}{_SUFFIX}"
    if _NAME.fullmatch(name) and path.is_file():
        return describe(path, workspace)
    if name in catalogue():
        raise NotFetched(
            f"judge {name} is not in {workspace.root} yet; run: edgeeval fetch --judge {name}, "
            f"then: edgeeval judge build {name}"
        )
    return None


def describe(path: Path, workspace: Workspace) -> Judge:
    """Return a judge's file as a judge.

    Another engine or machine rounds otherwise, so the engine is part of the judge's id.

    Raises:
        ModelFileError: the file is broken, or no judge.
    """
    file, engine = read_judge_file(path), _engine(workspace.root)
    inputs = [workspace.file_sha256(path), engine.fingerprint, file.max_tokens]
    info = JudgeInfo(
        id=f"{path.stem}-{digest(inputs)[:_ID_DIGITS]}",
        name=path.stem,
        kind=KIND,
        description=f"{file.description}; {file.file_type}",
        labels=file.labels,
        primary=file.primary,
        activation=file.activation,
        max_tokens=file.max_tokens,
        conversion_difference=file.difference,
    )
    settings = {name: getattr(engine, name) for name in ("device", "n_threads", "use_extra_bufts")}
    return Judge(info, {"path": str(path.absolute()), **settings})


@functools.cache
def _engine(root: Path) -> Engine:
    """Ask for the engine once a process: that starts a worker.

    The CPU, whatever the evaluation runs on: a judge's scores are kept, and are to be the same.
    """
    return find_engine(Workspace(root), device="cpu", n_threads=None)


def load(
    path: str, *, device: str, n_threads: int, use_extra_bufts: bool
) -> Callable[[list[str]], Judged]:
    """Return the scoring function of a judge's file (in a worker process).

    Raises:
        ModelFileError: the engine cannot load the file, or reads other labels in it.
    """
    from edgeeval._llama import Classifier

    file = read_judge_file(Path(path))
    encode = tokenizer_of(file)
    classifier = Classifier(
        file.path,
        device=device,
        n_threads=n_threads,
        use_extra_bufts=use_extra_bufts,
        n_batch=max(_BATCH_TOKENS, file.max_tokens),
    )
    if classifier.labels != file.labels:
        raise ModelFileError(f"{path}: the engine reads other labels in it; build it again")

    def score(texts: list[str]) -> Judged:
        ids, truncated = encode(texts)
        outputs = np.empty((len(texts), len(file.labels)), np.float64)
        for batch in batches([len(one) for one in ids], classifier.n_batch):
            outputs[batch] = classifier.classify([ids[index] for index in batch])
        probabilities = probabilities_of(outputs, file.activation)
        by_label = {label: probabilities[:, at].tolist() for at, label in enumerate(file.labels)}
        return Judged(by_label, truncated)

    return score


def tokenizer_of(file: JudgeFile) -> Callable[[Sequence[str]], tuple[list[list[int]], list[bool]]]:
    """Return the function that makes token ids of texts, and says which were cut.

    They are the original's, but for one: where a text itself says `<pad>`, RoBERTa's padding token
    has a position that is none of the text's, which llama.cpp cannot express. It is left out.

    Raises:
        ModelFileError: the tokenizer in the file is broken.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_str(read_tokenizer(file.path))
        tokenizer.no_padding()
        tokenizer.enable_truncation(file.max_tokens, direction=file.truncation_side)
    except Exception as error:  # the library raises plain Exception
        raise ModelFileError(f"{file.path}: its tokenizer cannot be read: {error}") from None

    def encode(texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
        whole = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates
        found = tokenizer.encode_batch_fast(whole)
        ids = [[token for token in one.ids if token != file.padding_id] for one in found]
        return ids, [bool(one.overflowing) for one in found]

    return encode


def batches(lengths: Sequence[int], n_batch: int) -> Iterator[list[int]]:
    """Yield the places of texts, sorted by length and packed into batches as full as may be.

    Texts of one length beside each other share their batch with others of nearly that length, so
    that a batch holds many of them or few and is full either way.
    """
    from edgeeval._llama import MAX_SEQUENCES

    batch: list[int] = []
    n_tokens = 0
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        if batch and (n_tokens + lengths[index] > n_batch or len(batch) == MAX_SEQUENCES):
            yield batch
            batch, n_tokens = [], 0
        batch.append(index)
        n_tokens += lengths[index]
    if batch:
        yield batch


def probabilities_of(outputs: npt.NDArray[np.float64], activation: str) -> npt.NDArray[np.float64]:
    """Turn raw outputs, a row a text, into probabilities."""
    if activation == "sigmoid":
        decay = np.exp(-np.abs(outputs))  # never overflows
        return np.where(outputs >= 0, 1 / (1 + decay), decay / (1 + decay))
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    normalised: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return normalised
