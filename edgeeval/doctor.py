"""Check an installation, and say how to mend what is wrong."""

import importlib.metadata
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from edgeeval.errors import EdgeevalError
from edgeeval.judges import DEFAULT_JUDGE
from edgeeval.judges.find import find_judge
from edgeeval.judges.score import score_texts
from edgeeval.run.device import Engine, find_engine
from edgeeval.store import Workspace

_NEEDED = (
    "llama-cpp-python",
    "alt-profanity-check",
    "gguf",
    "jinja2",
    "numpy",
    "psutil",
    "pydantic",
    "rapidfuzz",
    "rich",
    "sacrebleu",
    "scipy",
    "tokenizers",
)
_LOW_DISK_BYTES = 2 << 30
_FAST_FEATURES = ("AVX2", "AVX512", "NEON", "METAL")


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    """What to do if it failed, or a note if it did not."""


def examine(workspace: Workspace) -> list[Check]:
    """Look at everything an evaluation needs; nothing is left in the workspace."""
    checks = [_python(), *(_package(name) for name in _NEEDED), _disk(workspace)]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Workspace(Path(folder))
        return [*checks, *_engine(scratch), _judge(scratch)]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(
        "python", sys.version_info >= (3, 11), version, "" if sys.version_info >= (3, 11)
        else "edgeeval needs Python 3.11 or newer; make a new environment with it",
    )  # fmt: skip


def _package(name: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "missing", f"pip install {name}")


def _engine(workspace: Workspace) -> list[Check]:
    try:
        engine = find_engine(workspace, device="auto", n_threads=None)
    except EdgeevalError as error:
        fix = (
            "the engine does not load; rebuild it on this machine: pip install --force-reinstall "
            "--no-cache-dir --no-binary :all: llama-cpp-python"
        )
        return [Check("engine", False, str(error), fix)]
    fast = [word for word in _FAST_FEATURES if word in engine.features]
    note = "" if fast else (
        "no vector instructions in this build: it will be slow; rebuild it on this machine"
    )  # fmt: skip
    return [
        Check("engine", True, f"{engine.package}, llama.cpp {engine.version}"),
        Check("device", True, f"{engine.device}, {engine.n_threads} threads"),
        Check("self-test", True, *_kernels(engine)),
        Check("features", True, engine.features, note),
    ]


def _kernels(engine: Engine) -> tuple[str, str]:
    if engine.use_extra_bufts:
        return "every kernel runs", ""
    return "runs without llama.cpp's extra buffer types", (
        "this build's fast kernels (AMX, repacking) die on this machine and are turned off"
    )


def _judge(workspace: Workspace) -> Check:
    try:
        judge = find_judge(DEFAULT_JUDGE, workspace)
        judged = score_texts(workspace, judge, ["good morning"])
        label = judged.info.labels[0]
        found = (
            f"{judged.info.id}: {label} of 'good morning' = {judged.score('good morning', label)}"
        )
        return Check("judge", True, found)
    except (EdgeevalError, importlib.metadata.PackageNotFoundError) as error:
        return Check("judge", False, str(error), f"pip install --force-reinstall {DEFAULT_JUDGE}")


def _disk(workspace: Workspace) -> Check:
    try:
        folder = workspace.folder()
    except OSError as error:
        return Check("workspace", False, str(error), "give another --workspace")
    free_bytes = shutil.disk_usage(folder).free
    found = f"{free_bytes / 1e9:.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Check("workspace", False, f"{folder} cannot be written", "give another --workspace")
    enough = free_bytes > _LOW_DISK_BYTES
    return Check(
        "workspace", enough, found, "" if enough else "free some, or --workspace elsewhere"
    )
