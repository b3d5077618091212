"""Score texts once: by judge and text hash, in a worker, the first stored score stands."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgeeval.errors import WorkerFailed
from edgeeval.judges import Judge, Judged
from edgeeval.judges.find import judge_module
from edgeeval.records import JudgeInfo
from edgeeval.run.worker import Emit, run_job
from edgeeval.store import Journal, Workspace, text_digest

_DECIMALS = 4
"""Scores are rounded before any threshold, so that batch mates cannot move one across it."""


class JudgedTexts:
    """One judge's scores of every text that was asked for."""

    def __init__(
        self,
        info: JudgeInfo,
        scores: dict[str, dict[str, float]],
        truncated: frozenset[str] = frozenset(),
    ) -> None:
        """Take the scores by text hash and label, and the hashes of texts that were cut."""
        self.info = info
        self._scores = scores
        self._truncated = truncated

    def score(self, text: str, label: str) -> float:
        """Return the probability of a label for a text that was scored."""
        return self._scores[text_digest(text)][label]

    def is_truncated(self, text: str) -> bool:
        """Tell whether a text was longer than the judge reads."""
        return text_digest(text) in self._truncated


def score_texts(
    workspace: Workspace, judge: Judge, texts: Iterable[str], kept_in: Path | None = None
) -> JudgedTexts:
    """Score texts that the judge has not seen; the others come from its journal.

    Args:
        workspace: keeps the journal.
        judge: who scores.
        texts: what to score.
        kept_in: another folder for the journal: an empty one scores everything again.

    Raises:
        WorkerFailed: the judge failed or gave something that is no probability.
    """
    journal = Journal((kept_in or workspace.folder("judged")) / f"{judge.info.id}.jsonl")
    known: dict[str, dict[str, Any]] = {}
    for line in journal.read():
        known.setdefault(line["text"], line)
    missing = {text_digest(text): text for text in texts if text_digest(text) not in known}
    if missing:

        def keep(event: dict[str, Any]) -> None:
            lines = [
                {"text": text_id, "scores": scores, "truncated": truncated}
                for text_id, scores, truncated in zip(
                    missing, event["scores"], event["truncated"], strict=True
                )
            ]
            journal.append(*lines)
            known.update({line["text"]: line for line in lines})

        job = {"judge": judge.info.name, "kind": judge.info.kind, "arguments": judge.arguments}
        run_job(workspace, "judge", job | {"texts": list(missing.values())}, keep)
    truncated = frozenset(text_id for text_id, line in known.items() if line.get("truncated"))
    return JudgedTexts(
        judge.info, {text_id: line["scores"] for text_id, line in known.items()}, truncated
    )


def work(job: dict[str, Any], emit: Emit) -> None:
    """Score the texts of a job (in a worker process)."""
    judged: Judged = judge_module(job["kind"]).load(**job["arguments"])(job["texts"])
    rows = [
        {label: round(values[index], _DECIMALS) for label, values in judged.scores.items()}
        for index in range(len(job["texts"]))
    ]
    for row in rows:
        for label, value in row.items():
            if not math.isfinite(value) or not 0 <= value <= 1:
                raise WorkerFailed(f"judge {job['judge']}: {label} = {value} is no probability")
    emit({"event": "scores", "scores": rows, "truncated": judged.truncated})
