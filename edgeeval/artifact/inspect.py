"""Say what a GGUF file really holds: a level's name is a label, its tensors are the truth."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeeval.artifact.header import ArrayField, TensorEntry
from edgeeval.artifact.splits import Part, read_parts, shard_paths
from edgeeval.errors import ModelFileError
from edgeeval.ggml import UNQUANTIZED_TYPES, file_types_by_number, tensor_types
from edgeeval.recipe.types import QUANTIZATION_TYPES
from edgeeval.records import Artifact, Provenance
from edgeeval.store import Workspace, digest, read_json, text_digest, write_json

_SUPERBLOCK = 256
"""Row widths that K-, IQ- and TQ-types can be cut into are multiples of this."""
_INSPECT_VERSION = 4
_CHUNK_BYTES = 1 << 22

_VOCABULARY_KEY = "tokenizer.ggml.tokens"
TEMPLATE_KEY = "tokenizer.chat_template"
TOKENIZER_KEYS = (
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

    @property
    def bpw(self) -> float:
        """Bits per weight."""
        return 8 * self.size_bytes / self.n_params


@dataclass(frozen=True)
class GgufInfo:
    """What stands in a GGUF file."""

    kind: str
    """`general.type`: "model", or such as "adapter", "mmproj", "imatrix"."""
    architecture: str
    name: str
    label: str
    """`general.file_type` by the name users know, or "unknown"."""
    quantization_version: int | None
    n_ctx_train: int | None
    n_vocab: int | None
    vocabulary_sha256: str
    tokenizer_sha256: str
    chat_template_sha256: str
    """These three as in `edgeeval.records.Artifact`."""
    imatrix: str
    n_files: int
    """1, or the parts of a split model."""
    size_bytes: int
    """Of all of them."""
    metadata: Mapping[str, Any]
    """Every key: a number, a text, or the `ArrayField` that stands for an array."""
    tensors: tuple[TensorInfo, ...]
    """None in a file that holds a vocabulary only."""

    @property
    def has_chat_template(self) -> bool:
        """Tell whether the file brings a chat template."""
        return bool(self.chat_template_sha256)

    @property
    def n_params(self) -> int:
        """Parameters over all tensors."""
        return sum(tensor.n_params for tensor in self.tensors)

    @property
    def bpw(self) -> float | None:
        """Bits per weight over all tensors; None where there are none."""
        n_bytes = sum(tensor.size_bytes for tensor in self.tensors)
        return 8 * n_bytes / self.n_params if self.tensors else None

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Return what the metadata say of the architecture; the keys begin with its name."""
        start = f"{self.architecture}."
        return {key: value for key, value in self.metadata.items() if key.startswith(start)}

    def shares(self, *, fallback_only: bool = False) -> dict[str, float]:
        """Return tensor type -> share of all parameters, largest first."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors:
            if tensor.fell_back or not fallback_only:
                counts[tensor.type] += tensor.n_params
        return {kind: count / self.n_params for kind, count in counts.most_common()}


def _block_size(wanted: str) -> int:
    """Return the width of the blocks that a type, or a label's types, cut rows into."""
    if wanted in tensor_types():
        return tensor_types()[wanted].block
    return _SUPERBLOCK if wanted.startswith(("Q", "IQ", "TQ")) else 1


def _fell_back(wanted: str, entry: TensorEntry) -> bool:
    """Tell whether llama.cpp's `tensor_type_fallback` (llama-quant.cpp) chose a tensor's type.

    It does so exactly where a row cannot be cut into the wanted type's blocks. Tensors of one
    dimension, F32 and BF16 ones were never to be quantized: no fallback ends in those.
    """
    block = _block_size(wanted)
    return (
        entry.kind.name not in (wanted, "F32", "BF16")
        and len(entry.shape) > 1
        and entry.shape[0] % block != 0
        and entry.kind.block < block
    )


def read_gguf(path: Path, overrides: Mapping[str, str] | None = None) -> GgufInfo:
    """Read what a GGUF file holds, from its header and tensor table.

    Args:
        path: the file; of a split one, the first.
        overrides: regular expression -> tensor type: what a mix asked for.

    Raises:
        ModelFileError: it is missing, not GGUF, broken or truncated.
    """
    return _info(read_parts(path), overrides or {})


def _info(parts: Sequence[Part], overrides: Mapping[str, str]) -> GgufInfo:
    fields = parts[0].header.fields
    architecture = _text(fields, "general.architecture", "unknown")
    file_type = _number(fields, "general.file_type")
    label = "unknown" if file_type is None else file_types_by_number().get(file_type, "unknown")
    vocabulary = fields.get(_VOCABULARY_KEY)
    has_vocabulary = isinstance(vocabulary, ArrayField)
    template = fields.get(TEMPLATE_KEY)
    return GgufInfo(
        kind=_text(fields, "general.type", "model"),
        architecture=architecture,
        name=_text(fields, "general.name", ""),
        label=label,
        quantization_version=_number(fields, "general.quantization_version"),
        n_ctx_train=_number(fields, f"{architecture}.context_length"),
        n_vocab=vocabulary.length if isinstance(vocabulary, ArrayField) else None,
        vocabulary_sha256=_digest_of(fields, (_VOCABULARY_KEY,)) if has_vocabulary else "",
        tokenizer_sha256=_digest_of(fields, TOKENIZER_KEYS) if has_vocabulary else "",
        chat_template_sha256=text_digest(template) if isinstance(template, str) else "",
        imatrix=_imatrix_note(fields),
        n_files=len(parts),
        size_bytes=sum(part.header.size_bytes for part in parts),
        metadata=fields,
        tensors=tuple(
            TensorInfo(
                name=entry.name,
                type=entry.kind.name,
                shape=entry.shape,
                n_params=entry.n_params,
                size_bytes=entry.size_bytes,
                fell_back=_fell_back(_wanted(overrides, entry.name, label), entry),
            )
            for part in parts
            for entry in part.header.tensors
        ),
    )


def _text(fields: Mapping[str, Any], key: str, otherwise: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else otherwise


def _number(fields: Mapping[str, Any], key: str) -> int | None:
    value = fields.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _wanted(overrides: Mapping[str, str], name: str, label: str) -> str:
    """Return the type that a mix asked for, or the label, which stands for llama.cpp's choice."""
    return next((kind for pattern, kind in overrides.items() if re.search(pattern, name)), label)


def _digest_of(fields: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Hash metadata values; an array stands for its own hash."""
    values = [fields.get(key) for key in keys]
    return digest([one.sha256 if isinstance(one, ArrayField) else str(one) for one in values])


def _imatrix_note(fields: Mapping[str, Any]) -> str:
    """Return what llama-quantize wrote of the imatrix: dataset (or file) and chunks."""
    keys = ("quantize.imatrix.dataset", "quantize.imatrix.file")
    name = next((text for key in keys if (text := _text(fields, key, ""))), "")
    chunks = _number(fields, "quantize.imatrix.chunks_count")
    return f"{name}, {chunks} chunks" if name and chunks is not None else name


def tensor_digests(path: Path) -> dict[str, str]:
    """Hash the data of every tensor of a file; reads all of it.

    Args:
        path: the file; of a split one, the first.

    Returns:
        Tensor name -> sha256.

    Raises:
        ModelFileError: as `read_gguf`.
    """
    return _digests(read_parts(path))


def _digests(parts: Sequence[Part]) -> dict[str, str]:
    digests = {}
    for part in parts:
        with part.path.open("rb") as file:
            for entry in part.header.tensors:
                hasher = hashlib.sha256()
                file.seek(entry.start)
                left = entry.size_bytes
                while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
                    hasher.update(chunk)
                    left -= len(chunk)
                digests[entry.name] = hasher.hexdigest()
    return digests


def weights_sha256(info: GgufInfo, digests: Mapping[str, str]) -> str:
    """Hash what a model computes with: architecture, hyperparameters, tensors and their data.

    In what order a file holds its tensors, how it pads them, and in how many files they are makes
    no difference.

    Args:
        info: what stands in the file.
        digests: of its tensors' data, as `tensor_digests` returns them.
    """
    keys = sorted(info.hyperparameters)
    table = [[one.name, one.type, one.shape, digests[one.name]] for one in info.tensors]
    return digest([info.architecture, keys, _digest_of(info.metadata, keys), sorted(table)])


def summary(info: GgufInfo) -> dict[str, Any]:
    """Return what an artifact's record says of its file, rounded for people."""
    fallback = info.shares(fallback_only=True)
    return {
        "size_bytes": info.size_bytes,
        "architecture": info.architecture,
        "label": info.label,
        "n_params": info.n_params,
        "bpw": None if info.bpw is None else round(info.bpw, 4),
        "type_shares": {kind: round(share, 6) for kind, share in info.shares().items()},
        "fallback_share": round(sum(fallback.values(), 0.0), 6),
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
        ModelFileError: as `read_gguf`, or there are no tensors in it.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    hashes = [workspace.file_sha256(part) for part in shard_paths(path)]
    sha256 = hashes[0] if len(hashes) == 1 else digest(hashes)
    key = digest([sha256, overrides or {}])[:16] if overrides else sha256
    cached = workspace.folder("inspected") / f"{key}-{_INSPECT_VERSION}.json"
    if not cached.exists():
        parts = read_parts(path)
        info = _info(parts, overrides or {})
        if not info.tensors:
            raise ModelFileError(f"{path}: a GGUF file without tensors: nothing can run it")
        weights = weights_sha256(info, _digests(parts))
        table = [[one.name, one.type, one.shape, one.size_bytes] for one in info.tensors]
        write_json(cached, summary(info) | {"weights_sha256": weights, "tensors": table})
    known = read_json(cached)
    known.pop("tensors")  # the table stays with the file's record; results would be all table
    return Artifact(
        name=name,
        path=str(path),
        sha256=sha256,
        source=source,
        provenance=provenance or Provenance("given", str(path)),
        **known,
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


def broken_promise(name: str, artifact: Artifact) -> str:
    """Say that a level was never quantized although its name or its label says so, or nothing."""
    if not artifact.type_shares or quantized_types(artifact.type_shares):
        return ""
    words = {word.upper() for word in re.split(r"[^A-Za-z0-9_]+", f"{name} {artifact.label}")}
    promised = sorted(words & QUANTIZATION_TYPES.keys() - {*UNQUANTIZED_TYPES})
    if not promised:
        return ""
    held = ", ".join(artifact.type_shares)
    return f"it says {' and '.join(promised)} and holds {held}: it was never quantized"
