"""Statistics of an importance matrix, against plain loops and against llama.cpp's own table."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.artifact.imatrix_file import ImatrixData, ImatrixEntry
from edgeeval.artifact.imatrix_statistics import (
    LayerStatistics,
    TensorStatistics,
    imatrix_statistics,
    layer_statistics,
)


def matrix(entries: dict[str, tuple[list[float], list[int]]]) -> ImatrixData:
    return ImatrixData(
        {
            name: ImatrixEntry(np.array(sums, np.float32), np.array(counts))
            for name, (sums, counts) in entries.items()
        },
        ("a.txt",),
        1,
        512,
    )


def random_matrix(seed: int) -> ImatrixData:
    generator = np.random.default_rng(seed)
    entries = {}
    for layer in range(3):
        for name, n_experts in (("attn_q", 1), ("ffn_down_exps", 3)):
            sums = generator.gamma(0.5, 50, n_experts * 64) * (
                generator.random(64 * n_experts) > 0.1
            )
            counts = generator.integers(1, 100, n_experts)
            if n_experts > 1 and layer == 1:
                counts[2], sums[128:] = 0, 0
            entries[f"blk.{layer}.{name}.weight"] = (sums.tolist(), counts.tolist())
    entries["output.weight"] = (generator.random(64).tolist(), [10])
    return matrix(entries)


def by_brute_force(data: ImatrixData, name: str) -> dict[str, float]:
    """Plain Python on the formulas of `compute_statistics`, one number after the other."""
    sums, counts = (one.tolist() for one in data.entries[name])
    width = len(sums) // len(counts)
    values = [
        sums[expert * width + column] / count
        for expert, count in enumerate(counts)
        if count
        for column in range(width)
    ]
    total, mean, deviation = sum(values), statistics.fmean(values), statistics.pstdev(values)
    shares = [value / total for value in values if value > 0]
    return {
        "n_elements": len(values),
        "sum": total,
        "mean": mean,
        "min": min(values),
        "max": max(values),
        "stddev": deviation,
        "active_share": sum(value > 1e-5 for value in values) / len(values),
        "entropy_bits": -sum(share * math.log2(share) for share in shares),
        "entropy_share": -sum(share * math.log2(share) for share in shares)
        / math.log2(len(values)),
        "outlier_share": sum((value - mean) / deviation > 1 for value in values) / len(values),
    }


@given(seed=st.integers(0, 2**32 - 1))
def test_every_number_of_a_tensor_is_what_plain_loops_give(seed: int) -> None:
    """Oracle: brute force."""
    data = random_matrix(seed)
    for found in imatrix_statistics(data):
        for key, expected in by_brute_force(data, found.name).items():
            assert getattr(found, key) == pytest.approx(expected, rel=1e-9, abs=1e-12), key
        if found.layer in (None, 0):
            assert found.cosine_similarity is None
            continue
        before = data.entries[found.name.replace(f".{found.layer}.", f".{found.layer - 1}.")]
        ours, theirs = data.entries[found.name].in_sum2.tolist(), before.in_sum2.tolist()
        lengths = math.hypot(*ours) * math.hypot(*theirs)
        dot = sum(one * other for one, other in zip(ours, theirs))
        assert found.cosine_similarity == pytest.approx(dot / lengths, rel=1e-9)


def test_tensors_are_in_order_of_name_then_sum_and_layers_weigh_by_columns() -> None:
    """By hand."""
    data = matrix(
        {
            "blk.0.attn_q.weight": ([1, 1], [1]),
            "blk.1.attn_q.weight": ([2, 0], [1]),
            "blk.1.ffn_up.weight": ([2, 2, 2, 2, 2, 2], [2]),
            "blk.2.attn_q.weight": ([0, 0], [0]),
            "output.weight": ([4], [1]),
        }
    )
    tensors = imatrix_statistics(data)
    assert [(one.tensor, one.layer, one.sum) for one in tensors] == [
        ("attn_q", 0, 2.0),
        ("attn_q", 1, 2.0),
        ("ffn_up", 1, 6.0),
        ("output", None, 4.0),
    ]
    assert tensors[3].entropy_share is None
    assert layer_statistics(tensors) == [
        LayerStatistics(0, 2.0, 0.0, None),
        LayerStatistics(1, (2 * 2 + 6 * 6) / 8, 0.0, pytest.approx(1 / math.sqrt(2))),
    ]


def test_a_tensor_of_zeros_has_no_entropy_and_no_direction() -> None:
    data = matrix({f"blk.{layer}.attn_q.weight": ([0, 0, 0], [5]) for layer in (0, 1)})
    for one in imatrix_statistics(data):
        assert (one.sum, one.active_share, one.entropy_bits, one.outlier_share) == (0, 0, 0, 0)
        assert one.cosine_similarity is None


def recorded_matrix() -> ImatrixData:
    """What RECORDED was printed of: whole numbers, with an expert that nothing reached."""
    entries: dict[str, tuple[list[float], list[int]]] = {}
    for layer in range(3):
        for name, n_experts in (("attn_q", 1), ("ffn_down_exps", 3)):
            step = 7 + 2 * layer + n_experts
            sums = [float((step * i) % 23) ** 3 for i in range(40 * n_experts)]
            counts = [64, 0, 32][:n_experts]
            sums[40:80] = [0.0] * len(sums[40:80])
            entries[f"blk.{layer}.{name}.weight"] = (sums, counts)
    entries["output.weight"] = ([float(i) for i in range(40)], [10])
    return matrix(entries)


RECORDED = """
1 attn_q 1779.59 0.0000 166.3750 44.49 51.69 95.00% 40 4.3595 81.92% 17.50% 0.4253
0 attn_q 1584.86 0.0000 166.3750 39.62 46.60 95.00% 40 4.3427 81.60% 20.00% 0.0000
2 attn_q 1516.39 0.0000 166.3750 37.91 44.83 95.00% 40 4.3318 81.40% 17.50% 0.3555
0 ffn_down_exps 5345.38 0.0000 332.7500 66.82 82.73 95.00% 80 5.3091 83.98% 16.25% 0.0000
2 ffn_down_exps 5284.53 0.0000 332.7500 66.06 83.13 95.00% 80 5.2997 83.83% 15.00% 0.4984
1 ffn_down_exps 5190.98 0.0000 332.7500 64.89 84.99 95.00% 80 5.2415 82.91% 16.25% 0.3140
- output 78.00 0.0000 3.9000 1.95 1.15 97.50% 40 5.0242 94.41% 20.00% 0.0000
Layer averages
0 4091.87 17.5000% 0.0000
1 4053.85 16.6667% 0.3511
2 4028.48 15.8333% 0.4508
"""
"""Printed by `llama-imatrix -m none --in-file matrix.gguf --show-statistics` of llama-cpp-python
0.3.36's llama.cpp for `write_imatrix(matrix.gguf, recorded_matrix())`, without the times that stand
before each line. It is recorded because the tool ends without flushing its log: most calls print
only a part of so short a table, or nothing.
"""


def test_the_numbers_are_those_that_the_native_tool_printed() -> None:
    """Oracle: RECORDED, which has two to four decimals."""
    tensors, layers = RECORDED.split("Layer averages")
    found = imatrix_statistics(recorded_matrix())
    rows = [line.split() for line in tensors.strip().splitlines()]
    assert len(found) == len(rows) == 7
    for one, (layer, tensor, *numbers) in zip(found, rows, strict=True):
        assert (str(one.layer), one.tensor) == (layer.replace("-", "None"), tensor)
        expected = [float(number.rstrip("%")) for number in numbers]
        assert as_printed(one) == pytest.approx(expected, abs=0.0051, rel=1e-6), one.name
    rows = [line.split() for line in layers.strip().splitlines()]
    for of_layer, (layer, *numbers) in zip(layer_statistics(found), rows, strict=True):
        assert of_layer.layer == int(layer)
        similarity = of_layer.cosine_similarity or 0.0
        expected = [float(number.rstrip("%")) for number in numbers]
        printed = [of_layer.sum, 100 * of_layer.outlier_share, similarity]
        assert printed == pytest.approx(expected, abs=0.0051, rel=1e-6)


def as_printed(one: TensorStatistics) -> list[float]:
    """In the native table's columns and units; it has 0 where there is no layer before."""
    assert one.entropy_share is not None
    return [
        one.sum,
        one.min,
        one.max,
        one.mean,
        one.stddev,
        100 * one.active_share,
        one.n_elements,
        one.entropy_bits,
        100 * one.entropy_share,
        100 * one.outlier_share,
        one.cosine_similarity or 0.0,
    ]
