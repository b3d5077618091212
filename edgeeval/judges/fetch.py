"""Get and find the classifiers that edgeeval knows by name.

`fetch_judge` is called by `edgeeval fetch` alone; `find_files` never uses the network.
"""

from pathlib import Path

from edgeeval.artifact.hub import JUDGE_FILES, RepoFiles, fetch_repo, find_repo
from edgeeval.errors import InputError, did_you_mean
from edgeeval.judges.catalogue import Entry, catalogue
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace


def known_judge(name: str) -> Entry:
    """Return what the catalogue says of a name.

    Raises:
        InputError: it does not have it.
    """
    known = catalogue()
    if name not in known:
        raise InputError(f"judge {name!r} is unknown{did_you_mean(name, known)}")
    return known[name]


def fetch_judge(workspace: Workspace, entry: Entry, progress: Progress) -> Path:
    """Download a classifier's weights, configuration and tokenizer; return their folder.

    Raises:
        EdgeevalError: they could not be had; what came is kept and the next call goes on.
    """
    return fetch_repo(
        workspace, entry.hf, revision=entry.revision, patterns=JUDGE_FILES, progress=progress
    ).folder


def find_files(workspace: Workspace, name: str) -> RepoFiles:
    """Return what `fetch_judge` brought.

    Raises:
        NotFetched: nothing yet.
        InputError: the catalogue does not have that name.
    """
    entry = known_judge(name)
    return find_repo(
        workspace,
        entry.hf,
        revision=entry.revision,
        patterns=JUDGE_FILES,
        named=f"--judge {name}",
    )
