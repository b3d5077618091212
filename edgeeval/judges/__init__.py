"""Score texts with local classifiers. One file a kind of judge; the table below names them.

A judge module has

    find(name, workspace) -> Judge | None     the judge of that name, if it is of this kind; cheap:
                                              no model is loaded
    names(workspace) -> tuple[str, ...]       the names that it would find there
    load(**arguments) -> Callable[[list[str]], Judged]
                                              called in a worker process with `Judge.arguments`

`find.py` asks every kind for a name, `score.py` scores texts with what was found.
"""

from dataclasses import dataclass, field
from typing import Any

from edgeeval.records import JudgeInfo

JUDGES = {
    "profanity": "edgeeval.judges.profanity",
    "gguf": "edgeeval.judges.gguf",
    "detoxify": "edgeeval.judges.detoxify",
    "rules": "edgeeval.judges.refusal",
}
"""Kind of judge -> module."""

DEFAULT_JUDGE = "alt-profanity-check"
"""Works out of the box: its trained model ships in its wheel."""


@dataclass(frozen=True)
class Judge:
    """A judge that can be loaded: what it is, and what loads it."""

    info: JudgeInfo
    arguments: dict[str, Any] = field(default_factory=dict)
    """What its kind's `load` gets, in the worker: plain JSON."""


@dataclass(frozen=True)
class Judged:
    """What a judge says of texts, in their order."""

    scores: dict[str, list[float]]
    """Label -> probability of each text."""
    truncated: list[bool]
    """Whether a text was longer than the judge reads: its end had no say."""
