"""The types that llama.cpp stores tensors and files in: names, numbers, blocks.

The gguf package knows most of them; what the engine has and that package's release lacks stands
here, and a test holds both against the installed engine.
"""

from functools import cache
from typing import NamedTuple

UNQUANTIZED_TYPES = ("F32", "F16", "BF16")
"""What a model's reference may be stored in."""

_NEWER_TENSOR_TYPES = {"Q2_0": (42, 64, 18)}
_NEWER_FILE_TYPES = {"Q2_0": 41}


class TensorType(NamedTuple):
    """How the numbers of a tensor are stored."""

    name: str
    number: int
    """In a GGUF file (`ggml_type`)."""
    block: int
    """Weights that are stored together."""
    block_bytes: int


@cache
def tensor_types() -> dict[str, TensorType]:
    """Return every tensor type by its name."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    types = {
        kind.name: TensorType(kind.name, kind.value, *GGML_QUANT_SIZES[kind])
        for kind in GGMLQuantizationType
    }
    newer = {name: TensorType(name, *rest) for name, rest in _NEWER_TENSOR_TYPES.items()}
    return newer | types


@cache
def tensor_types_by_number() -> dict[int, TensorType]:
    """Return every tensor type by its number."""
    return {kind.number: kind for kind in tensor_types().values()}


@cache
def file_types_by_number() -> dict[int, str]:
    """Return what `general.file_type` may say: number -> the name users know."""
    from gguf import LlamaFileType

    types = {
        kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for kind in LlamaFileType
        if kind.name != "GUESSED"
    }
    return {number: name for name, number in _NEWER_FILE_TYPES.items()} | types
