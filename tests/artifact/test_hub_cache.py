"""In the shared cache only what is right looks finished, however a download ended."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeeval.artifact import hub_cache
from edgeeval.errors import EdgeevalError, NotFetched
from tests.artifact.conftest import (
    BIG,
    FETCH,
    Q4,
    REPO,
    SMALL,
    Person,
    environment,
    ranges,
    script,
    sha256,
)
from tests.artifact.hub_server import COMMIT

# -- the shared cache ------------------------------------------------------------------------------


def test_another_program_finds_what_came(person: Person) -> None:
    """Oracle: huggingface_hub itself, which is told not to use the network."""
    from huggingface_hub import hf_hub_download, scan_cache_dir

    (file,) = person.fetch(Q4).files
    for revision in ("main", COMMIT):
        path = hf_hub_download(
            REPO, Q4, revision=revision, cache_dir=person.cache, local_files_only=True
        )
        assert Path(path) == file.path
    scanned = scan_cache_dir(person.cache)
    assert scanned.warnings == []
    assert scanned.size_on_disk == len(BIG)


def test_what_another_program_brought_does_not_come_again(person: Person) -> None:
    from huggingface_hub import hf_hub_download

    for name in (Q4, "config.json"):
        hf_hub_download(
            REPO, name, cache_dir=person.cache, endpoint=person.hub.hub.address, token=False
        )
    person.hub.seen.clear()
    found = person.fetch(Q4, "config.json")
    assert [file.path.read_bytes() for file in found.files] == [SMALL, BIG]
    assert {seen.path.split("/")[1] for seen in person.hub.seen} == {"api"}


def test_a_disk_without_links_holds_the_files_themselves(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    found = person.fetch(Q4)
    assert found.files[0].path.read_bytes() == BIG
    assert not found.files[0].path.is_symlink()
    person.hub.seen.clear()
    assert person.fetch(Q4) == found
    assert person.hub.requests("store") == []


def test_a_file_that_another_program_is_getting_is_waited_for(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.utils import WeakFileLock

    monkeypatch.setattr(hub_cache, "_LOCK_PATIENCE_S", 0.01)
    lock = person.cache / ".locks" / person.blobs.parent.name / f"{sha256(BIG)}.lock"
    lock.parent.mkdir(parents=True)
    waiting = threading.Event()

    def hold() -> None:
        with WeakFileLock(lock):
            held.set()
            waiting.wait(30)

    held = threading.Event()
    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    progress = SimpleNamespace(append=lambda line: waiting.set() if "waiting" in line else None)
    person.said = progress  # type: ignore[assignment]
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert waiting.is_set()
    other.join()


def test_a_branch_whose_name_is_in_the_way_does_not_stop_a_fetch(person: Person) -> None:
    person.hub.repos[REPO].refs = ("a", "a/b")
    person.fetch(Q4, revision="a")
    assert person.fetch(Q4, revision="a/b").commit == COMMIT


# -- broken connections ----------------------------------------------------------------------------


def test_a_cut_connection_is_taken_up_where_it_ended(person: Person) -> None:
    person.hub.fail(f"/{REPO}/{Q4}", cut_after_bytes=300_000)
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    first, second = ranges(person.hub)
    assert first is None
    assert second is not None
    assert 0 < int(re.fullmatch(r"bytes=(\d+)-", second)[1]) <= 300_000  # type: ignore[index]
    assert {seen.headers["accept-encoding"] for seen in person.hub.requests("store")} == {
        "identity"
    }
    assert len(person.waited_s) == 1
    assert any("trying again in 1 s" in line for line in person.said)


def test_a_connection_that_is_cut_again_and_again_gets_there(person: Person) -> None:
    """Ten cuts, more than the attempts that bring nothing: each one brought something."""
    person.hub.fail(f"/{REPO}/{Q4}", times=10, cut_after_bytes=90_000)
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert len(ranges(person.hub)) == 11


def test_a_failed_fetch_goes_on_the_next_time(person: Person) -> None:
    person.hub.fail(f"/{REPO}/{Q4}", cut_after_bytes=300_000)
    person.hub.fail(f"/{REPO}/{Q4}", times=4, status=503)
    assert "answers 503 again and again" in person.refusal(EdgeevalError, Q4)
    size_bytes = person.partial.stat().st_size
    assert person.partial.read_bytes() == BIG[:size_bytes]
    assert person.cached("**/snapshots/*/*") == []
    person.hub.seen.clear()
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert ranges(person.hub) == [f"bytes={size_bytes}-"]
    assert not person.partial.exists()


def test_a_killed_fetch_goes_on_the_next_time(person: Person, tmp_path: Path) -> None:
    """SIGKILL while the store has stopped sending: nobody cleans up."""
    person.hub.fail(f"/{REPO}/{Q4}", cut_after_bytes=400_000)
    person.hub.fail(f"/{REPO}/{Q4}", stall=True)
    process = subprocess.Popen(script(person, tmp_path, FETCH), env=environment(person))
    while len(person.hub.requests("store")) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not list(person.workspace.root.glob("downloads/**/*.json"))
    size_bytes = person.partial.stat().st_size
    assert 0 < size_bytes <= 400_000
    person.hub.seen.clear()
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert ranges(person.hub) == [f"bytes={size_bytes}-"]


def test_an_answer_that_ends_early_without_a_broken_connection_is_no_whole_file(
    person: Person,
) -> None:
    person.hub.fail(f"/{REPO}/{Q4}", status=200, body=BIG[:300_000])
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert ranges(person.hub) == [None, "bytes=300000-"]


def test_a_server_that_does_not_resume_sends_the_file_from_its_beginning(person: Person) -> None:
    person.hub.fail(f"/{REPO}/{Q4}", cut_after_bytes=300_000)
    person.hub.fail(f"/{REPO}/{Q4}", no_ranges=True)
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert ranges(person.hub)[1] is not None


def test_a_partial_file_that_is_whole_needs_no_request(person: Person) -> None:
    person.blobs.mkdir(parents=True)
    person.partial.write_bytes(BIG)
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert person.hub.requests("store") == []


def test_a_partial_file_longer_than_the_file_is_no_part_of_it(person: Person) -> None:
    person.blobs.mkdir(parents=True)
    person.partial.write_bytes(BIG + b"x")
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert ranges(person.hub) == [None]


def test_a_partial_file_that_a_power_cut_damaged_is_found_out_and_then_gone(
    person: Person,
) -> None:
    person.blobs.mkdir(parents=True)
    person.partial.write_bytes(b"\0" * 5000)
    assert "sha256" in person.refusal(EdgeevalError, Q4)
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG


# -- wrong contents --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [(Q4, "sha256"), ("config.json", "git hash")])
def test_a_file_with_another_hash_than_stated_is_deleted_and_nothing_recorded(
    person: Person, name: str, kind: str
) -> None:
    right = person.hub.repos[REPO].files[name]
    wrong = right[:-1] + bytes([right[-1] ^ 1])
    person.hub.repos[REPO].files[name] = wrong
    person.hub.repos[REPO].stated[name] = right
    message = person.refusal(EdgeevalError, name)
    assert message.startswith(f"{REPO}: {name}: the {kind} of what came is not the one")
    assert person.cached("**/blobs/*") == []
    assert person.cached("**/snapshots/*/*") == []
    with pytest.raises(NotFetched):
        person.find(name)
    person.hub.repos[REPO].files[name] = right
    assert person.fetch(name).files[0].path.read_bytes() == right


def test_more_than_stated_is_refused(person: Person) -> None:
    person.hub.fail(f"/{REPO}/{Q4}", status=200, body=BIG + b"x")
    assert "more came than the 1000000 bytes" in person.refusal(EdgeevalError, Q4)
    assert person.cached("**/blobs/*") == []


def test_a_file_damaged_in_the_cache_comes_again(person: Person) -> None:
    (file,) = person.fetch(Q4).files
    file.path.write_bytes(BIG[:-1] + b"x")
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert f"{Q4}: is damaged in the cache; getting it again" in person.said


def test_a_damaged_file_outside_the_cache_is_not_the_caches_to_delete(
    person: Person, tmp_path: Path
) -> None:
    (file,) = person.fetch(Q4).files
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"mine")
    file.path.unlink()
    file.path.symlink_to(mine)
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert mine.read_bytes() == b"mine"
