"""Turn a Hugging Face folder into a GGUF file with llama.cpp's own converter.

The file's name is the hash of what made it, as for quantized levels: the folder's files, the
converter and its packages, the type. So it can be deleted and made again, and is found again.
"""

import re
import tempfile
from pathlib import Path

from edgeeval.artifact.checkpoint import Checkpoint, read_checkpoint
from edgeeval.artifact.converter import (
    Converter,
    explain_failure,
    known_architectures,
    launch,
    new_log,
)
from edgeeval.artifact.header import read_header
from edgeeval.errors import InputError, ModelFileError, WorkerFailed, did_you_mean
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace, digest, replace_durably, require_space

OUT_TYPES = {"F32": 4, "F16": 2, "BF16": 2}
"""GGUF types that hold an unquantized model -> bytes a parameter."""
_CALL_VERSION = 1
"""Raise it when the converter is called otherwise, so that the same inputs give other bytes."""
_MARGIN_BYTES = 64 << 20
_STEP_PERCENT = 20
_WRITTEN = re.compile(r"Writing:\s+(\d+)%")
_CONVERTED = " --> "


def convert(
    workspace: Workspace, converter: Converter, folder: Path, *, out_type: str, progress: Progress
) -> Path:
    """Convert a model, unless the file is there already.

    Args:
        workspace: keeps the file, under artifacts/.
        converter: from `find_converter`.
        folder: a Hugging Face folder with safetensors, single or sharded.
        out_type: "F32", "F16" or "BF16"; "auto" for the type that most of its parameters have.
        progress: told when the file is not there yet, and how far it is.

    Returns:
        The GGUF file.

    Raises:
        InputError: the folder, the type or the disk will not do; nothing was run. Or the converter
            does not know what the model needs.
        WorkerFailed: the converter failed or died; its log is named.
    """
    if out_type not in (*OUT_TYPES, "auto"):
        raise InputError(f"type {out_type!r}{did_you_mean(out_type, (*OUT_TYPES, 'auto'))}")
    checkpoint = read_checkpoint(folder)
    kind = checkpoint.own_type if out_type == "auto" else out_type
    target = _target(workspace, converter, checkpoint, kind)
    if not target.exists():
        needed_bytes = checkpoint.n_params * OUT_TYPES[kind] + _MARGIN_BYTES
        require_space(target.parent, needed_bytes, f"{checkpoint.name} as {kind}")
        _require_known(workspace, converter, checkpoint)
        progress(f"{checkpoint.name}: converting {checkpoint.n_tensors} tensors to {kind}")
        temporary = target.with_suffix(".tmp")
        try:
            _run(workspace, converter, checkpoint, kind, temporary, progress)
            replace_durably(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


def converted_path(workspace: Workspace, converter: Converter, folder: Path, out_type: str) -> Path:
    """Return where `convert` puts its file, there or not.

    Raises:
        InputError: the folder will not do.
    """
    return _target(workspace, converter, read_checkpoint(folder), out_type)


def _target(workspace: Workspace, converter: Converter, checkpoint: Checkpoint, kind: str) -> Path:
    files = {
        str(path.relative_to(checkpoint.folder)): workspace.file_sha256(path)
        for path in checkpoint.files
    }
    inputs = [_CALL_VERSION, checkpoint.name, files, converter.sha256, kind]
    return workspace.folder("artifacts") / f"{digest(inputs)[:32]}-{kind}.gguf"


def _require_known(workspace: Workspace, converter: Converter, checkpoint: Checkpoint) -> None:
    known = known_architectures(workspace, converter)
    if not any(name in known for name in checkpoint.architectures):
        name = checkpoint.architectures[0]
        raise InputError(
            f"{checkpoint.folder}/config.json: this converter ({converter.version}) does not know "
            f"the architecture {name!r}{_nearest(name, known)}; a newer llama.cpp checkout may: "
            "--converter PATH"
        )


def _nearest(name: str, known: tuple[str, ...]) -> str:
    """Name the nearest architecture; a list of all of them would bury the message."""
    hint = did_you_mean(name, known)
    return hint if hint.startswith(" (did") else ""


class _Talk:
    """Turn what the converter prints into a few lines of progress."""

    def __init__(self, checkpoint: Checkpoint, progress: Progress) -> None:
        self.printed: list[str] = []
        self._checkpoint = checkpoint
        self._progress = progress
        self._n_tensors = 0
        self._told_percent = 0

    def hear(self, line: str) -> None:
        """Take one line; every fifth of the writing is told."""
        if written := _WRITTEN.match(line):
            percent = int(written[1]) // _STEP_PERCENT * _STEP_PERCENT
            if percent > self._told_percent:
                self._told_percent = percent
                self._progress(
                    f"{self._checkpoint.name}: {self._n_tensors} tensors, {percent} % written"
                )
            return
        self._n_tensors += _CONVERTED in line
        self.printed.append(line)


def _run(
    workspace: Workspace,
    converter: Converter,
    checkpoint: Checkpoint,
    kind: str,
    temporary: Path,
    progress: Progress,
) -> None:
    talk = _Talk(checkpoint, progress)
    log_path = new_log(workspace, "convert")
    arguments = [f"--outtype={kind.lower()}", f"--outfile={temporary}"]
    with tempfile.TemporaryDirectory(dir=log_path.parent) as alone:
        # The converter names the model after its folder: a revision's number would not do.
        named = Path(alone) / checkpoint.name
        named.symlink_to(checkpoint.folder, target_is_directory=True)
        status = launch(converter, [*arguments, str(named)], log_path=log_path, on_line=talk.hear)
    if status != 0:
        failure = explain_failure(talk.printed, status)
        raise (InputError if failure.is_input else WorkerFailed)(
            f"{checkpoint.folder}: llama.cpp's converter: {failure.reason}; its log: {log_path}"
        )
    try:
        read_header(temporary)
    except ModelFileError as error:
        raise WorkerFailed(
            f"{checkpoint.folder}: the converter ended well but wrote no whole file ({error}); "
            f"its log: {log_path}"
        ) from None
    log_path.unlink()
