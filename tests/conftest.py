"""The real model, made once a session: SmolLM2-135M as the project's own recipe builds it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from edgeeval.artifact.inspect import describe
from edgeeval.artifact.quantize import Build, build
from edgeeval.artifact.source import find_model
from edgeeval.recipe import load_recipe
from edgeeval.records import Artifact
from edgeeval.run.device import Engine, find_engine
from edgeeval.store import Workspace

# A shared runner is slow at times, which is no failure; there, the same examples every time.
settings.register_profile("edgeeval", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("edgeeval")

# A shell's background job is born deaf to Ctrl-C, and so would be all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

CHECKOUT = Path(__file__).parent.parent
FETCHED = Path(os.environ.get("EDGEEVAL_WORKSPACE", CHECKOUT / ".edgeeval"))


@dataclass(frozen=True)
class Ladder:
    """A workspace with artifacts of the real model."""

    workspace: Workspace
    engine: Engine
    bf16: Artifact
    f32: Artifact
    q8_0: Artifact
    q2_k: Artifact


@pytest.fixture(scope="session")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Ladder:
    """Build BF16, F32, Q8_0 and Q2_K of SmolLM2 once.

    `make test` fetches the model first; a test session never uses the network.
    """
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    recipe = load_recipe("smollm2-135m")
    fetched = find_model(Workspace(FETCHED), recipe).path
    engine = find_engine(workspace, device="cpu", n_threads=None)
    source = describe(workspace, fetched, name="source", source="given")

    def made(of: Artifact, kind: str) -> Artifact:
        wanted = Build(of, kind, kind, f"from {of.name}", {})
        return build(workspace, engine, wanted, lambda line: None)

    bf16 = made(source, "BF16")
    return Ladder(
        workspace, engine, bf16, made(source, "F32"), made(bf16, "Q8_0"), made(bf16, "Q2_K")
    )


@pytest.fixture
def copy_of(tmp_path: Path) -> Iterator[object]:
    """Return a function that copies an artifact's file to a name of its own."""

    def copy(artifact: Artifact, name: str) -> Path:
        target = tmp_path / f"{name}.gguf"
        shutil.copyfile(artifact.path, target)
        return target

    yield copy
