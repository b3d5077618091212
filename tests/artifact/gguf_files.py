"""Write small GGUF files with the gguf package, whatever they are to hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, GGUFWriter

Zeros = tuple[GGMLQuantizationType, tuple[int, ...]]
"""Type and shape (rows first) of a tensor whose bytes are all zero."""

_KINDS = {
    str: GGUFValueType.STRING,
    bool: GGUFValueType.BOOL,
    int: GGUFValueType.UINT32,
    float: GGUFValueType.FLOAT32,
    list: GGUFValueType.ARRAY,
    bytes: GGUFValueType.ARRAY,
}


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    fields: Mapping[str, Any] | None = None,
    tensors: Mapping[str, npt.NDArray[Any] | Zeros] | None = None,
) -> Path:
    """Write a file with these metadata and tensors; a NaN, an escape, anything goes."""
    writer = GGUFWriter(path, architecture)
    for key, value in (fields or {}).items():
        if key == "general.alignment":
            writer.add_custom_alignment(value)
        else:
            writer.add_key_value(key, value, _KINDS[type(value)])
    for name, tensor in (tensors or {}).items():
        if isinstance(tensor, tuple):
            kind, shape = tensor
            block, block_bytes = GGML_QUANT_SIZES[kind]
            stored = (*shape[:-1], shape[-1] // block * block_bytes)
            writer.add_tensor(name, np.zeros(stored, np.uint8), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
