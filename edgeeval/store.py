"""Keep the workspace on disk: what is finished stays finished, whatever kills the process.

    downloads/   what `fetch` brought: packages, one folder each
    converter/   what `fetch --converter` built: llama.cpp's converter and its environment
    artifacts/   GGUF files built here, addressed by the inputs of their making
    imatrix/     importance matrices, likewise; *.part: what an interrupted one has so far
    bundles/     references' runs from other machines, unpacked
    plans/       token plans, addressed by what they were made from
    runs/        one folder a run: journal.jsonl, arrays/*.npy, run.json (written last)
    divergence/  one folder a pair of runs: reference and level
    cost/        one journal a file that was timed
    calibration/ one journal a file whose decoding speed `plan` measured
    logprobs/    the reference's log-probabilities; deleted when the evaluation is done
    judges/      judges that were built here; checks/: how wrong each was found to be
    judged/      one journal a judge: text hash -> scores
    evidence/    what each results.json was derived from, by hash; `verify` reads it
    results/     one folder an evaluation: results.json and the reports
    log/         what native code printed

Only the parent process writes here, except for whole files (arrays, artifacts, plans) that a worker
writes under a temporary name and renames.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edgeeval.errors import InputError, WorkspaceBusy

_CHUNK_BYTES = 1 << 22

_TORN_WRITES = (".*.tmp", "*/.*.tmp", "*/*/.*.tmp")
"""What `write_atomic` leaves when its process is killed; its names carry a process id, so that
nothing writes over them."""
LEFTOVERS = "leftovers"
RUNS = "runs"
REMOVABLE = {
    LEFTOVERS: (
        *("logprobs", "log", "artifacts/*.tmp", "imatrix/*.tmp", "judges/.*.tmp.gguf"),
        *_TORN_WRITES,
    ),
    RUNS: (
        "runs",
        "divergence",
        "cost",
        "plans",
        "logprobs",
        "evidence",
        "results/*/timings.jsonl",
    ),
    "artifacts": ("artifacts/*.gguf",),
    "imatrix": ("imatrix/*",),
    "judges": ("judges/[!.]*.gguf",),
    "bundles": ("bundles/*",),
    "calibration": ("calibration",),
    "downloads": ("downloads/*",),
    "converter": ("converter/*",),
}
"""What may be deleted, because it can be made or fetched again: patterns in the workspace. Records
of built files stay: a level that was measured is reported without its file."""


@dataclass(frozen=True)
class Removable:
    """A file or folder that may be deleted."""

    path: Path
    size_bytes: int
    """Of everything in it."""

    def remove(self) -> None:
        """Delete it; a link alone, not what it leads to."""
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink()


def _size_bytes(path: Path) -> int:
    """Return the bytes of a file, or of a folder's files; links count for themselves."""
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return sum(one.lstat().st_size for one in (path, *inside) if one.is_symlink() or one.is_file())


def digest(value: Any) -> str:
    """Return the sha256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def text_digest(text: str) -> str:
    """Return the sha256 of a text; lone surrogates cannot make it fail."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_abandoned(temporary: Path) -> bool:
    """Tell whether the process that a temporary file of `write_atomic` names is gone."""
    import psutil

    process_id = temporary.name.split(".")[-2]
    return process_id.isdecimal() and not psutil.pid_exists(int(process_id))


def replace_durably(temporary: Path, target: Path) -> None:
    """Put a finished file in its place so that a power cut leaves the whole file or none."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)


def require_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Refuse early what the disk cannot hold.

    Raises:
        InputError: fewer bytes are free than `what` needs.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise InputError(
            f"{what}: needs {needed_bytes >> 20} MiB of disk, {free_bytes >> 20} MiB are free "
            f"in {folder}; free some, or give another --workspace"
        )


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically; NaN is a bug and is refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON document that edgeeval wrote."""
    return json.loads(path.read_bytes())


class Journal:
    """An append-only JSONL file; one fsynced line a finished block.

    A process killed while it writes leaves a torn last line. Reading drops it, and the first append
    cuts it off, so that a line is either whole or absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def _whole_bytes(self) -> bytes:
        data = self.path.read_bytes() if self.path.exists() else b""
        return data[: data.rfind(b"\n") + 1]

    @staticmethod
    def _is_torn(file: BinaryIO) -> bool:
        """Tell whether the last line lacks its end; reads one byte, however long the journal."""
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"

    def read(self) -> list[dict[str, Any]]:
        """Return the finished lines in order.

        Raises:
            InputError: a line is none that was written here.
        """
        return [
            self._parsed(number, line)
            for number, line in enumerate(self._whole_bytes().split(b"\n")[:-1], 1)
        ]

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise InputError(
                f"{self.path}:{number}: not a journal's line: the file is damaged; delete it, and "
                "what it held is computed again"
            )
        return value

    def append(self, *lines: dict[str, Any]) -> None:
        """Add lines and wait until they are on disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
        with self.path.open("r+b" if self.path.exists() else "wb+") as file:
            if self._is_torn(file):
                file.truncate(len(self._whole_bytes()))
            file.seek(0, os.SEEK_END)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


class Workspace:
    """The folder that holds everything an evaluation makes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, *parts: str) -> Path:
        """Return a subfolder, made if it was missing."""
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def forget_runs(self) -> None:
        """Delete every run, divergence, cost pass and token plan: they are measured again.

        Reports stay; the time that the deleted runs took does not count any more.

        Raises:
            InputError: they are behind a link.
        """
        if links := self.links(RUNS):
            raise InputError(
                f"{links[0]} is a link, and what it leads to is not deleted: measure again in "
                "another --workspace"
            )
        for one in self.removable(RUNS):
            one.remove()

    def removable(self, *parts: str) -> list[Removable]:
        """Return what is there of some parts of `REMOVABLE`; nothing behind a link."""
        paths = sorted(path for path in self._matching(parts) if self._link_to(path) is None)
        return [Removable(path, _size_bytes(path)) for path in paths]

    def links(self, *parts: str) -> list[Path]:
        """Return the links that some parts are behind: they may lead out of the workspace."""
        links = (self._link_to(path) for path in self._matching(parts))
        return sorted({link for link in links if link is not None})

    def _link_to(self, path: Path) -> Path | None:
        """Return the first link among the folders that a path is in, or the folder that it is."""
        names = path.relative_to(self.root).parts
        folders = (self.root.joinpath(*names[:depth]) for depth in range(1, max(2, len(names))))
        return next((folder for folder in folders if folder.is_symlink()), None)

    def _matching(self, parts: Iterable[str]) -> set[Path]:
        return {path for part in parts for name in REMOVABLE[part] for path in self.root.glob(name)}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for one process at a time; the kernel frees it when we die.

        Raises:
            WorkspaceBusy: another process holds it.
        """
        lock = self.folder() / "lock"
        with lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise WorkspaceBusy(
                    f"{self.root}: process {holder} is working in this workspace; wait for it, "
                    "or give another one with --workspace"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            for torn in {path for name in _TORN_WRITES for path in self.root.glob(name)}:
                if _is_abandoned(torn):
                    torn.unlink(missing_ok=True)
            yield

    def file_sha256(self, path: Path) -> str:
        """Return a file's sha256, remembered by path, size and modification time."""
        stat = path.stat()
        key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        known = Journal(self.folder() / "hashes.jsonl")
        for line in reversed(known.read()):
            if line["key"] == key:
                return str(line["sha256"])
        value = sha256_of(path)
        known.append({"key": key, "sha256": value})
        return value


def sha256_of(path: Path) -> str:
    """Return a file's sha256, read in pieces: model files are larger than memory."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
