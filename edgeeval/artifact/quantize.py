"""Build GGUF levels with llama.cpp's own quantizer, in a worker, addressed by their inputs.

A built file's name is the hash of what made it, so it can be deleted and built again, and a second
evaluation finds it.
"""

import shutil
from pathlib import Path
from typing import Any

from edgeeval.artifact.inspect import describe
from edgeeval.errors import InputError, WorkerFailed
from edgeeval.records import Artifact
from edgeeval.run.device import Engine
from edgeeval.run.schedule import Progress
from edgeeval.run.worker import Emit, run_job
from edgeeval.store import Workspace, digest, replace_durably

_BITS_AT_MOST = {"F32": 32.0, "F16": 16.0, "BF16": 16.0}
_QUANTIZED_BITS_AT_MOST = 9.0
"""Q8_0 takes 8.5 bits a weight, and no quantized level takes more."""
_MARGIN_BYTES = 64 << 20


def build(
    workspace: Workspace,
    engine: Engine,
    source: Artifact,
    file_type: str,
    *,
    name: str,
    origin: str,
    progress: Progress,
) -> Artifact:
    """Quantize (or dequantize) an artifact to another type, unless that file is there already.

    Args:
        workspace: keeps the file, under artifacts/.
        engine: whose quantizer; another build may write other bytes.
        source: the file to read.
        file_type: such as Q4_K_M or BF16.
        name: the new artifact's name.
        origin: where it comes from, for its record.
        progress: told when the file is not there yet.

    Raises:
        InputError: the disk cannot hold it.
        WorkerFailed: llama.cpp refused or died.
    """
    inputs = [source.sha256, file_type, engine.package, engine.libraries_sha256]
    folder = workspace.folder("artifacts")
    target = folder / f"{digest(inputs)[:32]}-{file_type}.gguf"
    if not target.exists():
        progress(f"{name}: {origin}")
        _require_space(folder, source, file_type)
        temporary = target.with_suffix(".tmp")
        job = {
            "source": source.path,
            "target": str(temporary),
            "file_type": file_type,
            "n_threads": engine.n_threads,
        }
        try:
            run_job(workspace, "quantize", job)
            replace_durably(temporary, target)
        except WorkerFailed as error:
            if shutil.disk_usage(folder).free < _MARGIN_BYTES:
                raise WorkerFailed(f"{error} (the disk is full: {folder})") from None
            raise
        finally:
            temporary.unlink(missing_ok=True)
    return describe(workspace, target, name=name, source=origin)


def _require_space(folder: Path, source: Artifact, file_type: str) -> None:
    bits = _BITS_AT_MOST.get(file_type, _QUANTIZED_BITS_AT_MOST)
    needed_bytes = int(source.n_params * bits / 8) + _MARGIN_BYTES
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise InputError(
            f"{file_type}: needs {needed_bytes >> 20} MiB of disk, {free_bytes >> 20} MiB are free "
            f"in {folder}; free some, or give another --workspace"
        )


def work(job: dict[str, Any], emit: Emit) -> None:
    """Quantize one file (in a worker process)."""
    from edgeeval._llama import quantize

    del emit  # nothing to say before it is done
    quantize(
        Path(job["source"]),
        Path(job["target"]),
        file_type=job["file_type"],
        n_threads=job["n_threads"],
    )
