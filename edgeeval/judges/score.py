"""Score texts once: by judge and text hash, in a worker, the first stored score stands."""

import importlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgeeval.errors import InputError, WorkerFailed, did_you_mean
from edgeeval.judges import JUDGES
from edgeeval.records import JudgeInfo
from edgeeval.run.worker import Emit, run_job
from edgeeval.store import Journal, Workspace, text_digest

_DECIMALS = 4
"""Scores are rounded before any threshold, so that batch mates cannot move one across it."""


def _module(name: str) -> Any:
    if name not in JUDGES:
        raise InputError(f"judge {name!r} is unknown{did_you_mean(name, JUDGES)}")
    return importlib.import_module(JUDGES[name])


def describe_judge(name: str) -> JudgeInfo:
    """Return a judge's record by its name.

    Raises:
        InputError: no judge has that name.
    """
    info: JudgeInfo = _module(name).describe()
    return info


class JudgedTexts:
    """One judge's scores of every text that was asked for."""

    def __init__(self, info: JudgeInfo, scores: dict[str, dict[str, float]]) -> None:
        self.info = info
        self._scores = scores

    def score(self, text: str, label: str) -> float:
        """Return the probability of a label for a text that was scored."""
        return self._scores[text_digest(text)][label]


def score_texts(
    workspace: Workspace, name: str, texts: Iterable[str], kept_in: Path | None = None
) -> JudgedTexts:
    """Score texts that the judge has not seen; the others come from its journal.

    Args:
        workspace: keeps the journal.
        name: the judge's.
        texts: what to score.
        kept_in: another folder for the journal: an empty one scores everything again.

    Raises:
        InputError: no judge has that name.
        WorkerFailed: the judge failed or gave something that is no probability.
    """
    info = describe_judge(name)
    journal = Journal((kept_in or workspace.folder("judged")) / f"{info.id}.jsonl")
    known: dict[str, dict[str, float]] = {}
    for line in journal.read():
        known.setdefault(line["text"], line["scores"])
    missing = {text_digest(text): text for text in texts if text_digest(text) not in known}
    if missing:

        def keep(event: dict[str, Any]) -> None:
            lines = [
                {"text": text_id, "scores": scores}
                for text_id, scores in zip(missing, event["scores"], strict=True)
            ]
            journal.append(*lines)
            known.update({line["text"]: line["scores"] for line in lines})

        run_job(workspace, "judge", {"judge": name, "texts": list(missing.values())}, keep)
    return JudgedTexts(info, known)


def work(job: dict[str, Any], emit: Emit) -> None:
    """Score the texts of a job (in a worker process)."""
    by_label = _module(job["judge"]).load()(job["texts"])
    rows = [
        {label: round(values[index], _DECIMALS) for label, values in by_label.items()}
        for index in range(len(job["texts"]))
    ]
    for row in rows:
        for label, value in row.items():
            if not math.isfinite(value) or not 0 <= value <= 1:
                raise WorkerFailed(f"judge {job['judge']}: {label} = {value} is no probability")
    emit({"event": "scores", "scores": rows})
