"""Find a judge by the name that a person gives it."""

import importlib
from typing import Any

from edgeeval.errors import InputError, did_you_mean
from edgeeval.judges import JUDGES, Judge
from edgeeval.store import Workspace


def judge_module(kind: str) -> Any:
    """Return the module of a kind of judge."""
    return importlib.import_module(JUDGES[kind])


def find_judge(name: str, workspace: Workspace) -> Judge:
    """Return the judge of a name, whatever its kind; nothing is loaded.

    Args:
        name: of a judge that comes with edgeeval, of one that was built here, or a judge's file.
        workspace: where judges are built.

    Raises:
        InputError: no judge has that name, or its file cannot be used.
        NotFetched: it has to be fetched or built first.
    """
    for kind in JUDGES:
        found: Judge | None = judge_module(kind).find(name, workspace)
        if found is not None:
            return found
    raise InputError(f"judge {name!r} is unknown{did_you_mean(name, judge_names(workspace))}")


def judge_names(workspace: Workspace) -> list[str]:
    """Return the names of all judges that are there."""
    return [name for kind in JUDGES for name in judge_module(kind).names(workspace)]
