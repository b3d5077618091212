"""Say what an importance matrix shows, as `llama-imatrix --show-statistics` does.

Formulas: `compute_statistics` and `compute_cossim` in llama.cpp's `tools/imatrix/imatrix.cpp`. The
values are the mean squares of each weight's input columns, those of experts that no token reached
left out.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeeval.artifact.imatrix_file import ImatrixData, ImatrixEntry

_INACTIVE = 1e-5
"""A mean square at or below this counts as no activity."""
_LAYER = re.compile(r"\bblk\.([0-9]{1,6})\.")
_TENSOR = re.compile(r"([^.]+)\.weight\b")


@dataclass(frozen=True)
class TensorStatistics:
    """One weight's input, in numbers."""

    name: str
    layer: int | None
    """None outside of the blocks."""
    tensor: str
    """The name without layer: `attn_q`."""
    n_elements: int
    sum: float
    mean: float
    min: float
    max: float
    stddev: float
    active_share: float
    """Share of columns that are used at all."""
    entropy_bits: float
    """Of the columns' shares of the sum; log2(n_elements) where all are used alike."""
    entropy_share: float | None
    """Of that largest entropy; None for a single column."""
    outlier_share: float
    """Share of columns more than one standard deviation above the mean ("ZD")."""
    cosine_similarity: float | None
    """With the same weight of the layer before; None where there is none."""


@dataclass(frozen=True)
class LayerStatistics:
    """A layer's weights together, each counting as much as it has columns."""

    layer: int
    sum: float
    outlier_share: float
    cosine_similarity: float | None


def imatrix_statistics(data: ImatrixData) -> list[TensorStatistics]:
    """Return the statistics of every weight that a token reached, by tensor, largest sum first."""
    found = [
        _of_tensor(name, entry, data)
        for name, entry in data.entries.items()
        if (entry.counts > 0).any()
    ]
    return sorted(found, key=lambda one: (one.tensor, -one.sum))


def layer_statistics(tensors: list[TensorStatistics]) -> list[LayerStatistics]:
    """Return the statistics of every layer, in order."""
    by_layer: dict[int, list[TensorStatistics]] = defaultdict(list)
    for one in tensors:
        if one.layer is not None:
            by_layer[one.layer].append(one)
    layers = []
    for layer, members in sorted(by_layer.items()):
        compared = [one for one in members if one.cosine_similarity is not None]
        layers.append(
            LayerStatistics(
                layer,
                _weighted([(one.sum, one.n_elements) for one in members]),
                _weighted([(one.outlier_share, one.n_elements) for one in members]),
                _weighted([(one.cosine_similarity or 0.0, one.n_elements) for one in compared])
                if compared
                else None,
            )
        )
    return layers


def _weighted(pairs: list[tuple[float, int]]) -> float:
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)


def _of_tensor(name: str, entry: ImatrixEntry, data: ImatrixData) -> TensorStatistics:
    sums = entry.in_sum2.astype(np.float64).reshape(len(entry.counts), -1)
    reached = entry.counts > 0
    values = (sums[reached] / entry.counts[reached, np.newaxis]).ravel()
    total, deviation = float(values.sum()), float(values.std())
    shares = values[values > 0] / total if total > 0 else np.empty(0)
    entropy = float(-(shares * np.log2(shares)).sum())
    layer, tensor = _LAYER.search(name), _TENSOR.search(name)
    return TensorStatistics(
        name=name,
        layer=int(layer[1]) if layer else None,
        tensor=tensor[1] if tensor else name,
        n_elements=len(values),
        sum=total,
        mean=float(values.mean()),
        min=float(values.min()),
        max=float(values.max()),
        stddev=deviation,
        active_share=float((values > _INACTIVE).mean()),
        entropy_bits=entropy,
        entropy_share=entropy / float(np.log2(len(values))) if len(values) > 1 else None,
        outlier_share=float((values - values.mean() > deviation).mean()) if deviation else 0.0,
        cosine_similarity=_with_layer_before(name, entry, data),
    )


def _with_layer_before(name: str, entry: ImatrixEntry, data: ImatrixData) -> float | None:
    before = _LAYER.sub(lambda match: f"blk.{int(match[1]) - 1}.", name, count=1)
    other = data.entries.get(before) if before != name else None
    if other is None or other.in_sum2.size != entry.in_sum2.size:
        return None
    ours, theirs = _unit(entry.in_sum2), _unit(other.in_sum2)
    return None if ours is None or theirs is None else float(ours @ theirs)


def _unit(vector: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64] | None:
    """Return a vector of length one in its direction; None for zero, which has none."""
    exact = vector.astype(np.float64)
    length = float(np.linalg.norm(exact))
    return exact / length if length > 0 else None
