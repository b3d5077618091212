"""Run Python programs of others (pip, llama.cpp's converter) and hear what they print.

They run in an interpreter of their own choice, isolated from this one's packages and settings, and
die with this process.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_LIFELINE = Path(__file__).with_name("lifeline.py")
_CHUNK_BYTES = 1 << 16
_LINE_ENDS = re.compile(rb"[\r\n]+")
"""A progress bar redraws its line with a carriage return: each drawing counts as a line."""


def run_script(
    python: Path,
    arguments: Sequence[str],
    *,
    log_path: Path,
    on_line: Callable[[str], None],
    environment: Mapping[str, str],
) -> int:
    """Run a script (or a module: "-m", name) to its end.

    Args:
        python: the interpreter. It runs isolated: no PYTHONPATH, no packages of the user's own.
        arguments: the script and what it is told.
        log_path: keeps everything that is printed.
        on_line: told every line as it comes, a progress bar's redrawn ones too.
        environment: all of the environment variables.

    Returns:
        The exit code, negative for a signal.
    """
    command = [str(python), "-I", "-X", "utf8", str(_LIFELINE), *arguments]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is ours to handle, and the group is ours to kill
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            rest = b""
            while chunk := os.read(process.stdout.fileno(), _CHUNK_BYTES):
                log.write(chunk)
                *lines, rest = _LINE_ENDS.split(rest + chunk)
                for line in lines:
                    on_line(line.decode("utf-8", "replace"))
            on_line(rest.decode("utf-8", "replace"))
            return process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            process.stdin.close()
            process.stdout.close()


def clean_environment(dropped: Sequence[str] = ()) -> dict[str, str]:
    """Return our environment variables without Python's own and others by their prefixes."""
    prefixes = ("PYTHON", *dropped)
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def how_it_ended(status: int) -> str:
    """Say how a process ended that did not end well: "was killed by SIGKILL: out of memory?"."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"was killed by {name}{': out of memory?' if name == 'SIGKILL' else ''}"
    return f"ended with exit code {status}"
