"""Cross the process boundary: a job file in, JSON events out.

Native code may abort, run out of memory or print where it likes. So every native call happens in a
worker process, and its events come back on a descriptor of their own. The parent alone writes the
journal. A job is a self-contained JSON file: any machine with the same files could run it. The
worker's standard input is a pipe from the parent; when that closes, the worker dies.
"""

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from edgeeval.errors import EdgeevalError, InputError, WorkerFailed, explain_os_error
from edgeeval.run.lifeline import die_with_parent
from edgeeval.run.script import how_it_ended
from edgeeval.store import Workspace, write_json

Emit = Callable[[dict[str, Any]], None]
"""What a task calls to report: one JSON object."""

TASKS = {
    "probe": "edgeeval.run.device:work",
    "plan": "edgeeval.run.plan:work",
    "evaluate": "edgeeval.run.engine:work",
    "cost": "edgeeval.run.cost:work",
    "calibrate": "edgeeval.run.calibrate:work",
    "quantize": "edgeeval.artifact.quantize:work",
    "imatrix": "edgeeval.artifact.imatrix:work",
    "judge": "edgeeval.judges.score:work",
    "detoxify": "edgeeval.judges.detoxify:work",
}
"""What a worker can do: name -> "module:function", imported when a job asks for it."""


def logprob_file(folder: Path, block_id: str) -> Path:
    """Return where the reference's log-probabilities of a block of windows are kept."""
    return folder / f"{block_id}.npy"


class JobReport(NamedTuple):
    """What a finished job took."""

    elapsed_s: float
    """Wall time from start to end of the process."""
    native_s: float
    """Of it, seconds inside llama.cpp."""
    peak_rss_bytes: int


def run_job(
    workspace: Workspace, task: str, job: dict[str, Any], on_event: Emit | None = None
) -> JobReport:
    """Run a task in a worker process and hand its events to `on_event` as they come.

    Raises:
        InputError: the worker refused its input; the message is the worker's own.
        WorkerFailed: the worker failed or died.
    """
    start = time.monotonic()
    name = f"{task}-{os.getpid()}-{time.monotonic_ns()}"
    job_path = workspace.folder("log") / f"{name}.job.json"
    log_path = workspace.folder("log") / f"{name}.log"
    write_json(job_path, {"task": task, **job})
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "edgeeval", "worker", str(job_path)]
    with log_path.open("wb") as log, os.fdopen(read_end, "rb") as events:
        try:
            process = subprocess.Popen(
                [*command, "--events-fd", str(write_end)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        finally:
            os.close(write_end)
        try:
            last = _read_events(events, on_event)
            status = process.wait()
        finally:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
    if last.get("event") == "done" and status == 0:
        job_path.unlink()
        log_path.unlink()
        return JobReport(time.monotonic() - start, last["native_s"], last["peak_rss_bytes"])
    if last.get("event") == "error":
        raise (InputError if last["input"] else WorkerFailed)(last["message"])
    raise WorkerFailed(f"the worker {how_it_ended(status)}; what it printed is in {log_path}")


def _read_events(events: Any, on_event: Emit | None) -> dict[str, Any]:
    """Hand over events until the worker's end closes; return the closing one (or {})."""
    last: dict[str, Any] = {}
    for line in events:
        if not line.endswith(b"\n"):
            break  # the worker died while it wrote
        event = json.loads(line)
        if event["event"] in ("done", "error"):
            last = event
        elif on_event is not None:
            on_event(event)
    return last


def peak_rss_bytes() -> int:
    """Return this process's largest resident size so far."""
    if sys.platform == "linux":  # getrusage would count the parent's size before exec
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def serve(job_path: Path, events_fd: int) -> int:
    """Do one job in this process; return the exit code. This is the body of `edgeeval worker`."""
    die_with_parent()
    with os.fdopen(events_fd, "wb", buffering=0) as events:

        def emit(event: dict[str, Any]) -> None:
            events.write(json.dumps(event, allow_nan=False).encode() + b"\n")

        job = json.loads(job_path.read_bytes())
        module, function = TASKS[job.pop("task")].split(":")
        try:
            task: Callable[[dict[str, Any], Emit], None] = getattr(
                importlib.import_module(module), function
            )
            task(job, emit)
        except EdgeevalError as error:
            refused = isinstance(error, InputError)
            emit({"event": "error", "message": str(error), "input": refused})
            return error.exit_code
        except Exception as error:  # a bug, a full disk: the parent still needs one line
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, OSError):
                reason = explain_os_error(error)
            emit({"event": "error", "message": reason, "input": False})
            return EdgeevalError.exit_code
        emit({"event": "done", "native_s": _native_s(), "peak_rss_bytes": peak_rss_bytes()})
    return 0


def _native_s() -> float:
    llama = sys.modules.get("edgeeval._llama")
    return round(llama.native_time.elapsed_s, 4) if llama else 0.0
