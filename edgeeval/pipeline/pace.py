"""Measure in seconds how fast this machine decodes a model and judges texts, for `edgeeval plan`.

What was measured is kept, by what was measured: asking again takes no time.
"""

import time

from edgeeval.judges import Judge
from edgeeval.judges.score import score_in_worker
from edgeeval.records import Artifact
from edgeeval.resources import data_dir
from edgeeval.run.device import Engine
from edgeeval.run.schedule import Progress
from edgeeval.run.worker import run_job
from edgeeval.store import Journal, Workspace, digest

_CHARACTERS_A_TOKEN = 4
_N_TEXTS = 24
"""So many more texts than one, whose time is all the judge's start."""


def decoding_pace(
    workspace: Workspace, engine: Engine, artifact: Artifact, progress: Progress
) -> dict[str, float]:
    """Return `prefill_tps` and `decode_tps` in the batches of an evaluation."""
    journal = _journal(workspace, [artifact.sha256, engine.fingerprint])
    if not journal.read():
        job = {
            "model": artifact.path,
            "device": engine.device,
            "n_threads": engine.n_threads,
            "n_ubatch": engine.n_ubatch,
            "use_extra_bufts": engine.use_extra_bufts,
        }
        progress(f"{artifact.name}: a few seconds of calibration")
        run_job(workspace, "calibrate", job, journal.append)
    return journal.read()[-1]


def judging_pace(
    workspace: Workspace, engine: Engine, judge: Judge, n_tokens: int, progress: Progress
) -> float:
    """Return the texts of `n_tokens` tokens that a judge scores in a second."""
    journal = _journal(workspace, [judge.info.id, engine.fingerprint, n_tokens])
    if not journal.read():
        progress(f"{judge.info.name}: a few seconds of calibration")
        prose = (data_dir("quant_recipes") / "calibration.txt").read_text(encoding="utf-8")
        size = _CHARACTERS_A_TOKEN * n_tokens
        texts = [prose[at * size : (at + 1) * size] for at in range(_N_TEXTS + 1)]
        elapsed_s = []
        for some in (texts[:1], texts):
            start = time.perf_counter()
            score_in_worker(workspace, judge, some, lambda event: None)
            elapsed_s.append(time.perf_counter() - start)
        one, all_of_them = elapsed_s
        journal.append({"texts_per_s": _N_TEXTS / max(all_of_them - one, 1e-3)})
    return float(journal.read()[-1]["texts_per_s"])


def _journal(workspace: Workspace, measured: list[object]) -> Journal:
    return Journal(workspace.folder("calibration") / f"{digest(measured)[:32]}.jsonl")
