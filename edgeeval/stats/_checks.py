"""Refuse input that would turn into a number without meaning.

A NaN that slips into a mean becomes a null in the results, and a reader takes that for "no
difference". So every function of this package checks what it is given, and says where it is wrong.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Hashable, Sequence
from typing import SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
Labels: TypeAlias = Sequence[Hashable] | npt.NDArray[np.generic]


def check_alpha(alpha: float) -> None:
    """Require 0 < alpha < 1, so that every quantile taken at it is finite.

    Raises:
        ValueError: Otherwise.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}; give a level between 0 and 1, such as 0.05")


def check_share(share: float, name: str) -> None:
    """Require 0 <= share <= 1 (and so no NaN).

    Raises:
        ValueError: Otherwise.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{name} is {share}; give a share from 0 to 1")


def check_finite(number: float, name: str) -> None:
    """Require a number that is neither NaN nor infinite.

    Raises:
        ValueError: Otherwise.
    """
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}; give a finite number")


def check_count(count: SupportsIndex, name: str, at_most: int | None = None) -> int:
    """Return a count as int, required to be whole and 0 <= count <= at_most.

    Raises:
        TypeError: If it is not a whole number.
        ValueError: If it is out of range.
    """
    whole = operator.index(count)
    if whole < 0:
        raise ValueError(f"{name} is {whole}; a count is 0 or more")
    if at_most is not None and whole > at_most:
        raise ValueError(f"{name} is {whole}, more than the {at_most} items there are")
    return whole


def finite_values(values: npt.ArrayLike, name: str, dimensions: int = 1) -> FloatArray:
    """Return values as a float64 array in which every element is finite.

    Raises:
        ValueError: If the number of dimensions differs, or naming the position of the first NaN
            or infinity.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions:
        raise ValueError(f"{name} has {array.ndim} dimensions; give {dimensions}")
    finite = np.isfinite(array)
    if not finite.all():
        position = np.argwhere(~finite)[0].tolist()
        where = ", ".join(str(index) for index in position)
        raise ValueError(f"{name}[{where}] is {array[tuple(position)]}; every value must be finite")
    return array


def label_codes(labels: Labels, n: int, name: str) -> IntArray:
    """Give the labels the numbers 0, 1, 2 … in order of first appearance.

    Returns:
        Shape (n,).

    Raises:
        ValueError: If there are not n labels, or one of them is None or NaN: an item without its
            cluster would silently become a cluster of its own.
    """
    listed = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if len(listed) != n:
        raise ValueError(f"{name} has {len(listed)} labels for {n} values; give one a value")
    codes: dict[Hashable, int] = {}
    numbered = [codes.setdefault(label, len(codes)) for label in listed]
    for label, code in codes.items():
        if label is None or (isinstance(label, float) and math.isnan(label)):
            raise ValueError(f"{name}[{numbered.index(code)}] is {label}; every item needs a label")
    return np.asarray(numbered, dtype=np.int64)


def cluster_totals(codes: IntArray, parts: FloatArray) -> FloatArray:
    """Add up the parts of each cluster, shape (n,) to (G,)."""
    return np.bincount(codes, weights=parts).astype(np.float64)
