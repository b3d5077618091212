"""Choose the device and the threads, and name the engine that will compute.

The fingerprint is part of every run's id: another build, CPU, device or thread count rounds
otherwise, and its numbers must not be mixed with these.
"""

import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from edgeeval.errors import InputError
from edgeeval.run.worker import Emit, run_job
from edgeeval.store import Workspace, digest

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
    kv_type: str

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
    """Ask a worker what engine is installed and settle how it is used.

    Raises:
        InputError: the device is not there.
    """
    builds: list[dict[str, Any]] = []
    run_job(workspace, "probe", {}, builds.append)
    build = builds[0]
    gpu = build.pop("gpu_offload") and sys.platform == "darwin"
    del build["event"]
    if device == "metal" and not gpu:
        raise InputError(
            "device 'metal': this engine build has no Metal; use --device cpu, or reinstall "
            "llama-cpp-python on macOS with CMAKE_ARGS=-DGGML_METAL=on"
        )
    chosen = ("metal" if gpu else "cpu") if device == "auto" else device
    threads = n_threads or physical_cores()
    return Engine(**build, device=chosen, n_threads=threads, n_ubatch=N_UBATCH, kv_type="f16")


def work(job: dict[str, Any], emit: Emit) -> None:
    """Report the installed engine (in a worker: loading native code may crash)."""
    from edgeeval._llama import engine_build

    del job  # nothing to say
    emit({"event": "build", **engine_build()._asdict()})
