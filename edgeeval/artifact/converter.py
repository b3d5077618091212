"""Find llama.cpp's converter and run it: offline, isolated, without trust in the model.

The converter brings a gguf package of its own and needs torch and transformers, so it runs in an
environment of its own, as a process that dies with this one:

    converter/VERSION/llama.cpp/      the converter's part of llama.cpp's tree
    converter/VERSION/environment/    Python packages, pinned in converter-requirements.txt
    converter/VERSION/converter.json  written last: without it, nothing above counts
    converter/architectures/          what each converter knows, asked once

`converter_env.py` builds that; VERSION is the installed llama-cpp-python's.
"""

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from edgeeval.artifact.converter_launch import OWN_CODE
from edgeeval.errors import InputError, NotFetched, WorkerFailed
from edgeeval.run.script import clean_environment, how_it_ended, run_script
from edgeeval.store import Workspace, digest, read_json, sha256_of, write_json

ENGINE = "llama-cpp-python"
SCRIPT = "convert_hf_to_gguf.py"
REQUIREMENTS = Path(__file__).with_name("converter-requirements.txt")
_LAUNCH = Path(__file__).with_name("converter_launch.py")
_PROGRAM = (SCRIPT, "conversion/**/*.py", "gguf-py/gguf/**/*.py")
"""What decides the bytes that a converter writes."""
_MAX_REASON = 300
_EXCEPTION = re.compile(r"(?:\w+\.)*(?P<type>\w+(?:Error|Exception))(?:: (?P<text>.*))?")
_BROKEN_FILE = ("JSONDecodeError", "RecursionError", "UnicodeDecodeError")
"""What reading a stranger's tokenizer or configuration raises; so does sentencepiece, by a text."""
_UNKNOWN_HASH = re.compile(r"chkhsh:\s+([0-9a-f]{64})")


@dataclass(frozen=True)
class Converter:
    """A converter and the interpreter that runs it."""

    script: Path
    python: Path
    version: str
    """llama-cpp-python and its version, or a checkout's commit."""
    sha256: str
    """Hash over the converter's program and the names and versions of the packages it meets."""

    @property
    def id(self) -> str:
        """What a converted file's record says of its maker."""
        return f"{self.version} ({self.sha256[:16]})"


def find_converter(
    workspace: Workspace, checkout: Path | None = None, python: Path | None = None
) -> Converter:
    """Return the converter that was fetched, or the one that a person points at.

    Args:
        workspace: where `fetch --converter` builds.
        checkout: a llama.cpp checkout, whose converter is taken instead.
        python: an interpreter with the converter's packages, taken instead.

    Raises:
        NotFetched: what was not given is not there.
        InputError: what was given is no checkout or no interpreter.
    """
    if checkout is not None and not (checkout / SCRIPT).is_file():
        raise InputError(f"{checkout}: no {SCRIPT} there; name the top of a llama.cpp checkout")
    if python is not None and not python.is_file():
        raise InputError(f"{python}: no such Python interpreter")
    fetched = fetched_folder(workspace)
    if (checkout is None or python is None) and not is_whole(fetched):
        raise NotFetched(
            f"llama.cpp's converter for {ENGINE} {version(ENGINE)} is not in {workspace.root} "
            "yet; run: edgeeval fetch --converter"
        )
    return converter_at(
        (checkout or fetched / "llama.cpp").absolute(),
        (python or python_of(fetched)).absolute(),
        f"llama.cpp {_commit(checkout)}" if checkout else f"{ENGINE} {version(ENGINE)}",
    )


def converter_at(tree: Path, python: Path, tree_version: str) -> Converter:
    """Identify the converter of a llama.cpp tree, as an interpreter would run it."""
    files = sorted({path for pattern in _PROGRAM for path in tree.glob(pattern)})
    packages = python.parent.parent.glob("lib/python*/*-packages/*.dist-info")
    program = {str(path.relative_to(tree)): sha256_of(path) for path in files}
    return Converter(
        script=tree / SCRIPT,
        python=python,
        version=tree_version,
        sha256=digest([program, sorted(path.name for path in packages)]),
    )


def fetched_folder(workspace: Workspace) -> Path:
    """Return where the installed engine's converter is kept, there or not."""
    return workspace.root / "converter" / version(ENGINE)


def python_of(folder: Path) -> Path:
    """Return the interpreter of a fetched converter."""
    return folder / "environment" / "bin" / "python"


def marker() -> dict[str, str]:
    """Return what `converter.json` says of a build with today's pins."""
    return {"requirements": sha256_of(REQUIREMENTS)}


def is_whole(folder: Path) -> bool:
    """Tell whether a build was finished with today's pins and its interpreter is still there."""
    path = folder / "converter.json"
    return path.is_file() and read_json(path) == marker() and python_of(folder).is_file()


def _commit(checkout: Path) -> str:
    """Return a checkout's commit; the hash of its files tells what was changed since."""
    if not (checkout / ".git").exists():
        return "of no known commit"
    done = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "of no known commit"


def new_log(workspace: Workspace, name: str) -> Path:
    """Return a file of its own for what a foreign program prints."""
    return workspace.folder("log") / f"{name}-{time.monotonic_ns()}.log"


def launch(
    converter: Converter,
    arguments: Sequence[str],
    *,
    log_path: Path,
    on_line: Callable[[str], None],
) -> int:
    """Run a converter to its end and return its exit code."""
    environment = clean_environment(dropped=("HF_", "TRANSFORMERS_", "NO_LOCAL_GGUF"))
    return run_script(
        converter.python,
        [str(_LAUNCH), str(converter.script), *arguments],
        log_path=log_path,
        on_line=on_line,
        environment=environment | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
    )


def known_architectures(workspace: Workspace, converter: Converter) -> tuple[str, ...]:
    """Return the text architectures that a converter knows: its own answer, asked once.

    Raises:
        WorkerFailed: it does not run.
    """
    kept = workspace.folder("converter", "architectures") / f"{converter.sha256[:32]}.json"
    if not kept.exists():
        printed: list[str] = []
        log_path = new_log(workspace, "converter")
        status = launch(
            converter, ["--print-supported-models"], log_path=log_path, on_line=printed.append
        )
        names = parse_architectures(printed)
        if status != 0 or not names:
            why = explain_failure(printed, status).reason
            raise WorkerFailed(f"llama.cpp's converter does not run: {why}; its log: {log_path}")
        log_path.unlink()
        write_json(kept, names)
    return tuple(read_json(kept))


def parse_architectures(printed: Sequence[str]) -> list[str]:
    """Return the names that `--print-supported-models` lists under "TEXT models:"."""
    names: list[str] = []
    inside = False
    for line in printed:
        text = line.rsplit(":", 1)[-1] if line.startswith("ERROR:") else line
        if line.rstrip().endswith(" models:"):
            inside = "TEXT models:" in line
        elif inside and text.strip().startswith("- "):
            names.append(text.strip()[2:])
    return names


class Failure(NamedTuple):
    """Why the converter stopped."""

    reason: str
    """One line, without control characters: some of it may be the model's own text."""
    is_input: bool
    """Whether the model is at fault, and not the machine or the environment."""


def explain_failure(printed: Sequence[str], status: int) -> Failure:
    """Find what tells the most in what a converter printed before it failed."""
    lines = [line.strip() for line in printed if line.strip(" ^~")]  # no marks under code
    if hashes := [found[1] for line in lines if (found := _UNKNOWN_HASH.search(line))]:
        return Failure(
            f"it does not know the model's pre-tokenizer (hash {hashes[-1]}); a newer llama.cpp "
            "checkout may: --converter PATH",
            is_input=True,
        )
    if any("No space left on device" in line for line in lines):
        return Failure("the disk is full", is_input=False)
    if raised := _last_exception(lines):
        kind, text = raised
        if kind == "NotImplementedError":
            return Failure(f"not implemented: {text} (--converter may name a newer one)", True)
        is_input = text == OWN_CODE or kind in _BROKEN_FILE or "parse ModelProto" in text
        return Failure(text if text == OWN_CODE else f"{kind}: {text}", is_input)
    if status < 0 or not lines:
        return Failure(f"it {how_it_ended(status)}", is_input=False)
    return Failure(_plain(lines[-1]), is_input=False)


def _last_exception(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return the type and the text of the exception that ended it; they may come in chains."""
    for index in reversed(range(len(lines))):
        if raised := _EXCEPTION.fullmatch(lines[index]):
            # An assertion has no text: the line of code above it says what was asserted.
            return raised["type"], _plain(raised["text"] or lines[max(0, index - 1)])
    return None


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:_MAX_REASON]
