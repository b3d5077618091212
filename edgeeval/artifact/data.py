"""Get published data sets that prompts/catalogue.yaml knows, for `edgeeval prompts import`.

Only those come over the network that the Hub has in files which an importer reads: its files have
hashes to be held against. For any other the person is told what to download from where.
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from edgeeval.artifact.hub import fetch_repo
from edgeeval.errors import InputError, did_you_mean, one_line
from edgeeval.prompts.upstream import IMPORTERS
from edgeeval.prompts.upstream.catalogue import Entry, OnHub, catalogue
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace

_UNKNOWN = "unknown"


@dataclass(frozen=True)
class FetchableData:
    """A data set that the Hub has in its authors' format."""

    source: OnHub
    licence: str


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
    return FetchableData(entry.fetch, entry.licence)


def fetch_data(workspace: Workspace, data_set: FetchableData, progress: Progress) -> Path:
    """Download a data set's files at the catalogue's commit, check them; return their folder.

    Raises:
        EdgeevalError: they could not be had; what came is kept and the next call goes on.
    """
    source = data_set.source
    found = fetch_repo(
        workspace,
        source.repository,
        revision=source.revision,
        patterns=source.files,
        progress=progress,
        kind="datasets",
    )
    return Path(os.path.commonpath([file.path.parent for file in found.files]))


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
    gating = "" if entry.gating == "none" else f"; access: {entry.gating}"
    where = entry.repository + revision
    if entry.repository.startswith("hub:"):  # what is there is in no format that is read
        where = f"the authors' archive that {where} names"
    return (
        f"{name}: fetch cannot get it; download by hand from {where} into a "
        f"FOLDER: {files} (licence: {entry.licence}{gating}); then run: "
        f"{import_line(name, 'FOLDER')}"
    )
