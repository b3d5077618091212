"""Say what a GGUF file really holds: a level's name is a label, its tensors are the truth."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeeval.artifact.header import ArrayField, Header, read_header
from edgeeval.artifact.splits import shard_paths
from edgeeval.errors import ModelFileError
from edgeeval.ggml import file_types_by_number, tensor_types
from edgeeval.recipe import UNQUANTIZED_TYPES
from edgeeval.records import Artifact, Provenance
from edgeeval.store import Workspace, digest, read_json, text_digest, write_json

_SUPERBLOCK = 256
"""Row widths that K-, IQ- and TQ-types can be cut into are multiples of this."""
_INSPECT_VERSION = 2
_CHUNK_BYTES = 1 << 22

_VOCABULARY_KEY = "tokenizer.ggml.tokens"
_TOKENIZER_KEYS = (
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    _VOCABULARY_KEY,
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.merges",
)
"""What decides how text becomes tokens. Which token pads or ends a text is left out: uploaders
mend those, and the token ids of an evaluation do not change with them."""


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
    vocabulary_sha256: str
    tokenizer_sha256: str
    chat_template_sha256: str
    """These three as in `edgeeval.records.Artifact`."""
    imatrix: str
    n_files: int
    """1, or the parts of a split model."""
    tensors: tuple[TensorInfo, ...]

    @property
    def has_chat_template(self) -> bool:
        """Tell whether the file brings a chat template."""
        return bool(self.chat_template_sha256)

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


def _block_size(label: str) -> int:
    """Return the width of the blocks that a label's type cuts rows into."""
    if label in tensor_types():
        return tensor_types()[label].block
    return _SUPERBLOCK if label.startswith(("Q", "IQ", "TQ")) else 1


def _fell_back(label: str, kind: str, shape: tuple[int, ...], block_size: int) -> bool:
    """Tell whether llama.cpp's `tensor_type_fallback` (llama-quant.cpp) chose this type.

    It does so exactly where a row cannot be cut into the wanted type's blocks. Tensors of one
    dimension, F32 and BF16 ones were never to be quantized: no fallback ends in those.
    """
    wanted = _block_size(label)
    return (
        len(shape) > 1
        and kind not in ("F32", "BF16")
        and shape[0] % wanted != 0
        and block_size < wanted
    )


def read_gguf(path: Path, overrides: Mapping[str, str] | None = None) -> GgufInfo:
    """Read what a GGUF file holds, from its header and tensor table.

    Args:
        path: the file; of a split one, the first.
        overrides: regular expression -> tensor type: what a mix asked for fell back from nothing.

    Raises:
        ModelFileError: it is missing, not GGUF, broken, truncated, or has no tensors.
    """
    return _info(path, [read_header(part) for part in shard_paths(path)], overrides or {})


def _info(path: Path, headers: Sequence[Header], overrides: Mapping[str, str]) -> GgufInfo:
    entries = [entry for header in headers for entry in header.tensors]
    if not entries:
        raise ModelFileError(f"{path}: a GGUF file without tensors")
    fields = headers[0].fields
    if fields.get("split.tensors.count", len(entries)) != len(entries):
        raise ModelFileError(f"{path}: its parts do not belong together; get them all again")
    number = fields.get("general.file_type")
    label = file_types_by_number().get(number, "unknown") if isinstance(number, int) else "unknown"
    architecture = str(fields.get("general.architecture", "unknown"))
    n_ctx_train = fields.get(f"{architecture}.context_length")
    vocabulary = fields.get(_VOCABULARY_KEY)
    has_vocabulary = isinstance(vocabulary, ArrayField)
    template = fields.get("tokenizer.chat_template")
    return GgufInfo(
        architecture=architecture,
        name=str(fields.get("general.name", "")),
        label=label,
        n_ctx_train=n_ctx_train if isinstance(n_ctx_train, int) else None,
        n_vocab=vocabulary.length if isinstance(vocabulary, ArrayField) else None,
        vocabulary_sha256=_digest_of(fields, (_VOCABULARY_KEY,)) if has_vocabulary else "",
        tokenizer_sha256=_digest_of(fields, _TOKENIZER_KEYS) if has_vocabulary else "",
        chat_template_sha256=text_digest(template) if isinstance(template, str) else "",
        imatrix=_imatrix_note(fields),
        n_files=len(headers),
        tensors=tuple(
            TensorInfo(
                name=entry.name,
                type=entry.kind.name,
                shape=entry.shape,
                n_params=entry.n_params,
                size_bytes=entry.size_bytes,
                fell_back=not _was_asked_for(overrides, entry.name, entry.kind.name)
                and _fell_back(label, entry.kind.name, entry.shape, entry.kind.block),
            )
            for entry in entries
        ),
    )


def _was_asked_for(overrides: Mapping[str, str], name: str, kind: str) -> bool:
    return next((one for pattern, one in overrides.items() if re.search(pattern, name)), "") == kind


def _digest_of(fields: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Hash metadata values; an array stands for its own hash."""
    values = [fields.get(key) for key in keys]
    return digest([one.sha256 if isinstance(one, ArrayField) else str(one) for one in values])


def _imatrix_note(fields: Mapping[str, Any]) -> str:
    """Return what llama-quantize wrote of the imatrix: dataset (or file) and chunks."""
    name = fields.get("quantize.imatrix.dataset") or fields.get("quantize.imatrix.file")
    chunks = fields.get("quantize.imatrix.chunks_count")
    if name is None:
        return ""
    return f"{name}, {chunks} chunks" if chunks is not None else str(name)


def _weights_sha256(parts: Sequence[Path], headers: Sequence[Header], architecture: str) -> str:
    """Hash what a model computes with: hyperparameters, tensor table, tensor data."""
    fields = headers[0].fields
    keys = sorted(key for key in fields if key.startswith(f"{architecture}."))
    hasher = hashlib.sha256(digest([keys, _digest_of(fields, keys)]).encode())
    for part, header in zip(parts, headers, strict=True):
        table = [
            [one.name, one.kind.name, one.shape, one.start - header.data_start]
            for one in header.tensors
        ]
        hasher.update(digest(table).encode())
        with part.open("rb") as file:
            file.seek(header.data_start)
            while chunk := file.read(_CHUNK_BYTES):
                hasher.update(chunk)
    return hasher.hexdigest()


def summary(path: Path, info: GgufInfo) -> dict[str, Any]:
    """Return what an artifact's record says of its file, rounded for people."""
    fallback = info.shares(fallback_only=True)
    return {
        "size_bytes": sum(part.stat().st_size for part in shard_paths(path)),
        "architecture": info.architecture,
        "label": info.label,
        "n_params": info.n_params,
        "bpw": round(info.bpw, 4),
        "type_shares": {kind: round(share, 6) for kind, share in info.shares().items()},
        "fallback_share": round(sum(fallback.values()), 6),
        "fallback_types": {kind: round(share, 6) for kind, share in fallback.items()},
        "vocabulary_sha256": info.vocabulary_sha256,
        "tokenizer_sha256": info.tokenizer_sha256,
        "chat_template_sha256": info.chat_template_sha256,
        "imatrix": info.imatrix,
    }


def describe(
    workspace: Workspace,
    path: Path,
    *,
    name: str,
    source: str,
    provenance: Provenance | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Artifact:
    """Return a file's record; what was read is kept by the file's hash.

    Args:
        workspace: keeps what was read.
        path: the file; of a split one, the first.
        name: the record's name.
        source: where the file comes from, in words.
        provenance: the same as a record; "given" by default.
        overrides: as in `read_gguf`.

    Raises:
        ModelFileError: as `read_gguf`.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    parts = shard_paths(path)
    hashes = [workspace.file_sha256(part) for part in parts]
    sha256 = hashes[0] if len(hashes) == 1 else digest(hashes)
    key = digest([sha256, overrides or {}])[:16] if overrides else sha256
    cached = workspace.folder("inspected") / f"{key}-{_INSPECT_VERSION}.json"
    if not cached.exists():
        headers = [read_header(part) for part in parts]
        info = _info(path, headers, overrides or {})
        weights = _weights_sha256(parts, headers, info.architecture)
        write_json(cached, summary(path, info) | {"weights_sha256": weights})
    return Artifact(
        name=name,
        path=str(path),
        sha256=sha256,
        source=source,
        provenance=provenance or Provenance("given", str(path)),
        **read_json(cached),
    )


def keep_record(artifact: Artifact) -> None:
    """Write a built file's record beside it; it stays when the file is deleted."""
    write_json(Path(artifact.path).with_suffix(".json"), asdict(artifact))


def kept_record(path: Path, name: str) -> Artifact | None:
    """Return the record of a file that was built before, whether or not it is still there."""
    record = path.with_suffix(".json")
    if not record.exists():
        return None
    fields = read_json(record)
    provenance = Provenance(**fields.pop("provenance"))
    return Artifact(**fields | {"name": name, "path": str(path), "provenance": provenance})


def quantized_types(type_shares: Mapping[str, float]) -> list[str]:
    """Return the types that are not plain floats, in the order given: none if unquantized."""
    return [kind for kind in type_shares if kind not in (*UNQUANTIZED_TYPES, "F64")]
