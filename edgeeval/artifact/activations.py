"""Sum what enters each weight's matrix product, while the engine decodes.

The statistic of an importance matrix: for every weight that llama.cpp multiplies by, the sum over
tokens of each input column's square, and how many tokens that was; per expert where the product
picks one (`MUL_MAT_ID`). Which products count is what `IMatrixCollector` of llama.cpp's imatrix
tool says: `MUL_MAT` with a weight named `blk.*`, float32 input and at least 16 rows, and every
`MUL_MAT_ID`.

Three things make it faster than that tool. Products that share their input (query, key and value;
gate and up) share one sum. Sums within a batch are float32, in one pass, and only those of batches
are float64. And nothing after the last such product is computed: the output layer is a fifth of a
small model's work.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgeeval._llama import Context, Row
from edgeeval.artifact.tensors import F32, Operations, Tensor, check_layout, values
from edgeeval.errors import WorkerFailed, one_line

_MIN_ROWS = 16
_WEIGHTS = "blk."


class Sums:
    """What was summed up for one weight."""

    def __init__(self, in_sum2: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> None:
        self.in_sum2 = in_sum2
        """Sum of squares of each input column, all matrices of the weight in a row."""
        self.counts = counts
        """Tokens: one number an expert, or one for all."""


class _Squares(NamedTuple):
    """What one product adds, whichever weight it is for."""

    sums: npt.NDArray[np.float32]
    """Shape (matrices or experts, columns)."""
    counts: npt.NDArray[np.int64]
    """Rows of each."""


class _Tail(NamedTuple):
    """Where a graph can be left."""

    n_nodes: int
    """Nodes up to and with the last one before the output layer."""
    n_products: int
    """Products collected among them."""


def weight_name(raw: bytes) -> str:
    """Return a weight's name without the scheduler's decoration: `CUDA0#blk.0.x.weight#0`."""
    parts = raw.split(b"#", 2)
    return parts[min(1, len(parts) - 1)].decode("utf-8", "replace")


class Collector:
    """Sums over everything that `add` decodes."""

    def __init__(self, sums: dict[str, Sums]) -> None:
        """Start from sums that were collected before.

        Raises:
            WorkerFailed: this build of llama.cpp cannot be read.
        """
        self.sums = sums
        self._operations = Operations()
        check_layout(self._operations)
        self._tails: dict[tuple[int, int], _Tail] = {}
        self._error: Exception | None = None

    def add(self, context: Context, chunks: Sequence[Sequence[int]], n_ubatch: int) -> None:
        """Decode chunks side by side from cleared memory and add up what they show.

        One physical batch a call, cut as llama.cpp itself cuts a batch of several sequences
        (`split_equal`): equally many tokens of each. So the sums are its tool's, in a quarter of
        the memory for logits that nobody reads.

        Args:
            context: made with this collector's `on_node`; a sequence for each chunk.
            chunks: token ids, equally many each.
            n_ubatch: tokens of a physical batch.

        Raises:
            WorkerFailed: llama.cpp refused, or an input cannot be summed up.
        """
        context.clear()
        step = max(1, n_ubatch // len(chunks))
        for start in range(0, len(chunks[0]), step):
            rows = [
                Row(token, start + place, (sequence,), True)  # else the last layer skips tokens
                for sequence, chunk in enumerate(chunks)
                for place, token in enumerate(chunk[start : start + step])
            ]
            shape = (len(chunks), len(rows))
            self._begin(shape)
            context.decode(rows)
            if self._error is not None:
                raise self._error
            if self._tail is not None and self._tail.n_products:
                self._tails.setdefault(shape, self._tail)

    def _begin(self, shape: tuple[int, int]) -> None:
        """Prepare for one graph; those of equal shape (sequences, tokens) are equal."""
        self._leave_at = self._tails.get(shape)
        self._n_nodes = self._n_products = 0
        self._tail: _Tail | None = None
        self._input: object = None
        self._squares: _Squares | None = None

    def on_node(self, address: int, asked: bool, _user_data: object) -> bool:
        """Be llama.cpp's eval callback; an exception would be lost in native code."""
        if self._error is not None:
            return False
        try:
            return self._wants(address) if asked else self._collect(address)
        except Exception as error:
            self._error = error
            return False

    def _wants(self, address: int) -> bool:
        """Tell whether a node must be computed by itself, to be looked at then."""
        self._n_nodes += 1
        node = Tensor.from_address(address)
        if not self._is_collected(node):
            if node.op == self._operations.mul_mat and self._tail is None:
                self._tail = _Tail(self._n_nodes - 1, self._n_products)
            return (self._n_nodes, self._n_products) == self._leave_at
        self._n_products += 1
        self._tail = None  # whatever product was seen before this one is not the output layer
        if self._input_of(node) != self._input:
            return True
        self._add(node)
        return False

    def _is_collected(self, node: Tensor) -> bool:
        if node.op == self._operations.mul_mat_id:
            return True
        if node.op != self._operations.mul_mat:
            return False
        source = Tensor.from_address(node.src[1])
        if source.ne[1] < _MIN_ROWS or source.type != F32:
            return False
        return weight_name(Tensor.from_address(node.src[0]).name).startswith(_WEIGHTS)

    def _input_of(self, node: Tensor) -> object:
        """Name what a product's squares depend on: its input, and how it is dealt to matrices."""
        weight = Tensor.from_address(node.src[0])
        return (node.op, node.src[1], node.src[2], weight.ne[2], weight.ne[3])

    def _collect(self, address: int) -> bool:
        """Sum up a product that was just computed; say whether to go on with the graph."""
        node = Tensor.from_address(address)
        if not self._is_collected(node):
            return False  # the node to leave at
        weight = Tensor.from_address(node.src[0])
        if node.op == self._operations.mul_mat_id:
            self._squares = _of_experts(values(node.src[1]), values(node.src[2]), weight.ne[2])
        else:
            self._squares = _of_matrices(values(node.src[1]), weight.ne[2], weight.ne[3])
        self._input = self._input_of(node)
        self._add(node)
        return True

    def _add(self, node: Tensor) -> None:
        assert self._squares is not None
        added, counts = self._squares
        name = weight_name(Tensor.from_address(node.src[0]).name)
        if not np.isfinite(added).all():
            what = "its input is not finite: the model's file is damaged"
            raise WorkerFailed(f"{one_line(name)}: {what}")
        if node.op == self._operations.mul_mat:
            counts = counts[:1]  # as many rows meet each matrix
        known = self.sums.get(name)
        if known is None:
            known = Sums(np.zeros(added.size), np.zeros(len(counts), np.int64))
            self.sums[name] = known
        if known.in_sum2.size != added.size:
            raise WorkerFailed(f"{one_line(name)}: it was met with inputs of different sizes")
        if len(known.counts) == 1 < len(counts):  # met as a whole first, then by expert
            known.counts = np.repeat(known.counts, len(counts))
        known.in_sum2 += added.ravel()
        known.counts += counts


def _of_matrices(inputs: npt.NDArray[np.float32], n_2: int, n_3: int) -> _Squares:
    """Sum squares over the rows that meet each matrix of a weight of (n_3, n_2) matrices."""
    sums = np.zeros((n_3 * n_2, inputs.shape[3]), np.float32)
    for i_3, plane in enumerate(inputs):
        for i_2, rows in enumerate(plane):
            sums[i_3 % n_3 * n_2 + i_2 % n_2] += np.einsum("ij,ij->j", rows, rows)
    n_rows = inputs.shape[0] * inputs.shape[1] * inputs.shape[2]
    return _Squares(sums, np.full(len(sums), n_rows // len(sums), np.int64))


def _of_experts(
    inputs: npt.NDArray[np.float32], chosen: npt.NDArray[np.int32], n_experts: int
) -> _Squares:
    """Sum squares over the rows that are sent to each expert.

    Args:
        inputs: shape (1, tokens, rows a token, columns): one row for all experts of a token, or one
            for each.
        chosen: shape (1, 1, tokens, experts a token).
        n_experts: experts of the weight.

    Raises:
        WorkerFailed: the shapes do not fit each other, or an expert does not exist.
    """
    experts, rows = chosen[0, 0], inputs[0]
    if len(inputs) != 1 or len(rows) != len(experts) or chosen.shape[:2] != (1, 1):
        raise WorkerFailed(f"an expert's input has the shape {inputs.shape}, not three dimensions")
    if experts.min() < 0 or experts.max() >= n_experts:
        raise WorkerFailed(f"a token was sent to an expert that is not one of {n_experts}")
    sums = np.zeros((n_experts, rows.shape[2]), np.float32)
    counts = np.zeros(n_experts, np.int64)
    for expert in np.unique(experts):
        tokens, slots = np.nonzero(experts == expert)
        sent = rows[tokens, slots % rows.shape[1]]
        sums[expert] = np.einsum("ij,ij->j", sent, sent)
        counts[expert] = len(tokens)
    return _Squares(sums, counts)
