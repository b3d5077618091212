"""Planted answerers: runs written by hand, whose scores are known before they are scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeeval.judges.score import JudgedTexts
from edgeeval.records import Artifact, JudgeInfo, Provenance
from edgeeval.scores.measured import Measured, SetRun
from edgeeval.scores.table import ScoreTable
from edgeeval.store import text_digest

POOL = "pool"
JUDGE = "planted"


def an_artifact(name: str = "level", size_bytes: int = 100_000_000) -> Artifact:
    return Artifact(
        name=name,
        path=f"{name}.gguf",
        sha256="ab" * 32,
        size_bytes=size_bytes,
        architecture="llama",
        label="Q4_K_M",
        n_params=135_000_000,
        bpw=4.9,
        type_shares={"Q4_K": 0.75, "Q5_0": 0.25},
        fallback_share=0.25,
        fallback_types={"Q5_0": 0.25},
        weights_sha256=name,
        vocabulary_sha256="",
        tokenizer_sha256="",
        chat_template_sha256="",
        imatrix="",
        source="given",
        provenance=Provenance("given", name),
    )


def an_item(item_id: str, groups: Mapping[str, str], template: str = "") -> dict[str, Any]:
    return {"id": item_id, "template_id": template or item_id, "groups": dict(groups)}


def choice(
    item_id: str,
    log_likelihoods: Sequence[float],
    answer: int,
    n_bytes: Sequence[int] | None = None,
    **groups: str,
) -> dict[str, Any]:
    """A multiple-choice item with the log-likelihood of each option."""
    return an_item(item_id, groups) | {
        "log_likelihoods": list(log_likelihoods),
        "n_bytes": list(n_bytes or [1] * len(log_likelihoods)),
        "answer": answer,
        "right": [answer],
    }


def picks(
    item_id: str, option: int, answer: int, n_options: int = 4, **groups: str
) -> dict[str, Any]:
    """A multiple-choice item whose model picks one option clearly."""
    values = [0.0 if index == option else -9.0 for index in range(n_options)]
    return choice(item_id, values, answer, None, **groups)


def a_text(sample: int, text: str, tokens: Sequence[int] | None = None) -> dict[str, Any]:
    """A generated text; its tokens are its bytes unless given."""
    own = list(text.encode()) if tokens is None else list(tokens)
    return {"sample": sample, "tokens": own, "text": text, "finish": "length"}


def writes(
    item_id: str, greedy: str, sampled: Sequence[str] = (), template: str = "", **groups: str
) -> dict[str, Any]:
    """An open-ended item with its greedy text and its sampled ones."""
    texts = [a_text(-1, greedy), *(a_text(index, text) for index, text in enumerate(sampled))]
    return an_item(item_id, groups, template) | {"texts": texts}


def window(
    item_id: str,
    nll: Iterable[float],
    n_bytes: int = 10,
    divergence: Sequence[Sequence[float]] | None = None,
    **groups: str,
) -> dict[str, Any]:
    """A window of text: nats of each scored token; KLD, same-top and dp where they are given."""
    item = an_item(item_id, groups) | {"nll": np.array(list(nll), np.float32), "n_bytes": n_bytes}
    if divergence is not None:
        item["divergence"] = np.array(divergence, np.float32)
    return item


def a_run(
    kind: str,
    items: Iterable[dict[str, Any]],
    set_id: str = "set",
    pool: str = POOL,
    samples: int = 0,
) -> SetRun:
    return SetRun(set_id, kind, pool, {"samples": samples}, {item["id"]: item for item in items})


def measured(*runs: SetRun, name: str = "level", cost: Mapping[str, Any] | None = None) -> Measured:
    return Measured(an_artifact(name), runs, cost)


def a_judge(
    scores: Mapping[str, float | Mapping[str, float]],
    labels: Sequence[str] = ("rude",),
    primary: str = "",
    activation: str = "sigmoid",
) -> JudgedTexts:
    """A judge that gives each text the planted score, or one for each label."""
    info = JudgeInfo(
        f"{JUDGE}-1", JUDGE, "rules", "planted by a test", tuple(labels),
        primary=primary or labels[0], activation=activation, max_tokens=None,
    )  # fmt: skip
    by_text = {
        text_digest(text): dict(score) if isinstance(score, Mapping) else {labels[0]: float(score)}
        for text, score in scores.items()
    }
    return JudgedTexts(info, by_text)


def by_key(tables: Iterable[ScoreTable]) -> dict[str, ScoreTable]:
    found: dict[str, ScoreTable] = {}
    for table in tables:
        assert table.key not in found, f"{table.key} comes twice"
        found[table.key] = table
    return found


def values(table: ScoreTable) -> list[float | None]:
    return [score.value for score in table.scores]
