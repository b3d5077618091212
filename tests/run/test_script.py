"""Programs of others: what they print is heard, and none of them outlives us."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edgeeval.run.script import clean_environment, how_it_ended, run_script

PYTHON = Path(sys.executable)


def run(tmp_path: Path, source: str, *arguments: str) -> tuple[int, list[str], bytes]:
    script = tmp_path / "script.py"
    script.write_text(source, encoding="utf-8")
    lines: list[str] = []
    log_path = tmp_path / "log"
    status = run_script(
        PYTHON,
        [str(script), *arguments],
        log_path=log_path,
        on_line=lines.append,
        environment=clean_environment(),
    )
    return status, [line for line in lines if line], log_path.read_bytes()


def test_lines_are_heard_also_those_that_a_progress_bar_redraws(tmp_path: Path) -> None:
    source = """
import sys
print("größer", sys.argv[1:], __name__, flush=True)
sys.stderr.write("\\r 10 %\\r 20 %")
sys.stderr.flush()
sys.exit(3)
"""
    status, lines, log = run(tmp_path, source, "a", "b")
    assert status == 3
    assert lines == ["größer ['a', 'b'] __main__", " 10 %", " 20 %"]
    assert log == "größer ['a', 'b'] __main__\n\r 10 %\r 20 %".encode()


def test_a_module_runs_as_python_itself_would_run_it(tmp_path: Path) -> None:
    lines: list[str] = []
    status = run_script(
        PYTHON,
        ["-m", "json.tool", "--compact", "--json-lines", str(tmp_path / "a.json")],
        log_path=tmp_path / "log",
        on_line=lines.append,
        environment=clean_environment(),
    )
    assert status == 2
    assert any("json.tool" in line or "tool.py" in line for line in lines), lines


def test_it_sees_neither_our_packages_nor_our_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "gguf.py").write_text("", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "mine"))
    monkeypatch.setenv("HF_TOKEN", "a secret")
    source = "import os, sys; print(sys.path, 'PYTHONPATH' in os.environ, 'HF_TOKEN' in os.environ)"
    _, [line], _ = run(tmp_path, source)
    assert str(tmp_path) not in line
    assert line.endswith("False True")
    assert "HF_TOKEN" not in clean_environment(dropped=("HF_",))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-9, "was killed by SIGKILL: out of memory?"),
        (-6, "was killed by SIGABRT"),
        (3, "ended with exit code 3"),
    ],
)
def test_how_a_process_ended_is_said_in_words(status: int, words: str) -> None:
    assert how_it_ended(status) == words


_PARENT = """
import signal, sys
from pathlib import Path
from edgeeval.run.script import clean_environment, run_script
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
run_script(Path(sys.executable), [sys.argv[1]], log_path=Path(sys.argv[2]), on_line=print,
           environment=clean_environment())
"""
_CHILD = """
import os, subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), grandchild.pid, flush=True)
time.sleep(600)
"""


def _is_running(pid: int) -> bool:
    """Tell whether a process is there; one that nobody has waited for yet is not running."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT])
def test_it_dies_with_us_and_so_does_what_it_started(tmp_path: Path, death: signal.Signals) -> None:
    (tmp_path / "child.py").write_text(_CHILD, encoding="utf-8")
    command = [sys.executable, "-u", "-c", _PARENT, str(tmp_path / "child.py")]
    parent = subprocess.Popen(
        [*command, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(_is_running(pid) for pid in pids)
        parent.send_signal(death)
        parent.wait(timeout=60)
    for _ in range(600):  # a bound, not an expectation: it takes milliseconds
        if not any(_is_running(pid) for pid in pids):
            return
        time.sleep(0.1)
    pytest.fail(f"of {pids} some outlived us")
