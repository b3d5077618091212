"""Read a safetensors file's header, bounds checked, without the library and without the data.

Format: eight bytes of length, little-endian; that many bytes of JSON, tensor name -> {dtype, shape,
data_offsets}; then the data. A file is untrusted: everything is held against the file's size. What
the format's own library refuses (gaps, overlaps, bytes that no tensor owns) is refused here too, so
that the converter is not started on it.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from edgeeval.errors import ModelFileError

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000
"""The library's own limit."""
_MAX_MESSAGE = 200
_BITS = {
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
"""Data type -> bits an element."""


@dataclass(frozen=True)
class StoredTensor:
    """A line of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    """First byte, counted from where the data begins."""
    end: int

    @property
    def n_params(self) -> int:
        """Elements."""
        return math.prod(self.shape)


class _Broken(Exception):
    """The bytes are not what the format says; the message says where."""


def read_safetensors(path: Path) -> tuple[StoredTensor, ...]:
    """Read what a file holds, in the order of its data.

    Raises:
        ModelFileError: the file is missing, not safetensors, broken or truncated.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if size_bytes < _LENGTH_BYTES + length:
                raise _Broken("it ends inside the header")
            if length > _MAX_HEADER_BYTES:
                raise _Broken(f"the header claims {length} bytes")
            header = _parse(file.read(length))
        return _tensors(header, size_bytes - _LENGTH_BYTES - length)
    except _Broken as error:
        raise ModelFileError(
            f"{path}: not a safetensors file, or broken: {str(error)[:_MAX_MESSAGE]}; get it again"
        ) from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is given twice: readers differ on which one counts."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise _Broken("a name stands twice in the header")
    return values


def _parse(data: bytes) -> dict[str, Any]:
    if not data.startswith(b"{"):
        raise _Broken("the header is not JSON")
    try:
        header = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _Broken("the header is not JSON") from None
    assert isinstance(header, dict)  # it begins with a brace
    return header


def _tensors(header: dict[str, Any], data_bytes: int) -> tuple[StoredTensor, ...]:
    """Read the header's lines and hold them against the size of the data."""
    tensors = [_tensor(name, entry) for name, entry in header.items() if name != "__metadata__"]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    at = 0
    for tensor in tensors:
        if tensor.end > data_bytes:
            raise _Broken(f"it ends inside tensor {tensor.name!r}")
        if tensor.start != at:
            raise _Broken(f"tensor {tensor.name!r} does not begin where the one before it ends")
        at = tensor.end
    if at != data_bytes:
        raise _Broken(f"{data_bytes - at} bytes at its end belong to no tensor")
    return tuple(tensors)


def _whole_numbers(value: Any) -> TypeGuard[list[int]]:
    """Tell a list of whole numbers; JSON's true and false are no numbers, though Python's are."""
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _tensor(name: str, entry: Any) -> StoredTensor:
    if not isinstance(entry, dict):
        raise _Broken(f"tensor {name!r} is not described")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise _Broken(f"tensor {name!r} has the unknown type {dtype!r}")
    if not _whole_numbers(shape) or not _whole_numbers(offsets) or len(offsets) != 2:
        raise _Broken(f"tensor {name!r} has no usable shape and data_offsets")
    tensor = StoredTensor(name, dtype, tuple(shape), offsets[0], offsets[1])
    if 8 * (tensor.end - tensor.start) != tensor.n_params * _BITS[dtype]:
        raise _Broken(f"tensor {name!r}: its bytes do not match its shape")
    return tensor
