"""A person who fetches from a Hub on this machine, and the converter that was fetched."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgeeval.artifact import transfer
from edgeeval.artifact.converter import Converter, find_converter
from edgeeval.artifact.hub import RepoFiles, fetch_repo, find_repo
from edgeeval.errors import EdgeevalError, NotFetched
from edgeeval.prompts.upstream.catalogue import OnGitHub, catalogue
from edgeeval.store import Workspace
from tests.artifact.hub_server import LocalHub, Repo, git_sha1, local_hub
from tests.conftest import FETCHED
from tests.prompts.upstream.samples import SAMPLES

REPO = "some-body/Tiny-GGUF"
TOKEN = "hf_aSecretThatNobodyMaySee"
BIG = random.Random(1).randbytes(1_000_000)
SMALL = b'{"model_type": "llama"}\n'
Q4, Q8 = "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"


@pytest.fixture(scope="session")
def converter() -> Converter:
    """Find the converter in the checkout's workspace, or where the environment says.

    EDGEEVAL_CONVERTER names a llama.cpp checkout, EDGEEVAL_CONVERTER_PYTHON an interpreter.
    """
    given = [os.environ.get(f"EDGEEVAL_CONVERTER{name}") for name in ("", "_PYTHON")]
    try:
        return find_converter(Workspace(FETCHED), *(Path(path) if path else None for path in given))
    except NotFetched as error:
        pytest.skip(str(error))


@dataclass
class Person:
    """Someone who fetches: a workspace, a cache, and what was said and waited."""

    hub: LocalHub
    workspace: Workspace
    cache: Path
    said: list[str] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)

    def fetch(self, *patterns: str, repo: str = REPO, revision: str | None = None) -> RepoFiles:
        return fetch_repo(
            self.workspace,
            repo,
            revision=revision,
            patterns=patterns or ("*.gguf",),
            progress=self.said.append,
        )

    def find(self, *patterns: str, repo: str = REPO, revision: str | None = None) -> RepoFiles:
        wanted = patterns or ("*.gguf",)
        return find_repo(self.workspace, repo, revision=revision, patterns=wanted)

    def refusal(self, kind: type[EdgeevalError], *patterns: str, **request: Any) -> str:
        """Return the one line of a fetch that fails; it left no record."""
        with pytest.raises(EdgeevalError) as caught:
            self.fetch(*patterns, **request)
        assert type(caught.value) is kind, caught.value
        message = str(caught.value)
        assert message.isprintable()
        assert TOKEN not in message
        assert "SECRET" not in message  # of the store's signed addresses
        assert not list(self.workspace.root.glob("downloads/**/*.json"))
        return message

    def cached(self, pattern: str) -> list[Path]:
        """Return the files of the cache that a pattern finds."""
        return [path for path in self.cache.glob(pattern) if path.is_file()]

    @property
    def blobs(self) -> Path:
        return self.cache / "models--some-body--Tiny-GGUF" / "blobs"

    @property
    def partial(self) -> Path:
        return self.blobs / f"{sha256(BIG)}.incomplete"


def publish_on_github(
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    files: dict[str, bytes] | None = None,
) -> Repo:
    """Put a data set's sample on GitHub, in the authors' folders; let the catalogue pin it.

    Args:
        person: whose GitHub it is.
        monkeypatch: ends it with the test.
        name: of the data set.
        files: other files than the sample's.
    """
    entry = catalogue()[name.partition(":")[0]]
    assert isinstance(entry.fetch, OnGitHub)
    if files is None:
        texts = SAMPLES[name].items()
        files = {_in_repository(entry.fetch, path): text.encode() for path, text in texts}
    repo = Repo(files, commit=entry.fetch.revision)
    person.hub.repos[f"github/{entry.fetch.name}"] = repo
    pins = {path: f"{git_sha1(data)} {len(data)}" for path, data in files.items()}
    pinned = entry.model_copy(update={"fetch": entry.fetch.model_copy(update={"files": pins})})
    monkeypatch.setitem(catalogue(), name.partition(":")[0], pinned)
    return repo


def _in_repository(source: OnGitHub, name: str) -> str:
    """Return where the authors keep a file of that name, or files of its kind."""
    there = next((path for path in source.files if path.endswith(name)), None)
    return there or str(Path(next(reversed(source.files))).parent / name)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def ranges(hub: LocalHub) -> list[str | None]:
    return [seen.headers.get("range") for seen in hub.requests("store")]


_HEAD = """
import os, sys
from pathlib import Path
from edgeeval.artifact.hub import fetch_repo, find_repo
from edgeeval.errors import EdgeevalError, explain_os_error
from edgeeval.store import Workspace
workspace, repo, name = Workspace(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
"""
FETCH = """
try:
    found = fetch_repo(workspace, repo, revision=None, patterns=[name], progress=print)
    print(found.files[0].path)
except EdgeevalError as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(error.exit_code)
except OSError as error:
    print(explain_os_error(error), file=sys.stderr)
    sys.exit(1)
assert "hf_xet" not in sys.modules
"""


def script(person: Person, folder: Path, *parts: str) -> list[str]:
    path = folder / "script.py"
    path.write_text("".join([_HEAD, *parts]))
    return [sys.executable, "-W", "error", str(path), str(person.workspace.root), REPO, Q4]


def environment(person: Person, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    own = {"HF_HOME": str(person.cache.parent), "HF_ENDPOINT": person.hub.hub.address}
    return kept | own | {"HOME": str(person.cache.parent), "NO_PROXY": "127.0.0.1"} | more


def run_script(
    person: Person, folder: Path, *parts: str, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        script(person, folder, *parts),
        env=environment(person, **more),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """A person whose Hub is on this machine."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path / "hf" / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with local_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.hub.address)
        monkeypatch.setenv("EDGEEVAL_GITHUB_ENDPOINT", hub.github.address)
        hub.repos[REPO] = Repo({Q4: BIG, Q8: BIG[:5000], "config.json": SMALL})
        one = Person(hub, Workspace(tmp_path / "ws"), cache)
        monkeypatch.setattr(transfer, "_sleep", one.waited_s.append)
        yield one
        # httpx, from 1.0 on, has one session; requests had one a thread
        getattr(_http, "close_session", getattr(_http, "reset_sessions", None))()
