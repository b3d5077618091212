"""Speak to llama.cpp: the only package that imports llama_cpp, and only its low-level API.

Nothing here knows of prompt sets, items or metrics. Everything here runs inside a worker process,
because native code may abort the process that calls it.

    backend.py   load the library, its error lines, its build
    model.py     a model, its vocabulary, decoding
    classifier.py  a text classifier
    quantize.py  its quantizer
"""

from edgeeval._llama.backend import EngineBuild, engine_build, ggml, native_time
from edgeeval._llama.classifier import MAX_SEQUENCES, Classifier
from edgeeval._llama.model import Context, Logits, Model, Row, Vocabulary
from edgeeval._llama.quantize import (
    Mixture,
    Weighting,
    file_types,
    quantize,
    quantized_bytes,
)

__all__ = [
    "MAX_SEQUENCES",
    "Classifier",
    "Context",
    "EngineBuild",
    "Logits",
    "Mixture",
    "Model",
    "Row",
    "Vocabulary",
    "Weighting",
    "engine_build",
    "file_types",
    "ggml",
    "native_time",
    "quantize",
    "quantized_bytes",
]
