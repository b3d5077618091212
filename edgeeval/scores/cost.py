"""Cost: what the file takes and how fast it runs, as deployed."""

from collections.abc import Iterator, Sequence

from edgeeval.judges.score import JudgedTexts
from edgeeval.scores.measured import Measured
from edgeeval.scores.table import Metric, Score, ScoreTable

KINDS: tuple[str, ...] = ()

_EXACT = (
    Metric("cost.size_bytes", "file size", "bytes", "max", "repeats", paired=False),
    Metric("cost.bpw", "bits per weight", "bits", "max", "repeats", paired=False),
    Metric(
        "cost.fallback_share", "fell back to other types", "share", "max", "repeats", paired=False
    ),
)
_TIMED = (
    Metric("cost.prefill_tps", "prompt speed", "tokens/s", "min", "repeats", paired=False),
    Metric("cost.decode_tps", "writing speed", "tokens/s", "min", "repeats", paired=False),
    Metric("cost.peak_rss_bytes", "peak memory", "bytes", "max", "repeats", paired=False),
)
METRICS = _EXACT + _TIMED


def _table(metric: Metric, values: Sequence[float]) -> ScoreTable:
    scores = tuple(Score(str(index), str(index), value) for index, value in enumerate(values))
    return ScoreTable(metric, metric.id, "", "", scores)


def score(level: Measured, reference: Measured, judged: JudgedTexts | None) -> Iterator[ScoreTable]:
    """Report size, bits and speed; the interval is the spread of the repetitions."""
    del reference, judged
    artifact = level.artifact
    exact = (artifact.size_bytes, artifact.bpw, artifact.fallback_share)
    for metric, value in zip(_EXACT, exact, strict=True):
        yield _table(metric, [value])
    if level.cost is None:
        return
    timed = (level.cost["prefill_tps"], level.cost["decode_tps"], [level.cost["peak_rss_bytes"]])
    for metric, values in zip(_TIMED, timed, strict=True):
        yield _table(metric, values)
