"""Language modelling: perplexity, and divergence from the reference's next-token distribution.

Names and definitions are those of llama.cpp's perplexity tool.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgeeval.judges.score import JudgedTexts
from edgeeval.scores.measured import Floats, Measured, SetRun
from edgeeval.scores.table import Metric, Score, ScoreTable

KINDS = ("text",)

PPL = Metric("lm.ppl", "perplexity", "ratio", "max", "mean", paired=False, transform="exp")
PPL_RATIO = Metric(
    "lm.ppl_ratio", "perplexity against the reference's", "ratio", "lower", "log_ratio"
)
NLL_PER_BYTE = Metric("lm.nll_per_byte", "negative log-likelihood", "nats/byte", "lower", "mean")
KLD_MEAN = Metric("lm.kld_mean", "mean KL divergence", "nats/token", "max", "mean", paired=False)
SAME_TOP = Metric("lm.same_top", "same most likely token", "share", "min", "mean", paired=False)
DP_MEAN = Metric("lm.dp_mean", "mean Δp of the true token", "share", "min", "mean", paired=False)
DP_RMS = Metric(
    "lm.dp_rms", "RMS Δp of the true token", "share", "max", "mean", paired=False, transform="sqrt"
)


def _percentile(name: str, title: str, quantile: float, min_n: int) -> Metric:
    return Metric(
        f"lm.kld_{name}", f"{title} of KL divergence", "nats/token", "max", "quantile",
        paired=False, quantile=quantile, min_n=min_n,
    )  # fmt: skip


# A percentile needs about ten values above it, or it is the story of a handful of tokens.
PERCENTILES = (
    _percentile("median", "median", 0.5, 100),
    _percentile("p90", "90th percentile", 0.9, 1_000),
    _percentile("p95", "95th percentile", 0.95, 2_000),
    _percentile("p99", "99th percentile", 0.99, 10_000),
    _percentile("p999", "99.9th percentile", 0.999, 100_000),
    _percentile("max", "maximum", 1.0, 1),
)
METRICS = (PPL, PPL_RATIO, NLL_PER_BYTE, KLD_MEAN, *PERCENTILES, SAME_TOP, DP_MEAN, DP_RMS)

_KLD, _SAME_TOP, _DP = range(3)


def _scores(
    run: SetRun, value: Callable[[Any], float], weight: Callable[[Any], float]
) -> tuple[Score, ...]:
    return tuple(
        Score(item_id, item["template_id"], value(item), item["groups"], weight(item))
        for item_id, item in run.items.items()
    )


def _n_tokens(item: Any) -> float:
    return float(item["nll"].size)


def _mean(values: Floats) -> float:
    return float(values.mean(dtype=np.float64))


def _perplexity(run: SetRun, base: SetRun) -> Iterator[ScoreTable]:
    def table(metric: Metric, scores: tuple[Score, ...]) -> ScoreTable:
        return ScoreTable(metric, metric.id, run.set_id, run.pool, scores)

    yield table(PPL, _scores(run, lambda item: _mean(item["nll"]), _n_tokens))
    yield table(
        PPL_RATIO,
        _scores(
            run, lambda item: _mean(item["nll"]) - _mean(base.items[item["id"]]["nll"]), _n_tokens
        ),
    )
    yield table(
        NLL_PER_BYTE,
        _scores(
            run,
            lambda item: float(item["nll"].sum(dtype=np.float64)) / item["n_bytes"],
            lambda item: float(item["n_bytes"]),
        ),
    )


def _divergence(run: SetRun) -> Iterator[ScoreTable]:
    def mean_of(row: int, power: int = 1) -> tuple[Score, ...]:
        return _scores(
            run, lambda item: _mean(item["divergence"][row].astype(np.float64) ** power), _n_tokens
        )

    for metric, scores in (
        (KLD_MEAN, mean_of(_KLD)),
        (SAME_TOP, mean_of(_SAME_TOP)),
        (DP_MEAN, mean_of(_DP)),
        (DP_RMS, mean_of(_DP, power=2)),
    ):
        yield ScoreTable(metric, metric.id, run.set_id, run.pool, scores)
    tokens = np.concatenate([item["divergence"][_KLD] for item in run.items.values()])
    for metric in PERCENTILES:
        yield ScoreTable(metric, metric.id, run.set_id, run.pool, mean_of(_KLD), values=tokens)


def score(level: Measured, reference: Measured, judged: JudgedTexts | None) -> Iterator[ScoreTable]:
    """Score the windows of a level; its divergence too, where it is not the reference itself."""
    del judged  # needs no judge
    for run, base in zip(level.of_kind(*KINDS), reference.of_kind(*KINDS), strict=True):
        yield from _perplexity(run, base)
        if all("divergence" in item for item in run.items.values()):
            yield from _divergence(run)
