"""Compute an importance matrix from a calibration text: which input columns matter to each weight.

The quantizer weighs its rounding errors by it, and the smallest levels cannot be made without one.
The sums are those of llama.cpp's `llama-imatrix` on the same text: the same tokens, cut into the
same chunks, decoded in the same physical batches. The file is addressed by its inputs. The worker
writes down what it has every now and then, so that a killed one loses little; where it was killed
leaves no trace in the result, since each group of chunks starts from cleared memory and is added as
a whole.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgeeval.artifact.imatrix_file import (
    ImatrixData,
    ImatrixEntry,
    quantizer_weights,
    read_imatrix,
    write_imatrix,
)
from edgeeval.errors import InputError, ModelFileError, WorkerFailed
from edgeeval.records import Artifact
from edgeeval.run.device import Engine
from edgeeval.run.schedule import Progress
from edgeeval.run.worker import Emit, run_job
from edgeeval.store import Workspace, digest

if TYPE_CHECKING:
    from edgeeval._llama import Model, Vocabulary, Weighting
    from edgeeval.artifact.activations import Sums

IMATRIX_VERSION = 1
"""Raise it when the same inputs give other sums."""

_GROUP_TOKENS = 2048
"""llama.cpp's default logical batch: so many tokens' chunks are decoded side by side."""
_MIN_CTX = 16
"""Products with fewer rows are not collected."""
_MAX_TEXT_BYTES = 1 << 30
"""The tokenizer counts in 32 bits."""
CHECKPOINT_S = 5.0


@dataclass(frozen=True)
class Imatrix:
    """An importance matrix on disk."""

    path: Path
    sha256: str
    dataset: str
    """The calibration text's file name."""
    text_sha256: str
    """Empty for a ready-made file: its text is not here."""
    n_chunks: int
    """As llama.cpp counts them: tokens that the busiest weight met, in whole chunks."""
    n_ctx: int
    """Tokens a chunk."""
    n_entries: int
    """Weights that it knows of."""


@dataclass(frozen=True)
class Calibration:
    """What an importance matrix is computed from."""

    text: Path
    """Its bytes are tokenized as they are, less one closing newline."""
    n_chunks: int | None
    """How many chunks of the text are read, as many as it has at most; None: all."""
    n_ctx: int
    """Tokens a chunk."""


def compute_imatrix(
    workspace: Workspace,
    engine: Engine,
    model: Artifact,
    calibration: Calibration,
    progress: Progress,
) -> Imatrix:
    """Compute an importance matrix, unless that file is there already.

    Args:
        workspace: keeps the file, under imatrix/.
        engine: what computes; another build may round otherwise.
        model: best unquantized.
        calibration: the text.
        progress: told how many chunks are done.

    Raises:
        InputError: the text cannot be read or is too short; the numbers make no sense.
        WorkerFailed: llama.cpp refused or died; run again to go on.
    """
    n_chunks, n_ctx = calibration.n_chunks, calibration.n_ctx
    if n_ctx < _MIN_CTX or (n_chunks is not None and n_chunks < 1):
        raise InputError(
            f"imatrix: {n_chunks} chunks of {n_ctx} tokens: give at least one chunk, and at least "
            f"{_MIN_CTX} tokens a chunk"
        )
    target = _target(workspace, engine, model, calibration)
    if not target.exists():
        job = {
            "model": model.path,
            "text": str(calibration.text),
            "text_sha256": _text_sha256(workspace, calibration.text),
            "n_chunks": n_chunks,
            "n_ctx": n_ctx,
            "target": str(target),
            "checkpoint_s": CHECKPOINT_S,
            "device": engine.device,
            "n_threads": engine.n_threads,
            "n_ubatch": engine.n_ubatch,
            "use_extra_bufts": engine.use_extra_bufts,
        }
        run_job(workspace, "imatrix", job, lambda event: progress(_line(model, event)))
    return _read(workspace, target, _text_sha256(workspace, calibration.text))


def find_imatrix(
    workspace: Workspace, engine: Engine, model: Artifact, calibration: Calibration
) -> Imatrix | None:
    """Return an importance matrix that was computed before, if it was.

    Raises:
        InputError: the text cannot be read.
    """
    target = _target(workspace, engine, model, calibration)
    if not target.exists():
        return None
    return _read(workspace, target, _text_sha256(workspace, calibration.text))


def given_imatrix(workspace: Workspace, path: Path) -> Imatrix:
    """Return a ready-made importance matrix.

    Raises:
        ModelFileError: it cannot be read.
    """
    return _read(workspace, path, "")


def read_weighting(path: Path) -> "Weighting":
    """Return an importance matrix as the quantizer takes it.

    Raises:
        ModelFileError: it cannot be read.
    """
    from edgeeval._llama import Weighting

    data = read_imatrix(path)
    return Weighting(
        path.name, next(iter(data.datasets), ""), data.chunk_count, quantizer_weights(data)
    )


def _target(
    workspace: Workspace, engine: Engine, model: Artifact, calibration: Calibration
) -> Path:
    text_sha256 = _text_sha256(workspace, calibration.text)
    inputs = [IMATRIX_VERSION, model.sha256, text_sha256, calibration.n_ctx, calibration.n_chunks]
    inputs += [engine.package, engine.libraries_sha256, engine.use_extra_bufts, engine.device]
    return workspace.folder("imatrix") / f"{digest(inputs)[:32]}.gguf"


def _read(workspace: Workspace, path: Path, text_sha256: str) -> Imatrix:
    data = read_imatrix(path)
    return Imatrix(
        path=path,
        sha256=workspace.file_sha256(path),
        dataset=next(iter(data.datasets), ""),
        text_sha256=text_sha256,
        n_chunks=data.chunk_count,
        n_ctx=data.chunk_size,
        n_entries=len(data.entries),
    )


def _text_sha256(workspace: Workspace, text: Path) -> str:
    try:
        size_bytes = text.stat().st_size
        if size_bytes > _MAX_TEXT_BYTES:
            raise InputError(f"{text}: {size_bytes >> 20} MiB; a calibration text has at most 1024")
        return workspace.file_sha256(text)
    except OSError as error:
        raise InputError(f"{text}: cannot be read: {error.strerror}") from None


def _line(model: Artifact, event: dict[str, Any]) -> str:
    return f"{model.name}: imatrix: {event['done']} of {event['total']} chunks"


# -- in the worker -------------------------------------------------------------------------------


def work(job: dict[str, Any], emit: Emit) -> None:
    """Compute one importance matrix (in a worker process)."""
    from edgeeval._llama import Model

    model = Model(Path(job["model"]), device=job["device"], use_extra_bufts=job["use_extra_bufts"])
    chunks = read_chunks(
        model.vocabulary,
        Path(job["text"]),
        sha256=job["text_sha256"],
        n_chunks=job["n_chunks"],
        n_ctx=job["n_ctx"],
    )
    sums = _sum_up(model, chunks, job, emit)
    n_counted = max(int(entry.counts.max()) for entry in sums.values()) // job["n_ctx"]
    write_imatrix(Path(job["target"]), _data(sums, np.float32, n_counted, job))
    _checkpoint(job).unlink(missing_ok=True)


def read_chunks(
    vocabulary: "Vocabulary", text: Path, *, sha256: str, n_chunks: int | None, n_ctx: int
) -> list[list[int]]:
    """Cut a text into chunks of token ids, as llama-imatrix does.

    It tokenizes the whole text as one, special tokens not parsed, and puts BOS in place of each
    chunk's first token where the model wants one.

    Raises:
        InputError: the text cannot be read, was changed since it was hashed, or is too short.
    """
    try:
        data = text.read_bytes()
    except OSError as error:
        raise InputError(f"{text}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{text}: it was changed meanwhile; run again")
    tokens = vocabulary.tokenize(data.removesuffix(b"\n"), add_special=True, parse_special=False)
    if len(tokens) < 2 * n_ctx:
        raise InputError(
            f"{text}: {len(tokens)} tokens; an imatrix takes at least two chunks of {n_ctx}: "
            "give a longer text, or fewer tokens a chunk"
        )
    starts = range(0, len(tokens) - n_ctx + 1, n_ctx)[:n_chunks]
    chunks = [tokens[start : start + n_ctx] for start in starts]
    if vocabulary.add_bos:
        for chunk in chunks:
            chunk[0] = vocabulary.bos
    return chunks


def _sum_up(
    model: "Model", chunks: list[list[int]], job: dict[str, Any], emit: Emit
) -> "Mapping[str, Sums]":
    """Decode the chunks that no checkpoint holds yet, and write checkpoints on the way."""
    from edgeeval._llama import Context
    from edgeeval.artifact.activations import Collector

    n_together = max(1, _GROUP_TOKENS // job["n_ctx"])
    sums, n_done = _resume(_checkpoint(job))
    collector = Collector(sums)
    context = Context(
        model,
        n_ctx=n_together * job["n_ctx"],
        n_batch=job["n_ubatch"],
        n_ubatch=job["n_ubatch"],
        n_seq_max=n_together,
        n_threads=job["n_threads"],
        kv_unified=False,
        kv_type="f16",
        flash_attention=True,
        on_node=collector.on_node,
    )
    saved_at = time.monotonic()
    for first in range(n_done, len(chunks), n_together):
        group = chunks[first : first + n_together]
        collector.add(context, group, job["n_ubatch"])
        n_done = first + len(group)
        emit({"event": "chunks", "done": n_done, "total": len(chunks)})
        if time.monotonic() - saved_at >= job["checkpoint_s"] and n_done < len(chunks):
            write_imatrix(_checkpoint(job), _data(sums, np.float64, n_done, job))
            saved_at = time.monotonic()
    if not sums:
        raise WorkerFailed(f"{model.path}: no weight of a block was multiplied by: no imatrix")
    return sums


def _checkpoint(job: dict[str, Any]) -> Path:
    """Return where unfinished sums are kept: an imatrix in double precision."""
    return Path(job["target"]).with_suffix(".part")


def _resume(checkpoint: Path) -> "tuple[dict[str, Sums], int]":
    """Return what an earlier worker left: sums, and of how many chunks."""
    from edgeeval.artifact.activations import Sums

    try:
        data = read_imatrix(checkpoint, precision=np.float64)
    except ModelFileError:  # there is none, or it is of no use: it would only have saved time
        return {}, 0
    sums = {
        name: Sums(in_sum2.astype(np.float64), counts)
        for name, (in_sum2, counts) in data.entries.items()
    }
    return sums, data.chunk_count


def _data(
    sums: "Mapping[str, Sums]",
    precision: type[np.float32] | type[np.float64],
    n_chunks: int,
    job: dict[str, Any],
) -> ImatrixData:
    entries = {}
    for name, one in sums.items():
        with np.errstate(over="ignore"):
            in_sum2: npt.NDArray[np.floating[Any]] = one.in_sum2.astype(precision)
        if not np.isfinite(in_sum2).all():
            raise WorkerFailed(f"{name}: its input's squares overflow: the model's file is damaged")
        entries[name] = ImatrixEntry(in_sum2, one.counts)
    return ImatrixData(entries, (Path(job["text"]).name,), n_chunks, job["n_ctx"])
