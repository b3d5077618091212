"""Read and write importance matrices in llama.cpp's formats.

A GGUF file with two tensors a weight: `NAME.in_sum2`, the sums of squares of what entered it, and
`NAME.counts`, over how many tokens. The older binary format (`.dat`), which uploaders still ship,
is read, not written. Sources: `tools/imatrix/imatrix.cpp`, `common/imatrix-loader.cpp` and
`tools/quantize/quantize.cpp` of llama.cpp. A file is untrusted: every count is held against its
size.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter

from edgeeval.artifact.header import Header, TensorEntry, is_gguf, read_header
from edgeeval.errors import ModelFileError, one_line
from edgeeval.store import replace_durably

_SUMS, _COUNTS = ".in_sum2", ".counts"
_DATASETS = "imatrix.datasets"
_CHUNK_COUNT = "imatrix.chunk_count"
_CHUNK_SIZE = "imatrix.chunk_size"
_KINDS = {np.float32: "F32", np.float64: "F64"}
_MAX_COUNT = 2**53
"""Beyond it a float64 does not hold every whole number."""


class ImatrixEntry(NamedTuple):
    """What is known of one weight."""

    in_sum2: npt.NDArray[np.floating[Any]]
    """Sums of squares, one an input column; the experts' one after the other. In the older format
    means, times `counts`."""
    counts: npt.NDArray[np.int64]
    """Tokens, one number an expert; in the older format, chunks."""


@dataclass(frozen=True)
class ImatrixData:
    """An importance matrix."""

    entries: dict[str, ImatrixEntry]
    """By the weight's name."""
    datasets: tuple[str, ...]
    """Names of the calibration texts."""
    chunk_count: int
    chunk_size: int
    """Tokens a chunk; 0 where the older format does not say."""
    is_legacy: bool = False
    """Read from the older format."""


class _ImatrixWriter(GGUFWriter):  # type: ignore[misc]  # the gguf package has no types
    def add_architecture(self) -> None:
        """Leave it out: an imatrix has none."""


def write_imatrix(path: Path, data: ImatrixData) -> None:
    """Write a GGUF imatrix as llama.cpp does, whole or not at all, in the sums' own precision."""
    temporary = path.with_suffix(".tmp")
    writer = _ImatrixWriter(temporary, "")
    writer.add_type("imatrix")
    writer.add_array(_DATASETS, list(data.datasets))
    writer.add_uint32(_CHUNK_COUNT, data.chunk_count)
    writer.add_uint32(_CHUNK_SIZE, data.chunk_size)
    for name, (in_sum2, counts) in sorted(data.entries.items()):
        by_expert = (len(counts), -1) if len(counts) > 1 else (-1,)
        writer.add_tensor(name + _SUMS, in_sum2.reshape(by_expert))
        writer.add_tensor(name + _COUNTS, counts.astype(in_sum2.dtype).reshape(by_expert))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        replace_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_imatrix(
    path: Path, *, precision: type[np.float32] | type[np.float64] = np.float32
) -> ImatrixData:
    """Read an imatrix of either format.

    Args:
        path: the file.
        precision: of its sums: float32, or float64 in edgeeval's own checkpoints.

    Raises:
        ModelFileError: it cannot be read, is no imatrix, or is broken.
    """
    try:
        if is_gguf(path):
            data = _read_gguf(path, precision)
        else:
            with path.open("rb") as file:
                data = _read_legacy(file)
        for name, (in_sum2, counts) in data.entries.items():
            if not np.isfinite(in_sum2).all() or (in_sum2 < 0).any() or (counts < 0).any():
                raise _Unusable(f"{name}: a sum of squares or a count is negative or not finite")
    except _Unusable as error:
        raise ModelFileError(f"{path}: {one_line(str(error))}") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from None
    return data


class _Unusable(Exception):
    """The file is no imatrix; the message says why."""


def _read_gguf(path: Path, precision: type[np.floating[Any]]) -> ImatrixData:
    header = read_header(path, arrays=(_DATASETS,))
    tables: dict[str, dict[str, TensorEntry]] = {_SUMS: {}, _COUNTS: {}}
    for tensor in header.tensors:
        for suffix, table in tables.items():
            if not tensor.name.endswith(suffix):
                continue
            name = tensor.name.removesuffix(suffix)
            if name in table or tensor.kind.name != _KINDS[precision]:
                raise _Unusable(
                    f"{tensor.name}: {tensor.kind.name}, or there twice; an imatrix holds "
                    f"{_KINDS[precision]} tensors, one of a name"
                )
            table[name] = tensor
    if not tables[_SUMS]:
        raise _Unusable(f"not an imatrix: none of its tensors is named *{_SUMS}")
    if unpaired := tables[_SUMS].keys() ^ tables[_COUNTS].keys():
        raise _Unusable(f"{min(unpaired)}: sums without counts, or counts without sums")
    raw = np.memmap(path, np.uint8, "r")
    entries = {}
    for name, tensor in tables[_SUMS].items():
        in_sum2 = _values(raw, tensor, precision)
        counts = _values(raw, tables[_COUNTS][name], precision)
        if len(in_sum2) % len(counts) or not (np.abs(counts) < _MAX_COUNT).all():
            raise _Unusable(f"{name}: its {len(counts)} counts cannot be right")
        whole = np.floor(counts.astype(np.float64) + 0.5).astype(np.int64)
        entries[name] = ImatrixEntry(in_sum2, whole)
    return ImatrixData(entries, *_metadata(header))


def _values(
    raw: npt.NDArray[np.uint8], tensor: TensorEntry, precision: type[np.floating[Any]]
) -> npt.NDArray[np.floating[Any]]:
    piece = raw[tensor.start : tensor.start + tensor.size_bytes]
    return np.array(piece).view(np.dtype(precision).newbyteorder("<"))


def _metadata(header: Header) -> tuple[tuple[str, ...], int, int]:
    """Return data sets, chunk count and chunk size; llama-quantize refuses a file without them."""
    datasets = header.fields.get(_DATASETS)
    if not isinstance(datasets, tuple) or not all(isinstance(text, str) for text in datasets):
        raise _Unusable(f"{_DATASETS} is missing or no list of texts")
    numbers = []
    for key in (_CHUNK_COUNT, _CHUNK_SIZE):
        number = header.fields.get(key)
        if not isinstance(number, int) or not 0 <= number < 2**32:
            raise _Unusable(f"{key} is missing or no whole number")
        numbers.append(number)
    return datasets, numbers[0], numbers[1]


def _read_legacy(file: BinaryIO) -> ImatrixData:
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)

    def take(n_bytes: int) -> bytes:
        if not 0 <= n_bytes <= size_bytes - file.tell():
            raise _Unusable("neither a GGUF file nor a whole imatrix in the older format")
        return file.read(n_bytes)

    def number() -> int:
        return int(struct.unpack("<i", take(4))[0])

    entries = {}
    for _ in range(number()):
        name = take(number()).decode("utf-8", "replace")
        n_chunks = number()
        sums = np.frombuffer(take(4 * number()), "<f4").astype(np.float32)
        if not len(sums):
            raise _Unusable(f"{name}: no sums")
        entries[name] = ImatrixEntry(sums, np.array([max(n_chunks, 0)]))
    if not entries:
        raise _Unusable("not an imatrix: no entries")
    chunk_count = 0
    datasets: tuple[str, ...] = ()
    if file.tell() < size_bytes:  # the oldest files end here
        chunk_count = max(number(), 0)
        datasets = (take(number()).decode("utf-8", "replace"),)
    return ImatrixData(entries, datasets, chunk_count, 0, is_legacy=True)


def quantizer_weights(data: ImatrixData) -> dict[str, npt.NDArray[np.float32]]:
    """Return what the quantizer weighs each column by: the mean square, as llama-quantize has it.

    Bit for bit, since a weight's last bit can turn a rounding. An expert that no token reached gets
    ones, which weigh all its columns alike.
    """
    weights = {}
    for name, (in_sum2, counts) in data.entries.items():
        sums = in_sum2.astype(np.float32).reshape(len(counts), -1)
        divisors = counts.astype(np.float32)[:, np.newaxis]
        otherwise = sums.copy() if data.is_legacy else np.ones_like(sums)
        weights[name] = np.divide(sums, divisors, out=otherwise, where=divisors > 0).ravel()
    return weights
