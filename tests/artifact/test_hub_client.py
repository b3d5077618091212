"""A Hub that says no, that stumbles, that answers nonsense: one line, and nothing recorded."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeeval.artifact import hub_client
from edgeeval.artifact.hub_client import Listing, connect, list_repo
from edgeeval.errors import EdgeevalError, InputError
from tests.artifact.conftest import BIG, Q4, REPO, TOKEN, Person
from tests.artifact.hub_server import Repo

# -- the Hub says no -------------------------------------------------------------------------------


def test_a_missing_repository_is_said_so_with_and_without_a_token(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "some-body/other: there is no such repository, or it is private (401)"
    assert person.refusal(InputError, repo="some-body/other").startswith(said)
    person.hub.token = TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "private (404)" in person.refusal(InputError, repo="some-body/other")
    assert person.waited_s == []


def test_a_missing_revision_is_said_so(person: Person) -> None:
    message = person.refusal(InputError, revision="v9")
    assert message == (f"{REPO}: there is no revision 'v9'; its page lists the branches and tags")


def test_a_file_that_is_listed_and_gone_is_said_so(person: Person) -> None:
    person.hub.repos[REPO].gone = frozenset({Q4})
    assert person.refusal(InputError, Q4).startswith(f"{REPO}: {Q4}: is listed but not there (404)")


def test_a_private_repository_opens_with_the_token(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.hub.repos[REPO].private, person.hub.token = True, TOKEN
    assert "set HF_TOKEN" in person.refusal(InputError)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert len(person.fetch().files) == 2


def test_a_gated_repository_opens_with_the_token(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.hub.repos[REPO].gated, person.hub.token = True, TOKEN
    message = person.refusal(InputError)
    assert "accept the licence on its page" in message
    assert "HF_TOKEN" in message
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert len(person.fetch().files) == 2


def test_a_token_that_is_not_valid_is_said_so(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "the token in use is not valid" in person.refusal(InputError)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, InputError, "refuses access (401); for a private or gated one accept"),
        (403, InputError, "refuses access (403)"),
        (404, InputError, "(404); check the name"),
        (400, EdgeevalError, "answers 400"),
        (418, EdgeevalError, "answers 418"),
    ],
)
@pytest.mark.parametrize("where", ["/api/models", "/resolve/"])
def test_a_bare_status_is_said_at_once(
    person: Person, where: str, status: int, kind: type[EdgeevalError], words: str
) -> None:
    person.hub.fail(where, status=status)
    assert words in person.refusal(kind)
    assert person.waited_s == []


# -- patience --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["/api/models", "/resolve/", f"/{REPO}/{Q4}"])
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1.0),
        ({}, 1.0),
    ],
)
def test_a_hub_that_asks_to_wait_is_waited_for(
    person: Person, where: str, headers: dict[str, str], wait_s: float
) -> None:
    person.hub.fail(where, status=429, headers=headers)
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert person.waited_s == [wait_s]
    assert any(f"answered 429; trying again in {wait_s:.0f} s" in line for line in person.said)


def test_a_hub_that_asks_to_wait_for_ever_is_left_alone(person: Person) -> None:
    person.hub.fail("/api/models", times=99, status=429, headers={"Retry-After": "7"})
    message = person.refusal(EdgeevalError)
    assert "asks to wait, too many requests (429); run again in 7 s" in message
    assert person.waited_s == [7.0] * 4


def test_a_wait_longer_than_any_limits_window_is_the_persons(person: Person) -> None:
    person.hub.fail("/api/models", status=429, headers={"Retry-After": "4000"})
    assert "run again in 4000 s" in person.refusal(EdgeevalError)
    assert person.waited_s == []


@pytest.mark.parametrize("where", ["/api/models", "/resolve/", f"/{REPO}/{Q4}"])
def test_a_hub_that_stumbles_is_asked_again(person: Person, where: str) -> None:
    person.hub.fail(where, status=500)
    person.hub.fail(where, status=502)
    assert person.fetch(Q4).files[0].path.read_bytes() == BIG
    assert person.waited_s == [1.0, 2.0]


def test_a_hub_that_is_down_is_given_up(person: Person) -> None:
    person.hub.fail("/api/models", times=99, status=500)
    assert "answers 500 again and again; run again later" in person.refusal(EdgeevalError)
    assert person.waited_s == [1.0, 2.0, 4.0, 8.0]


def test_a_hub_that_nobody_runs_is_said_so(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://user:{TOKEN}@127.0.0.1:{port}")
    message = person.refusal(EdgeevalError)
    assert f"127.0.0.1:{port} cannot be reached (Connection refused)" in message
    assert all(TOKEN not in line for line in person.said)


def test_a_store_that_nobody_runs_is_said_so_without_its_signed_address(person: Person) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = {"Location": f"http://127.0.0.1:{port}/x?signature=SECRET"}
    person.hub.fail("/resolve/", times=99, status=302, headers=store)
    assert "cannot be reached (Connection refused)" in person.refusal(EdgeevalError, Q4)
    assert all("SECRET" not in line for line in person.said)


def test_a_hub_that_does_not_answer_is_given_up(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    person.hub.fail("/api/models", times=99, stall=True)
    assert "cannot be reached (no answer in time)" in person.refusal(EdgeevalError)


def test_redirects_in_a_circle_end(person: Person) -> None:
    circle = {"Location": f"/{REPO}/resolve/main/x"}
    person.hub.fail("/resolve/", times=9999, status=302, headers=circle)
    message = person.refusal(EdgeevalError, Q4)
    assert re.search(r"cannot be reached \(TooManyRedirects\)|answers 302", message)


# -- nonsense --------------------------------------------------------------------------------------


def _document(**changed: Any) -> dict[str, Any]:
    file = {"rfilename": "a.gguf", "size": 4, "blobId": "b" * 40}
    file["lfs"] = {"sha256": "c" * 64, "size": 4}
    file |= {name: changed.pop(name) for name in tuple(changed) if name in file}
    return {"sha": "a" * 40, "siblings": [file], "cardData": None} | changed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!DOCTYPE html><title>Log in to the hotel's network</title>",
        b"[]",
        b"null",
        b"[" * 100_000,
        b"\xff\xfe",
        *(
            json.dumps(_document(**changed)).encode()
            for changed in (
                {"sha": "../../../../x"},
                {"sha": None},
                {"sha": "A" * 40},
                {"siblings": None},
                {"siblings": ["a.gguf"]},
                {"rfilename": 7},
                {"size": -4, "lfs": None},
                {"size": "4", "lfs": None},
                {"size": True, "lfs": None},
                {"blobId": "../../x"},
                {"blobId": None},
                {"lfs": {"sha256": "../" * 21 + "x", "size": 4}},
                {"lfs": {"sha256": "c" * 64 + "\n", "size": 4}},
                {"lfs": {"size": 4}},
                {"lfs": {"sha256": "c" * 64, "size": 4.5}},
            )
        ),
    ],
)
def test_an_answer_that_is_no_list_of_files_is_said_so(person: Person, body: bytes) -> None:
    person.hub.fail("/api/models", status=200, body=body)
    message = person.refusal(EdgeevalError)
    assert "is no list of files with sizes and hashes; check HF_ENDPOINT" in message


def test_an_answer_without_end_is_cut_off(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_client, "_LISTING_BYTES_AT_MOST", 100)
    assert "is no list of files" in person.refusal(EdgeevalError)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
_FIELDS = ["sha", "siblings", "cardData", "rfilename", "size", "blobId", "lfs"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(changed=st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=3))
def test_any_answer_is_a_list_of_files_or_one_line(person: Person, changed: dict[str, Any]) -> None:
    person.hub.fail("/api/models", status=200, body=json.dumps(_document(**changed)).encode())
    try:
        listing = list_repo(connect(person.said.append), REPO, "main")
    except EdgeevalError as error:
        assert "is no list of files" in str(error)
        return
    assert isinstance(listing, Listing)
    assert re.fullmatch("[0-9a-f]{40}", listing.commit)
    for file in listing.files:
        assert re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", file.etag)
        assert file.size_bytes >= 0


@pytest.mark.parametrize(
    "name",
    [
        "../x.gguf",
        "../../../../x.gguf",
        "a/../../x.gguf",
        "/tmp/x.gguf",
        "a//x.gguf",
        "./x.gguf",
        "a\\..\\x.gguf",
        "a\0.gguf",
        "a\n.gguf",
        "\ud800.gguf",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(person: Person, name: str, tmp_path: Path) -> None:
    person.hub.repos[REPO] = Repo({name: b"GGUF", "good.gguf": b"GGUF"})
    assert "leads out of its folder; refused" in person.refusal(InputError)
    assert not list(tmp_path.rglob("*x.gguf"))
    assert [file.name for file in person.fetch("good*").files] == ["good.gguf"]


@pytest.mark.parametrize(
    "repo",
    [
        *("", "name", "a/b/c", "../x", "a/..", "a/b..c", "/a", "a/", "a b/c", "a/b?c", "a/b#"),
        *("a/b.git", "a--b/c", "-a/b", "a/" + "b" * 97, "ä/b", "a/b\n", "a\n/b", "http://h/a/b"),
    ],
)
def test_a_malformed_repository_is_refused_before_the_hub_is_asked(
    person: Person, repo: str
) -> None:
    assert person.refusal(InputError, repo=repo).endswith(
        "names no Hub repository: it is owner/name"
    )
    with pytest.raises(InputError):
        person.find(repo=repo)
    assert person.hub.seen == []


@pytest.mark.parametrize("revision", ["", "..", "../x", "a/../b", "/a", "a/", "a b", "a\n", "-x"])
def test_a_malformed_revision_is_refused_before_the_hub_is_asked(
    person: Person, revision: str
) -> None:
    assert "is no branch, tag or commit" in person.refusal(InputError, revision=revision)
    assert person.hub.seen == []


@pytest.mark.parametrize(
    "endpoint", ["hub.example", "ftp://hub", "http://", "http://[", "http://h:x"]
)
def test_an_endpoint_that_is_no_address_is_refused(
    person: Person, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert person.refusal(InputError).startswith("HF_ENDPOINT is no address")
