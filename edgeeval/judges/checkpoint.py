"""Say what classifier a Hugging Face folder holds, and refuse early what cannot become a judge.

A folder is untrusted; its links are held to the rule of artifact/checkpoint.py. What a pickle holds
is read by pytorch/oracle.py, which is also the only place where PyTorch is asked.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeeval.artifact.checkpoint import inside, read_json_object
from edgeeval.artifact.safetensors import StoredTensor, read_safetensors
from edgeeval.errors import ModelFileError, did_you_mean
from edgeeval.judges.shape import ARCHITECTURES, Shape, is_unused, modern_name, weights_of

ACTIVATIONS = ("sigmoid", "softmax")
SAFETENSORS = "model.safetensors"
PICKLES = ("pytorch_model.bin", "*.ckpt")
_SPEAKS_FOR_ALL = ("toxicity", "toxic", "hate", "hateful", "offensive", "harmful", "negative")
"""Labels that mean what a judge is asked for, the most general first."""
_NO_LABEL = re.compile(r"LABEL_\d+")
_LABEL = re.compile(r"[\w][\w .+-]{0,63}")
_MAX_LABELS = 1000
_MAX_POSITIONS = 1 << 15
_MOST = {"num_hidden_layers": 256, "max_position_embeddings": _MAX_POSITIONS}
_MAX_PADDING_ROWS = 128
"""Rows that embeddings have more than their vocabulary, because widths are rounded up."""


@dataclass(frozen=True)
class Wishes:
    """What a person says of a checkpoint, where its files are silent or wrong."""

    labels: tuple[str, ...] = ()
    """In the order of its outputs."""
    activation: str | None = None
    primary: str | None = None


@dataclass(frozen=True)
class Classifier:
    """A checkpoint that can become a judge."""

    folder: Path
    """Configuration and tokenizer."""
    architecture: str
    config: Mapping[str, Any]
    shape: Shape
    weights: Path
    """safetensors."""
    tensors: Mapping[str, StoredTensor]
    """By today's names, the needed ones alone."""
    labels: tuple[str, ...]
    primary: str
    activation: str
    max_tokens: int
    """Special tokens included."""


def weights_file(folder: Path) -> Path:
    """Return the file that holds a folder's weights: safetensors, or else a pickle.

    Raises:
        ModelFileError: it has none, or several.
    """
    if not folder.is_dir():
        raise ModelFileError(f"{folder}: no such folder")
    if (folder / SAFETENSORS).is_file():
        return inside(folder.resolve(), folder.resolve() / SAFETENSORS)
    found = sorted(path for pattern in PICKLES for path in folder.glob(pattern))
    if len(found) != 1:
        what = f"{len(found)} checkpoints ({found[0].name}, …)" if found else "no weights"
        raise ModelFileError(
            f"{folder}: {what}; a judge is made of one {SAFETENSORS}, {' or '.join(PICKLES)}"
        )
    return inside(folder.resolve(), folder.resolve() / found[0].name)


def read_classifier(
    given: Path, weights: Path, wishes: Wishes, detoxify: Mapping[str, Any] | None
) -> Classifier:
    """Read what a folder holds.

    Args:
        given: a Hugging Face folder: config.json and a tokenizer.
        weights: its weights, as safetensors.
        wishes: what overrides the files.
        detoxify: the configuration that Detoxify keeps in its own checkpoint, if it is one.

    Raises:
        ModelFileError: it is no such classifier, or does not say what a judge must know.
    """
    folder = given.resolve()
    for path in folder.iterdir():
        inside(folder, path)
    config = read_json_object(folder, "config.json")
    architecture = _architecture(folder, config, detoxify)
    tensors = {
        modern_name(one.name): one for one in read_safetensors(weights) if not is_unused(one.name)
    }
    labels = wishes.labels or _labels(folder, config, detoxify)
    _require_labels(folder, labels)
    shape = _shape(folder, config, ARCHITECTURES[architecture], len(labels))
    _require_tensors(folder, shape, tensors)
    activation = wishes.activation or ("sigmoid" if detoxify else _activation(folder, config))
    return Classifier(
        folder=folder,
        architecture=architecture,
        config=config,
        shape=shape,
        weights=weights,
        tensors=tensors,
        labels=labels,
        primary=primary_of(folder, labels, wishes.primary),
        activation=activation,
        max_tokens=_max_tokens(folder, shape),
    )


def require_vocabulary(classifier: Classifier, n_tokens: int) -> None:
    """Hold a tokenizer against the rows of the embeddings.

    Raises:
        ModelFileError: it belongs to another model.
    """
    n_rows = classifier.shape.n_vocab
    if not n_rows - _MAX_PADDING_ROWS < n_tokens <= n_rows:
        raise ModelFileError(
            f"{classifier.folder}: its tokenizer has {n_tokens} tokens and the model has "
            f"embeddings for {n_rows}: they do not belong together"
        )


def _architecture(
    folder: Path, config: Mapping[str, Any], detoxify: Mapping[str, Any] | None
) -> str:
    named = config.get("architectures")
    name = str(named[0]) if isinstance(named, list) and named else "none"
    if detoxify is not None:
        name = str(_detoxify_arguments(folder, detoxify, "arch").get("model_name"))
    if name in ARCHITECTURES:
        return name
    if name.startswith("Albert"):
        raise ModelFileError(
            f"{folder}: {name}: the engine does not run ALBERT; the detoxify extra does "
            "(pip install 'edgeeval[detoxify]', --judge detoxify:FOLDER)"
        )
    raise ModelFileError(
        f"{folder}: architecture {name!r} is no classifier that a judge is made of"
        f"{did_you_mean(name, ARCHITECTURES)}"
    )


def _detoxify_arguments(folder: Path, detoxify: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    section = detoxify.get(part)
    arguments = section.get("args") if isinstance(section, dict) else None
    if not isinstance(arguments, dict):
        raise ModelFileError(f"{folder}: its checkpoint's configuration lacks {part}.args")
    return arguments


DETOXIFY_NAMES = {
    "toxic": "toxicity",
    "identity_hate": "identity_attack",
    "severe_toxic": "severe_toxicity",
}
"""What Detoxify itself calls the classes of its first model, so that all of its models agree."""


def _labels(
    folder: Path, config: Mapping[str, Any], detoxify: Mapping[str, Any] | None
) -> tuple[str, ...]:
    if detoxify is not None:
        classes = _detoxify_arguments(folder, detoxify, "dataset").get("classes")
        if not isinstance(classes, list) or not classes:
            raise ModelFileError(f"{folder}: its checkpoint names no classes")
        return tuple(DETOXIFY_NAMES.get(str(name), str(name)) for name in classes)
    names = config.get("id2label")
    if not isinstance(names, dict) or not names:
        raise ModelFileError(
            f"{folder}/config.json: id2label: no label is named; --labels A,B,… names them in order"
        )
    if set(names) != {str(number) for number in range(len(names))}:
        raise ModelFileError(f"{folder}/config.json: id2label: not numbered from 0: {list(names)}")
    return tuple(str(names[str(number)]) for number in range(len(names)))


def _require_labels(folder: Path, labels: Sequence[str]) -> None:
    if any(_NO_LABEL.fullmatch(label) for label in labels):
        raise ModelFileError(
            f"{folder}: its labels are called {', '.join(labels[:4])}, which says nothing; "
            "--labels A,B,… names them in order"
        )
    odd = [label for label in labels if not _LABEL.fullmatch(label)]
    if odd or len(set(labels)) < len(labels) or len(labels) > _MAX_LABELS:
        raise ModelFileError(
            f"{folder}: labels: {odd[0]!r} is no usable name"
            if odd
            else f"{folder}: labels: {len(labels)}, of which {len(set(labels))} differ"
        )


def _whole(folder: Path, config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if type(value) is not int or not 0 < value <= _MOST.get(key, 1 << 24):
        raise ModelFileError(f"{folder}/config.json: {key}: {value!r} is no size")
    return value


def _shape(folder: Path, config: Mapping[str, Any], prefix: str, n_labels: int) -> Shape:
    act, positions = config.get("hidden_act", "gelu"), config.get("position_embedding_type")
    if act != "gelu" or positions not in (None, "absolute") or config.get("is_decoder"):
        raise ModelFileError(
            f"{folder}/config.json: hidden_act {act!r}, position_embedding_type {positions!r}: the "
            "engine runs encoders with gelu and absolute positions"
        )
    epsilon = config.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise ModelFileError(f"{folder}/config.json: layer_norm_eps: {epsilon!r}")
    padding = None
    if prefix == "roberta":  # its positions begin behind the padding token's id
        padding = config.get("pad_token_id", 1)
        if type(padding) is not int or not 0 <= padding < 1 << 31:
            raise ModelFileError(f"{folder}/config.json: pad_token_id: {padding!r}")
    n_positions = _whole(folder, config, "max_position_embeddings")
    if padding is not None:
        n_positions -= padding + 1
    n_embd, n_heads = (
        _whole(folder, config, "hidden_size"),
        _whole(folder, config, "num_attention_heads"),
    )
    if n_positions <= 0 or n_embd % n_heads:
        raise ModelFileError(
            f"{folder}/config.json: {n_positions} positions, {n_embd} wide, {n_heads} heads: no "
            "such encoder"
        )
    return Shape(
        prefix=prefix,
        n_layers=_whole(folder, config, "num_hidden_layers"),
        n_embd=n_embd,
        n_ff=_whole(folder, config, "intermediate_size"),
        n_heads=n_heads,
        n_vocab=_whole(folder, config, "vocab_size"),
        n_positions=n_positions,
        padding_id=padding,
        n_token_types=_whole(folder, config, "type_vocab_size"),
        n_labels=n_labels,
        norm_epsilon=float(epsilon),
    )


def _require_tensors(folder: Path, shape: Shape, tensors: Mapping[str, StoredTensor]) -> None:
    """Hold the weights against the configuration: every one, of its shape, and no other.

    Raises:
        ModelFileError: they do not agree.
    """
    wanted = {weight.source: weight.shape for weight in weights_of(shape)}
    for name, size in wanted.items():
        if name not in tensors:
            raise ModelFileError(f"{folder}: its weights lack {name!r}; not this classifier's")
        if tensors[name].shape == size and tensors[name].dtype in ("F32", "F16", "BF16"):
            continue
        if name.startswith(("classifier.out_proj", "classifier.weight", "classifier.bias")):
            raise ModelFileError(
                f"{folder}: {tensors[name].shape[0]} outputs for {shape.n_labels} labels; --labels "
                "A,B,… names them in order"
            )
        raise ModelFileError(
            f"{folder}: {name!r} is {tensors[name].dtype} {list(tensors[name].shape)}, and "
            f"config.json makes it {list(size)}"
        )
    if more := sorted(set(tensors) - set(wanted)):
        raise ModelFileError(f"{folder}: {more[0]!r} belongs to no such classifier")


def _activation(folder: Path, config: Mapping[str, Any]) -> str:
    """Settle how outputs become probabilities, as transformers' own classification does."""
    problem = config.get("problem_type")
    if problem == "multi_label_classification":
        return "sigmoid"
    if problem == "single_label_classification":
        return "softmax"
    if problem is not None:
        raise ModelFileError(
            f"{folder}/config.json: problem_type {problem!r} gives no probabilities; "
            f"--activation {' or '.join(ACTIVATIONS)}"
        )
    return "sigmoid" if len(config.get("id2label") or {}) == 1 else "softmax"


def primary_of(folder: Path, labels: Sequence[str], wished: str | None) -> str:
    """Return the label that speaks for a judge: the one that is wished, or known to mean harm.

    Raises:
        ModelFileError: no label is.
    """
    if wished is not None and wished not in labels:
        raise ModelFileError(
            f"{folder}: --primary: no label {wished!r}{did_you_mean(wished, labels)}"
        )
    if wished is not None:
        return wished
    if len(labels) == 1:
        return labels[0]
    by_folded = {label.casefold(): label for label in reversed(labels)}
    for word in _SPEAKS_FOR_ALL:
        if word in by_folded:
            return by_folded[word]
    raise ModelFileError(
        f"{folder}: none of its labels ({', '.join(labels)}) is known to speak for harm; "
        "--primary LABEL says which does"
    )


def _max_tokens(folder: Path, shape: Shape) -> int:
    """Return how many tokens the tokenizer keeps of a text, at most what has positions."""
    if not (folder / "tokenizer_config.json").is_file():
        return shape.n_positions
    stated = read_json_object(folder, "tokenizer_config.json").get("model_max_length")
    if isinstance(stated, int | float) and 2 < stated < shape.n_positions:
        return int(stated)
    return shape.n_positions
