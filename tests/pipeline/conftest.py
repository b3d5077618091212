"""Small evaluations of the real model, in this process and through the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from edgeeval.pipeline import Request
from edgeeval.recipe import recipe_of_files
from edgeeval.records import Artifact, Results
from edgeeval.store import Journal, Workspace
from tests.conftest import Ladder

N_WINDOWS = 12

_STORY = (
    "The ferry left at six with nobody on deck but the baker's boy and two crates of eels. "
    "Halfway over, the engine coughed, and the captain sent him below with a spanner, no advice. "
    "When he came up again his hands were black, the far shore had lights on it, and someone was "
    "waving a towel from the jetty as though the whole crossing had been arranged for her. "
)


@pytest.fixture(scope="session")
def own_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of somewhat more than twelve windows of 64 tokens."""
    path = tmp_path_factory.mktemp("text") / "story.txt"
    lines = [f"Day {day}. {_STORY}" for day in range(1, 13)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def fresh(tmp_path: Path, ladder: Ladder) -> Workspace:
    """A workspace without runs; known hashes are kept, to read no file twice."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.folder()
    shutil.copy(ladder.workspace.root / "hashes.jsonl", workspace.root / "hashes.jsonl")
    return workspace


@pytest.fixture
def ask(ladder: Ladder, own_text: Path) -> Callable[..., Request]:
    """Return a function that makes a small request about given files."""

    def make(*files: Path, **changes: Any) -> Request:
        request = Request(
            recipe_of_files(ladder.bf16.path, [str(file) for file in files]),
            only=("lm",),
            text=own_text,
            n_ctx=64,
            windows=N_WINDOWS,
        )
        return replace(request, **changes)

    return make


@pytest.fixture
def command(ladder: Ladder, own_text: Path) -> Callable[..., list[str]]:
    """Return a function that gives the command line of a small evaluation."""

    def make(workspace: Path, *files: Path | str, only: str = "lm", extra: str = "") -> list[str]:
        line = [sys.executable, "-m", "edgeeval", "eval", "--reference", ladder.bf16.path]
        line += [*map(str, files), "--only", only, "--text", str(own_text), "--n-ctx", "64"]
        line += ["--windows", str(N_WINDOWS), "--workspace", str(workspace), "--json"]
        return line + extra.split()

    return make


def run(line: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)


def without_timings(results: Results | dict[str, Any]) -> dict[str, Any]:
    """Return results as a document, less the only part that may differ."""
    document = asdict(results) if isinstance(results, Results) else dict(results)
    document.pop("timings")
    copied: dict[str, Any] = json.loads(json.dumps(document))
    return copied


def block_lines(workspace: Path) -> dict[Path, list[str]]:
    """Return the blocks in every run's and divergence's journal."""
    return {
        journal: [line["block"] for line in Journal(journal).read()]
        for kind in ("runs", "divergence")
        for journal in sorted((workspace / kind).glob("*/journal.jsonl"))
    }


def n_jobs(workspace: Path) -> int:
    """Count the computing jobs that the workspace's evaluations recorded."""
    return sum(
        len(Journal(path).read()) for path in (workspace / "results").glob("*/timings.jsonl")
    )


def renamed_copy(artifact: Artifact, target: Path) -> Path:
    """Copy a GGUF file with other metadata and the same tensors: another file, the same model."""
    data = Path(artifact.path).read_bytes()
    assert data.count(b"Smollm2 135M 8k Lc100K Mix1 Ep2") == 1
    target.write_bytes(
        data.replace(b"Smollm2 135M 8k Lc100K Mix1 Ep2", b"Smollm2 135M 8k Lc100K Mix1 Ep3")
    )
    return target
