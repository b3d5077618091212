"""Keep per-token arrays as .npy files that are named by what they hold."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def array_name(array: npt.NDArray[Any]) -> str:
    """Return the file name of an array: its hash, so that a changed file is known by its name."""
    data = np.ascontiguousarray(array)
    return hashlib.sha256(str(data.shape).encode() + data.tobytes()).hexdigest()[:32] + ".npy"


def save_array(folder: Path, array: npt.NDArray[Any]) -> str:
    """Write an array under the name of its own hash; return the name."""
    data = np.ascontiguousarray(array)
    name = array_name(data)
    folder.mkdir(parents=True, exist_ok=True)
    write_array(folder / name, data)
    return name


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write a .npy file, whole or not at all.

    Not by numpy.save: it tells no full disk from another failure.
    """
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(_header(array))
            file.write(array.data)
            file.flush()
            os.fsync(file.fileno())  # before the journal's line that names it
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_as_saved(path: Path) -> bool:
    """Tell whether an array's file is what `save_array` wrote, to the last byte.

    Raises:
        ValueError: it is no array.
        OSError: it cannot be read.
    """
    array = np.load(path, allow_pickle=False)
    return array_name(array) == path.name and path.read_bytes() == _header(array) + array.tobytes()


def _header(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    return file.getvalue()
