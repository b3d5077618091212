"""Evaluations written by hand, for what is made of a results document alone."""

from __future__ import annotations

from edgeeval.records import (
    Artifact,
    Environment,
    LevelResult,
    PromptSetInfo,
    Provenance,
    Recommendation,
    Results,
    Timings,
)


def an_artifact(name: str, size_bytes: int = 100) -> Artifact:
    """A file whose weights are told apart by its name."""
    return Artifact(
        name=name,
        path=f"/models/{name}.gguf",
        sha256=f"file of {name}",
        size_bytes=size_bytes,
        architecture="llama",
        label=name,
        n_params=1,
        bpw=4.5,
        type_shares={"Q4_K": 0.9, "F32": 0.1},
        fallback_share=0.0,
        fallback_types={},
        weights_sha256=name,
        vocabulary_sha256="v",
        tokenizer_sha256="t",
        chat_template_sha256="",
        imatrix="",
        source="given",
        provenance=Provenance("given", name),
    )


def an_evaluation(*levels: LevelResult) -> Results:
    """Levels against the reference BF16."""
    return Results(
        name="by-hand",
        suite="quick",
        policy="balanced",
        seed=1,
        reference=LevelResult("BF16", "measured", an_artifact("BF16", 400)),
        levels=levels,
        recommendation=Recommendation(None, "nobody asked"),
        watermarks=("The reference is itself quantized (Q4_1).",),
        environment=Environment(
            edgeeval="0",
            engine="engine",
            engine_features="AVX2",
            engine_libraries_sha256="0" * 64,
            engine_extra_bufts=True,
            device="cpu",
            n_threads=2,
            n_ubatch=512,
            n_batch={},
            block_tokens=1,
            block_sequences=1,
            block_items=1,
            platform="Linux",
            python="3",
            cpu="c",
        ),
        judges=(),
        prompt_sets=(PromptSetInfo("tasks", "choice", 1, "5" * 64, "CC0", "me", 9, 90, ""),),
        timings=Timings("2026-01-02T03:04:05+00:00", 61.24, 60.0, 0.98),
    )
