"""The quantization types that llama.cpp writes, by the names users know.

The table is the engine's own enum (`llama_ftype` in llama.h) without what it cannot write; a test
holds it against the installed engine. Sizes are what llama.cpp's documentation gives for a dense
model whose rows 256 divides; they serve estimates, and the file's own tensor table is the truth.
"""

from typing import NamedTuple

from edgeeval.ggml import tensor_types


class QuantizationType(NamedTuple):
    """One type that a whole file can be written as."""

    bpw: float
    """Bits per weight of a dense model, about."""
    needs_imatrix: bool = False
    """Whether llama.cpp refuses to write it without an importance matrix."""
    note: str = ""
    """What a person must know who takes it for something else."""


_TERNARY = "made for models that were trained ternary; it destroys any other"

QUANTIZATION_TYPES: dict[str, QuantizationType] = {
    "F32": QuantizationType(32.0),
    "F16": QuantizationType(16.0),
    "BF16": QuantizationType(16.0),
    "Q8_0": QuantizationType(8.5),
    "Q6_K": QuantizationType(6.56),
    "Q5_K_M": QuantizationType(5.7),
    "Q5_K_S": QuantizationType(5.57),
    "Q5_1": QuantizationType(6.0),
    "Q5_0": QuantizationType(5.5),
    "Q4_K_M": QuantizationType(4.89),
    "Q4_K_S": QuantizationType(4.67),
    "Q4_1": QuantizationType(5.0),
    "Q4_0": QuantizationType(4.5),
    "IQ4_NL": QuantizationType(4.68),
    "IQ4_XS": QuantizationType(4.46),
    "Q3_K_L": QuantizationType(4.3),
    "Q3_K_M": QuantizationType(4.0),
    "Q3_K_S": QuantizationType(3.64),
    "IQ3_M": QuantizationType(3.76),
    "IQ3_S": QuantizationType(3.66),
    "IQ3_XS": QuantizationType(3.5, True),
    "IQ3_XXS": QuantizationType(3.25, True),
    "Q2_K": QuantizationType(3.16),
    "Q2_K_S": QuantizationType(2.97, True),
    "IQ2_M": QuantizationType(2.93, True),
    "IQ2_S": QuantizationType(2.74, True),
    "IQ2_XS": QuantizationType(2.59, True),
    "IQ2_XXS": QuantizationType(2.38, True),
    "IQ1_M": QuantizationType(2.15, True),
    "IQ1_S": QuantizationType(2.0, True),
    "TQ2_0": QuantizationType(2.06, note=_TERNARY),
    "TQ1_0": QuantizationType(1.69, note=_TERNARY),
    "Q2_0": QuantizationType(2.25, note=_TERNARY),
    "Q1_0": QuantizationType(1.13, note="made for models that were trained binary"),
    "MXFP4_MOE": QuantizationType(
        4.25,
        note="only the experts of a mixture-of-experts model become MXFP4, everything else Q8_0: "
        "a dense model comes out as Q8_0",
    ),
}
"""Best first."""

READ_ONLY_TYPES = {"NVFP4": "llama.cpp reads it and cannot write it; give a ready-made file"}
"""Types of the engine's enum that its quantizer refuses, and what to do instead."""


_NOT_FOR_WEIGHTS = {"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K", "NVFP4"}


def override_types() -> list[str]:
    """Return the types that a single tensor can be written as."""
    return [name for name in tensor_types() if name not in _NOT_FOR_WEIGHTS]
