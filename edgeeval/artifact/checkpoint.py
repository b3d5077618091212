"""Say what a Hugging Face folder holds, and refuse early what cannot be converted.

A folder is untrusted: JSON may be anything, an index may name files elsewhere, a link may point
anywhere. The rule for links: what a file of the folder points to must lie in the folder itself or,
for a snapshot in the Hugging Face cache (models--NAME/snapshots/REVISION), in that model's own
folder there, where the cache keeps the bytes (models--NAME/blobs). Nothing of the folder is run.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeeval.artifact.safetensors import StoredTensor, read_safetensors
from edgeeval.errors import ModelFileError

_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors")
_MAX_JSON_BYTES = 64 << 20
_READ_SUFFIXES = (".json", ".jsonl", ".jinja", ".md", ".model", ".tiktoken", ".txt")
"""What the converter may read beside the weights: configuration, tokenizer, template, card."""
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.jsonl", "tekken.json", "vocab.json", "vocab.txt")
_TOKENIZER_SUFFIXES = (".model", ".tiktoken")
_BUILT_IN_TOKENIZER = ("Mamba", "OpenELM")
"""Architectures that the converter carries a tokenizer for; rwkv_vocab_*.txt is one too."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_SUB_CONFIGS = ("text_config", "llm_config", "lm_config", "language_config")
"""Where a model of several parts keeps its text model's configuration."""
_FLOATS = ("BF16", "F16", "F32")
"""Stored types that GGUF has too, by the same names."""


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face folder that looks whole."""

    folder: Path
    """Links resolved."""
    name: str
    """The repository's name in the cache, else the folder's."""
    architectures: tuple[str, ...]
    """What its configuration names, the model itself first, then its text part."""
    files: tuple[Path, ...]
    """Every file that the converter may read."""
    n_tensors: int
    params_by_type: Mapping[str, int]
    """Stored type -> parameters, largest first."""
    quantization: str | None
    """How the checkpoint itself is quantized (gptq, fp8, …): a file made of it is no original."""

    @property
    def n_params(self) -> int:
        """Elements over all tensors."""
        return sum(self.params_by_type.values())

    @property
    def own_type(self) -> str:
        """The float type that most of its parameters are stored in, F32 where GGUF has none."""
        return next((kind for kind in self.params_by_type if kind in _FLOATS), "F32")


def read_checkpoint(given: Path) -> Checkpoint:
    """Read what a folder holds, from its configuration and its weights' headers.

    Raises:
        ModelFileError: something is missing, broken, outside the folder, or pickled.
    """
    if not given.is_dir():
        raise ModelFileError(f"{given}: no such folder")
    folder = given.resolve()
    config = _config(folder)
    architectures = _architectures(folder, config)
    weight_map = _weight_map(folder)
    weights = _weights(folder, weight_map)
    tensors = _tensors(folder, weights, weight_map)
    files = _files(folder, weights)
    _require_tokenizer(folder, files, architectures[0])
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[tensor.dtype] += tensor.n_params
    if not sum(counts.values()):
        raise ModelFileError(f"{folder}: its safetensors files hold no parameters")
    _require_plausible(folder, config, len(tensors), sum(counts.values()))
    return Checkpoint(
        folder=folder,
        name=_name(folder),
        architectures=architectures,
        files=files,
        n_tensors=len(tensors),
        params_by_type=dict(counts.most_common()),
        quantization=_quantization(config),
    )


def _name(folder: Path) -> str:
    """Name the model: in the Hugging Face cache the folder itself is only a revision."""
    if _cache_entry(folder):
        return folder.parent.parent.name.rsplit("--", 1)[-1]
    return folder.name or "model"


def _cache_entry(folder: Path) -> Path | None:
    """Return the model's folder in the Hugging Face cache if `folder` is one of its snapshots."""
    entry = folder.parent.parent
    is_snapshot = folder.parent.name == "snapshots" and entry.name.startswith("models--")
    return entry if is_snapshot else None


def inside(folder: Path, path: Path) -> Path:
    """Return a file of the folder as it was named, once it is known to lie where it may.

    Raises:
        ModelFileError: it is a link out of the folder.
    """
    target = path.resolve()
    entry = _cache_entry(folder)
    if target.is_relative_to(folder) or (entry and target.is_relative_to(entry / "blobs")):
        return path
    raise ModelFileError(
        f"{path}: a link out of the folder, to {target}; put the file itself there"
    )


def read_json_object(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON object of a model folder.

    Raises:
        ModelFileError: it is missing, too large, a link out of the folder, or no JSON object.
    """
    path = inside(folder, folder / name)
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ModelFileError(f"{path}: larger than {_MAX_JSON_BYTES >> 20} MiB")
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ModelFileError(f"{path}: not JSON; get it again") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{path}: not a JSON object; get it again")
    return value


def _config(folder: Path) -> dict[str, Any]:
    if (folder / "config.json").is_file():
        return read_json_object(folder, "config.json")
    if (folder / "adapter_config.json").is_file():
        raise ModelFileError(f"{folder}: an adapter, not a model; merge it into its base first")
    if found := sorted(folder.glob("*.gguf")):
        raise ModelFileError(f"{folder}: no config.json; for {found[0].name} give the file itself")
    raise ModelFileError(f"{folder}: no config.json: not a Hugging Face model folder")


def _architectures(folder: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """Return the architectures of the model and of its text part, which the converter prefers."""
    parts = [config, *(config.get(name) for name in _SUB_CONFIGS)]
    lists = [part.get("architectures") for part in parts if isinstance(part, dict)]
    names = [names[0] for names in lists if isinstance(names, list) and names]
    if not names or not all(isinstance(name, str) for name in names):
        raise ModelFileError(f"{folder}/config.json: architectures: names no architecture")
    return tuple(names)


def _require_plausible(folder: Path, config: dict[str, Any], n_tensors: int, n_params: int) -> None:
    """Refuse counts that the weights cannot have: the converter makes lists as long as they say."""
    most = {"num_hidden_layers": n_tensors, "n_layer": n_tensors, "vocab_size": n_params}
    parts = [config, *(config.get(name) for name in _SUB_CONFIGS)]
    for part in (one for one in parts if isinstance(one, dict)):
        for key, limit in most.items():
            value = part.get(key)
            if value is not None and not (isinstance(value, int) and 0 <= value <= limit):
                raise ModelFileError(
                    f"{folder}/config.json: {key}: {value!r:.40} cannot be, with {n_tensors} "
                    f"tensors of {n_params} parameters"
                )


def _quantization(config: dict[str, Any]) -> str | None:
    quantization = config.get("quantization_config")
    if not isinstance(quantization, dict):
        return None
    return str(quantization.get("quant_method", "unknown"))


def _weight_map(folder: Path) -> dict[str, str] | None:
    """Return which file the index says each tensor is in; None without an index."""
    if not (folder / _INDEX).is_file():
        return None
    weight_map = read_json_object(folder, _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(n, str) for n in weight_map.values()):
        raise ModelFileError(f"{folder}/{_INDEX}: no usable weight_map; get it again")
    return weight_map


def _weights(folder: Path, weight_map: dict[str, str] | None) -> dict[str, Path]:
    """Return the files of the weights by name, chosen as the converter chooses them."""
    if weight_map is None:
        names = sorted(path.name for path in folder.glob("model*.safetensors"))
        _require_all_shards(folder, names)
    else:
        names = sorted(set(weight_map.values()))
    if not names:
        raise ModelFileError(_why_no_weights(folder))
    for name in names:
        if Path(name).name != name:
            raise ModelFileError(f"{folder}/{_INDEX}: {name!r} is not the name of a file beside it")
        if not (folder / name).is_file():
            raise ModelFileError(f"{folder}: {name!r} is missing, which {_INDEX} names; get it")
    return {name: inside(folder, folder / name) for name in names}


def _require_all_shards(folder: Path, names: list[str]) -> None:
    """Without an index, the numbers in the names are all that says how many files there are."""
    for name in names:
        shard = _SHARD.fullmatch(name)
        if not shard:
            continue
        for number in range(1, int(shard["count"]) + 1):
            expected = f"{shard['stem']}-{number:05}-of-{shard['count']}.safetensors"
            if expected not in names:
                raise ModelFileError(f"{folder}: {expected} is missing; get it")


def _why_no_weights(folder: Path) -> str:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickles:
        return (
            f"{folder}: its weights are pickles ({pickles[0]}), which can run code when they are "
            "read; take a revision with safetensors, or load it in transformers where that is safe "
            "and save_pretrained it"
        )
    return f"{folder}: no weights (model.safetensors, or model-00001-of-0000N.safetensors)"


def _tensors(
    folder: Path, weights: dict[str, Path], weight_map: dict[str, str] | None
) -> list[StoredTensor]:
    """Read the headers of all weights; names must be those that the index gives each file."""
    held = {name: read_safetensors(path) for name, path in weights.items()}
    found = {tensor.name: name for name, tensors in held.items() for tensor in tensors}
    if len(found) < sum(len(tensors) for tensors in held.values()):
        raise ModelFileError(
            f"{folder}: a tensor stands in two files of {sorted(weights)}; keep one"
        )
    expected = found if weight_map is None else weight_map
    wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if wrong:
        raise ModelFileError(
            f"{folder}: tensor {wrong[0]!r} is not where {_INDEX} says ({len(wrong)} such); get "
            "the files again"
        )
    return [tensor for tensors in held.values() for tensor in tensors]


def _files(folder: Path, weights: dict[str, Path]) -> tuple[Path, ...]:
    """Return what the converter may read, the same whatever order the disk lists it in."""
    files = set(weights.values())
    for path in folder.rglob("*"):  # does not go into linked folders
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_dir():
            inside(folder, path)
        elif path.is_file() and path.suffix in _READ_SUFFIXES:
            files.add(inside(folder, path))
    return tuple(sorted(files))


def _require_tokenizer(folder: Path, files: tuple[Path, ...], architecture: str) -> None:
    names = [path.name for path in files if path.parent == folder]
    has_one = any(
        name in _TOKENIZER_FILES
        or name.endswith(_TOKENIZER_SUFFIXES)
        or name.startswith("rwkv_vocab_")
        for name in names
    )
    if not has_one and not any(word in architecture for word in _BUILT_IN_TOKENIZER):
        raise ModelFileError(
            f"{folder}: no tokenizer (tokenizer.json, or tokenizer.model, or vocab.json with "
            "merges.txt); copy it from the model's repository"
        )
