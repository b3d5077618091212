"""Files of GitHub repositories that are known by their contents, from a server on this machine."""

from __future__ import annotations

import random
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgeeval.artifact import transfer
from edgeeval.artifact.github import fetch_files
from edgeeval.errors import EdgeevalError, InputError, NotFetched
from edgeeval.prompts.upstream import import_set
from edgeeval.prompts.upstream.catalogue import OnGitHub, catalogue
from tests.artifact.conftest import TOKEN, Person
from tests.artifact.hub_server import Repo, git_sha1
from tests.cli.in_process import Ran, edgeeval
from tests.prompts.upstream.test_shared_data import DATA

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BIG = random.Random(2).randbytes(500_000)
ROWS, LIST = "data/rows.jsonl", "lists/names"
FILES = {ROWS: BIG, LIST: b"Una\nIda\n"}
SOURCE = OnGitHub(
    repository="github:some-body/tiny-set",
    revision=COMMIT,
    files={ROWS: git_sha1(BIG), LIST: f"{git_sha1(FILES[LIST])} 8"},
)


@pytest.fixture
def github(person: Person) -> Person:
    """A person whose GitHub has a repository of two files: of one the size is not known."""
    person.hub.repos["github/some-body/tiny-set"] = Repo(dict(FILES), commit=COMMIT)
    return person


def fetch(person: Person, source: OnGitHub = SOURCE) -> tuple[Path, ...]:
    return fetch_files(person.workspace, source, person.said.append)


def refused(person: Person, kind: type[EdgeevalError], source: OnGitHub = SOURCE) -> str:
    """Return the one line of a fetch that fails; of the file nothing looks finished."""
    with pytest.raises(EdgeevalError) as caught:
        fetch(person, source)
    assert type(caught.value) is kind, caught.value
    message = str(caught.value)
    assert message.isprintable()
    assert not list(person.workspace.root.rglob("rows.jsonl"))
    return message


def partial(person: Person, name: str = ROWS) -> Path:
    return person.workspace.root / "downloads" / "github" / ".partial" / git_sha1(FILES[name])


def ranges(person: Person) -> list[str | None]:
    return [seen.headers.get("range") for seen in person.hub.requests("github", ROWS)]


def test_the_files_come_under_their_own_names(github: Person) -> None:
    paths = fetch(github)
    assert [path.read_bytes() for path in paths] == list(FILES.values())
    folder = github.workspace.root / "downloads" / "github" / f"some-body--tiny-set@{COMMIT}"
    assert [str(path.relative_to(folder)) for path in paths] == list(FILES)
    assert not list(partial(github).parent.iterdir())
    asked = [seen.path for seen in github.hub.requests("github")]
    assert asked == [f"/some-body/tiny-set/{COMMIT}/{name}" for name in FILES]


def test_the_token_of_the_hub_goes_nowhere_else(
    github: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fetch(github)
    assert all(TOKEN not in str(seen) for seen in github.hub.seen)


def test_what_is_there_does_not_come_again_and_needs_no_network(
    github: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = fetch(github)
    n_asked = len(github.hub.seen)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetch(github) == paths
    assert len(github.hub.seen) == n_asked


def test_a_damaged_file_comes_again_alone(github: Person) -> None:
    rows, _ = fetch(github)
    rows.write_bytes(b"x" + BIG[1:])
    fetch(github)
    assert rows.read_bytes() == BIG
    assert [seen.path.rpartition("/")[2] for seen in github.hub.seen][2:] == ["rows.jsonl"]


def test_offline_is_said_and_not_tried(github: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids" in refused(github, NotFetched)
    assert github.hub.seen == []


# -- a stumbling server ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["", f" {len(BIG)}"])
def test_a_cut_connection_is_taken_up_where_it_ended(github: Person, size: str) -> None:
    github.hub.fail(ROWS, cut_after_bytes=200_000)
    source = SOURCE.model_copy(update={"files": {ROWS: git_sha1(BIG) + size}})
    (path,) = fetch(github, source)
    assert path.read_bytes() == BIG
    first, second = ranges(github)
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 200_000


@pytest.mark.parametrize("size", ["", f" {len(BIG)}"])
def test_a_partial_file_that_is_whole_is_taken(github: Person, size: str) -> None:
    """Where nobody stated the size, the server says that nothing is left (416)."""
    partial(github).parent.mkdir(parents=True)
    partial(github).write_bytes(BIG)
    source = SOURCE.model_copy(update={"files": {ROWS: git_sha1(BIG) + size}})
    assert fetch(github, source)[0].read_bytes() == BIG
    assert len(ranges(github)) == (0 if size else 1)


def test_a_partial_file_of_another_content_is_found_out_and_gone(github: Person) -> None:
    partial(github).parent.mkdir(parents=True)
    partial(github).write_bytes(b"x" * 1000)
    assert "git hash" in refused(github, EdgeevalError)
    assert not partial(github).exists()
    assert fetch(github)[0].read_bytes() == BIG


def test_a_server_that_asks_to_wait_is_waited_for(github: Person) -> None:
    github.hub.fail(ROWS, status=429, headers={"Retry-After": "7"})
    github.hub.fail(ROWS, status=503)
    assert fetch(github)[0].read_bytes() == BIG
    assert github.waited_s == [7.0, 2.0]


def test_a_renamed_repository_is_followed(github: Person) -> None:
    """GitHub answers an old name with a redirect to the new one."""
    github.hub.repos["github/new/name"] = github.hub.repos.pop("github/some-body/tiny-set")
    for name in FILES:
        to = f"{github.hub.github.address}/new/name/{COMMIT}/{name}"
        github.hub.fail(f"tiny-set/{COMMIT}/{name}", status=301, headers={"Location": to})
    assert fetch(github)[0].read_bytes() == BIG


# -- a server that is not to be trusted ------------------------------------------------------------


@pytest.mark.parametrize("size", ["", f" {len(BIG)}"])
def test_another_content_is_refused_and_gone(github: Person, size: str) -> None:
    github.hub.repos["github/some-body/tiny-set"].files[ROWS] = b"x" + BIG[1:]
    source = SOURCE.model_copy(update={"files": {ROWS: git_sha1(BIG) + size}})
    message = refused(github, EdgeevalError, source)
    assert message.startswith("some-body/tiny-set: data/rows.jsonl: the git hash of what came")
    assert not partial(github).exists()


def test_more_than_the_stated_size_is_cut_off(github: Person) -> None:
    source = SOURCE.model_copy(update={"files": {ROWS: f"{git_sha1(BIG)} 1000"}})
    assert "more came than the 1000 bytes" in refused(github, EdgeevalError, source)
    assert not partial(github).exists()


def test_a_file_of_unknown_size_has_a_limit(
    github: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_UNKNOWN_SIZE_BYTES_AT_MOST", 1000)
    assert "more came than the 1000 bytes" in refused(github, EdgeevalError)


def test_the_limit_is_far_above_the_files_whose_size_is_not_known() -> None:
    """Only BBQ's larger categories; of its smaller ones none has 4 MB."""
    unknown = {
        name
        for name, entry in catalogue().items()
        if isinstance(entry.fetch, OnGitHub)
        and any(file.size_bytes is None for file in entry.fetch.pinned)
    }
    assert unknown == {"bbq"}
    assert transfer.Wanted("", "", "", None).most_bytes == 64 << 20


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, InputError, "refuses access (401); the file is public: check EDGEEVAL_GITHUB"),
        (403, InputError, "refuses access (403)"),
        (404, InputError, "(404); its authors have moved or removed it; download it by hand"),
        (418, EdgeevalError, "answers 418"),
    ],
)
def test_a_refusal_is_one_line_at_once(
    github: Person, status: int, kind: type[EdgeevalError], words: str
) -> None:
    github.hub.fail(ROWS, status=status)
    assert words in refused(github, kind)
    assert github.waited_s == []


def test_a_server_that_is_down_is_given_up(github: Person) -> None:
    github.hub.fail(ROWS, times=99, status=500)
    assert "answers 500 again and again; run again later" in refused(github, EdgeevalError)


def test_a_server_that_does_not_answer_is_given_up(
    github: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    github.hub.fail(ROWS, times=99, stall=True)
    assert "cannot be reached (no answer in time)" in refused(github, EdgeevalError)


def test_a_server_that_nobody_runs_is_said_so(
    github: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("EDGEEVAL_GITHUB_ENDPOINT", f"http://user:{TOKEN}@127.0.0.1:{port}")
    message = refused(github, EdgeevalError)
    assert f"127.0.0.1:{port} cannot be reached (Connection refused)" in message
    assert "check the connection and EDGEEVAL_GITHUB_ENDPOINT" in message
    assert all(TOKEN not in line for line in [message, *github.said])


@pytest.mark.parametrize("endpoint", ["github", "ftp://x", "http://", "http://x:port"])
def test_an_endpoint_that_is_no_address_is_refused(
    github: Person, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("EDGEEVAL_GITHUB_ENDPOINT", endpoint)
    assert "EDGEEVAL_GITHUB_ENDPOINT is no address" in refused(github, InputError)


def test_what_the_disk_cannot_hold_is_refused_before_it_comes(github: Person) -> None:
    source = SOURCE.model_copy(update={"files": {ROWS: f"{git_sha1(BIG)} {1 << 60}"}})
    assert "some-body/tiny-set: needs" in refused(github, InputError, source)
    assert github.hub.seen == []


# -- the catalogue's pins --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"files": {"../x": git_sha1(b"")}},
        {"files": {"/etc/x": git_sha1(b"")}},
        {"files": {"a//b": git_sha1(b"")}},
        {"files": {"a\\b": git_sha1(b"")}},
        {"files": {"x": "0" * 39}},
        {"files": {"x": f"{git_sha1(b'')} 0x10"}},
        {"files": {}},
        {"revision": "main"},
        {"repository": "github:../x"},
        {"repository": "hub:owner/name"},
    ],
)
def test_a_pin_that_is_none_is_refused(changed: dict[str, Any]) -> None:
    OnGitHub.model_validate(SOURCE.model_dump())
    with pytest.raises(ValidationError):
        OnGitHub.model_validate(SOURCE.model_dump() | changed)


@pytest.mark.parametrize("data", [b"", b"Una\r\n", BIG])
def test_the_hash_is_gits_own(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    found = subprocess.run(
        ["git", "hash-object", "--no-filters", path], capture_output=True, text=True, check=True
    )
    assert transfer.git_sha1(path) == found.stdout.strip()


def test_bbq_comes_in_all_its_categories_and_with_its_metadata() -> None:
    bbq, source = catalogue()["bbq"], catalogue()["bbq"].fetch
    assert isinstance(source, OnGitHub)
    assert source.revision == bbq.revision
    categories = {Path(name).stem for name in source.files if name.endswith(".jsonl")}
    assert len(categories) == 11
    assert {"Race_x_SES", "Race_x_gender", "Sexual_orientation"} < categories
    assert any(name.endswith("/additional_metadata.csv") for name in source.files)


def _real(source: OnGitHub) -> dict[str, bytes] | None:
    """Return the files as the authors published them, where all lie beside the checkout."""
    there = {git_sha1(path.read_bytes()): path for path in DATA.rglob("*") if path.is_file()}
    files = {file.name: there.get(file.blob) for file in source.pinned}
    return (
        {name: path.read_bytes() for name, path in files.items() if path}
        if all(files.values())
        else None
    )


@pytest.mark.parametrize(
    "name",
    [
        *("truthfulqa:mc1", "truthfulqa:mc2", "crows-pairs", "xstest", "strongreject"),
        *("unqover:religion", "holisticbiasr", "wikitext"),
    ],
)
def test_the_authors_own_files_come_and_are_read(name: str, person: Person) -> None:
    """The pins are the catalogue's own: what lies beside the checkout has their hashes."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there")
    source = catalogue()[name.partition(":")[0]].fetch
    assert isinstance(source, OnGitHub)
    files = _real(source)
    assert files is not None
    person.hub.repos[f"github/{source.name}"] = Repo(files, commit=source.revision)
    done: Ran = edgeeval("fetch", "--data", name, "--workspace", person.workspace.root)
    assert done.code == 0, done.err
    made = import_set(name, Path(done.out.strip()))
    assert made.n_rows > 200
    assert made.n_found > 300 or made.header.kind == "text"
