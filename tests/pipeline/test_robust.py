"""What survives: SIGKILL, Ctrl-C, lost workers, broken files, a full disk, two processes."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgeeval.run.selftest import write_micro_model
from edgeeval.store import Workspace
from tests.conftest import Ladder
from tests.pipeline.conftest import block_lines, n_jobs, run, without_timings

Command = Callable[..., list[str]]


def start(line: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(what: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def finished_blocks(workspace: Path) -> int:
    return sum(map(len, block_lines(workspace).values()))


def kill_at(line: list[str], workspace: Path, n_blocks: int) -> None:
    """Run until some blocks are in the journals, then SIGKILL; the worker must follow."""
    process = start(line)
    wait_for(lambda: finished_blocks(workspace) >= n_blocks or process.poll() is not None)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "a worker outlived its parent"


def test_killed_anywhere_and_run_again_the_result_is_the_same_to_the_last_digit(
    ladder: Ladder, command: Command, tmp_path: Path
) -> None:
    files = (ladder.q8_0.path, ladder.q2_k.path)
    only, extra = "lm,tasks,align", "--limit 9"
    whole = run(command(tmp_path / "whole", *files, only=only, extra=extra))
    assert whole.returncode == 0, whole.stderr
    killed = tmp_path / "killed"
    line = command(killed, *files, only=only, extra=extra)
    for n_blocks in (1, 5, 9):
        kill_at(line, killed, n_blocks)
    again = run(line)
    assert again.returncode == 0, again.stderr
    assert without_timings(json.loads(again.stdout)) == without_timings(json.loads(whole.stdout))
    for journal, blocks in block_lines(killed).items():
        assert len(blocks) == len(set(blocks)), f"{journal}: a finished block was kept twice"


def test_a_worker_that_dies_costs_one_level_and_exit_code_4(
    ladder: Ladder, command: Command, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    line = command(workspace, ladder.q8_0.path, ladder.q2_k.path)
    process = start(line)
    victim = Path(ladder.q8_0.path)

    def job_of_victim() -> psutil.Process | None:
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error, OSError, StopIteration):  # it comes or goes
                job = next(Path(word) for word in child.cmdline() if word.endswith(".job.json"))
                if json.loads(job.read_bytes()).get("model") == str(victim):
                    return child
        return None

    wait_for(lambda: job_of_victim() is not None)
    found = job_of_victim()
    assert found is not None
    found.send_signal(signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 4, stderr
    results = json.loads(stdout)
    lost, kept = results["levels"]
    assert lost["status"] == "lost"
    assert "SIGKILL" in lost["reason"]
    assert kept["status"] == "measured"
    again = run(line)
    assert again.returncode == 0, again.stderr
    assert all(level["status"] == "measured" for level in json.loads(again.stdout)["levels"])


def test_ctrl_c_exits_130_with_a_sentence_on_how_to_go_on(
    ladder: Ladder, command: Command, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    process = start(command(workspace, ladder.q8_0.path))
    wait_for(lambda: finished_blocks(workspace) >= 1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to go on" in stderr
    assert "Traceback" not in stderr


def test_a_second_process_on_one_workspace_says_who_works_there(
    ladder: Ladder, command: Command, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    with workspace.locked():
        second = run(command(workspace.root, ladder.q8_0.path))
    assert second.returncode == 1
    assert f"process {os.getpid()} is working in this workspace" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def broken_file(kind: str, ladder: Ladder, folder: Path) -> Path:
    path = folder / f"{kind}.gguf"
    data = Path(ladder.q8_0.path).read_bytes()
    if kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "not-gguf":
        path.write_text("a letter, not a model", encoding="utf-8")
    elif kind == "unknown-architecture":
        path.write_bytes(data.replace(b"llama", b"lloma"))
    elif kind == "other-vocabulary":
        write_micro_model(path)
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("truncated", "broken or truncated GGUF file"),
        ("not-gguf", "not a GGUF file"),
        ("unknown-architecture", "unknown model architecture: 'lloma'"),
        ("other-vocabulary", "its vocabulary is not the reference's"),
    ],
)
def test_a_broken_level_is_lost_in_one_line_and_the_others_finish(
    ladder: Ladder, command: Command, tmp_path: Path, kind: str, reason: str
) -> None:
    path = broken_file(kind, ladder, tmp_path)
    done = run(command(tmp_path / "workspace", path, ladder.q8_0.path, extra="--windows 8"))
    assert done.returncode == 4, done.stderr
    lost, kept = json.loads(done.stdout)["levels"]
    assert lost["status"] == "lost"
    assert reason in lost["reason"]
    assert "\n" not in lost["reason"]
    assert kept["status"] == "measured"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["truncated", "not-gguf", "unknown-architecture", "absent"])
def test_a_broken_reference_is_bad_input(
    ladder: Ladder, own_text: Path, tmp_path: Path, kind: str
) -> None:
    path = broken_file(kind, ladder, tmp_path)
    line = [sys.executable, "-m", "edgeeval", "eval", "--reference", str(path), ladder.q8_0.path]
    line += ["--only", "lm", "--quantized-reference", "--workspace", str(tmp_path / "workspace")]
    done = run([*line, "--quiet"])
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert str(path) in done.stderr


def test_a_full_disk_is_one_line_and_loses_nothing(
    ladder: Ladder, command: Command, tmp_path: Path
) -> None:
    """A file size limit stands in for the disk: writes fail with an OSError in the middle."""
    workspace = tmp_path / "workspace"
    line = command(workspace, ladder.q8_0.path)
    small = 1 << 20  # the log-probabilities of a block do not fit

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (small, small))

    done = subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=300, preexec_fn=limit
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("edgeeval: ")
    assert "too large" in last or "disk" in last
    assert run(line).returncode == 0
    assert n_jobs(workspace) > 0
