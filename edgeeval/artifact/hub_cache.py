"""Keep a Hub's files in the cache that every program of the Hub shares, each checked.

    models--owner--name/blobs/HASH              a file, once its hash is right
    models--owner--name/blobs/HASH.incomplete   what came of it so far
    models--owner--name/snapshots/COMMIT/NAME   a link to it, under its own name
    models--owner--name/refs/BRANCH             the commit that a branch was last seen at
    datasets--owner--name/...                   the same of a data set

The layout and the locks are huggingface_hub's own: what is here need not come again for another
program, nor the other way round.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeeval.artifact.hub_client import Hub, RemoteFile, RepoKind, download
from edgeeval.artifact.transfer import git_sha1
from edgeeval.errors import EdgeevalError, InputError
from edgeeval.store import Workspace, replace_durably, sha256_of, write_atomic

_MARGIN_BYTES = 64 << 20
_LOCK_PATIENCE_S = 1.0


@dataclass(frozen=True)
class Shelf:
    """One repository's folder in the cache, at one commit."""

    hub: Hub
    repo: str
    commit: str
    kind: RepoKind = "models"

    @property
    def folder(self) -> Path:
        """The repository's folder."""
        return self.hub.cache / f"{self.kind}--{self.repo.replace('/', '--')}"

    @property
    def snapshot(self) -> Path:
        """Where the commit's files are under their own names."""
        return self.folder / "snapshots" / self.commit

    def blob(self, file: RemoteFile) -> Path:
        """Return where a file's contents are."""
        return self.folder / "blobs" / file.etag

    def partial(self, file: RemoteFile) -> Path:
        """Return where a file's contents gather until they are whole."""
        return self.folder / "blobs" / f"{file.etag}.incomplete"

    def missing_bytes(self, file: RemoteFile) -> int:
        """Return how much of a file is still to come."""
        if self.blob(file).exists() or (self.snapshot / file.name).exists():
            return 0
        partial = self.partial(file)
        return max(file.size_bytes - (partial.stat().st_size if partial.exists() else 0), 0)


def require_space(shelf: Shelf, files: Iterable[RemoteFile]) -> None:
    """Refuse before the first byte what the disk cannot hold.

    Raises:
        InputError: it cannot.
    """
    needed_bytes = sum(shelf.missing_bytes(file) for file in files)
    cache = shelf.hub.cache
    cache.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(cache).free
    if needed_bytes and free_bytes < needed_bytes + _MARGIN_BYTES:
        raise InputError(
            f"{shelf.repo}: needs {needed_bytes / 1e6:,.0f} MB of disk, {free_bytes / 1e6:,.0f} MB "
            f"are free in {cache}; free some, or set HF_HOME to a folder on another disk"
        )


def bring(shelf: Shelf, workspace: Workspace, file: RemoteFile) -> Path:
    """Have a file in the cache, right to the last bit, and return its name in the snapshot.

    Raises:
        EdgeevalError: it could not be downloaded (as `download`), or is not what the Hub says.
    """
    path, blob = shelf.snapshot / file.name, shelf.blob(file)
    with _locked(shelf, file):
        if not _is_kept(shelf, workspace, file, path):
            if not _is_kept(shelf, workspace, file, blob):
                _download(shelf, file)
            _link(blob, path)
    return path


def remember_branch(shelf: Shelf, revision: str) -> None:
    """Note which commit a branch or tag is, for other programs while they are offline."""
    if revision != shelf.commit:
        with suppress(OSError):  # a service to others; an old branch `a` is in the way of `a/b`
            write_atomic(shelf.folder / "refs" / revision, shelf.commit.encode())


@contextmanager
def _locked(shelf: Shelf, file: RemoteFile) -> Iterator[None]:
    """Hold one file's lock, the same that huggingface_hub takes."""
    from huggingface_hub.utils import WeakFileLock

    lock = shelf.hub.cache / ".locks" / shelf.folder.name / f"{file.etag}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(WeakFileLock(lock, timeout=_LOCK_PATIENCE_S))
        except TimeoutError:
            shelf.hub.say(f"{file.name}: another program is getting it; waiting")
            stack.enter_context(WeakFileLock(lock))
        yield


def _is_kept(shelf: Shelf, workspace: Workspace, file: RemoteFile, path: Path) -> bool:
    """Tell whether the cache has a file; a damaged one is deleted."""
    if not path.exists():
        return False
    if _is_right(file, path, workspace.file_sha256):
        return True
    shelf.hub.say(f"{file.name}: is damaged in the cache; getting it again")
    target = path.resolve()
    if target.is_relative_to(shelf.hub.cache.resolve()):  # elsewhere it is not the cache's
        target.unlink()
    path.unlink(missing_ok=True)
    return False


def _is_right(file: RemoteFile, path: Path, sha256: Callable[[Path], str]) -> bool:
    if path.stat().st_size != file.size_bytes:
        return False
    return sha256(path) == file.sha256 if file.sha256 else git_sha1(path) == file.git_sha1


def _download(shelf: Shelf, file: RemoteFile) -> None:
    """Give only a file with the right hash a blob's name: nothing else ever looks finished."""
    blob, partial = shelf.blob(file), shelf.partial(file)
    blob.parent.mkdir(parents=True, exist_ok=True)
    shelf.hub.say(f"{shelf.repo}: {file.name}, {file.size_bytes / 1e6:,.1f} MB")
    download(shelf.hub, shelf.repo, shelf.commit, file, partial, shelf.kind)
    if not _is_right(file, partial, sha256_of):
        partial.unlink()
        raise EdgeevalError(
            f"{shelf.repo}: {file.name}: the {'sha256' if file.sha256 else 'git hash'} of what "
            "came is not the one that the Hub states; it is deleted: run again, and do not use "
            "this source if it happens twice"
        )
    replace_durably(partial, blob)


def _link(blob: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # a link whose blob has gone
    try:
        path.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:  # a file system without links: huggingface_hub moves the file there, too
        blob.replace(path)
