"""Get published data sets that prompts/catalogue.yaml knows, for `edgeeval prompts import`.

Only those come over the network whose files can be held against a hash: on GitHub against those in
the catalogue, on a Hub against the Hub's, an archive against both. For any other the person is told
what to download from where.
"""

import os
import shlex
import tarfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from edgeeval.artifact.github import fetch_files
from edgeeval.artifact.hub import fetch_repo
from edgeeval.errors import EdgeevalError, InputError, did_you_mean, one_line
from edgeeval.prompts.upstream import IMPORTERS
from edgeeval.prompts.upstream.catalogue import Entry, OnGitHub, OnHub, catalogue
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace, write_atomic

_UNKNOWN = "unknown"
_NONE = "none"


@dataclass(frozen=True)
class FetchableData:
    """A data set that is to be had in its authors' format, known by hashes."""

    source: OnHub | OnGitHub
    terms: str
    """Its licence, and what stands between a person and the files if anything does."""


def known_data(name: str) -> FetchableData:
    """Return where a data set is, if it can be fetched.

    Args:
        name: as `edgeeval prompts import` takes it.

    Raises:
        InputError: no data set has that name, or it is to be downloaded by hand; says how.
    """
    if name not in IMPORTERS:
        raise InputError(f"data set {name!r} is unknown{did_you_mean(name, IMPORTERS)}")
    entry = catalogue()[name.partition(":")[0]]
    if entry.fetch is None:
        raise InputError(one_line(_by_hand(name, entry)))
    return FetchableData(entry.fetch, _terms(entry))


def fetch_data(workspace: Workspace, data_set: FetchableData, progress: Progress) -> Path:
    """Download a data set's files at the catalogue's commit, check them; return their folder.

    Raises:
        EdgeevalError: they could not be had; what came is kept and the next call goes on.
    """
    source = data_set.source
    if isinstance(source, OnGitHub):
        paths = fetch_files(workspace, source, progress)
    else:
        paths = _fetch_from_hub(workspace, source, progress)
    return Path(os.path.commonpath([path.parent for path in paths]))


def _fetch_from_hub(workspace: Workspace, source: OnHub, progress: Progress) -> tuple[Path, ...]:
    found = fetch_repo(
        workspace,
        source.name,
        revision=source.revision,
        patterns=source.files,
        progress=progress,
        kind="datasets",
    )
    if source.archive is None:
        return tuple(file.path for file in found.files)
    (file,) = found.files
    if file.sha256 != source.archive.sha256:
        raise EdgeevalError(
            f"{source.name}: {file.name}: is another archive than its authors' (by its sha256); "
            "do not use this source"
        )
    folder = workspace.root / "downloads" / "unpacked" / source.archive.sha256[:16]
    return _unpacked(file.path, source.archive.members, folder)


def _unpacked(archive: Path, patterns: tuple[str, ...], folder: Path) -> tuple[Path, ...]:
    """Write the files of an archive that match a pattern, under their own names."""
    paths = []
    with tarfile.open(archive) as members:
        for member in members:
            parts = PurePosixPath(member.name).parts
            name = "/".join(parts)
            hidden = any(part.startswith((".", "/")) for part in parts)  # "..", and macOS's own
            if hidden or not any(fnmatchcase(name, pattern) for pattern in patterns):
                continue
            content = members.extractfile(member) if member.isfile() else None
            if content is not None:
                write_atomic(folder / name, content.read())
                paths.append(folder / name)
    if not paths:
        raise EdgeevalError(f"{archive}: holds no {' or '.join(patterns)}")
    return tuple(paths)


def _terms(entry: Entry) -> str:
    gating = "" if entry.gating == _NONE else f"; access: {entry.gating}"
    return f"licence: {entry.licence}{gating}"


def import_line(name: str, path: str) -> str:
    """Return the command that makes a prompt set of a data set's files."""
    words = ("edgeeval", "prompts", "import", name, path, "-o", f"{name.replace(':', '-')}.jsonl")
    return shlex.join(words)


def _by_hand(name: str, entry: Entry) -> str:
    """Say how a person gets what `fetch` does not."""
    files = ", ".join(entry.files)
    if entry.repository == _UNKNOWN:
        return f"{name}: nothing to fetch, it is {files}; run: {import_line(name, 'FILE')}"
    revision = "" if entry.revision == _UNKNOWN else f" at {entry.revision}"
    where = entry.repository + revision
    if entry.repository.startswith("hub:"):  # what is there is in no format that is read
        where = f"the authors' archive that {where} names"
    return (
        f"{name}: fetch cannot get it; download by hand from {where} into a "
        f"FOLDER: {files} ({_terms(entry)}); then run: "
        f"{import_line(name, 'FOLDER')}"
    )
