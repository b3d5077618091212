"""A realistic evaluation: SmolLM2-135M's ladder, with one lost level of a hostile name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from edgeeval.records import (
    Artifact,
    Delta,
    Direction,
    Environment,
    Estimate,
    JudgeInfo,
    LevelResult,
    MetricResult,
    PromptSetInfo,
    Provenance,
    Recommendation,
    Requirement,
    Results,
    Timings,
    Verdict,
)

HOSTILE_NAME = '<script>alert("x")</script>|Q4`_`K\n\x1b[31mred\u202e'
HOSTILE_REASON = "=cmd()|'<img src=x onerror=alert(1)>'\n[link](javascript:x) $\\frac$ & \x07bell"
JUDGE = "alt-profanity-check"
N_TOKENS = 8_160
N_ITEMS = 400


class _Ladder(NamedTuple):
    """What is typical of a level; sizes and fallback as measured on SmolLM2-135M (576 columns)."""

    name: str
    size_bytes: int
    bpw: float
    fallback_share: float
    kld: float
    ln_ratio: float
    same_top: float
    accuracy: float
    flips: float
    harm: float
    decode_tps: float
    word: str

    @property
    def verdict(self) -> Verdict:
        return "fail" if self.word == "fail" else "pass" if self.word == "pass" else "inconclusive"


LADDER = [
    _Ladder(*row)
    for row in (
        ("Q8_0", 144_810_464, 8.51, 0.0, 0.00082, 0.0004, 0.981, 0.4875, 0.0075, 0.041, 61, "pass"),
        ("Q6_K", 138_382_880, 8.13, 0.895, 0.0016, 0.0009, 0.972, 0.485, 0.0125, 0.042, 63, "pass"),
        ("Q5_K_M", 112_104_608, 6.59, 0.895, 0.011, 0.009, 0.939, 0.4825, 0.03, 0.043, 70, "pass"),
        ("Q4_K_M", 105_454_112, 6.2, 0.895, 0.048, 0.031, 0.884, 0.4775, 0.0575, 0.04, 78, "pass"),
        ("Q3_K_M", 93_511_328, 5.49, 0.895, 0.066, 0.048, 0.85, 0.46, 0.0975, 0.046, 74, "unsure"),
        ("Q2_K", 88_202_912, 5.18, 0.895, 0.612, 0.412, 0.643, 0.395, 0.22, 0.061, 83, "fail"),
    )
]

_P = {"pass": 0.004, "inconclusive": 0.21, "fail": 1.0}
"""p of "worse than the margin"."""


def artifact(name: str, size_bytes: int, bpw: float, fallback_share: float) -> Artifact:
    return Artifact(
        name=name,
        path=f"/models/smollm2/{name}.gguf",
        sha256=("0123456789abcdef" * 4),
        size_bytes=size_bytes,
        architecture="llama",
        label=name,
        n_params=134_515_008,
        bpw=bpw,
        type_shares={"Q5_0": 0.62, "Q8_0": 0.27, "F32": 0.0003},
        fallback_share=fallback_share,
        fallback_types={"Q5_0": 0.62, "Q8_0": 0.27} if fallback_share else {},
        weights_sha256=f"weights of {name}",
        vocabulary_sha256="v",
        tokenizer_sha256="t",
        chat_template_sha256="c",
        imatrix="",
        source="dequantized from Q4_1" if name == "BF16" else "quantized from BF16",
        provenance=Provenance("quantized", "BF16"),
    )


def metric(
    key: str,
    title: str,
    unit: str,
    direction: Direction,
    value: float | None,
    spread: float = 0.0,
    n: int = N_ITEMS,
    method: str = "t on clusters",
) -> MetricResult:
    if value is not None:
        value = float(value)
    bounds = (None, None) if value is None else (max(value - spread, 0.0), value + spread)
    reason = f"needs 10,000 tokens, has {n:,}" if value is None else ""
    return MetricResult(key, title, unit, direction, value, *bounds, n, method, reason=reason)


def difference(value: float, spread: float, n: int, method: str, p_pass: float | None) -> Delta:
    p_fail = None if p_pass is None else 1 - p_pass
    return Delta(value, value - spread, value + spread, n, method, "", p_pass, p_fail)


def _lm(level: _Ladder) -> Iterator[MetricResult]:
    kld = metric(
        "lm.kld_mean",
        "mean KL divergence",
        "nats/token",
        "max",
        level.kld,
        level.kld * 0.09,
        N_TOKENS,
    )
    kld_verdict: Verdict = (
        "fail" if level.kld > 0.1 else "pass" if level.kld < 0.06 else "inconclusive"
    )
    yield replace(
        kld,
        requirement=Requirement("lm.kld_mean", "max", 0.07, "policy balanced"),
        p_pass=_P[level.verdict],
        p_fail=1 - _P[level.verdict],
        verdict=kld_verdict,
        reason=f"at most 0.07: value {level.kld:.4g} at one-sided α 0.0083",
    )
    yield metric(
        "lm.kld_p99", "99th percentile of KL divergence", "nats/token", "max", None, n=N_TOKENS
    )
    yield metric(
        "lm.ppl", "perplexity", "ratio", "max", 18.43 * math.exp(level.ln_ratio), 1.2, N_TOKENS
    )
    ratio = metric(
        "lm.ppl_ratio", "perplexity against the reference's", "ratio", "lower",
        math.exp(level.ln_ratio), level.ln_ratio * 0.2 + 0.0003, N_TOKENS,
    )  # fmt: skip
    yield replace(
        ratio,
        delta=difference(
            level.ln_ratio,
            level.ln_ratio * 0.2 + 0.0003,
            N_TOKENS,
            "t on windows",
            _P[level.verdict],
        ),
        requirement=Requirement("lm.ppl_ratio", "margin", 0.05, "policy balanced"),
        p_pass=_P[level.verdict],
        p_fail=1 - _P[level.verdict],
        verdict=level.verdict,
        reason="margin 0.05",
    )
    yield metric(
        "lm.same_top", "same most likely token", "share", "min", level.same_top, 0.007, N_TOKENS
    )


def _tasks(level: _Ladder) -> Iterator[MetricResult]:
    yield replace(
        metric(
            "tasks.accuracy", "accuracy", "share", "higher", level.accuracy, 0.049, method="Wilson"
        ),
        delta=difference(level.accuracy - 0.49, 0.02, N_ITEMS, "MOVER-Wilson", _P[level.verdict]),
        by_group={
            f"subject={name}": Estimate(level.accuracy + shift, 0.3, 0.7, 57, "Wilson")
            for name, shift in (("biology", 0.05), ("law | <b>", -0.04), ("history", 0.01))
        },
        delta_by_group={
            "subject=biology": difference(-0.02, 0.06, 57, "MOVER-Wilson", None),
        },
        by_set={"arc-easy": Estimate(level.accuracy, 0.4, 0.5, 200, "Wilson")},
        requirement=Requirement("tasks.accuracy", "margin", 0.05, "suite quick (policy lenient)"),
        p_pass=_P[level.verdict],
        p_fail=1 - _P[level.verdict],
        verdict=level.verdict,
        reason="margin 0.05",
        floor=0.0025,
    )
    yield replace(
        metric(
            "tasks.flips",
            "changed answers",
            "share",
            "max",
            level.flips,
            0.02,
            method="Clopper-Pearson",
        ),
        requirement=Requirement("tasks.flips", "max", 0.10, "policy balanced"),
        p_pass=_P[level.verdict],
        p_fail=1 - _P[level.verdict],
        verdict=level.verdict,
    )


def _rest(level: _Ladder) -> Iterator[MetricResult]:
    suffix = f"@{JUDGE}"
    yield replace(
        metric(f"harm.tf_2{suffix}", "harmful texts", "share", "lower", level.harm, 0.012),
        delta=difference(level.harm - 0.041, 0.013, 180, "t with pseudo-items", None),
        notes=("3 of 183 items could not be scored (empty text)",),
    )
    yield metric(f"harm.emt_2{suffix}", "expected maximum harm", "score", "lower", 0.21, 0.03)
    yield metric(
        f"harm.group_gap{suffix}", "gap between groups beyond chance", "share", "max", 0.011
    )
    yield metric("align.chrf", "chrF", "points", "min", 100 - 90 * level.flips, 4.1, 96)
    yield metric(
        "align.first_divergence", "tokens before the texts part", "tokens", "min", 14.4, 2.2, 96
    )
    yield metric("coherence.ok", "coherent texts", "share", "higher", 0.94, 0.04, 96)
    yield metric(
        "cost.size_bytes", "file size", "bytes", "max", float(level.size_bytes), 0, 1, "exact"
    )
    yield metric(
        "cost.decode_tps", "writing speed", "tokens/s", "min", level.decode_tps, 1.4, 5, "median"
    )
    yield metric("cost.peak_rss_bytes", "peak memory", "bytes", "max", level.size_bytes * 1.7, 0, 1)
    yield metric("novel.thing/some-set@judge:label", "something new", "furlongs", "zero", 3.25, 0.5)


def measured_level(level: _Ladder) -> LevelResult:
    metrics = [*_lm(level), *_tasks(level), *_rest(level)]
    reasons = {
        "pass": "every requirement passed",
        "fail": "fail: lm.kld_mean, lm.ppl_ratio, tasks.accuracy, tasks.flips",
        "inconclusive": "inconclusive: lm.kld_mean, tasks.flips",
    }
    return LevelResult(
        name=level.name,
        status="measured",
        artifact=artifact(level.name, level.size_bytes, level.bpw, level.fallback_share),
        metrics={one.key: one for one in metrics},
        verdict=level.verdict,
        reason=reasons[level.verdict],
        is_pareto=level.name != "Q6_K",
    )


def _reference() -> LevelResult:
    own = _Ladder("BF16", 269_060_381, 16.0, 0, 0, 0, 1, 0.49, 0, 0.041, 42, "pass")
    metrics = {
        one.key: replace(
            one, delta=None, delta_by_group={}, requirement=None, verdict=None, reason=""
        )
        for one in (*_lm(own), *_tasks(own), *_rest(own))
        if not one.key.startswith(
            ("lm.kld", "lm.ppl_ratio", "lm.same_top", "tasks.flips", "align.")
        )
    }
    return LevelResult("BF16", "measured", artifact("BF16", own.size_bytes, own.bpw, 0.0), metrics)


@pytest.fixture
def results() -> Results:
    lost = LevelResult(HOSTILE_NAME, "lost", None, reason=HOSTILE_REASON)
    return Results(
        name="smollm2-135m",
        suite="quick",
        policy="balanced",
        seed=1,
        reference=_reference(),
        levels=(*map(measured_level, LADDER), lost),
        recommendation=Recommendation(
            level="Q4_K_M",
            reason=(
                "Q4_K_M is the smallest level that keeps every requirement (lm.kld_mean, "
                "lm.ppl_ratio, tasks.accuracy, tasks.flips): 105 MB, 39% of the reference's size."
            ),
            not_required=("align", "coherence", "cost", "harm"),
            not_measured=("bias.bbq.s_amb", "dialect.gap_growth", "refusal.unsafe"),
        ),
        watermarks=(
            "reference dequantized from Q4_1: divergence is from that file, not from the original",
        ),
        environment=Environment(
            edgeeval="0.1.0",
            engine="llama-cpp-python 0.3.16",
            engine_features="AVX2 FMA F16C OPENMP",
            engine_libraries_sha256="fedcba9876543210" * 4,
            engine_extra_bufts=True,
            device="cpu",
            n_threads=2,
            n_ubatch=512,
            n_batch={"prose": 2048},
            block_tokens=2048,
            block_sequences=32,
            block_items=8,
            platform="Linux-6.1-x86_64",
            python="3.11.7",
            cpu="AMD EPYC 7B13",
        ),
        judges=(
            JudgeInfo(
                f"{JUDGE}-1.6.1", JUDGE, "profanity",
                "linear profanity model: rude words, not hostile meaning; English", ("profanity",),
                primary="profanity", activation="sigmoid", max_tokens=None,
            ),
        ),
        prompt_sets=(
            PromptSetInfo(
                "prose", "text", 1, "ab" * 32, "CC-BY-4.0", "the edgeeval authors", 32, 16_384,
                "English only; a small sample | of one register",
            ),
        ),
        timings=Timings("2025-11-24T16:20:00Z", 412.3, 391.8, 0.95),
    )  # fmt: skip


@pytest.fixture
def unmeasured_results(results: Results) -> Results:
    """Nothing could be built: no level, no metric, no verdict, no file."""
    return replace(
        results,
        reference=replace(results.reference, metrics={}, artifact=None),
        levels=(results.levels[-1],),
        recommendation=Recommendation(None, "No level was measured"),
        watermarks=(),
        judges=(),
        prompt_sets=(),
        timings=replace(results.timings, native_share=None),
    )
