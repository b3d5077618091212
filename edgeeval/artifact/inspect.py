"""Say what a GGUF file really holds: a level's name is a label, its tensors are the truth."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeeval.artifact.header import ArrayField, read_header
from edgeeval.errors import ModelFileError
from edgeeval.recipe import UNQUANTIZED_TYPES
from edgeeval.records import Artifact
from edgeeval.store import Workspace, read_json, write_json

_SUPERBLOCK = 256
"""Row widths that K-, IQ- and TQ-types can be cut into are multiples of this."""
_INSPECT_VERSION = 1


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file."""

    name: str
    type: str
    shape: tuple[int, ...]
    """As GGUF stores it: the row's width first."""
    n_params: int
    size_bytes: int
    fell_back: bool


@dataclass(frozen=True)
class GgufInfo:
    """What stands in a GGUF file."""

    architecture: str
    name: str
    label: str
    """`general.file_type` by the name users know, or "unknown"."""
    n_ctx_train: int | None
    n_vocab: int | None
    has_chat_template: bool
    tensors: tuple[TensorInfo, ...]

    @property
    def n_params(self) -> int:
        """Parameters over all tensors."""
        return sum(tensor.n_params for tensor in self.tensors)

    @property
    def bpw(self) -> float:
        """Bits per weight over all tensors."""
        return 8 * sum(tensor.size_bytes for tensor in self.tensors) / self.n_params

    def shares(self, *, fallback_only: bool = False) -> dict[str, float]:
        """Return tensor type -> share of all parameters, largest first."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors:
            if tensor.fell_back or not fallback_only:
                counts[tensor.type] += tensor.n_params
        return {kind: count / self.n_params for kind, count in counts.most_common()}


def _uses_superblocks(label: str) -> bool:
    return "_K" in label or label.startswith("TQ") or (label.startswith("IQ") and label != "IQ4_NL")


def _fell_back(label: str, kind: str, shape: tuple[int, ...], block_size: int) -> bool:
    """Tell whether llama.cpp's `tensor_type_fallback` (llama-quant.cpp) chose this type.

    It does so exactly where a row cannot be cut into the wanted type's blocks. Tensors of one
    dimension, F32 and BF16 ones were never to be quantized: no fallback ends in those.
    """
    return (
        _uses_superblocks(label)
        and len(shape) > 1
        and kind not in ("F32", "BF16")
        and shape[0] % _SUPERBLOCK != 0
        and block_size < _SUPERBLOCK
    )


def read_gguf(path: Path) -> GgufInfo:
    """Read what a GGUF file holds, from its header and tensor table.

    Raises:
        ModelFileError: it is missing, not GGUF, broken, truncated, or has no tensors.
    """
    from gguf import GGML_QUANT_SIZES, LlamaFileType

    header = read_header(path)
    if not header.tensors:
        raise ModelFileError(f"{path}: a GGUF file without tensors")
    fields = header.fields
    number, label = fields.get("general.file_type"), "unknown"
    if number in set(LlamaFileType):
        label = LlamaFileType(number).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    architecture = str(fields.get("general.architecture", "unknown"))
    n_ctx_train = fields.get(f"{architecture}.context_length")
    vocabulary = fields.get("tokenizer.ggml.tokens")
    return GgufInfo(
        architecture=architecture,
        name=str(fields.get("general.name", "")),
        label=label,
        n_ctx_train=n_ctx_train if isinstance(n_ctx_train, int) else None,
        n_vocab=vocabulary.length if isinstance(vocabulary, ArrayField) else None,
        has_chat_template="tokenizer.chat_template" in fields,
        tensors=tuple(
            TensorInfo(
                name=entry.name,
                type=entry.kind.name,
                shape=entry.shape,
                n_params=entry.n_params,
                size_bytes=entry.size_bytes,
                fell_back=_fell_back(
                    label, entry.kind.name, entry.shape, GGML_QUANT_SIZES[entry.kind][0]
                ),
            )
            for entry in header.tensors
        ),
    )


def summary(path: Path, info: GgufInfo) -> dict[str, Any]:
    """Return what an artifact's record says of its file, rounded for people."""
    fallback = info.shares(fallback_only=True)
    return {
        "size_bytes": path.stat().st_size,
        "architecture": info.architecture,
        "label": info.label,
        "n_params": info.n_params,
        "bpw": round(info.bpw, 4),
        "type_shares": {kind: round(share, 6) for kind, share in info.shares().items()},
        "fallback_share": round(sum(fallback.values()), 6),
        "fallback_types": {kind: round(share, 6) for kind, share in fallback.items()},
    }


def describe(workspace: Workspace, path: Path, *, name: str, source: str) -> Artifact:
    """Return a file's record; what was read is kept by the file's hash.

    Raises:
        ModelFileError: as `read_gguf`.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    sha256 = workspace.file_sha256(path)
    cached = workspace.folder("inspected") / f"{sha256}-{_INSPECT_VERSION}.json"
    if not cached.exists():
        write_json(cached, summary(path, read_gguf(path)))
    return Artifact(name=name, path=str(path), sha256=sha256, source=source, **read_json(cached))


def quantized_types(type_shares: Mapping[str, float]) -> list[str]:
    """Return the types that are not plain floats, in the order given: none if unquantized."""
    return [kind for kind in type_shares if kind not in (*UNQUANTIZED_TYPES, "F64")]
