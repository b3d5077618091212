"""alt-profanity-check: a linear model over words and characters, trained on profane comments.

It is a profanity model: it knows rude words, not hostile meaning. It needs no download, because
its trained model ships in its wheel; that is also the only pickle
that is loaded here, from an installed package.
"""

import importlib.metadata
from collections.abc import Callable

from edgeeval.judges import Judge, Judged
from edgeeval.records import JudgeInfo
from edgeeval.store import Workspace

_PACKAGE = "alt-profanity-check"
_LABEL = "profanity"


def describe() -> JudgeInfo:
    """Name the judge: the package's version fixes its model."""
    version = importlib.metadata.version(_PACKAGE)
    return JudgeInfo(
        id=f"{_PACKAGE}-{version}",
        name=_PACKAGE,
        kind="profanity",
        description="linear profanity model: rude words, not hostile meaning; English",
        labels=(_LABEL,),
        primary=_LABEL,
        activation="sigmoid",
        max_tokens=None,
    )


def names(workspace: Workspace) -> tuple[str, ...]:
    """Return its one name."""
    del workspace
    return (_PACKAGE,)


def find(name: str, workspace: Workspace) -> Judge | None:
    """Return it, if it is meant."""
    del workspace
    return Judge(describe()) if name == _PACKAGE else None


def load() -> Callable[[list[str]], Judged]:
    """Return the scoring function."""
    from profanity_check import predict_prob

    def score(texts: list[str]) -> Judged:
        probabilities = [float(value) for value in predict_prob(texts)]
        return Judged({_LABEL: probabilities}, [False] * len(texts))

    return score
