"""Say how GGUF files differ: another model, another tokenizer, other tensor types, other weights?

Two uploaders' "Q4_K_M" of one model can be four different things. Each file is held against the
first; differences of a tensor that every layer has are one, not one a layer.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgeeval.artifact.inspect import (
    TEMPLATE_KEY,
    TOKENIZER_KEYS,
    GgufInfo,
    TensorInfo,
    weights_sha256,
)

_LAYER = re.compile(r"\bblk\.([0-9]{1,6})\.")


@dataclass(frozen=True)
class FieldDifference:
    """A metadata key that is not the same."""

    key: str
    first: Any
    """As in `GgufInfo.metadata`; None where the file has no such key."""
    other: Any


@dataclass(frozen=True)
class TensorDifference:
    """Tensors of one name, whatever their layer, that differ in the same way."""

    tensor: str
    """The name without layer: `attn_v`."""
    layers: tuple[int, ...]
    """In order; empty outside of the blocks."""
    n_tensors: int
    n_params: int
    first: str | None
    """Type, or shape ("576x49152", the row's width first); None where the file lacks them."""
    other: str | None


@dataclass(frozen=True)
class Difference:
    """What a file has otherwise than the first one."""

    size_bytes: int
    """How much larger it is."""
    bpw: float | None
    """How many more bits per weight; None where one of them holds no tensors."""
    same_architecture: bool
    hyperparameters: tuple[FieldDifference, ...]
    """Empty between two architectures: nothing could be compared."""
    same_tokenizer: bool
    same_vocabulary: bool
    same_chat_template: bool
    tokenizer: tuple[str, ...]
    """Metadata keys that make the tokenizers differ."""
    metadata: tuple[FieldDifference, ...]
    """All other keys that differ."""
    missing: tuple[TensorDifference, ...]
    """Tensors that one of the two lacks; types stand here."""
    shapes: tuple[TensorDifference, ...]
    types: tuple[TensorDifference, ...]
    """Largest share of the parameters first, as in the two before."""
    n_data_differ: int | None
    """Tensors whose data differ; None where the data were not read, because tensors are missing,
    or differ in shape or type."""
    same_weights: bool
    """Hyperparameters and tensors are the same to the last bit: the two compute the same."""


@dataclass(frozen=True)
class FileComparison:
    """How files differ."""

    others: tuple[Difference, ...]
    """Of each file but the first, in order."""
    same_weights: tuple[tuple[int, ...], ...]
    """Groups of files, by their places, that compute the same."""


def alike(files: Sequence[GgufInfo]) -> tuple[int, ...]:
    """Return the places of the files whose data are worth reading: another has the same tensors."""
    tables = [_table(info) for info in files]
    return tuple(place for place, table in enumerate(tables) if table and tables.count(table) > 1)


def compare_files(
    files: Sequence[GgufInfo], digests: Mapping[int, Mapping[str, str]]
) -> FileComparison:
    """Compare files.

    Args:
        files: what stands in them, at least one.
        digests: place -> tensor -> hash of its data, for all that `alike` returns.
    """
    weights = {place: weights_sha256(files[place], digests[place]) for place in alike(files)}
    groups: dict[str, list[int]] = defaultdict(list)
    for place, sha256 in weights.items():
        groups[sha256].append(place)
    others = []
    for place, other in enumerate(files[1:], 1):
        n_data_differ = None
        if place in weights and _table(files[0]) == _table(other):
            ours, theirs = digests[0], digests[place]
            n_data_differ = sum(ours[name] != theirs[name] for name in ours)
        same = place in weights and weights.get(0) == weights[place]
        others.append(_difference(files[0], other, n_data_differ, same_weights=same))
    same_weights = tuple(tuple(places) for places in groups.values() if len(places) > 1)
    return FileComparison(tuple(others), same_weights)


def _table(info: GgufInfo) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {tensor.name: (tensor.type, tensor.shape) for tensor in info.tensors}


def _difference(
    first: GgufInfo, other: GgufInfo, n_data_differ: int | None, *, same_weights: bool
) -> Difference:
    same_architecture = first.architecture == other.architecture
    differ = _differing_fields(first, other)
    of_architecture = first.hyperparameters | other.hyperparameters if same_architecture else {}
    with_own_field = {*of_architecture, *TOKENIZER_KEYS, TEMPLATE_KEY, "general.architecture"}
    missing, shapes, types = _differing_tensors(first, other)
    return Difference(
        size_bytes=other.size_bytes - first.size_bytes,
        bpw=None if first.bpw is None or other.bpw is None else other.bpw - first.bpw,
        same_architecture=same_architecture,
        hyperparameters=tuple(one for one in differ if one.key in of_architecture),
        same_tokenizer=first.tokenizer_sha256 == other.tokenizer_sha256,
        same_vocabulary=first.vocabulary_sha256 == other.vocabulary_sha256,
        same_chat_template=first.chat_template_sha256 == other.chat_template_sha256,
        tokenizer=tuple(one.key for one in differ if one.key in TOKENIZER_KEYS),
        metadata=tuple(one for one in differ if one.key not in with_own_field),
        missing=missing,
        shapes=shapes,
        types=types,
        n_data_differ=n_data_differ,
        same_weights=same_weights,
    )


def _differing_fields(first: GgufInfo, other: GgufInfo) -> list[FieldDifference]:
    ours, theirs = first.metadata, other.metadata
    return [
        FieldDifference(key, ours.get(key), theirs.get(key))
        for key in {**ours, **theirs}
        if repr(ours.get(key)) != repr(theirs.get(key))  # NaN is like NaN, and 1 unlike true
    ]


class _Found(NamedTuple):
    """A tensor, and what differs."""

    tensor: TensorInfo
    first: str | None
    other: str | None


def _differing_tensors(
    first: GgufInfo, other: GgufInfo
) -> tuple[tuple[TensorDifference, ...], ...]:
    """Return missing tensors, other shapes and other types."""
    ours = {tensor.name: tensor for tensor in first.tensors}
    theirs = {tensor.name: tensor for tensor in other.tensors}
    missing: list[_Found] = []
    shapes: list[_Found] = []
    types: list[_Found] = []
    for name in {**ours, **theirs}:
        left, right = ours.get(name), theirs.get(name)
        if left is None:
            missing.append(_Found(theirs[name], None, theirs[name].type))
            continue
        if right is None:
            missing.append(_Found(left, left.type, None))
            continue
        if left.shape != right.shape:
            shapes.append(_Found(left, _shape_text(left.shape), _shape_text(right.shape)))
        if left.type != right.type:
            types.append(_Found(left, left.type, right.type))
    return _grouped(missing), _grouped(shapes), _grouped(types)


def _grouped(found: Sequence[_Found]) -> tuple[TensorDifference, ...]:
    """Put together what is the same in several layers."""
    groups: dict[tuple[str, str | None, str | None], list[TensorInfo]] = defaultdict(list)
    for tensor, first, other in found:
        groups[_LAYER.sub("", tensor.name).removesuffix(".weight"), first, other].append(tensor)
    together = [
        TensorDifference(
            tensor=name,
            layers=tuple(sorted({int(layer) for one in members for layer in _layers(one)})),
            n_tensors=len(members),
            n_params=sum(one.n_params for one in members),
            first=first,
            other=other,
        )
        for (name, first, other), members in groups.items()
    ]
    return tuple(sorted(together, key=lambda one: -one.n_params))


def _layers(tensor: TensorInfo) -> list[str]:
    return _LAYER.findall(tensor.name)


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
