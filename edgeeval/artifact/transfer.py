"""Bring a file over HTTP, from a Hub or GitHub: patiently, resumed, and never more than agreed.

The session comes from huggingface_hub (0.30 to 2.x: requests or httpx), with the person's proxies
and certificates. What a server sends is a stranger's: it is cut off at the size that the file must
have, and whether it is the right file is told by its hash alone, which is the caller's to check.

Errors are told in words of our own, because those of HTTP libraries quote addresses, which may be
signed or hold a password.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from edgeeval.errors import EdgeevalError, InputError

_T = TypeVar("_T")
_CHUNK_BYTES = 1 << 16
_HASH_CHUNK_BYTES = 1 << 20
_TALK_BYTES = 1 << 20
_UNKNOWN_SIZE_BYTES_AT_MOST = 64 << 20
"""Of a file whose size nobody stated: several times the largest that is fetched so."""
_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Before each new attempt; an attempt that brought bytes starts the row again."""
_WAIT_S_AT_MOST = 300.0
"""A Hub's rate limits are counted in windows of five minutes; a longer wait is the person's."""
_PASSING = (408, 429, 500, 502, 503, 504)
_NOTHING_LEFT = 416

_sleep = time.sleep


@dataclass(frozen=True)
class Server:
    """Where to ask, in whose name, and whom to tell."""

    endpoint: str
    headers: dict[str, str] = field(repr=False)
    say: Callable[[str], None]

    @property
    def place(self) -> str:
        """Host and port, to be named in messages: an endpoint may hold a password."""
        parts = urlsplit(self.endpoint)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


@dataclass(frozen=True)
class Wanted:
    """A file to be brought."""

    url: str
    subject: str
    """Repository and file, as messages name them."""
    name: str
    size_bytes: int | None
    """What it must have; None where nobody stated it, and then its hash alone decides."""

    @property
    def most_bytes(self) -> int:
        """How much is taken of what the server sends."""
        return _UNKNOWN_SIZE_BYTES_AT_MOST if self.size_bytes is None else self.size_bytes


class _CutShort(Exception):
    """The answer ended before the file did."""


def require_address(server: Server, variable: str) -> None:
    """Refuse an address that a person mistyped.

    Raises:
        InputError: what the environment variable holds is none.
    """
    try:
        known = urlsplit(server.endpoint).scheme in ("http", "https") and server.place != "None"
    except ValueError:  # a port that is no number, a bracket too many
        known = False
    if not known:
        raise InputError(f"{variable} is no address: it begins with http:// or https:// and a host")


def git_sha1(path: Path) -> str:
    """Return the id that git gives a file's contents."""
    hasher = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def receive(
    server: Server,
    wanted: Wanted,
    partial: Path,
    explain: Callable[[Exception], EdgeevalError],
) -> None:
    """Bring a file to `partial`, from where an earlier attempt ended.

    Bytes that came stay whatever happens, so that the next call goes on. That they are the right
    ones is the caller's to check.

    Args:
        server: whom to ask.
        wanted: the file.
        partial: where its bytes gather.
        explain: makes one line of a request that failed for good.

    Raises:
        EdgeevalError: what `explain` made, or the server sends more than the file has.
        OSError: the disk is full.
    """
    if _size_bytes(partial) > wanted.most_bytes:
        partial.unlink()
    patiently(
        server,
        lambda: _ask_once(server, wanted, partial),
        explain,
        lambda: _size_bytes(partial),
    )


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _ask_once(server: Server, wanted: Wanted, partial: Path) -> None:
    """Ask for what is missing, and write it as it comes."""
    done_bytes = _size_bytes(partial)
    if done_bytes == wanted.size_bytes and done_bytes > 0:
        return
    # Compressed on its way, a file could not be resumed: offsets are those of the plain bytes.
    headers = server.headers | {"accept-encoding": "identity"}
    if done_bytes:
        headers["range"] = f"bytes={done_bytes}-"
    try:
        with opened(wanted.url, headers) as (status, chunks):
            if status != 206:
                done_bytes = 0  # the server does not resume: the file comes from its beginning
            _write(server, wanted, partial, done_bytes, chunks)
    except network_errors() as error:
        if wanted.size_bytes is None and done_bytes and status_of(error) == _NOTHING_LEFT:
            return  # all of it had come before
        raise
    if wanted.size_bytes is not None and _size_bytes(partial) < wanted.size_bytes:
        raise _CutShort


def _write(
    server: Server, wanted: Wanted, partial: Path, done_bytes: int, chunks: Iterator[bytes]
) -> None:
    with partial.open("ab" if done_bytes else "wb") as out:
        for chunk in chunks:
            if done_bytes + len(chunk) > wanted.most_bytes:
                partial.unlink()
                raise EdgeevalError(
                    f"{wanted.subject}: more came than the {wanted.most_bytes} bytes that it may "
                    f"have; nothing of it is used"
                )
            out.write(chunk)
            _tell(server, wanted, done_bytes, len(chunk))
            done_bytes += len(chunk)


def _tell(server: Server, wanted: Wanted, done_bytes: int, more_bytes: int) -> None:
    """Say how far a file is, once a hundredth of it."""
    if wanted.size_bytes is None:
        return
    step_bytes = max(wanted.size_bytes // 100, _TALK_BYTES)
    if (done_bytes + more_bytes) // step_bytes > done_bytes // step_bytes:
        done_mb, size_mb = (done_bytes + more_bytes) / 1e6, wanted.size_bytes / 1e6
        server.say(f"{wanted.name}: {done_mb:,.0f} of {size_mb:,.0f} MB")


@contextmanager
def opened(url: str, headers: dict[str, str]) -> Iterator[tuple[int, Iterator[bytes]]]:
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


def network_errors() -> tuple[type[Exception], ...]:
    """Return what an HTTP session raises: requests' base or httpx's, by the library's version.

    The library's own HfHubHTTPError derives from that base, whichever it is.
    """
    from huggingface_hub.errors import HfHubHTTPError

    foreign = [base for base in HfHubHTTPError.__mro__ if base.__module__ != "builtins"]
    return (foreign[-1], _CutShort)


def patiently(
    server: Server,
    attempt: Callable[[], _T],
    explain: Callable[[Exception], EdgeevalError],
    received_bytes: Callable[[], int] = lambda: 0,
) -> _T:
    """Try until it succeeds; give up after a row of attempts that brought nothing."""
    failures, had_bytes = 0, received_bytes()
    while True:
        try:
            return attempt()
        except network_errors() as error:
            if received_bytes() > had_bytes:
                failures, had_bytes = 0, received_bytes()
            pause_s = _pause_s(error, failures)
            if pause_s is None:
                raise explain(error) from None
            server.say(f"{server.place}: {_reason(error)}; trying again in {pause_s:.0f} s")
        _sleep(pause_s)
        failures += 1


def _pause_s(error: Exception, failures: int) -> float | None:
    """Return how long to wait before the next attempt, or None where none would help."""
    status = status_of(error)
    if failures >= len(_PAUSES_S) or (status is not None and status not in _PASSING):
        return None
    asked_s = _asked_wait_s(error)
    if asked_s is None:
        return _PAUSES_S[failures]
    return asked_s if asked_s <= _WAIT_S_AT_MOST else None


def status_of(error: Exception) -> int | None:
    """Return the status of the answer that failed, if there was one."""
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def _asked_wait_s(error: Exception) -> float | None:
    """Return the wait that an answer asks for: Retry-After, or `t=` of the Hub's `ratelimit`."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    wait = re.fullmatch(r"\s*(\d{1,9})\s*", response.headers.get("retry-after", ""))
    if wait is None and status_of(error) == 429:
        wait = re.search(r";\s*t\s*=\s*(\d{1,9})", response.headers.get("ratelimit", ""))
    return float(wait[1]) if wait else None


def _reason(error: Exception) -> str:
    """Say in a few words what failed, without the addresses that an HTTP library's text quotes."""
    status = status_of(error)
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


def cannot_be_reached(
    server: Server, error: Exception, subject: str, variable: str
) -> EdgeevalError:
    """Explain a request that got no answer; `variable` is what moves the server elsewhere."""
    return EdgeevalError(
        f"{subject}: {server.place} cannot be reached ({_reason(error)}); check the connection "
        f"and {variable} and run again: what came is kept"
    )


def refusal(
    server: Server, error: Exception, subject: str, *, access: str, gone: str
) -> EdgeevalError:
    """Explain a status that names no cause of its own.

    Args:
        server: who answered.
        error: with the answer.
        subject: what was asked for.
        access: what a person can do who may not have it.
        gone: what a person can do if it is not there.
    """
    status = status_of(error)
    if status in (401, 403):
        return InputError(f"{subject}: {server.place} refuses access ({status}); {access}")
    if status == 404:
        return InputError(f"{subject}: not found at {server.place} (404); {gone}")
    if status == 429:
        asked_s = _asked_wait_s(error)
        wait = "later" if asked_s is None else f"in {asked_s:.0f} s"
        return EdgeevalError(
            f"{subject}: {server.place} asks to wait, too many requests (429); "
            f"run again {wait}: what came is kept"
        )
    if status in _PASSING:
        return EdgeevalError(
            f"{subject}: {server.place} answers {status} again and again; "
            "run again later: what came is kept"
        )
    return EdgeevalError(f"{subject}: {server.place} answers {status}")
