"""MMLU's questions, five examples before each, have the answers that Transformers finds.

Oracle: PyTorch on the same weights (the model's, dequantized), the same prompts, another tokenizer.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeeval.artifact.converter import fetched_folder
from edgeeval.prompts import load_set, load_suite
from edgeeval.prompts.items import ChoiceItem
from edgeeval.prompts.upstream import import_set, write_set
from edgeeval.resources import data_dir
from edgeeval.run.clock import Clock
from edgeeval.run.schedule import ChosenSet, Measurer, Settings
from edgeeval.scores.measured import read_measured
from edgeeval.scores.tasks import answer
from edgeeval.store import Workspace
from tests.conftest import CHECKOUT, FETCHED, Ladder
from tests.hf_folder import write_hf_folder

MMLU = CHECKOUT.parent / "shared" / "data" / "mmlu"
N_ITEMS = int(os.environ.get("EDGEEVAL_MMLU_ITEMS", "8"))
"""Three seconds each; benchmarks/README.md has the numbers of 40."""
TIE = 1e-4
"""Nats between the best and the next option below which rounding may decide."""


def _in_the_authors_format(folder: Path) -> Path:
    """Write our own questions as MMLU's files: headerless, the answer a letter."""
    items = [
        item for item in load_set(data_dir("prompts") / "tasks-own.jsonl").stratified()
        if isinstance(item, ChoiceItem)
    ]  # fmt: skip
    for part, chosen in (("dev", items[:5]), ("test", items[5 : 5 + N_ITEMS])):
        with (folder / f"general_{part}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            for item in chosen:
                writer.writerow([item.question, *item.options, "ABCD"[item.answer]])
    return folder


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of the converter's environment, which has torch and Transformers."""
    found = fetched_folder(Workspace(FETCHED)) / "environment" / "bin" / "python"
    if not found.exists():
        pytest.skip(f"{found} is not there: `make converter` gets it")
    return found


def test_every_answer_is_that_of_transformers_but_for_ties(
    ladder: Ladder, python: Path, tmp_path: Path
) -> None:
    source = MMLU if MMLU.is_dir() else _in_the_authors_format(tmp_path)
    made = import_set("mmlu", source, limit=N_ITEMS)
    write_set(tmp_path / "mmlu.jsonl", made)
    chosen = ChosenSet(load_set(tmp_path / "mmlu.jsonl"), tmp_path / "mmlu.jsonl", -1)
    settings = Settings(ladder.engine, load_suite("quick"), (chosen,), 1, False, 1 << 30)
    clock = Clock(tmp_path / "timings.jsonl")
    measurer = Measurer(Workspace(tmp_path / "workspace"), settings, clock, lambda line: None)
    plans = measurer.plans(ladder.f32)
    measurer.measure(ladder.f32, [], plans)
    [run] = read_measured(measurer, ladder.f32, ladder.f32, plans).sets
    assert len(run.items) == N_ITEMS

    asked = {item.id: item for item in made.items if isinstance(item, ChoiceItem)}
    questions = [[asked[n].prompt, [f" {o}" for o in asked[n].options]] for n in run.items]
    folder = write_hf_folder(Path(ladder.f32.path), tmp_path / "folder")
    done = subprocess.run(
        [python, CHECKOUT / "tests" / "transformers_peer.py", folder],
        input=json.dumps(questions), capture_output=True, text=True, check=True, timeout=280,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
    )  # fmt: skip
    theirs = np.array(json.loads(done.stdout))
    ours = np.array([item["log_likelihoods"] for item in run.items.values()])
    assert np.abs(ours - theirs).max() < TIE
    ordered = np.sort(theirs, axis=1)
    is_tie = ordered[:, -1] - ordered[:, -2] < TIE
    picked = np.array([answer(item) for item in run.items.values()])
    assert (picked == theirs.argmax(axis=1))[~is_tie].all()
    assert is_tie.mean() < 0.1
    print(f"largest difference {np.abs(ours - theirs).max():.2e} nats, {is_tie.sum()} ties")
