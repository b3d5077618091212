"""Find all files of a split GGUF: `name-00001-of-00003.gguf` and its siblings."""

import re
from pathlib import Path

from edgeeval.errors import ModelFileError

_NAME = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")


def shard_paths(path: Path) -> tuple[Path, ...]:
    """Return a model's files in order: the file itself unless its name says that it is split.

    Raises:
        ModelFileError: it is not the first of them, or one is missing.
    """
    match = _NAME.match(path.name)
    if match is None:
        return (path,)
    number, count = int(match["number"]), int(match["count"])
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


def model_name(path: Path) -> str:
    """Return a file's name without .gguf and without the numbering of its parts."""
    match = _NAME.match(path.name)
    return match["stem"] if match else path.stem


def is_first_or_only(path: Path) -> bool:
    """Tell whether a file stands for its model: it is whole, or the first part."""
    match = _NAME.match(path.name)
    return match is None or int(match["number"]) == 1
