"""Read a GGUF file's header and tensor table, bounds checked, arrays hashed and not read.

The gguf package's reader builds a Python object for every vocabulary entry, which takes 1.6 s for
49,000 tokens and is done for every level; this takes 0.01 s. Format: the GGUF specification,
versions 2 and 3, little-endian. A file is untrusted: every count and offset is held against the
file's size.
"""

import hashlib
import mmap
import stat
import struct
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgeeval.errors import ModelFileError, one_line
from edgeeval.ggml import TensorType, tensor_types_by_number

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_MAX_DIMENSIONS = 4
"""GGML_MAX_DIMS."""
_MAX_FIELDS = 1 << 16
_MAX_TENSORS = 1 << 20
_MAX_STRINGS = 1 << 24
"""More than any real file has: a larger count is an attack on the reader's time."""
_MAX_NAME_BYTES = (1 << 16) - 1
"""Of a key, says the specification; tensors' names are shorter."""
_MAX_HEADER_BYTES = 1 << 29
"""Likewise; a vocabulary of 260,000 tokens takes 16 MiB."""
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
"""GGUF value type -> struct code."""
_LENGTH = struct.Struct("<Q")
"""What stands before each text."""


@dataclass(frozen=True)
class ArrayField:
    """An array of the metadata: its values were hashed, not read."""

    length: int
    sha256: str
    """Over the values' bytes as they stand in the file, element type first."""


@dataclass(frozen=True)
class TensorEntry:
    """A line of the tensor table."""

    name: str
    kind: TensorType
    shape: tuple[int, ...]
    """As stored: the row's width first."""
    n_params: int
    size_bytes: int
    start: int
    """Where its data begins in the file."""


@dataclass(frozen=True)
class Header:
    """Metadata and tensor table of a file."""

    fields: dict[str, Any]
    """Key -> number, text, or ArrayField (a tuple, where the array was asked for)."""
    tensors: tuple[TensorEntry, ...]
    data_start: int
    """Where the tensor data begins in the file."""
    size_bytes: int
    """Of the whole file."""


class _Broken(Exception):
    """The bytes are not what the format says; the message says where."""


class _Cursor:
    """Reads forward through the file and never past its end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def skip(self, n_bytes: int, what: str) -> int:
        """Step over bytes; return where they began."""
        start = self.at
        if n_bytes > len(self.data) - start:
            raise _Broken(f"it ends inside {what}")
        self.at = start + n_bytes
        if self.at > _MAX_HEADER_BYTES:
            raise _Broken("its metadata and tensor table are larger than any model's")
        return start

    def number(self, code: str, what: str) -> Any:
        size = struct.calcsize(f"<{code}")
        return struct.unpack_from(f"<{code}", self.data, self.skip(size, what))[0]

    def text(self, what: str, most_bytes: int | None = None) -> str:
        length = self.number("Q", what)
        start = self.skip(length, what)
        if most_bytes is not None:
            _hold_below(length, most_bytes, f"bytes in {what}")
        return self.data[start : self.at].decode("utf-8", "replace")

    def value(self, kind: int, what: str, *, whole: bool = False) -> Any:
        if kind == _STRING:
            return self.text(what)
        if kind == _ARRAY:
            return self._values(what) if whole else self._array(what)
        if kind not in _SCALARS:
            raise _Broken(f"{what} has the unknown type {kind}")
        return self.number(_SCALARS[kind], what)

    def _array(self, what: str) -> ArrayField:
        start = self.at
        kind, length = self.number("I", what), self.number("Q", what)
        if kind in _SCALARS:
            self.skip(length * struct.calcsize(_SCALARS[kind]), what)
        elif kind == _STRING:
            _hold_below(length, _MAX_STRINGS, f"texts in {what}")
            self._skip_texts(length, what)
        else:
            raise _Broken(f"{what} is an array of the unknown type {kind}")
        return ArrayField(length, hashlib.sha256(self.data[start : self.at]).hexdigest())

    def _skip_texts(self, n_texts: int, what: str) -> None:
        """Step over texts; a vocabulary has hundreds of thousands, so this loop is a tight one."""
        data, at, last = self.data, self.at, len(self.data) - _LENGTH.size
        for _ in range(n_texts):
            if at > last:
                raise _Broken(f"it ends inside {what}")
            at += _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
        self.skip(at - self.at, what)

    def _values(self, what: str) -> tuple[Any, ...]:
        kind, length = self.number("I", what), self.number("Q", what)
        if kind == _ARRAY:
            raise _Broken(f"{what} is an array of arrays")
        _hold_below(length, _MAX_STRINGS, f"values in {what}")
        return tuple(self.value(kind, what) for _ in range(length))


def _hold_below(count: int, most: int, what: str) -> None:
    if count > most:
        raise _Broken(f"{count} {what} are more than any model has")


def read_header(path: Path, *, arrays: Collection[str] = ()) -> Header:
    """Read a file's header.

    Args:
        path: a GGUF file.
        arrays: keys of the arrays whose values are wanted too.

    Raises:
        ModelFileError: the file is missing, not GGUF, broken or truncated.
    """
    try:
        _require_no_pipe(path)
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
            if start != _MAGIC:
                found = f"it begins with {start!r}" if start else "it is empty"
                raise ModelFileError(f"{path}: not a GGUF file ({found})")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _parse(_Cursor(data), arrays)
    except _Broken as error:
        what = one_line(str(error))
        raise ModelFileError(f"{path}: broken or truncated GGUF file: {what}") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from None


def _require_no_pipe(path: Path) -> None:
    """Refuse what would be waited for, maybe for ever, when it is opened.

    Raises:
        ModelFileError: it is a pipe or a device.
        OSError: it cannot be looked at.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ModelFileError(f"{path}: a pipe or a device; give a file")


def is_gguf(path: Path) -> bool:
    """Tell whether a file begins as a GGUF file does.

    Raises:
        ModelFileError: it cannot be read.
    """
    try:
        _require_no_pipe(path)
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from None


def _parse(cursor: _Cursor, arrays: Collection[str]) -> Header:
    cursor.skip(len(_MAGIC), "the magic")
    version = cursor.number("I", "the version")
    if version not in _VERSIONS:
        raise _Broken(f"version {version} is not 2 or 3, little-endian")
    n_tensors, n_fields = cursor.number("Q", "the counts"), cursor.number("Q", "the counts")
    _hold_below(n_tensors, _MAX_TENSORS, "tensors")
    _hold_below(n_fields, _MAX_FIELDS, "metadata keys")
    fields: dict[str, Any] = {}
    for _ in range(n_fields):
        key = cursor.text("a metadata key", _MAX_NAME_BYTES)
        if key in fields:
            raise _Broken(f"the metadata key {key!r} is there twice")
        fields[key] = cursor.value(cursor.number("I", key), key, whole=key in arrays)
    entries = tuple(_tensor(cursor) for _ in range(n_tensors))
    if len({entry.name for entry in entries}) < n_tensors:
        raise _Broken("two tensors have one name")
    alignment = fields.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise _Broken(f"general.alignment is {alignment!r}")
    data_start = -(-cursor.at // alignment) * alignment
    tensors = tuple(replace(entry, start=data_start + entry.start) for entry in entries)
    for entry in tensors:
        if entry.start + entry.size_bytes > len(cursor.data):
            raise _Broken(f"it ends inside tensor {entry.name}; get it again")
    for before, entry in pairwise(sorted(tensors, key=lambda one: one.start)):
        if before.start + before.size_bytes > entry.start:
            raise _Broken(f"tensor {entry.name} begins inside tensor {before.name}")
    return Header(fields, tensors, data_start, len(cursor.data))


def _tensor(cursor: _Cursor) -> TensorEntry:
    """Read one line of the table; its start is still counted from where the data begins."""
    name = cursor.text("a tensor's name", _MAX_NAME_BYTES)
    n_dimensions = cursor.number("I", name)
    if not 1 <= n_dimensions <= _MAX_DIMENSIONS:
        raise _Broken(f"tensor {name} has {n_dimensions} dimensions")
    shape = tuple(cursor.number("Q", name) for _ in range(n_dimensions))
    number, offset = cursor.number("I", name), cursor.number("Q", name)
    kind = tensor_types_by_number().get(number)
    if kind is None:
        raise _Broken(f"tensor {name} has the unknown type {number}")
    n_params = 1
    for dimension in shape:
        n_params *= dimension
    if n_params == 0 or shape[0] % kind.block:
        raise _Broken(f"tensor {name}: shape {shape} cannot be cut into blocks of {kind.block}")
    size_bytes = n_params // kind.block * kind.block_bytes
    return TensorEntry(name, kind, shape, n_params, size_bytes, offset)
