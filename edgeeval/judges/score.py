"""Score texts once: by judge and text hash, in a worker, the first stored score stands."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
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
PIECE = 512
"""Texts that are scored before the journal hears of them."""


class JudgedTexts:
    """One judge's scores of every text that was asked for."""

    def __init__(self, info: JudgeInfo, scores: dict[str, dict[str, float]]) -> None:
        """Take the judge, with how much it read, and the scores by text hash and label."""
        self.info = info
        self._scores = scores

    def score(self, text: str, label: str) -> float:
        """Return the probability of a label for a text that was scored."""
        return self._scores[text_digest(text)][label]


def score_texts(
    workspace: Workspace,
    judge: Judge,
    texts: Iterable[str],
    progress: Callable[[str], None] = lambda line: None,
    kept_in: Path | None = None,
) -> JudgedTexts:
    """Score texts that the judge has not seen; the others come from its journal.

    What is scored is kept piece by piece: a call that was stopped goes on there.

    Args:
        workspace: keeps the journal.
        judge: who scores.
        texts: what to score.
        progress: called with lines of talk.
        kept_in: another folder for the journal: an empty one scores everything again.

    Raises:
        WorkerFailed: the judge failed or gave something that is no probability.
    """
    journal = _journal(kept_in or workspace.folder("judged"), judge)
    known: dict[str, dict[str, Any]] = {}
    for line in journal.read():
        known.setdefault(line["text"], line)
    wanted = {text_digest(text): text for text in texts}
    missing = {text_id: text for text_id, text in wanted.items() if text_id not in known}
    # Of one length, so that a judge that packs batches fills them.
    text_ids = sorted(missing, key=lambda text_id: len(missing[text_id]))
    if text_ids:

        def keep(event: dict[str, Any]) -> None:
            piece = text_ids[event["start"] : event["start"] + len(event["scores"])]
            lines = [
                {"text": text_id, "scores": scores, "truncated": truncated}
                for text_id, scores, truncated in zip(
                    piece, event["scores"], event["truncated"], strict=True
                )
            ]
            journal.append(*lines)
            known.update({line["text"]: line for line in lines})
            progress(f"{judge.info.name}: {event['start'] + len(piece)} of {len(text_ids)} texts")

        progress(f"{judge.info.name}: 0 of {len(text_ids)} texts")
        score_in_worker(workspace, judge, [missing[text_id] for text_id in text_ids], keep)
    n_truncated = sum(known[text_id].get("truncated", False) for text_id in wanted)
    info = replace(judge.info, n_texts=len(wanted), n_truncated=n_truncated)
    return JudgedTexts(info, {text_id: line["scores"] for text_id, line in known.items()})


def _journal(folder: Path, judge: Judge) -> Journal:
    return Journal(folder / f"{judge.info.id}.jsonl")


def was_asked(workspace: Workspace, judge: Judge) -> bool:
    """Tell whether a judge has scored any text in this workspace."""
    return bool(_journal(workspace.folder("judged"), judge).read())


def score_in_worker(
    workspace: Workspace, judge: Judge, texts: Sequence[str], on_scores: Emit
) -> None:
    """Score texts, whatever was scored before; tell of every piece what `work` says of it."""
    job = {"judge": judge.info.name, "kind": judge.info.kind, "arguments": judge.arguments}
    run_job(workspace, "judge", job | {"labels": judge.info.labels, "texts": texts}, on_scores)


def work(job: dict[str, Any], emit: Emit) -> None:
    """Score the texts of a job (in a worker process)."""
    judge = judge_module(job["kind"]).load(**job["arguments"])
    for start in range(0, len(job["texts"]), PIECE):
        judged: Judged = judge(job["texts"][start : start + PIECE])
        scores = _rows(job["judge"], job["labels"], judged)
        emit({"event": "scores", "start": start, "scores": scores, "truncated": judged.truncated})


def _rows(name: str, labels: Sequence[str], judged: Judged) -> list[dict[str, float]]:
    """Return each text's scores by label, rounded.

    Raises:
        WorkerFailed: a label is missing, or a score is no probability.
    """
    if set(judged.scores) != set(labels):
        raise WorkerFailed(f"judge {name}: it scored {sorted(judged.scores)}, not {sorted(labels)}")
    for label, values in judged.scores.items():
        for value in values:
            if not math.isfinite(value) or not 0 <= value <= 1:
                raise WorkerFailed(f"judge {name}: {label} = {value} is no probability")
    return [
        {label: round(judged.scores[label][index], _DECIMALS) for label in labels}
        for index in range(len(judged.truncated))
    ]
