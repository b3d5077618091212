"""alt-profanity-check: a linear model over words and characters, trained on profane comments.

It is a profanity model: it knows rude words, not hostile meaning. It needs no download, because
its trained model ships in its wheel; that is also the only pickle
that is loaded here, from an installed package.
"""

import importlib.metadata
from collections.abc import Callable

from edgeeval.records import JudgeInfo

_PACKAGE = "alt-profanity-check"
_LABEL = "profanity"


def describe() -> JudgeInfo:
    """Name the judge: the package's version fixes its model."""
    version = importlib.metadata.version(_PACKAGE)
    return JudgeInfo(
        id=f"{_PACKAGE}-{version}",
        name=_PACKAGE,
        description="linear profanity model: rude words, not hostile meaning; English",
        labels=(_LABEL,),
    )


def load() -> Callable[[list[str]], dict[str, list[float]]]:
    """Return the scoring function: texts -> label -> probabilities."""
    from profanity_check import predict_prob

    def score(texts: list[str]) -> dict[str, list[float]]:
        return {_LABEL: [float(value) for value in predict_prob(texts)]}

    return score
