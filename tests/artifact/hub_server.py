"""A model Hub on this machine: the part of the Hub's HTTP API that fetching a repository uses.

Two servers, so that large files come from another host than the Hub's, as they do from the real
one. The Hub answers /api/models/OWNER/NAME/revision/REVISION with the list of files, and
/OWNER/NAME/resolve/COMMIT/FILE (of data sets /api/datasets/... and /datasets/OWNER/NAME/...) with a
redirect: for small files to a path of its own, for large ones to the store, which sends them whole
or from an offset. Headers and error codes are those that huggingface_hub reads (its utils/_http.py
and file_download.py).

A third server answers as GitHub's file service does: /OWNER/NAME/COMMIT/FILE, or a bare 404.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repo:
    """One repository at one commit."""

    files: dict[str, bytes]
    commit: str = COMMIT
    refs: tuple[str, ...] = ("main",)
    """Branches and tags that are this commit."""
    card: dict[str, Any] = field(default_factory=dict)
    stated: dict[str, bytes] = field(default_factory=dict)
    """By name, the contents whose hash is stated where it is not that of the file itself."""
    gone: frozenset[str] = frozenset()
    """Listed, and not there."""
    gated: bool = False
    private: bool = False


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    server: str
    """hub, store or github"""
    method: str
    path: str
    headers: dict[str, str]
    """Names in small letters."""


@dataclass
class Fault:
    """What happens instead, to the next `times` requests whose path holds `where`."""

    where: str
    times: int
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after_bytes: int | None = None
    """Send that much of the file, then drop the connection."""
    stall: bool = False
    """Never answer."""
    no_ranges: bool = False
    """Send the whole file whatever was asked for."""


def is_large(name: str) -> bool:
    """Tell what the Hub keeps in large-file storage: weights, rows and archives."""
    return name.endswith((".gguf", ".safetensors", ".bin", ".jsonl", ".tar"))


def git_sha1(data: bytes) -> str:
    """Return git's id of a file with these contents."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class LocalHub:
    """The servers, what they serve and what they saw."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        """By OWNER/NAME, data sets by datasets/OWNER/NAME, those of GitHub by github/OWNER/NAME."""
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.token: str | None = None
        """The one token that opens private and gated repositories."""
        self.hub = _Server(self, "hub", _answer_hub)
        self.store = _Server(self, "store", _answer_store)
        self.github = _Server(self, "github", _answer_github)
        self.closing = threading.Event()

    @property
    def servers(self) -> tuple[_Server, ...]:
        return self.hub, self.store, self.github

    def fail(self, where: str, *, times: int = 1, **how: Any) -> None:
        """Let the next requests whose path holds `where` fail."""
        self.faults.append(Fault(where, times, **how))

    def fault(self, path: str) -> Fault | None:
        """Take the fault that is due for a path."""
        for fault in self.faults:
            if fault.where in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def requests(self, server: str, where: str = "") -> list[Seen]:
        """Return what one server saw, of the paths that hold `where`."""
        return [one for one in self.seen if one.server == server and where in one.path]

    def close(self) -> None:
        """Stop the servers."""
        self.closing.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    """Run a Hub while the block runs."""
    hub = LocalHub()
    for server in hub.servers:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        hub.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: LocalHub, name: str, answer: Callable[[_Handler], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner, self.name, self.answer = owner, name, answer

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output free of it."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner = self.server.owner
        owner.seen.append(Seen(self.server.name, self.command, self.path, headers))
        self.fault = owner.fault(self.path) or Fault("", 0)
        if self.fault.stall:
            owner.closing.wait()
            self.close_connection = True
        elif self.fault.status is not None:
            self.reply(self.fault.status, self.fault.headers, self.fault.body)
        else:
            self.server.answer(self)

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut_after_bytes = self.fault.cut_after_bytes
        if cut_after_bytes is not None:
            self.close_connection = True
        self.wfile.write(body[:cut_after_bytes])

    def send_file(self, data: bytes, headers: dict[str, str]) -> None:
        """Send a file, or its end where a range is asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None or self.fault.no_ranges:
            self.reply(200, {"Accept-Ranges": "bytes", **headers}, data)
        elif int(asked[1]) >= len(data):
            self.reply(416, {"Content-Range": f"bytes */{len(data)}"})
        else:
            start = int(asked[1])
            where = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.reply(206, {"Content-Range": where, **headers}, data[start:])

    def refuse(self, status: int, code: str | None = None, message: str = "") -> None:
        headers = {"X-Error-Code": code} if code else {}
        body = json.dumps({"error": message or code}).encode()
        self.reply(status, headers | {"Content-Type": "application/json"}, body)


def _answer_hub(handler: _Handler) -> None:
    path = urlsplit(handler.path).path
    if api := re.fullmatch(r"/api/(?:models|(datasets))/([^/]+/[^/]+)/revision/([^/]+)", path):
        _with_repo(handler, "/".join(filter(None, api.group(1, 2))), unquote(api[3]), _send_listing)
    elif file := re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
        name = unquote(file[3])
        _with_repo(handler, file[1], unquote(file[2]), lambda *it: _send_file(*it, file[1], name))
    elif own := re.fullmatch(
        r"/api/resolve-cache/(?:models/)?((?:datasets/)?[^/]+/[^/]+)/[0-9a-f]{40}/(.+)", path
    ):
        repo = handler.server.owner.repos[own[1]]
        data = repo.files[unquote(own[2])]
        handler.send_file(data, {"ETag": f'"{git_sha1(data)}"', "X-Repo-Commit": repo.commit})
    else:
        handler.refuse(404)


def _with_repo(
    handler: _Handler, repo_id: str, revision: str, answer: Callable[[_Handler, Repo], None]
) -> None:
    """Look up repository and revision, with the Hub's own refusals."""
    owner = handler.server.owner
    sent = handler.headers.get("Authorization")
    may_see = sent is not None and sent == f"Bearer {owner.token}"
    if sent is not None and not may_see:
        handler.reply(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        return
    repo = owner.repos.get(repo_id)
    if repo is None or (repo.private and not may_see):
        handler.refuse(404 if may_see else 401, "RepoNotFound", "Repository not found")
    elif revision not in (repo.commit, *repo.refs):
        handler.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    elif repo.gated and not may_see and "/resolve/" in handler.path:
        handler.refuse(401, "GatedRepo", "Access to this model is restricted")
    else:
        answer(handler, repo)


def _send_listing(handler: _Handler, repo: Repo) -> None:
    siblings = []
    for name, data in repo.files.items():
        stated = repo.stated.get(name, data)
        entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": git_sha1(stated)}
        if is_large(name):
            sha256 = hashlib.sha256(stated).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        siblings.append(entry)
    document = {"id": "x/y", "sha": repo.commit, "siblings": siblings, "cardData": repo.card}
    handler.reply(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


def _send_file(handler: _Handler, repo: Repo, repo_id: str, name: str) -> None:
    if name not in repo.files or name in repo.gone:
        handler.refuse(404, "EntryNotFound", "Entry not found")
        return
    data = repo.files[name]
    headers = {"X-Repo-Commit": repo.commit, "X-Linked-Size": str(len(data))}
    if is_large(name):
        sha256 = hashlib.sha256(repo.stated.get(name, data)).hexdigest()
        store = f"{handler.server.owner.store.address}/{repo_id}/{quote(name)}?signature=SECRET"
        handler.reply(302, headers | {"X-Linked-Etag": f'"{sha256}"', "Location": store})
    else:
        kind = "" if repo_id.startswith("datasets/") else "models/"
        own = f"/api/resolve-cache/{kind}{repo_id}/{repo.commit}/{quote(name)}"
        etag = f'"{git_sha1(repo.stated.get(name, data))}"'
        handler.reply(307, headers | {"ETag": etag, "Location": own})


def _answer_store(handler: _Handler) -> None:
    path = unquote(urlsplit(handler.path).path)
    place = re.match(r"/((?:datasets/)?[^/]+/[^/]+)/(.+)", path)
    assert place is not None
    data = handler.server.owner.repos[place[1]].files[place[2]]
    handler.send_file(data, {"ETag": '"of-the-store"'})


def _answer_github(handler: _Handler) -> None:
    owner, name, commit, file = unquote(urlsplit(handler.path).path)[1:].split("/", 3)
    repo = handler.server.owner.repos.get(f"github/{owner}/{name}")
    if repo is None or commit != repo.commit or file not in repo.files:
        handler.reply(404, {}, b"404: Not Found")
    else:
        handler.send_file(repo.files[file], {"ETag": '"of-github"'})
