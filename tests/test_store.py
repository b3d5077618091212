"""What is finished stays finished, whatever kills the process."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeeval import store
from edgeeval.errors import WorkspaceBusy
from edgeeval.store import Journal, Workspace, digest, read_json, write_atomic, write_json

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_LINES = st.lists(st.dictionaries(st.text(max_size=5), _JSON, max_size=3), min_size=1, max_size=4)
_WITHOUT_INFINITY = _LINES.filter(lambda lines: "Infinity" not in json.dumps(lines))


# -- the journal ---------------------------------------------------------------------------------


def _tear_and_append(journal: Journal, lines: list[dict[str, Any]], torn_at: int) -> None:
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:torn_at])
    assert journal.read() == lines[:-1]
    journal.append({"added": True})
    assert journal.read() == [*lines[:-1], {"added": True}]
    start_of_last = whole.rfind(b"\n", 0, -1) + 1
    assert journal.path.read_bytes() == whole[:start_of_last] + b'{"added": true}\n'
    journal.path.write_bytes(whole)


def test_a_line_torn_at_any_byte_is_dropped_and_cut_off_by_the_next_append(tmp_path: Path) -> None:
    lines = [{"block": "0"}, {"block": "1", "sum": 0.5}]
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(*lines)
    whole = journal.path.read_bytes()
    for torn_at in range(whole.index(b"\n") + 1, len(whole)):
        _tear_and_append(journal, lines, torn_at)


@settings(max_examples=25, deadline=None)
@given(lines=_WITHOUT_INFINITY, data=st.data())
def test_so_is_any_line_that_json_can_hold(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]], data: st.DataObject
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "journal.jsonl")
    journal.append(*lines)
    whole = journal.path.read_bytes()
    start_of_last = whole.rfind(b"\n", 0, -1) + 1
    _tear_and_append(journal, lines, data.draw(st.integers(start_of_last, len(whole) - 1)))


def test_a_journal_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert Journal(tmp_path / "missing.jsonl").read() == []


def test_a_first_append_makes_the_folder(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "runs" / "a" / "journal.jsonl")
    journal.append({"block": "0"})
    journal.append({"block": "1"}, {"block": "2"})
    assert journal.read() == [{"block": "0"}, {"block": "1"}, {"block": "2"}]


def test_a_text_with_line_separators_is_one_line(tmp_path: Path) -> None:
    line = {"text": "a\nb\r\nc\u2028d\x85e\x1cf\ud800"}
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(line)
    assert journal.read() == [line]


def test_a_number_that_json_has_not_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"value": 1.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        journal.append({"value": 2.0}, {"value": math.nan})
    assert journal.read() == [{"value": 1.0}]


# -- whole files ---------------------------------------------------------------------------------


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.bin"
    write_atomic(path, b"first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    write_atomic(path, b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "not bytes")  # type: ignore[arg-type]  # wrong on purpose
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]


def test_a_rename_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    in_the_way = tmp_path / "results.json"
    in_the_way.mkdir()
    (in_the_way / "kept").touch()
    with pytest.raises(OSError, match="directory"):
        write_atomic(in_the_way, b"{}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]
    assert [entry.name for entry in in_the_way.iterdir()] == ["kept"]


def test_what_a_killed_writer_left_is_swept_by_the_next_that_holds_the_workspace(
    tmp_path: Path,
) -> None:
    """Killed between writing and renaming; a writer that still runs keeps its file."""
    killed = subprocess.Popen([sys.executable, "-c", "pass"])
    killed.wait()
    folders = (tmp_path, tmp_path / "artifacts", tmp_path / "runs" / "a")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".run.json.{killed.pid}.tmp").touch()
    running = tmp_path / "artifacts" / f".record.json.{os.getpid()}.tmp"
    foreign = tmp_path / "artifacts" / ".notes.tmp"
    running.touch()
    foreign.touch()
    with Workspace(tmp_path).locked():
        assert set(tmp_path.rglob("*.tmp")) == {running, foreign}


def test_a_document_with_nan_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"text": "größer"})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"value": math.nan})
    assert read_json(path) == {"text": "größer"}


# -- the lock ------------------------------------------------------------------------------------

_HOLDER = """
import pathlib, sys, time
from edgeeval.store import Workspace
with Workspace(pathlib.Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def _start_holder(root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_works_here_and_a_killed_one_frees_the_lock(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path / "ws")
    with _start_holder(workspace.root) as holder:
        try:
            message = rf"process {holder.pid} .*--workspace"
            with pytest.raises(WorkspaceBusy, match=message), workspace.locked():
                pass
            assert WorkspaceBusy.exit_code == 1
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
    with workspace.locked():
        assert (workspace.root / "lock").read_text() == str(os.getpid())


def test_a_lock_can_be_taken_again_after_an_error_in_its_body(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(RuntimeError), workspace.locked():
        raise RuntimeError
    with workspace.locked():
        pass


# -- hashes --------------------------------------------------------------------------------------


def test_a_files_hash_is_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: hashlib over the whole file."""
    workspace = Workspace(tmp_path / "ws")
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one" * 1000)
    expected = hashlib.sha256(b"one" * 1000).hexdigest()
    assert workspace.file_sha256(path) == expected

    with monkeypatch.context() as patched:  # a second look reads no byte of it
        patched.setattr(store, "sha256_of", lambda path: pytest.fail("the file was read again"))
        assert Workspace(tmp_path / "ws").file_sha256(path) == expected

    path.write_bytes(b"two" * 1001)
    assert workspace.file_sha256(path) == hashlib.sha256(b"two" * 1001).hexdigest()


def test_a_change_of_equal_size_is_noticed_by_its_time(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one")
    os.utime(path, ns=(0, 1_000_000_000))
    workspace.file_sha256(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(0, 1_000_000_001))
    assert workspace.file_sha256(path) == hashlib.sha256(b"two").hexdigest()


def test_two_names_of_one_file_share_its_hash(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one")
    (tmp_path / "link.gguf").symlink_to(path)
    assert workspace.file_sha256(path) == workspace.file_sha256(tmp_path / "link.gguf")
    assert len(Journal(workspace.root / "hashes.jsonl").read()) == 1


def test_a_digest_is_the_sha256_of_the_canonical_form() -> None:
    """Oracle: the canonical form written out by hand, and hashlib."""
    canonical = b'{"a":[1,null],"b":"\\u00fc"}'
    assert digest({"b": "ü", "a": [1, None]}) == hashlib.sha256(canonical).hexdigest()


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=4), _JSON, max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))
    assert digest(value) == digest(json.loads(json.dumps(value)))


def test_forgetting_runs_keeps_what_was_built_and_fetched(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    measured = ("runs", "divergence", "cost", "plans", "logprobs")
    kept = ("artifacts", "downloads", "results", "judged")
    for name in (*measured, *kept):
        workspace.folder(name)
    workspace.forget_runs()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(kept)
