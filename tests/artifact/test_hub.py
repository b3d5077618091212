"""What is fetched from a Hub: exactly what was asked for, found again without the network."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.artifact.hub import (
    MODEL_FILES,
    choose_files,
    complete_splits,
    find_repo,
)
from edgeeval.artifact.hub_client import connect
from edgeeval.errors import InputError, NotFetched
from tests.artifact.conftest import (
    BIG,
    FETCH,
    Q4,
    Q8,
    REPO,
    SMALL,
    TOKEN,
    Person,
    ranges,
    run_script,
    sha256,
)
from tests.artifact.hub_server import COMMIT, Repo, git_sha1

# -- what comes ------------------------------------------------------------------------------------


def test_exactly_the_files_that_match_come_with_hash_commit_and_licence(person: Person) -> None:
    person.hub.repos[REPO].card = {"license": "apache-2.0"}
    found = person.fetch("*Q4_K_M*")
    assert (found.repo, found.revision, found.commit) == (REPO, "main", COMMIT)
    assert found.licence == "apache-2.0"
    (file,) = found.files
    assert (file.name, file.size_bytes, file.sha256) == (Q4, len(BIG), sha256(BIG))
    assert file.path == found.folder / Q4
    assert file.path.read_bytes() == BIG
    assert [path.name for path in person.cached("**/snapshots/*/*")] == [Q4]
    assert len(person.hub.requests("store")) == 1


def test_what_was_fetched_is_found_again_without_the_hub(person: Person) -> None:
    fetched = person.fetch("*.gguf", "config.json")
    n_requests = len(person.hub.seen)
    assert person.find("*.gguf", "config.json") == fetched
    assert person.find("config.json", "*.gguf") == fetched
    assert len(person.hub.seen) == n_requests
    assert [file.name for file in fetched.files] == ["config.json", Q4, Q8]
    (record,) = person.workspace.root.glob("downloads/hub/*.json")
    assert record.name.startswith("some-body--Tiny-GGUF@main.")
    assert json.loads(record.read_text())["patterns"] == ["*.gguf", "config.json"]


def test_a_file_that_git_keeps_has_its_sha256_in_the_record(person: Person) -> None:
    (file,) = person.fetch("config.json").files
    assert (file.path.read_bytes(), file.sha256) == (SMALL, sha256(SMALL))
    assert person.hub.requests("store") == []


def test_a_branch_that_moved_brings_the_new_commit_and_only_what_changed(person: Person) -> None:
    first = person.fetch()
    person.hub.seen.clear()
    assert person.fetch() == first
    assert person.hub.requests("store") == []
    moved = Repo(person.hub.repos[REPO].files | {Q8: BIG[:6000]}, commit="f" * 40)
    person.hub.repos[REPO] = moved
    second = person.fetch()
    assert [seen.path.split("?")[0] for seen in person.hub.requests("store")] == [f"/{REPO}/{Q8}"]
    assert second.commit == "f" * 40
    assert second.folder != first.folder
    assert person.find() == second


def test_a_commit_that_is_here_needs_no_hub(person: Person) -> None:
    first = person.fetch(revision=COMMIT)
    person.hub.seen.clear()
    assert person.fetch(revision=COMMIT) == first
    assert person.hub.seen == []


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/7", "feature/x"])
def test_a_revision_is_asked_for_as_it_is_called(person: Person, revision: str) -> None:
    person.hub.repos[REPO].refs = ("main", revision)
    found = person.fetch(revision=revision)
    assert (found.revision, found.commit) == (revision, COMMIT)
    assert person.find(revision=revision) == found


@pytest.mark.parametrize("name", ["Q4/a b.gguf", "größe #1 100%.gguf", "a?b&c=d.gguf", "+.gguf"])
def test_a_files_name_may_be_odd(person: Person, name: str) -> None:
    person.hub.repos[REPO] = Repo({name: b"GGUF"})
    (file,) = person.fetch().files
    assert (file.name, file.path.read_bytes()) == (name, b"GGUF")


def test_two_names_of_one_content_come_once_and_an_empty_file_comes(person: Person) -> None:
    person.hub.repos[REPO] = Repo({"a.gguf": BIG, "b.gguf": BIG, "c.gguf": b"", "d.txt": b""})
    found = person.fetch("*")
    assert [file.path.stat().st_size for file in found.files] == [len(BIG), len(BIG), 0, 0]
    assert len(person.hub.requests("store")) == 2


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ({}, None),
        ({"license": "mit"}, "mit"),
        ({"license": ["mit", "cc-by-4.0"]}, "mit, cc-by-4.0"),
        ({"license": "other", "license_name": "gemma"}, "gemma"),
        ({"license": "other"}, "other"),
        ({"license": None}, None),
        (["no", "card"], None),
    ],
)
def test_the_licence_is_the_cards(person: Person, card: Any, licence: str | None) -> None:
    person.hub.repos[REPO].card = card
    assert person.fetch(Q8).licence == person.find(Q8).licence == licence


def test_how_far_a_file_is_is_told_in_lines(person: Person) -> None:
    person.hub.repos[REPO].files[Q4] = BIG * 5
    person.fetch(Q4)
    assert person.said[0] == f"{REPO}: {Q4}, 5.0 MB"
    assert person.said[1:] == [f"{Q4}: {n} of 5 MB" for n in (1, 2, 3, 4)]


# -- which files -----------------------------------------------------------------------------------


def test_a_pattern_that_matches_nothing_names_the_nearest_files(person: Person) -> None:
    message = person.refusal(InputError, "*Q4_K_S*.gguf")
    assert message == f"{REPO}: no file matches '*Q4_K_S*.gguf'; it has {Q4}, {Q8}"
    assert "no file matches '*Q9*'" in person.refusal(InputError, "*.gguf", "*Q9*")
    assert "'*q4_k_m*'" in person.refusal(InputError, "*q4_k_m*")


def test_of_many_files_ten_are_named() -> None:
    names = [f"model-Q{bits}_{kind}.gguf" for bits in range(2, 9) for kind in "0KLMS"]
    with pytest.raises(InputError) as caught:
        choose_files("a/b", names, ["*Q4_X*"])
    assert "it has model-Q4_" in str(caught.value)
    assert str(caught.value).endswith(" and 25 more")
    with pytest.raises(InputError, match="it is empty"):
        choose_files("a/b", [], ["*"])
    with pytest.raises(InputError, match="no file was asked for"):
        choose_files("a/b", names, [])


def _shards(stem: str, count: int, end: str = ".gguf") -> list[str]:
    return [f"{stem}-{at:05d}-of-{count:05d}{end}" for at in range(1, count + 1)]


def test_one_shard_brings_all_of_them(person: Person) -> None:
    shards = _shards("Q4/big-Q4_K_M", 3)
    person.hub.repos[REPO] = Repo(
        {name: name.encode() for name in [*shards, *_shards("Q8/big-Q8_0", 2)]}
    )
    found = person.fetch("*Q4_K_M-00002-of-*")
    assert [file.name for file in found.files] == shards
    assert [file.path.read_bytes().decode() for file in found.files] == shards


def test_a_shard_that_the_repository_lacks_is_named(person: Person) -> None:
    shards = _shards("big", 4)
    person.hub.repos[REPO] = Repo(dict.fromkeys((shards[0], shards[2]), b"GGUF"))
    assert person.refusal(InputError) == (
        f"{REPO}: big.gguf comes in 4 parts, of which the repository lacks "
        f"{shards[1]}, {shards[3]}; choose another file"
    )
    assert person.hub.requests("store") == []


def test_a_shard_of_very_many_is_one_short_line() -> None:
    with pytest.raises(InputError) as caught:
        complete_splits("a/b", ["x-00001-of-99999.gguf"], ["x-00001-of-99999.gguf"])
    assert str(caught.value).count(".gguf") == 11
    assert "and 99988 more" in str(caught.value)


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 12), max_size=3),
    st.integers(0, 2**32),
)
def test_completed_splits_are_whole_and_hold_no_other_file(
    counts: dict[str, int], seed: int
) -> None:
    """Oracle: brute force over the stems that were hit."""
    known = [name for stem, count in counts.items() for name in _shards(stem, count)] + ["d.gguf"]
    rng = random.Random(seed)
    chosen = [name for name in known if rng.random() < 0.3]
    hit = {name[0] for name in chosen}
    expected = sorted(name for name in known if name[0] in hit)
    assert complete_splits("a/b", chosen, known) == tuple(expected)


_FOLDER = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
_FOLDER += ["model.safetensors.index.json", *_shards("model", 2, ".safetensors")]
_OTHERS = ["README.md", "modeling_x.py", "pytorch_model.bin", "original/consolidated.00.pth"]
_OTHERS += ["consolidated.safetensors", "onnx/model.onnx", "model.fp16.safetensors", "x.pkl"]
_OTHERS += ["onnx/config.json", "training_args.bin", "tokenizer.py", "adapter_model.safetensors"]


def test_a_model_folder_is_what_the_converter_reads() -> None:
    """By hand: no pickle, no code, no second copy of the weights."""
    assert choose_files("a/b", _FOLDER + _OTHERS, MODEL_FILES) == tuple(sorted(_FOLDER))
    single = ["config.json", "model.safetensors", "tokenizer.model"]
    assert choose_files("a/b", single + _OTHERS, MODEL_FILES) == tuple(single)
    odd = ["config.json", *_shards("model.safetensors", 2, ".safetensors")]
    assert choose_files("a/b", odd, MODEL_FILES) == tuple(odd)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["config.json", "pytorch_model.bin"], "its weights are pickles (pytorch_model.bin)"),
        (["config.json", "original/a.pth"], "its weights are pickles (original/a.pth)"),
        (["config.json", "a.gguf"], "is no model folder, it has no safetensors; it has"),
        (
            ["model.safetensors", "a.json"],
            "is no model folder, it has no config.json; it has a.json",
        ),
        (["config.json", *_shards("model", 2, ".safetensors")[:1]], "comes in 2 parts"),
        ([], "is no model folder"),
    ],
)
def test_a_folder_that_no_converter_could_use_is_refused(names: list[str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        choose_files("a/b", names, MODEL_FILES)
    assert words in str(caught.value)


# -- found again -----------------------------------------------------------------------------------


def test_nothing_fetched_names_the_fetch(person: Person) -> None:
    with pytest.raises(NotFetched) as caught:
        find_repo(person.workspace, REPO, revision=None, patterns=["*"], named="mine.yaml")
    assert str(caught.value) == (
        f"{REPO}@main is not in {person.workspace.root} yet; run: edgeeval fetch mine.yaml"
    )
    person.fetch(Q4)
    for request in ({"revision": "v1"}, {"repo": "other/one"}):
        with pytest.raises(NotFetched):
            person.find(Q4, **request)
    with pytest.raises(NotFetched):
        person.find(Q8)


def test_a_file_that_has_gone_or_changed_is_to_be_fetched_again(person: Person) -> None:
    (file,) = person.fetch(Q4).files
    file.path.write_bytes(BIG[:-1])
    with pytest.raises(NotFetched, match="another size than when it was fetched; run: edgeeval"):
        person.find(Q4)
    person.fetch(Q4)
    shutil.rmtree(person.cache)
    with pytest.raises(NotFetched, match="is gone since it was fetched; run: edgeeval fetch"):
        person.find(Q4)
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert person.find(Q4).files[0].path == file.path


# -- offline, tokens, space: as the environment has it ---------------------------------------------

_LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
"""
_NO_SOCKETS = """
def watch(event, arguments):
    if event.startswith("socket."):
        os._exit(99)
sys.addaudithook(watch)
"""
_FIND = """
found = find_repo(workspace, repo, revision=None, patterns=[name])
print(found.files[0].path)
assert "huggingface_hub" not in sys.modules
"""


def test_home_and_endpoint_are_the_environments(person: Person, tmp_path: Path) -> None:
    done = run_script(person, tmp_path, FETCH)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(person.cache)
    assert person.find(Q4).files[0].path.read_bytes() == BIG


def test_finding_opens_no_socket(person: Person, tmp_path: Path) -> None:
    path = person.fetch(Q4).files[0].path
    done = run_script(person, tmp_path, _NO_SOCKETS, _FIND)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", str(path))


def test_the_watch_for_sockets_sees_one(person: Person, tmp_path: Path) -> None:
    assert run_script(person, tmp_path, _NO_SOCKETS, FETCH).returncode == 99


def test_offline_is_said_and_not_tried(person: Person, tmp_path: Path) -> None:
    done = run_script(person, tmp_path, _NO_SOCKETS, FETCH, HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"NotFetched {REPO}@main: not all of it is here, and HF_HUB_OFFLINE forbids getting it; "
        "unset that and run again\n"
    )


def test_offline_is_enough_where_everything_is_there(person: Person, tmp_path: Path) -> None:
    path = person.fetch(Q4).files[0].path
    done = run_script(person, tmp_path, _NO_SOCKETS, FETCH, HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", str(path))


def test_a_full_disk_half_way_leaves_nothing_that_looks_finished(
    person: Person, tmp_path: Path
) -> None:
    """The kernel's limit on a file's size stands for the disk: both refuse a write half-way."""
    done = run_script(person, tmp_path, _LIMITED, FETCH)
    assert done.returncode == 1
    assert done.stderr.startswith("the disk is full")
    assert done.stderr.count("\n") == 1
    assert not list(person.workspace.root.glob("downloads/**/*.json"))
    assert person.cached("**/snapshots/*/*") == []
    assert person.cached("**/blobs/*") == [person.partial]
    size_bytes = person.partial.stat().st_size
    assert 0 < size_bytes <= 200_000
    person.hub.seen.clear()
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert ranges(person.hub) == [f"bytes={size_bytes}-"]


def test_what_the_disk_cannot_hold_is_refused_before_it_comes(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(free=(64 << 20) + 500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    message = person.refusal(InputError, Q4)
    assert message.startswith(f"{REPO}: needs 1 MB of disk, 68 MB are free in {person.cache}")
    assert person.hub.requests("store") == []
    person.blobs.mkdir(parents=True)
    person.partial.write_bytes(BIG[:600_000])  # only the rest is still to come
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG


def test_the_token_goes_to_the_hub_and_to_nobody_else(
    person: Person, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    person.hub.token = TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    person.hub.fail(f"/{REPO}/{Q4}", cut_after_bytes=300_000)
    person.hub.fail("/resolve/", status=500)
    person.fetch(Q4, "config.json")
    for seen in person.hub.requests("hub"):
        assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert len(person.hub.requests("store")) == 2
    for seen in person.hub.requests("store"):
        assert "authorization" not in seen.headers
        assert TOKEN not in str(seen)
    assert all(TOKEN not in line for line in person.said)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert all(TOKEN.encode() not in path.read_bytes() for path in written)
    assert TOKEN not in repr(connect(print))


def test_without_a_token_none_is_sent(person: Person) -> None:
    person.fetch(Q4)
    assert all("authorization" not in seen.headers for seen in person.hub.seen)


@pytest.mark.parametrize("token", [f"{TOKEN} x", f"{TOKEN}\r\nX-Other: 1", f"{TOKEN}…"])
def test_a_token_that_cannot_be_one_is_refused_before_it_is_sent(
    person: Person, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    assert person.refusal(InputError).startswith("HF_TOKEN holds a character that no token has")
    assert person.hub.seen == []


def test_the_hubs_hash_of_a_small_file_is_gits() -> None:
    """Oracle: `git hash-object` of an empty file, as every git repository knows it."""
    assert git_sha1(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
