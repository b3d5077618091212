"""Build GGUF levels with llama.cpp's own quantizer, in a worker, addressed by their inputs.

A built file's name is the hash of what made it, so a second evaluation finds it. Its record stands
beside it and stays when the file is deleted: a level that was measured need not be built again to
be reported.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeeval.artifact.imatrix import Imatrix, read_weighting
from edgeeval.artifact.inspect import describe, keep_record, kept_record, read_gguf
from edgeeval.errors import InputError, WorkerFailed
from edgeeval.recipe import Level
from edgeeval.records import Artifact, Provenance
from edgeeval.run.device import Engine
from edgeeval.run.schedule import Progress
from edgeeval.run.worker import Emit, run_job
from edgeeval.store import Workspace, digest, replace_durably, require_space

_MARGIN_BYTES = 64 << 20


@dataclass(frozen=True)
class Build:
    """A file to write: of what, as what, with what."""

    source: Artifact
    name: str
    """The new artifact's name."""
    file_type: str
    """Such as Q4_K_M or BF16."""
    origin: str
    """Where it comes from in words, for its record: "quantized from BF16"."""
    mixture: Mapping[str, Any]
    """Fields of `edgeeval._llama.Mixture`; empty for llama.cpp's own choice."""
    imatrix: Imatrix | None = None

    @property
    def overrides(self) -> dict[str, str]:
        """Regular expression -> tensor type, as `read_gguf` takes it."""
        names = {"token_embd": r"^token_embd\.weight$", "output": r"^output\.weight$"}
        single = {names[key]: self.mixture[key] for key in names if self.mixture.get(key)}
        return single | dict(self.mixture.get("patterns", {}))


def level_build(source: Artifact, level: Level, imatrix: Imatrix | None) -> Build:
    """Return how a recipe's level is built from the reference."""
    assert level.type is not None  # the recipe's schema says so
    mixture: dict[str, Any] = {}
    if level.is_mix:
        mixture = {
            "patterns": level.patterns,
            "token_embd": level.tensors.get("token_embd"),
            "output": level.tensors.get("output"),
            "pure": level.pure,
            "leave_output_tensor": level.leave_output_tensor,
        }
    origin = f"quantized from {source.name}"
    return Build(
        source, level.label, level.type, origin, mixture, imatrix if level.imatrix else None
    )


def target_path(workspace: Workspace, engine: Engine, wanted: Build) -> Path:
    """Return where a build's file is, or will be."""
    inputs = [
        wanted.source.sha256,
        wanted.file_type,
        dict(wanted.mixture),
        wanted.imatrix.sha256 if wanted.imatrix else "",
        engine.package,
        engine.libraries_sha256,
    ]
    return workspace.folder("artifacts") / f"{digest(inputs)[:32]}-{wanted.file_type}.gguf"


def known(workspace: Workspace, engine: Engine, wanted: Build) -> Artifact | None:
    """Return the record of a file that was built before, whether or not the file is still there."""
    return kept_record(target_path(workspace, engine, wanted), wanted.name)


def build(workspace: Workspace, engine: Engine, wanted: Build, progress: Progress) -> Artifact:
    """Quantize (or dequantize) an artifact to another type, unless that file is there already.

    Args:
        workspace: keeps the file, under artifacts/.
        engine: whose quantizer; another build may write other bytes.
        wanted: what to write.
        progress: told when the file is not there yet.

    Raises:
        InputError: the disk cannot hold it, or an override names no tensor.
        WorkerFailed: llama.cpp refused or died.
    """
    target = target_path(workspace, engine, wanted)
    if not target.exists():
        _require_matches(wanted)
        progress(f"{wanted.name}: {wanted.origin}")
        _write(workspace, engine, wanted, target)
    artifact = describe(
        workspace,
        target,
        name=wanted.name,
        source=wanted.origin,
        provenance=Provenance(
            how="quantized",
            source=wanted.source.name,
            source_sha256=wanted.source.sha256,
            engine=f"{engine.package}, libraries {engine.libraries_sha256}",
            options=_options_text(wanted.mixture),
            imatrix_sha256=wanted.imatrix.sha256 if wanted.imatrix else "",
        ),
        overrides=wanted.overrides,
    )
    keep_record(artifact)
    return artifact


def planned_bytes(workspace: Workspace, engine: Engine, wanted: Build) -> int:
    """Return how large a build's file will be, as llama.cpp's own dry run says.

    Raises:
        WorkerFailed: llama.cpp refused or died.
    """
    sizes: list[dict[str, Any]] = []
    job = _job(workspace, engine, wanted) | {"dry_run": True}
    run_job(workspace, "quantize", job, sizes.append)
    return int(sizes[0]["size_bytes"])


def _job(workspace: Workspace, engine: Engine, wanted: Build) -> dict[str, Any]:
    return {
        "name": wanted.name,
        "source": wanted.source.path,
        "target": str(target_path(workspace, engine, wanted).with_suffix(".tmp")),
        "file_type": wanted.file_type,
        "n_threads": engine.n_threads,
        "mixture": dict(wanted.mixture),
        "imatrix": str(wanted.imatrix.path) if wanted.imatrix else None,
        "dry_run": False,
    }


def _write(workspace: Workspace, engine: Engine, wanted: Build, target: Path) -> None:
    job = _job(workspace, engine, wanted)
    temporary = Path(job["target"])
    try:
        run_job(workspace, "quantize", job)
        replace_durably(temporary, target)
    except WorkerFailed as error:
        if shutil.disk_usage(target.parent).free < _MARGIN_BYTES:
            raise WorkerFailed(f"{error} (the disk is full: {target.parent})") from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _options_text(mixture: Mapping[str, Any]) -> str:
    parts = [f"{key}={kind}" for key, kind in mixture.get("patterns", {}).items()]
    parts += [f"{key}={mixture[key]}" for key in ("token_embd", "output") if mixture.get(key)]
    return ", ".join(parts + [key for key in ("pure", "leave_output_tensor") if mixture.get(key)])


def _require_matches(wanted: Build) -> None:
    """Refuse an override that no tensor answers to: llama.cpp would ignore it in silence."""
    patterns = wanted.mixture.get("patterns", {})
    if not patterns:
        return
    names = [tensor.name for tensor in read_gguf(Path(wanted.source.path)).tensors]
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in names):
            raise InputError(
                f"{wanted.name}: tensors: {pattern!r} is found in no tensor's name; "
                f"edgeeval inspect --tensors {wanted.source.path} lists them"
            )


def work(job: dict[str, Any], emit: Emit) -> None:
    """Quantize one file (in a worker process), or say how large it would be."""
    from edgeeval._llama import Mixture, quantize, quantized_bytes

    source, target = Path(job["source"]), Path(job["target"])
    mixture = Mixture(**job["mixture"])
    size_bytes = quantized_bytes(source, file_type=job["file_type"], mixture=mixture)
    emit({"event": "size", "size_bytes": size_bytes})
    if job["dry_run"]:
        return
    require_space(target.parent, size_bytes + _MARGIN_BYTES, job["name"])
    quantize(
        source,
        target,
        file_type=job["file_type"],
        n_threads=job["n_threads"],
        mixture=mixture,
        weighting=read_weighting(Path(job["imatrix"])) if job["imatrix"] else None,
    )
