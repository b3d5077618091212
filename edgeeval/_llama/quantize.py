"""Write a GGUF file at another quantization level, with llama.cpp's own quantizer.

The parameters are set as the llama-quantize tool sets them (tools/quantize/quantize.cpp), so that
the file comes out as that tool would write it.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeeval._llama.backend import (
    clear_messages,
    find_message,
    last_error,
    lib,
    native_time,
    start_backend,
)
from edgeeval.errors import WorkerFailed
from edgeeval.ggml import tensor_types

_STRING, _INTEGER = 3, 0  # llama_model_kv_override_type
_TEXT_BYTES = 127
"""Room for a text in llama.cpp's override record, its closing zero not counted."""


@dataclass(frozen=True)
class Mixture:
    """Which type each tensor gets, where it is not llama.cpp's own choice for the file type."""

    patterns: Mapping[str, str] = field(default_factory=dict)
    """Regular expression over tensor names -> tensor type; the first that is found decides."""
    token_embd: str | None = None
    output: str | None = None
    pure: bool = False
    leave_output_tensor: bool = False


@dataclass(frozen=True)
class Weighting:
    """An importance matrix, prepared for the quantizer."""

    file: str
    """Its name, for the file's metadata."""
    dataset: str
    n_chunks: int
    weights: Mapping[str, npt.NDArray[np.float32]]
    """Tensor name -> mean square of the activation a column (all experts in a row)."""


def file_types() -> dict[str, int]:
    """Return the quantization levels that the engine's enum knows, by the names users know."""
    names = {}
    for name, value in vars(lib).items():
        if name.startswith("LLAMA_FTYPE_") and name != "LLAMA_FTYPE_GUESSED":
            names[
                name.removeprefix("LLAMA_FTYPE_").removeprefix("MOSTLY_").removeprefix("ALL_")
            ] = value
    return names


def _patterns(patterns: Mapping[str, str]) -> Any:
    """Return the overrides as llama.cpp takes them; a record without a pattern ends the list."""
    records = (lib.llama_model_tensor_override * (len(patterns) + 1))()
    for record, (pattern, kind) in zip(records, patterns.items(), strict=False):
        record.pattern, record.type = pattern.lower().encode(), tensor_types()[kind].number
    return records


def _weights(weights: Mapping[str, npt.NDArray[np.float32]]) -> Any:
    records = (lib.llama_model_imatrix_data * (len(weights) + 1))()
    for record, (name, values) in zip(records, weights.items(), strict=False):
        record.name, record.size = name.encode(), values.size
        record.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return records


def _metadata(weighting: Weighting) -> Any:
    """Return the keys that llama-quantize adds for an imatrix; one without a name ends the list."""
    texts = {"file": weighting.file, "dataset": weighting.dataset}
    numbers = {"entries_count": len(weighting.weights), "chunks_count": weighting.n_chunks}
    records = (lib.llama_model_kv_override * (len(texts) + len(numbers) + 1))()
    at = 0
    for key, value in (texts | numbers).items():
        if not value:
            continue
        records[at].key = f"quantize.imatrix.{key}".encode()
        if isinstance(value, int):
            records[at].tag, records[at].value.val_i64 = _INTEGER, value
        else:
            cut = value.encode()[:_TEXT_BYTES]
            records[at].tag, records[at].value.val_str = _STRING, cut
        at += 1
    return records


def _parameters(
    file_type: str, n_threads: int, mixture: Mixture, weighting: Weighting | None
) -> Any:
    params = lib.llama_model_quantize_default_params()
    params.ftype = file_types()[file_type]
    params.nthread = n_threads
    params.allow_requantize = True
    params.pure = mixture.pure
    params.quantize_output_tensor = not mixture.leave_output_tensor
    if mixture.token_embd is not None:
        params.token_embedding_type = tensor_types()[mixture.token_embd].number
    if mixture.output is not None:
        params.output_tensor_type = tensor_types()[mixture.output].number
    if mixture.patterns:
        params.tt_overrides = _patterns(mixture.patterns)
    if weighting is not None:
        params.imatrix = _weights(weighting.weights)
        params.kv_overrides = _metadata(weighting)
    return params


def _run(source: Path, target: Path, params: Any, file_type: str) -> None:
    start_backend()
    clear_messages()
    with native_time.measured():
        status = lib.llama_model_quantize(
            str(source).encode(), str(target).encode(), ctypes.byref(params)
        )
    if status != 0:
        raise WorkerFailed(f"{source.name} to {file_type}: {last_error('no reason given')}")


def quantize(
    source: Path,
    target: Path,
    *,
    file_type: str,
    n_threads: int,
    mixture: Mixture | None = None,
    weighting: Weighting | None = None,
) -> None:
    """Write `source` at another quantization level.

    A source that is itself quantized is dequantized first (`allow_requantize`).

    Raises:
        WorkerFailed: llama.cpp reported a failure; the message carries its reason.
    """
    params = _parameters(file_type, n_threads, mixture or Mixture(), weighting)
    _run(source, target, params, file_type)


def quantized_bytes(source: Path, *, file_type: str, mixture: Mixture | None = None) -> int:
    """Return how many bytes of tensors `quantize` would write, to about 10 KiB; nothing is written.

    Raises:
        WorkerFailed: as `quantize`.
    """
    params = _parameters(file_type, 1, mixture or Mixture(), None)
    params.dry_run = True
    _run(source, source, params, file_type)
    size = find_message(r"quant size\s*=\s*([0-9.]+) MiB")
    if size is None:
        raise WorkerFailed(f"{source.name} to {file_type}: this llama.cpp does not tell the size")
    return int(float(size[1]) * (1 << 20))
