"""Speak to a model Hub: list a repository at one commit, download one of its files.

Only `edgeeval fetch` comes here. From huggingface_hub (0.30 to 2.x) comes what belongs to the
person and is shared with other programs: the token, the cache's folder and locks, the names of the
Hub's errors. Its downloader is not used: the newest versions begin a broken download anew, and none
holds a file against the hash that the Hub states. Nor is Xet's own protocol: whatever
HF_HUB_DISABLE_XET says, files come over plain HTTP (transfer.py), which every Hub speaks and which
can be resumed.

The token is sent to the Hub alone (the session drops it where a redirect leaves that host) and
enters no message.
"""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from edgeeval.artifact.transfer import (
    Server,
    Wanted,
    cannot_be_reached,
    opened,
    patiently,
    receive,
    refusal,
    require_address,
    status_of,
)
from edgeeval.errors import EdgeevalError, InputError

RepoKind = Literal["models", "datasets"]
"""The Hub has two name spaces: one name may be a model and a data set."""

_LISTING_BYTES_AT_MOST = 64 << 20


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
class Hub(Server):
    """A model Hub; its headers hold the person's token, if there is one."""

    cache: Path
    """Where other programs look for what came."""


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
    cache = Path(constants.HF_HUB_CACHE).expanduser().absolute()
    hub = Hub(endpoint, headers, say, cache)
    require_address(hub, "HF_ENDPOINT")
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
        with opened(url, hub.headers) as (_, chunks):
            for chunk in chunks:
                body += chunk
                if len(body) > _LISTING_BYTES_AT_MOST:
                    return b""  # no list is that long
        return bytes(body)

    answer = patiently(hub, ask, lambda error: _explained(hub, error, repo, f"@{revision}"))
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
    place = place_of(repo, kind)
    url = f"{hub.endpoint}/{place}/resolve/{commit}/{quote(file.name)}"
    wanted = Wanted(url, f"{place}: {file.name}", file.name, file.size_bytes)
    receive(hub, wanted, partial, lambda error: _explained(hub, error, repo, f": {file.name}"))


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
    status = status_of(error)
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(
            f"{repo}: there is no such repository, or it is private ({status}): check the name; "
            "for a private one set HF_TOKEN"
        )
    if status is None:
        return cannot_be_reached(hub, error, f"{repo}{part}", "HF_ENDPOINT")
    access = (
        "the token in use is not valid or may not read it: set HF_TOKEN to one that may"
        if "authorization" in hub.headers
        else "for a private or gated one accept the licence on its page and set HF_TOKEN"
    )
    return refusal(hub, error, f"{repo}{part}", access=access, gone="check the name")
