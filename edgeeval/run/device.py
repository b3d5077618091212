"""Choose the device and the threads, and name the engine that will compute.

The fingerprint is part of every run's id: another build, CPU, device or thread count rounds
otherwise, and its numbers must not be mixed with these.
"""

import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgeeval.errors import InputError, WorkerFailed
from edgeeval.run.worker import Emit, run_job
from edgeeval.store import Workspace, digest, replace_durably

DEVICES = ("auto", "cpu", "metal")
N_UBATCH = 512
"""llama.cpp's own default physical batch."""


@dataclass(frozen=True)
class Engine:
    """The engine as this evaluation uses it."""

    package: str
    """llama-cpp-python and its version, which fixes the llama.cpp commit."""
    version: str
    features: str
    """Compile flags and CPU features."""
    libraries_sha256: str
    device: str
    n_threads: int
    n_ubatch: int
    use_extra_bufts: bool
    """llama.cpp's fast weight layouts (AMX, repacking); off where the self-test died of them."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that can change a digit."""
        return digest(asdict(self))


def physical_cores() -> int:
    """Return the cores that this process may use, hyper-threads not counted."""
    import psutil

    cores = psutil.cpu_count(logical=False) or 1
    if sys.platform == "linux":
        cores = min(cores, len(psutil.Process().cpu_affinity()))
    return max(1, cores)


def find_engine(workspace: Workspace, *, device: str, n_threads: int | None) -> Engine:
    """Ask a worker what engine is installed, try it, and settle how it is used.

    Raises:
        InputError: the device is not there.
        WorkerFailed: the engine does not load, or dies on this machine whatever its settings.
    """
    threads = n_threads or physical_cores()
    builds: list[dict[str, Any]] = []
    job = {
        "device": device,
        "n_threads": threads,
        "use_extra_bufts": True,
        "micro_model": str(workspace.folder("selftest") / "micro.gguf"),
    }
    try:
        run_job(workspace, "probe", job, builds.append)
    except WorkerFailed:
        if not builds:
            raise
        job["use_extra_bufts"] = False
        run_job(workspace, "probe", job, builds.append)
    build = builds[-1]
    return Engine(
        package=build["package"],
        version=build["version"],
        features=build["features"],
        libraries_sha256=build["libraries_sha256"],
        device=build["device"],
        n_threads=threads,
        n_ubatch=N_UBATCH,
        use_extra_bufts=bool(job["use_extra_bufts"]),
    )


def _settle_device(asked: str, gpu_offload: bool) -> str:
    has_metal = gpu_offload and sys.platform == "darwin"
    if asked == "metal" and not has_metal:
        raise InputError(
            "device 'metal': this engine build has no Metal; use --device cpu, or reinstall "
            "llama-cpp-python on macOS with CMAKE_ARGS=-DGGML_METAL=on"
        )
    return ("metal" if has_metal else "cpu") if asked == "auto" else asked


def work(job: dict[str, Any], emit: Emit) -> None:
    """Report the installed engine, then try it (in a worker: it may die of either)."""
    from edgeeval._llama import engine_build
    from edgeeval.run.selftest import try_engine, write_micro_model

    build = engine_build()
    device = _settle_device(job["device"], build.gpu_offload)
    emit({"event": "build", **build._asdict(), "device": device})
    path = Path(job["micro_model"])
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        write_micro_model(temporary)
        replace_durably(temporary, path)
    try_engine(
        path,
        device=device,
        n_threads=job["n_threads"],
        use_extra_bufts=job["use_extra_bufts"],
    )
