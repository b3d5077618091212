"""Get files of a GitHub repository that are known by their contents.

A commit and git's ids of the files stand in prompts/catalogue.yaml. Git's id of a file is a hash of
its contents, so that no word of a server is needed to know that what came is what the authors
published. The files lie in the workspace under their own names:

    downloads/github/OWNER--NAME@COMMIT/...   only files whose hash is right
    downloads/github/.partial/BLOB            what came so far of one that is still to come
"""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from edgeeval.artifact.hub_client import is_offline
from edgeeval.artifact.transfer import (
    Server,
    Wanted,
    cannot_be_reached,
    git_sha1,
    receive,
    refusal,
    require_address,
    status_of,
)
from edgeeval.errors import EdgeevalError, NotFetched
from edgeeval.prompts.upstream.catalogue import GitFile, OnGitHub
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace, replace_durably, require_space

ENDPOINT_VARIABLE = "EDGEEVAL_GITHUB_ENDPOINT"
_ENDPOINT = "https://raw.githubusercontent.com"


def fetch_files(workspace: Workspace, source: OnGitHub, progress: Progress) -> tuple[Path, ...]:
    """Download a data set's files, check them; return where they are.

    A file that is there with the right contents does not come again.

    Raises:
        InputError: a file is not there any more, or the disk cannot hold it.
        NotFetched: HF_HUB_OFFLINE forbids getting what is not here.
        EdgeevalError: GitHub cannot be reached, or a file is not what it should be.
    """
    base = workspace.root / "downloads" / "github"
    folder = base / f"{source.name.replace('/', '--')}@{source.revision}"
    files = {folder / file.name: file for file in source.pinned}
    missing = {path: file for path, file in files.items() if not _is_there(path, file)}
    if missing:
        if is_offline():
            raise NotFetched(
                f"{source.name}@{source.revision}: not all of it is here, and HF_HUB_OFFLINE "
                "forbids getting it; unset that and run again"
            )
        server = _connect(progress)
        partials = base / ".partial"
        partials.mkdir(parents=True, exist_ok=True)
        needed_bytes = sum(file.size_bytes or 0 for file in missing.values())
        require_space(partials, needed_bytes, source.name)
        for path, file in missing.items():
            _bring(server, source, file, partials / file.blob)
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_durably(partials / file.blob, path)
    return tuple(files)


def _is_there(path: Path, file: GitFile) -> bool:
    return path.is_file() and git_sha1(path) == file.blob


def _connect(say: Callable[[str], None]) -> Server:
    """Read where GitHub's files are; no token is sent, what is fetched is public."""
    endpoint = (os.environ.get(ENDPOINT_VARIABLE) or _ENDPOINT).rstrip("/")
    server = Server(endpoint, {"user-agent": "edgeeval"}, say)
    require_address(server, ENDPOINT_VARIABLE)
    return server


def _bring(server: Server, source: OnGitHub, file: GitFile, partial: Path) -> None:
    """Have a file's contents in `partial`, right to the last bit."""
    subject = f"{source.name}: {file.name}"
    url = f"{server.endpoint}/{source.name}/{source.revision}/{quote(file.name)}"
    size = "" if file.size_bytes is None else f", {file.size_bytes / 1e6:,.1f} MB"
    server.say(f"{subject}{size}")
    wanted = Wanted(url, subject, file.name, file.size_bytes)
    receive(server, wanted, partial, lambda error: _explained(server, error, subject))
    if git_sha1(partial) != file.blob:
        partial.unlink()
        raise EdgeevalError(
            f"{subject}: the git hash of what came is not that of the authors' file; it is "
            "deleted: run again, and do not use this source if it happens twice"
        )


def _explained(server: Server, error: Exception, subject: str) -> EdgeevalError:
    """Turn a failed request into one line."""
    if status_of(error) is None:
        return cannot_be_reached(server, error, subject, ENDPOINT_VARIABLE)
    return refusal(
        server,
        error,
        subject,
        access=f"the file is public: check {ENDPOINT_VARIABLE} and what stands between",
        gone="its authors have moved or removed it; download it by hand from where it is now",
    )
