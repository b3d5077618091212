"""Score texts with local classifiers. One file a kind of judge; the table below names them.

A judge module has `describe() -> JudgeInfo`, cheap and without loading the model, and
`load() -> Callable[[list[str]], dict[label, list[float]]]`, called in a worker process.
"""

JUDGES = {"alt-profanity-check": "edgeeval.judges.profanity"}
"""Judge name -> module."""

DEFAULT_JUDGE = "alt-profanity-check"
"""Works out of the box: its trained model ships in its wheel."""
