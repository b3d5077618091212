"""Speak to a model Hub: list a repository at one commit, download one of its files.

Only `edgeeval fetch` comes here. From huggingface_hub (0.30 to 2.x) comes what belongs to the
person and is shared with other programs: the HTTP session with its proxies and certificates, the
token, the cache's folder and locks, the names of the Hub's errors. Its downloader is not used: the
newest versions begin a broken download anew, and none holds a file against the hash that the Hub
states. Nor is Xet's own protocol: whatever HF_HUB_DISABLE_XET says, files come over plain HTTP,
which every Hub speaks and which can be resumed.

The token is sent to the Hub alone (the session drops it where a redirect leaves that host) and
enters no message: errors are told in words of our own, because those of HTTP libraries quote
addresses, which may be signed.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

from edgeeval.errors import EdgeevalError, InputError

RepoKind = Literal["models", "datasets"]
"""The Hub has two name spaces: one name may be a model and a data set."""

_T = TypeVar("_T")
_CHUNK_BYTES = 1 << 16
_TALK_BYTES = 1 << 20
_LISTING_BYTES_AT_MOST = 64 << 20
_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Before each new attempt; an attempt that brought bytes starts the row again."""
_WAIT_S_AT_MOST = 300.0
"""A Hub's rate limits are counted in windows of five minutes; a longer wait is the person's."""
_PASSING = (408, 429, 500, 502, 503, 504)

_sleep = time.sleep


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, as the Hub's API states it."""

    name: str
    """Relative to the repository; a stranger's text."""
    size_bytes: int
    sha256: str | None
    """Of a file kept in large-file storage; None where git keeps it."""
    git_sha1: str
    """Git's blob id; of the pointer where the file itself is in large-file storage."""

    @property
    def etag(self) -> str:
        """The file's name among the blobs of the shared cache."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit."""

    commit: str
    files: tuple[RemoteFile, ...]
    licence: str | None
    """As its model card says."""


@dataclass(frozen=True)
class Hub:
    """Where to ask, in whose name, and where other programs look for what came."""

    endpoint: str
    cache: Path
    headers: dict[str, str] = field(repr=False)
    """With the person's token, if there is one."""
    say: Callable[[str], None]

    @property
    def place(self) -> str:
        """Host and port, to be named in messages: an endpoint may hold a password."""
        parts = urlsplit(self.endpoint)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


class _CutShort(Exception):
    """The answer ended before the file did."""


def is_offline() -> bool:
    """Tell whether the person forbids the Hub (HF_HUB_OFFLINE)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def connect(say: Callable[[str], None]) -> Hub:
    """Read where the Hub is, the token and the cache's folder from the person's environment.

    Raises:
        InputError: HF_ENDPOINT or HF_TOKEN cannot be what it should be.
    """
    import huggingface_hub
    from huggingface_hub import constants, get_token

    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    headers = {"user-agent": f"edgeeval; hf_hub/{huggingface_hub.__version__}"}
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    if token is not None:
        if not re.fullmatch(r"[!-~]+", token):
            raise InputError("HF_TOKEN holds a character that no token has; copy it again")
        headers["authorization"] = f"Bearer {token}"
    hub = Hub(endpoint, Path(constants.HF_HUB_CACHE).expanduser().absolute(), headers, say)
    try:
        known = urlsplit(endpoint).scheme in ("http", "https") and hub.place != "None"
    except ValueError:  # a port that is no number, a bracket too many
        known = False
    if not known:
        raise InputError("HF_ENDPOINT is no address: it begins with http:// or https:// and a host")
    return hub


def list_repo(hub: Hub, repo: str, revision: str, kind: RepoKind = "models") -> Listing:
    """Ask what a repository holds, with sizes and hashes, and which commit the revision is.

    Raises:
        InputError: there is no such repository or revision, or the person may not see it.
        EdgeevalError: the Hub cannot be reached, or answers nonsense.
    """
    url = f"{hub.endpoint}/api/{kind}/{repo}/revision/{quote(revision, safe='')}?blobs=True"

    def ask() -> bytes:
        body = bytearray()
        with _opened(url, hub.headers) as (_, chunks):
            for chunk in chunks:
                body += chunk
                if len(body) > _LISTING_BYTES_AT_MOST:
                    return b""  # no list is that long
        return bytes(body)

    answer = _patiently(hub, ask, lambda error: _explained(hub, error, repo, f"@{revision}"))
    try:
        return _listing(json.loads(answer))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise EdgeevalError(
            f"{repo}: what {hub.place} answers is no list of files with sizes and hashes; "
            "check HF_ENDPOINT"
        ) from None


def _listing(document: Any) -> Listing:
    files = tuple(_remote_file(entry) for entry in document["siblings"])
    return Listing(_hexadecimal(document["sha"], 40), files, _licence(document.get("cardData")))


def _remote_file(entry: Any) -> RemoteFile:
    stored = entry.get("lfs")
    name, size_bytes = entry["rfilename"], (stored or entry)["size"]
    if not isinstance(name, str) or type(size_bytes) is not int or size_bytes < 0:
        raise TypeError("no file")
    sha256 = _hexadecimal(stored["sha256"], 64) if stored else None
    return RemoteFile(name, size_bytes, sha256, _hexadecimal(entry["blobId"], 40))


def _hexadecimal(value: Any, length: int) -> str:
    """Return a hash, which becomes a file's name: it has to be one."""
    if not re.fullmatch(rf"[0-9a-f]{{{length}}}", value):
        raise ValueError("no hash")
    return str(value)


def _licence(card: Any) -> str | None:
    if not isinstance(card, dict):
        return None
    licence = card.get("license")
    if licence == "other":  # one that the Hub has no short name for
        licence = card.get("license_name") or licence
    names = licence if isinstance(licence, list) else [licence]
    return ", ".join(str(name) for name in names if name) or None


def place_of(repo: str, kind: RepoKind) -> str:
    """Return a repository's path at the Hub: those of models have no prefix."""
    return repo if kind == "models" else f"{kind}/{repo}"


def download(
    hub: Hub,
    repo: str,
    commit: str,
    file: RemoteFile,
    partial: Path,
    kind: RepoKind = "models",
) -> None:
    """Bring a file to `partial`, from where an earlier attempt ended.

    Bytes that came stay whatever happens, so that the next call goes on. That they are the right
    ones is the caller's to check.

    Raises:
        InputError: the person may not have it, or it is gone.
        EdgeevalError: the Hub cannot be reached, or sends more than it said.
        OSError: the disk is full.
    """
    if _size_bytes(partial) > file.size_bytes:
        partial.unlink()
    _patiently(
        hub,
        lambda: _receive(hub, place_of(repo, kind), commit, file, partial),
        lambda error: _explained(hub, error, repo, f": {file.name}"),
        lambda: _size_bytes(partial),
    )


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _receive(hub: Hub, place: str, commit: str, file: RemoteFile, partial: Path) -> None:
    """Ask once for what is missing, and write it as it comes."""
    url = f"{hub.endpoint}/{place}/resolve/{commit}/{quote(file.name)}"
    done_bytes = _size_bytes(partial)
    if done_bytes == file.size_bytes > 0:
        return
    # Compressed on its way, a file could not be resumed: offsets are those of the plain bytes.
    headers = hub.headers | {"accept-encoding": "identity"}
    if done_bytes:
        headers["range"] = f"bytes={done_bytes}-"
    with _opened(url, headers) as (status, chunks):
        if status != 206:
            done_bytes = 0  # the server does not resume: the file comes from its beginning
        with partial.open("ab" if done_bytes else "wb") as out:
            for chunk in chunks:
                if done_bytes + len(chunk) > file.size_bytes:
                    partial.unlink()
                    raise EdgeevalError(
                        f"{place}: {file.name}: more came than the {file.size_bytes} bytes that "
                        f"{hub.place} stated; nothing of it is used"
                    )
                out.write(chunk)
                _tell(hub, file, done_bytes, len(chunk))
                done_bytes += len(chunk)
    if done_bytes < file.size_bytes:
        raise _CutShort


def _tell(hub: Hub, file: RemoteFile, done_bytes: int, more_bytes: int) -> None:
    """Say how far a file is, once a hundredth of it."""
    step_bytes = max(file.size_bytes // 100, _TALK_BYTES)
    if (done_bytes + more_bytes) // step_bytes > done_bytes // step_bytes:
        done_mb, size_mb = (done_bytes + more_bytes) / 1e6, file.size_bytes / 1e6
        hub.say(f"{file.name}: {done_mb:,.0f} of {size_mb:,.0f} MB")


@contextmanager
def _opened(url: str, headers: dict[str, str]) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Get an address: the status and the body's pieces; a bad status is raised."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session, hf_raise_for_status

    session: Any = get_session()
    common = {"headers": headers, "timeout": constants.HF_HUB_DOWNLOAD_TIMEOUT}
    if callable(session.stream):  # httpx, from 1.0 on
        with session.stream("GET", url, follow_redirects=True, **common) as response:
            hf_raise_for_status(response)
            yield response.status_code, response.iter_bytes(_CHUNK_BYTES)
    else:  # requests, where `stream` is a flag
        with session.get(url, stream=True, **common) as response:
            hf_raise_for_status(response)
            yield response.status_code, response.iter_content(_CHUNK_BYTES)


# -- patience ------------------------------------------------------------------------------------


def _network_errors() -> tuple[type[Exception], ...]:
    """Return what an HTTP session raises: requests' base or httpx's, by the library's version.

    The library's own HfHubHTTPError derives from that base, whichever it is.
    """
    from huggingface_hub.errors import HfHubHTTPError

    foreign = [base for base in HfHubHTTPError.__mro__ if base.__module__ != "builtins"]
    return (foreign[-1], _CutShort)


def _patiently(
    hub: Hub,
    attempt: Callable[[], _T],
    explain: Callable[[Exception], EdgeevalError],
    received_bytes: Callable[[], int] = lambda: 0,
) -> _T:
    """Try until it succeeds; give up after a row of attempts that brought nothing."""
    failures, had_bytes = 0, received_bytes()
    while True:
        try:
            return attempt()
        except _network_errors() as error:
            if received_bytes() > had_bytes:
                failures, had_bytes = 0, received_bytes()
            pause_s = _pause_s(error, failures)
            if pause_s is None:
                raise explain(error) from None
            hub.say(f"{hub.place}: {_reason(error)}; trying again in {pause_s:.0f} s")
        _sleep(pause_s)
        failures += 1


def _pause_s(error: Exception, failures: int) -> float | None:
    """Return how long to wait before the next attempt, or None where none would help."""
    status = _status(error)
    if failures >= len(_PAUSES_S) or (status is not None and status not in _PASSING):
        return None
    asked_s = _asked_wait_s(error)
    if asked_s is None:
        return _PAUSES_S[failures]
    return asked_s if asked_s <= _WAIT_S_AT_MOST else None


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def _asked_wait_s(error: Exception) -> float | None:
    """Return the wait that an answer asks for: Retry-After, or `t=` of the Hub's `ratelimit`."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    wait = re.fullmatch(r"\s*(\d{1,9})\s*", response.headers.get("retry-after", ""))
    if wait is None and _status(error) == 429:
        wait = re.search(r";\s*t\s*=\s*(\d{1,9})", response.headers.get("ratelimit", ""))
    return float(wait[1]) if wait else None


def _reason(error: Exception) -> str:
    """Say in a few words what failed, without the addresses that an HTTP library's text quotes."""
    status = _status(error)
    if status is not None:
        return f"answered {status}"
    if isinstance(error, _CutShort):
        return "the connection was cut"
    if "timeout" in type(error).__name__.casefold():
        return "no answer in time"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


# -- what went wrong, for people -----------------------------------------------------------------


def _explained(hub: Hub, error: Exception, repo: str, part: str) -> EdgeevalError:
    """Turn a failed request into one line; `part` is what of the repository was asked for."""
    from huggingface_hub import errors

    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(
            f"{repo}: there is no revision {part.removeprefix('@')!r}; "
            "its page lists the branches and tags"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return InputError(f"{repo}{part}: is listed but not there (404); try again later")
    if isinstance(error, errors.GatedRepoError):
        return InputError(
            f"{repo}: gated: accept the licence on its page, then set HF_TOKEN to a token "
            "of that account"
        )
    status = _status(error)
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(
            f"{repo}: there is no such repository, or it is private ({status}): check the name; "
            "for a private one set HF_TOKEN"
        )
    if status is None:
        return EdgeevalError(
            f"{repo}{part}: {hub.place} cannot be reached ({_reason(error)}); check the connection "
            "and HF_ENDPOINT and run again: what came is kept"
        )
    return _refusal(hub, error, status, f"{repo}{part}")


def _refusal(hub: Hub, error: Exception, status: int, subject: str) -> EdgeevalError:
    """Explain a status that names no cause of its own."""
    if status in (401, 403):
        way = (
            "the token in use is not valid or may not read it: set HF_TOKEN to one that may"
            if "authorization" in hub.headers
            else "for a private or gated one accept the licence on its page and set HF_TOKEN"
        )
        return InputError(f"{subject}: {hub.place} refuses access ({status}); {way}")
    if status == 404:
        return InputError(f"{subject}: not found at {hub.place} (404); check the name")
    if status == 429:
        asked_s = _asked_wait_s(error)
        wait = "later" if asked_s is None else f"in {asked_s:.0f} s"
        return EdgeevalError(
            f"{subject}: {hub.place} asks to wait, too many requests (429); "
            f"run again {wait}: what came is kept"
        )
    if status in _PASSING:
        return EdgeevalError(
            f"{subject}: {hub.place} answers {status} again and again; "
            "run again later: what came is kept"
        )
    return EdgeevalError(f"{subject}: {hub.place} answers {status}")
