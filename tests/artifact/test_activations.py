"""Sums of squares of what enters a product: by matrix, by expert, and never a node too many."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval._llama import Context, Model
from edgeeval.artifact.activations import Collector, Sums, _of_experts, _of_matrices, weight_name
from edgeeval.errors import WorkerFailed
from tests.artifact.moe import write_moe
from tests.conftest import Ladder

N_CTX = 32


@given(
    n_2=st.integers(1, 3),
    n_3=st.integers(1, 2),
    repeats=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    n_rows=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_matrix_of_a_weight_sums_the_rows_that_meet_it(
    n_2: int, n_3: int, repeats: tuple[int, int], n_rows: int, seed: int
) -> None:
    """Oracle: brute force by the formula of `collect_imatrix`, element by element."""
    shape = (repeats[0] * n_3, repeats[1] * n_2, n_rows, 4)
    inputs = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    expected = np.zeros((n_3 * n_2, 4))
    for i_3, i_2, row in itertools.product(*map(range, shape[:3])):
        expected[(i_3 % n_3) * n_2 + i_2 % n_2] += inputs[i_3, i_2, row].astype(np.float64) ** 2
    found = _of_matrices(inputs, n_2, n_3)
    np.testing.assert_allclose(found.sums, expected, rtol=1e-5)
    assert set(found.counts) == {repeats[0] * repeats[1] * n_rows}


@given(
    n_tokens=st.integers(1, 20),
    n_used=st.integers(1, 3),
    is_shared=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_expert_sums_the_rows_that_are_sent_to_it(
    n_tokens: int, n_used: int, is_shared: bool, seed: int
) -> None:
    """Oracle: brute force, one token and one expert at a time."""
    generator = np.random.default_rng(seed)
    n_rows = 1 if is_shared else n_used
    inputs = generator.standard_normal((1, n_tokens, n_rows, 4)).astype(np.float32)
    experts = np.array([generator.permutation(5)[:n_used] for _ in range(n_tokens)], np.int32)
    expected, counts = np.zeros((5, 4)), np.zeros(5, int)
    for token, slot in itertools.product(range(n_tokens), range(n_used)):
        row = inputs[0, token, 0 if is_shared else slot]
        expected[experts[token, slot]] += row.astype(np.float64) ** 2
        counts[experts[token, slot]] += 1
    found = _of_experts(inputs, experts[np.newaxis, np.newaxis], 5)
    np.testing.assert_allclose(found.sums, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.counts, counts)


@pytest.mark.parametrize(
    ("shape", "experts"),
    [((1, 2, 1, 4), [[0], [3]]), ((1, 2, 1, 4), [[0], [-1]]), ((1, 3, 1, 4), [[0], [1]])],
)
def test_an_expert_that_is_not_there_is_refused(
    shape: tuple[int, ...], experts: list[list[int]]
) -> None:
    chosen = np.array(experts, np.int32)[np.newaxis, np.newaxis]
    with pytest.raises(WorkerFailed):
        _of_experts(np.ones(shape, np.float32), chosen, 3)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"blk.0.attn_k.weight", "blk.0.attn_k.weight"),
        (b"CUDA0#blk.0.attn_k.weight#0", "blk.0.attn_k.weight"),
        (b"MTL0#blk.0.attn_k.weight", "blk.0.attn_k.weight"),
        (b"", ""),
    ],
)
def test_a_weights_name_loses_the_schedulers_decoration(raw: bytes, name: str) -> None:
    """Oracle: by hand, from `filter_tensor_name` in llama.cpp's imatrix.cpp."""
    assert weight_name(raw) == name


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory, ladder: Ladder) -> Model:
    path = write_moe(tmp_path_factory.mktemp("moe") / "moe.gguf").path
    return Model(path, use_extra_bufts=ladder.engine.use_extra_bufts)


class Watched(Collector):
    """A collector that counts the nodes that it is asked about in each graph."""

    def __init__(self, sums: dict[str, Sums], *, leaves: bool = True) -> None:
        super().__init__(sums)
        self.n_asked = [0]
        self.leaves = leaves

    def _begin(self, shape: tuple[int, int]) -> None:
        if not self.leaves:
            self._tails.clear()
        super()._begin(shape)
        self.n_asked.append(0)

    def on_node(self, address: int, asked: bool, user_data: object) -> bool:
        self.n_asked[-1] += asked
        return super().on_node(address, asked, user_data)


def chunks(n: int) -> list[list[int]]:
    return np.random.default_rng(n).integers(3, 259, (n, N_CTX)).tolist()


def added(moe: Model, collector: Collector, groups: list[int]) -> dict[str, Sums]:
    context = Context(
        moe,
        n_ctx=4 * N_CTX,
        n_batch=4 * N_CTX,
        n_ubatch=4 * N_CTX,
        n_seq_max=4,
        n_threads=1,
        kv_unified=False,
        kv_type="f16",
        flash_attention=True,
        on_node=collector.on_node,
    )
    for n in groups:
        collector.add(context, chunks(n), 4 * N_CTX)
    context.close()
    return collector.sums


def test_the_output_layer_is_left_out_and_nothing_else_changes(moe: Model) -> None:
    groups = [4, 4, 2, 4, 2]
    whole, quick = Watched({}, leaves=False), Watched({})
    everything = added(moe, whole, groups)
    found = added(moe, quick, groups)
    assert list(found) == list(everything)
    for name, expected in everything.items():
        np.testing.assert_array_equal(found[name].in_sum2, expected.in_sum2, name)
        np.testing.assert_array_equal(found[name].counts, expected.counts, name)
    n_nodes = whole.n_asked[1]
    assert whole.n_asked[1:] == [n_nodes] * 5
    first, second, of_two, third, of_two_again = quick.n_asked[1:]
    assert first == of_two == n_nodes  # the first graph of its shape shows where it ends
    assert second == third == of_two_again == n_nodes - 1  # that one is the output layer


def test_an_error_in_the_callback_is_raised_where_the_batch_was_decoded(moe: Model) -> None:
    sums = {"blk.0.attn_q.weight": Sums(np.zeros(7), np.zeros(1, np.int64))}
    with pytest.raises(WorkerFailed, match=r"^blk\.0\.attn_q\.weight: .*different sizes"):
        added(moe, Collector(sums), [4])


def test_what_was_summed_before_is_gone_on_with(moe: Model) -> None:
    at_once = added(moe, Collector({}), [4, 3])
    in_two = added(moe, Collector(added(moe, Collector({}), [4])), [3])
    for name, expected in at_once.items():
        np.testing.assert_array_equal(in_two[name].in_sum2, expected.in_sum2, name)
        np.testing.assert_array_equal(in_two[name].counts, expected.counts, name)
