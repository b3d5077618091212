"""Find all files of a split GGUF: `name-00001-of-00003.gguf` and its siblings.

llama.cpp finds them by their names, and checks what their metadata say of it: `split.count`,
`split.no` (from 0) and, over all parts, `split.tensors.count`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgeeval.artifact.header import Header, read_header
from edgeeval.errors import ModelFileError, one_line

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf")


class Part(NamedTuple):
    """One of a model's files."""

    path: Path
    header: Header


def shard_paths(path: Path) -> tuple[Path, ...]:
    """Return a model's files in order: the file itself unless its name says that it is split.

    Raises:
        ModelFileError: it is not the first of them, or one is missing.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        return (path,)
    number, count = int(match["number"]), int(match["count"])
    if not 1 <= number <= count:
        raise ModelFileError(f"{path}: its name says part {number} of {count}; there is no such")
    if number != 1:
        first = f"{match['stem']}-00001-of-{match['count']}.gguf"
        raise ModelFileError(f"{path}: part {number} of a split model; give the first: {first}")
    parts = tuple(
        path.with_name(f"{match['stem']}-{index:05}-of-{match['count']}.gguf")
        for index in range(1, count + 1)
    )
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise ModelFileError(
            f"{path}: {len(missing)} of {count} parts are missing, the first: {missing[0]}; "
            "get them all into one folder"
        )
    return parts


def read_parts(path: Path) -> tuple[Part, ...]:
    """Read the headers of a model's files, and hold what they say of each other together.

    Args:
        path: the file; of a split model, the first.

    Raises:
        ModelFileError: one is missing, broken, or not of this model.
    """
    parts = tuple(Part(part, read_header(part)) for part in shard_paths(path))
    said = parts[0].header.fields.get("split.count") or 1
    if said != len(parts):
        raise ModelFileError(
            f"{path}: files of this model, by its metadata: {_shown(said)}, by its name: "
            f"{len(parts)}; give each file the name that it had (NAME-00001-of-0000N.gguf)"
        )
    if len(parts) > 1:
        _hold_together(parts)
    return parts


def _hold_together(parts: Sequence[Part]) -> None:
    for number, part in enumerate(parts):
        said = part.header.fields.get("split.no")
        if said != number:
            raise ModelFileError(
                f"{part.path}: by its name number {number} (from 0) of a split model, by its "
                f"metadata {_shown(said)}; get it again"
            )
    names = [tensor.name for part in parts for tensor in part.header.tensors]
    said = parts[0].header.fields.get("split.tensors.count")
    if said != len(names) or len(set(names)) < len(names):
        raise ModelFileError(
            f"{parts[0].path}: its parts hold {len(set(names))} tensors, its metadata say "
            f"{_shown(said)}: they do not belong together; get them all again"
        )


def _shown(said: object) -> str:
    return "none" if said is None else one_line(str(said)[:40])


def model_name(path: Path) -> str:
    """Return a file's name without .gguf and without the numbering of its parts."""
    match = _NAME.fullmatch(path.name)
    return match["stem"] if match else path.stem


def is_first_or_only(path: Path) -> bool:
    """Tell whether a file stands for its model: it is whole, or the first part."""
    match = _NAME.fullmatch(path.name)
    return match is None or int(match["number"]) == 1


def first_part(path: Path) -> Path:
    """Return the first file of a file's model: itself if it is whole."""
    match = _NAME.fullmatch(path.name)
    return path.with_name(f"{match['stem']}-00001-of-{match['count']}.gguf") if match else path
