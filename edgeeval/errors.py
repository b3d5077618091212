"""Say what went wrong in one line, with the exit code that the command line returns for it.

    EdgeevalError                exit 1   something failed while it ran
    ├── WorkspaceBusy            exit 1   another process works in this workspace
    ├── WorkerFailed             exit 1   a native call failed or its process died
    ├── ReferenceFailed          exit 1   the reference could not be measured
    ├── GateRefused              exit 4   the gate could not pass, whatever was measured
    └── InputError               exit 2   what the person gave cannot be used
        ├── RecipeError                   a recipe, policy or suite file
        ├── PromptSetError                a prompt set
        ├── ModelFileError                a GGUF file, or a Hugging Face folder
        └── NotFetched                    something only the network has

A caller writes:

    try:
        results = edgeeval.evaluate(plan)
    except edgeeval.InputError as error:
        ...     # tell the person; nothing was run
    except edgeeval.EdgeevalError as error:
        ...     # what was measured so far is in the workspace; run again to go on
"""

import difflib
import errno
import unicodedata
from collections.abc import Iterable

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_GATE_FAILED = 3
EXIT_INCOMPLETE = 4
EXIT_INTERRUPTED = 130


class EdgeevalError(Exception):
    """Base of every error that edgeeval raises on purpose."""

    exit_code = EXIT_ERROR


class WorkspaceBusy(EdgeevalError):
    """Another process holds the workspace's lock."""


class WorkerFailed(EdgeevalError):
    """A worker process reported an error or died."""


class ReferenceFailed(EdgeevalError):
    """The reference could not be measured, so no level can be compared."""


class GateRefused(EdgeevalError):
    """Not even a level that changes nothing could pass; nothing was run."""

    exit_code = EXIT_INCOMPLETE


class InputError(EdgeevalError):
    """The person's input cannot be used; nothing was run."""

    exit_code = EXIT_USAGE


class RecipeError(InputError):
    """A recipe, policy or suite file is wrong."""


class PromptSetError(InputError):
    """A prompt set is wrong."""


class ModelFileError(InputError):
    """Not a GGUF file that the engine can read, or a folder that cannot become one."""


class NotFetched(InputError):
    """Something is missing that only `edgeeval fetch` may get."""


def explain_os_error(error: OSError) -> str:
    """Say in one line what the operating system refused, and what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = "the disk is full" if full else error.strerror or str(error)
    where = f": {error.filename}" if error.filename else ""
    return f"{what}{where}; mend it and run again: what is finished is kept"


def one_line(text: str) -> str:
    """Return foreign text as one harmless line.

    Names, paths and reasons come from files that strangers made. A terminal obeys control
    characters, and direction marks let a text pose as another.
    """
    kept = (" " if unicodedata.category(c) in _SPACE_LIKE else c for c in text)
    return " ".join("".join(c for c in kept if unicodedata.category(c) not in _HIDDEN).split())


_SPACE_LIKE = frozenset({"Cc", "Zl", "Zp", "Zs"})
_HIDDEN = frozenset({"Cf", "Cs", "Co", "Cn"})


def reason_of(error: Exception) -> str:
    """Return what an expected failure says in one line."""
    return one_line(explain_os_error(error) if isinstance(error, OSError) else str(error))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name the nearest valid word, so that a typing slip costs one look.

    Returns:
        " (did you mean 'x'?)" or, when nothing is near, " (known: a, b, c)".
    """
    words = sorted(known)
    by_folded = {candidate.casefold(): candidate for candidate in words}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    if near:
        return f" (did you mean {by_folded[near[0]]!r}?)"
    return f" (known: {', '.join(words)})"
