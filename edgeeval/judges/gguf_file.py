"""Write a classifier as a GGUF file, and say what such a file holds.

llama.cpp's converter is not used: it drops BERT's pooler, and it wants to know a tokenizer's hash.
The file has no vocabulary of llama.cpp's own. It carries `tokenizer.json`, and the tokenizers
library reads that, so that token ids are the original's on every text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeeval.artifact.header import read_header
from edgeeval.artifact.safetensors import StoredTensor
from edgeeval.errors import ModelFileError
from edgeeval.judges.checkpoint import ACTIVATIONS, Classifier
from edgeeval.judges.shape import weights_of

FILE_TYPES = ("F32", "F16", "Q8_0")
_ARCHITECTURE = "bert"
_KEY = "edgeeval.judge"
_LABELS = f"{_ARCHITECTURE}.classifier.output_labels"
TOKENIZER = "tokenizer.huggingface.json"
"""Where GGUF files keep the text of a tokenizer.json."""
_FILE_VERSION = 1
_STATED = {
    "source": str,
    "file_type": str,
    "primary": str,
    "activation": str,
    "max_tokens": int,
    "truncation_side": str,
    "padding_id": int,
    "difference": float,
    "n_probes": int,
}
"""What a file states of itself under `edgeeval.judge`; fields of `JudgeFile`."""
_ALWAYS_F32 = ("position_embd", "token_types", "cls", "cls.output")
"""Small, and what they hold goes into every answer; the matrices between them are the size."""
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class JudgeFile:
    """What a judge's file says of itself."""

    path: Path
    description: str
    source: str
    """What it was built from."""
    file_type: str
    labels: tuple[str, ...]
    primary: str
    activation: str
    max_tokens: int
    truncation_side: str
    padding_id: int
    """A token that is left out where a text itself has it; -1: none is."""
    difference: float
    """Largest difference of a probability from PyTorch's, over the probe texts."""
    n_probes: int
    """Texts that it was compared on."""


def read_judge_file(path: Path) -> JudgeFile:
    """Read a judge's metadata.

    Raises:
        ModelFileError: the file is missing, broken, or no judge.
    """
    fields: dict[str, Any] = dict(read_header(path, arrays=(_LABELS,)).fields)
    stated: dict[str, Any] = {name: fields.get(f"{_KEY}.{name}") for name in _STATED}
    labels: Any = fields.get(_LABELS)
    whole = (
        fields.get(f"{_KEY}.version") == _FILE_VERSION
        and isinstance(fields.get(TOKENIZER), str)
        and isinstance(labels, tuple)
        and all(isinstance(label, str) for label in labels)
        and all(isinstance(stated[name], kind) for name, kind in _STATED.items())
    )
    if not whole or stated["activation"] not in ACTIVATIONS or stated["primary"] not in labels:
        raise ModelFileError(f"{path}: not a judge's file; edgeeval judge build makes one")
    description = str(fields.get("general.description", ""))
    return JudgeFile(path=path, description=description, labels=labels, **stated)


def read_tokenizer(path: Path) -> str:
    """Return the tokenizer.json that a judge's file carries."""
    return str(read_header(path).fields[TOKENIZER])


def write_judge_file(
    path: Path,
    classifier: Classifier,
    file_type: str,
    *,
    name: str,
    source: str,
    description: str,
    tokenizer: str,
    truncation_side: str,
    n_probes: int,
) -> None:
    """Write a classifier; how far it is from PyTorch is not known yet (`set_difference`)."""
    import gguf

    writer = gguf.GGUFWriter(path, _ARCHITECTURE)
    shape = classifier.shape
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_description(description)
    writer.add_file_type(gguf.LlamaFileType[_LLAMA_NAMES[file_type]])
    writer.add_vocab_size(shape.n_vocab)
    writer.add_context_length(classifier.shape.n_positions)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_heads)
    writer.add_layer_norm_eps(shape.norm_epsilon)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_classifier_output_labels(list(classifier.labels))
    writer.add_tokenizer_model("no_vocab")
    writer.add_token_type_count(shape.n_token_types)
    writer.add_string(TOKENIZER, tokenizer)
    writer.add_uint32(f"{_KEY}.version", _FILE_VERSION)
    writer.add_string(f"{_KEY}.source", source)
    writer.add_string(f"{_KEY}.file_type", file_type)
    writer.add_string(f"{_KEY}.primary", classifier.primary)
    writer.add_string(f"{_KEY}.activation", classifier.activation)
    writer.add_uint32(f"{_KEY}.max_tokens", classifier.max_tokens)
    writer.add_string(f"{_KEY}.truncation_side", truncation_side)
    writer.add_uint32(f"{_KEY}.n_probes", n_probes)
    writer.add_int32(f"{_KEY}.padding_id", -1 if shape.padding_id is None else shape.padding_id)
    writer.add_float32(f"{_KEY}.difference", -1.0)
    try:
        _write_tensors(writer, classifier, file_type)
    finally:
        writer.close()


_LLAMA_NAMES = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "Q8_0": "MOSTLY_Q8_0"}


def _write_tensors(writer: Any, classifier: Classifier, file_type: str) -> None:
    """Write every tensor; none is held longer than it takes to write it."""
    import gguf

    kinds = []
    for target, _, shape in _sources(classifier):
        kind = gguf.GGMLQuantizationType[_kind_of(target, shape, file_type)]
        kinds.append(kind)
        stored = gguf.quant_shape_to_byte_shape(shape, kind) if kind.name == "Q8_0" else shape
        dtype = {"F32": np.float32, "F16": np.float16, "Q8_0": np.uint8}[kind.name]
        n_bytes = int(np.prod(stored, dtype=np.int64)) * np.dtype(dtype).itemsize
        writer.add_tensor_info(target, stored, np.dtype(dtype), n_bytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for (_, source, _), kind in zip(_sources(classifier), kinds, strict=True):
        values = _read(classifier, source)
        writer.write_tensor_data(gguf.quants.quantize(values, kind))


def _sources(classifier: Classifier) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield name here, name there and shape here of every tensor."""
    for weight in weights_of(classifier.shape):
        shape = weight.shape
        if weight.target == "position_embd.weight":
            shape = (classifier.shape.n_positions, shape[1])
        yield weight.target, weight.source, shape


def _kind_of(target: str, shape: tuple[int, ...], file_type: str) -> str:
    name = target.rsplit(".", 1)[0]
    if len(shape) < 2 or name in _ALWAYS_F32:
        return "F32"
    if file_type == "Q8_0" and shape[-1] % 32:
        return "F16"
    return file_type


def _read(classifier: Classifier, source: str) -> npt.NDArray[np.float32]:
    """Return a tensor of the checkpoint as float32, its unused positions cut off."""
    tensor = classifier.tensors[source]
    with classifier.weights.open("rb") as file:
        start = _LENGTH_BYTES + int.from_bytes(file.read(_LENGTH_BYTES), "little")
        file.seek(start + tensor.start)
        values = _as_float32(file.read(tensor.end - tensor.start), tensor)
    padding = classifier.shape.padding_id
    if source.endswith(".position_embeddings.weight") and padding is not None:
        values = values[padding + 1 :]
    return np.ascontiguousarray(values)


def _as_float32(data: bytes, tensor: StoredTensor) -> npt.NDArray[np.float32]:
    if tensor.dtype == "BF16":
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)
        return bits.view(np.float32).reshape(tensor.shape)
    dtype = {"F32": "<f4", "F16": "<f2"}[tensor.dtype]
    return np.frombuffer(data, dtype).astype(np.float32).reshape(tensor.shape)


def set_difference(path: Path, difference: float) -> None:
    """Store in a written file how far its answers are from PyTorch's."""
    import gguf

    reader = gguf.GGUFReader(path, "r+")
    field = reader.fields[f"{_KEY}.difference"]
    field.parts[field.data[0]][0] = difference
    reader.data.flush()
