"""The process boundary: what a job reports, refuses and survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeeval.errors import InputError, WorkerFailed
from edgeeval.run.device import find_engine
from edgeeval.run.worker import run_job
from edgeeval.store import Workspace
from tests.conftest import Ladder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def probe(workspace: Workspace, *, use_extra_bufts: bool) -> tuple[list[dict[str, Any]], float]:
    events: list[dict[str, Any]] = []
    micro = workspace.folder("selftest") / "micro.gguf"
    job = {
        "device": "cpu",
        "n_threads": 1,
        "use_extra_bufts": use_extra_bufts,
        "micro_model": str(micro),
    }
    report = run_job(workspace, "probe", job, events.append)
    return events, report.native_s


def test_a_finished_job_reports_its_events_and_leaves_no_log(workspace: Workspace) -> None:
    events, native_s = probe(workspace, use_extra_bufts=False)
    assert [event["event"] for event in events] == ["build"]
    assert events[0]["package"].startswith("llama-cpp-python ")
    assert native_s > 0
    assert not list((workspace.root / "log").iterdir())


def test_the_engine_that_is_settled_on_passes_its_own_self_test(workspace: Workspace) -> None:
    engine = find_engine(workspace, device="auto", n_threads=1)
    probe(workspace, use_extra_bufts=engine.use_extra_bufts)  # does not raise: it did not die
    assert engine.n_threads == 1
    again = find_engine(workspace, device="auto", n_threads=1)
    assert again.fingerprint == engine.fingerprint
    assert find_engine(workspace, device="auto", n_threads=2).fingerprint != engine.fingerprint


def test_refused_input_comes_back_as_refused_input(workspace: Workspace, tmp_path: Path) -> None:
    text = tmp_path / "short.txt"
    text.write_text("too short", encoding="utf-8")
    model = tmp_path / "not a model.gguf"
    model.write_text("no", encoding="utf-8")
    job = {"model": str(model), "suite": {}, "second": False, "sets": []}
    with pytest.raises(InputError, match="the engine cannot load it"):
        run_job(workspace, "plan", job)


def test_a_bug_in_a_task_is_one_line_and_its_traceback_is_in_the_log(workspace: Workspace) -> None:
    with pytest.raises(WorkerFailed, match="KeyError: 'model'"):
        run_job(workspace, "plan", {})
    [log] = (workspace.root / "log").glob("*.log")
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_the_quantizers_own_reason_reaches_the_caller(
    ladder: Ladder, workspace: Workspace, tmp_path: Path
) -> None:
    job = {
        "name": "IQ1_S",
        "source": ladder.bf16.path,
        "target": str(tmp_path / "out.gguf"),
        "file_type": "IQ1_S",
        "n_threads": 1,
        "mixture": {},
        "imatrix": None,
        "dry_run": False,
    }
    with pytest.raises(
        WorkerFailed, match=r"to IQ1_S: this quantization requires an importance matrix!$"
    ):
        run_job(workspace, "quantize", job)
