"""Arithmetic on logits agrees with scipy, and coupled sampling with a sort of the vocabulary."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy import stats as oracle

from edgeeval.run import numerics
from edgeeval.run.numerics import (
    Floats,
    Ints,
    divergence,
    gumbel,
    log_softmax,
    sample,
    token_log_probabilities,
)

N_ROWS = 101
N_VOCABULARY = 800

LOGITS = st.lists(st.floats(-12, 12, width=32), min_size=1, max_size=30)
TOP_P = st.floats(0.01, 0.999)
STREAM = b"1/item-7/0/"


def table(seed: int, scale: float = 4.0) -> Floats:
    generator = np.random.default_rng(seed)
    return generator.normal(0, scale, (N_ROWS, N_VOCABULARY)).astype(np.float32)


def targets(seed: int) -> Ints:
    return np.random.default_rng(seed).integers(0, N_VOCABULARY, N_ROWS)


def smallest_set(logits: Floats, top_p: float) -> list[int]:
    """Brute force: sort the whole vocabulary, likely and low-numbered tokens first, and add up."""
    weights = [float(weight) for weight in np.exp(logits - logits.max())]
    order = sorted(range(len(weights)), key=lambda token: (-weights[token], token))
    total = math.fsum(weights)
    kept: list[int] = []
    for token in order:
        kept.append(token)
        if math.fsum(weights[one] for one in kept) >= top_p * total:
            break
    return kept


def drawn(logits: Floats, *, top_p: float = 0.9, stream: bytes = STREAM, step: int = 0) -> int:
    return sample(logits, top_p=top_p, temperature=1.0, stream=stream, step=step)


class TestLogProbabilities:
    @pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 3000.0])
    def test_agree_with_scipy(self, scale: float) -> None:
        logits = table(1, scale)
        expected = special.log_softmax(logits.astype(np.float64), axis=1)
        np.testing.assert_allclose(log_softmax(logits), expected, rtol=1e-6, atol=2e-6)

    @pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 3000.0])
    def test_of_target_tokens_agree_with_scipy(self, scale: float) -> None:
        logits, wanted = table(2, scale), targets(3)
        expected = special.log_softmax(logits.astype(np.float64), axis=1)
        found = token_log_probabilities(logits, wanted)
        assert found.dtype == np.float64
        assert found == pytest.approx(expected[np.arange(N_ROWS), wanted], rel=1e-6, abs=1e-6)

    def test_leave_the_logits_as_they_were(self) -> None:
        logits = table(4)
        before = logits.copy()
        log_softmax(logits)
        token_log_probabilities(logits, targets(5))
        assert np.array_equal(logits, before)

    def test_of_no_rows_are_empty(self) -> None:
        assert log_softmax(np.empty((0, 5), np.float32)).shape == (0, 5)
        assert token_log_probabilities(np.empty((0, 5), np.float32), np.empty(0, int)).size == 0

    def test_threads_give_identical_bits(self) -> None:
        logits = table(6)
        assert log_softmax(logits).tobytes() == log_softmax(logits, n_threads=3).tobytes()


class TestDivergence:
    def test_of_a_table_from_itself_is_exactly_zero(self) -> None:
        own = log_softmax(table(7))
        found = divergence(own, own, targets(8))
        assert not found.kld.any()
        assert not found.dp.any()
        assert found.same_top.all()

    @pytest.mark.parametrize("noise", [0.02, 0.5, 4.0])
    def test_agrees_with_scipy_in_float64(self, noise: float) -> None:
        logits = table(9)
        reference, level = log_softmax(logits), log_softmax(logits + noise * table(10, 1.0))
        b, q = np.exp(reference.astype(np.float64)), np.exp(level.astype(np.float64))
        wanted, rows = targets(11), np.arange(N_ROWS)
        found = divergence(reference, level, wanted)
        assert found.kld == pytest.approx(special.rel_entr(b, q).sum(axis=1), rel=1e-4, abs=2e-6)
        assert found.kld == pytest.approx(oracle.entropy(b, q, axis=1), rel=1e-4, abs=2e-6)
        assert found.dp == pytest.approx(q[rows, wanted] - b[rows, wanted], abs=1e-6)
        assert np.array_equal(found.same_top, b.argmax(axis=1) == q.argmax(axis=1))
        assert 0 < found.same_top.mean() < 1 or noise < 0.1

    def test_worked_example(self) -> None:
        """By hand: KL((1/2, 1/4, 1/4) || (1/4, 1/2, 1/4)) = (ln 2)/2 - (ln 2)/4."""
        b = np.log(np.array([[0.5, 0.25, 0.25]], np.float32))
        q = np.log(np.array([[0.25, 0.5, 0.25]], np.float32))
        found = divergence(b, q, np.array([1]))
        assert found.kld == pytest.approx([math.log(2) / 4])
        assert found.same_top == [0]
        assert found.dp == pytest.approx([0.25])

    def test_threads_give_identical_bits(self) -> None:
        reference, level = log_softmax(table(12)), log_softmax(table(13))
        alone = divergence(reference, level, targets(14))
        together = divergence(reference, level, targets(14), n_threads=3)
        for one, other in zip(alone, together, strict=True):
            assert one.tobytes() == other.tobytes()


class TestGumbel:
    @given(st.lists(st.integers(0, 300_000), min_size=1, max_size=50, unique=True), st.data())
    def test_depends_on_the_token_and_not_on_its_company(
        self, tokens: list[int], data: st.DataObject
    ) -> None:
        company = data.draw(st.permutations(tokens))[: data.draw(st.integers(1, len(tokens)))]
        noise = dict(zip(tokens, gumbel(STREAM, 3, np.array(tokens)), strict=True))
        again = gumbel(STREAM, 3, np.array(company))
        assert [noise[token] for token in company] == list(again)

    def test_differs_by_stream_step_and_token(self) -> None:
        """Fresh noise each time: correlations of 20,000 pairs within 4 standard errors of 0."""
        tokens = np.arange(20_000)
        noise = gumbel(STREAM, 0, tokens)
        others = (
            gumbel(b"1/item-7/1/", 0, tokens),
            gumbel(STREAM, 1, tokens),
            gumbel(STREAM, 0, tokens + 1),
        )
        for other in others:
            assert abs(np.corrcoef(noise, other)[0, 1]) < 4 / math.sqrt(tokens.size)

    def test_is_standard_gumbel(self) -> None:
        """Oracle: scipy's gumbel_r; its mean is Euler's constant, its variance pi^2/6."""
        noise = np.concatenate([gumbel(STREAM, step, np.arange(2_000)) for step in range(50)])
        assert noise.mean() == pytest.approx(np.euler_gamma, abs=0.02)
        assert noise.var() == pytest.approx(math.pi**2 / 6, rel=0.03)
        assert oracle.kstest(noise, oracle.gumbel_r.cdf).pvalue > 0.001

    @pytest.mark.parametrize("bits", [0, 2**64 - 1])
    def test_is_finite_at_both_ends_of_the_counter(
        self, bits: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            numerics, "_splitmix64", lambda state: np.full_like(state, np.uint64(bits))
        )
        assert np.isfinite(gumbel(STREAM, 0, np.arange(3))).all()


class TestSample:
    @given(LOGITS, TOP_P, st.integers(0, 200))
    def test_agrees_with_sorting_the_whole_vocabulary(
        self, values: list[float], top_p: float, step: int
    ) -> None:
        logits = np.array(values, np.float32)
        kept = smallest_set(logits, top_p)
        noisy = (logits - logits.max())[kept] + gumbel(STREAM, step, np.array(kept))
        assert drawn(logits, top_p=top_p, step=step) == kept[int(np.argmax(noisy))]

    @given(LOGITS, TOP_P)
    @settings(max_examples=60)
    def test_keeps_exactly_the_smallest_set(self, values: list[float], top_p: float) -> None:
        logits = np.array(values, np.float32)
        kept: list[int] = []

        def spy(stream: bytes, step: int, tokens: Ints) -> npt.NDArray[np.float64]:
            kept.extend(int(token) for token in tokens)
            return gumbel(stream, step, tokens)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numerics, "gumbel", spy)
            drawn(logits, top_p=top_p)
        assert kept == smallest_set(logits, top_p)

    def test_keeps_the_smallest_set_of_a_large_vocabulary(self) -> None:
        """The shortcut over likely tokens, against the brute force, at every cutoff."""
        for scale, top_p in ((6.0, 0.5), (1.0, 0.9), (0.01, 0.9), (3.0, 0.9999)):
            logits = table(15, scale)[0]
            kept = smallest_set(logits, top_p)
            noisy = (logits - logits.max())[kept] + gumbel(STREAM, 5, np.array(kept))
            assert drawn(logits, top_p=top_p, step=5) == kept[int(np.argmax(noisy))]

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    @pytest.mark.parametrize("top_p", [0.8, 1.0])
    def test_frequencies_match_the_nucleus(self, top_p: float, temperature: float) -> None:
        """Oracle: chi-square against softmax, renormalised over the smallest set."""
        logits = np.random.default_rng(16).normal(0, 0.6, 9).astype(np.float32)
        scaled = (logits / np.float32(temperature)).astype(np.float32)
        kept = smallest_set(scaled, top_p) if top_p < 1 else list(range(len(logits)))
        weights = np.exp(scaled[kept].astype(np.float64))
        n_streams = 3_000
        counts = np.bincount(
            [
                sample(
                    logits, top_p=top_p, temperature=temperature, stream=f"{n}/".encode(), step=2
                )
                for n in range(n_streams)
            ],
            minlength=len(logits),
        )
        assert counts[kept].sum() == n_streams
        expected = n_streams * weights / weights.sum()
        assert oracle.chisquare(counts[kept], expected).pvalue > 0.001

    def test_with_top_p_one_can_draw_every_token(self) -> None:
        logits = np.zeros(6, np.float32)
        assert {drawn(logits, top_p=1.0, step=step) for step in range(200)} == set(range(6))

    def test_never_draws_a_token_of_probability_zero(self) -> None:
        logits = np.array([-np.inf, 0.0, -np.inf, 1.0], np.float32)
        assert {drawn(logits, top_p=1.0, step=step) for step in range(100)} == {1, 3}

    def test_two_equal_models_draw_the_same_tokens(self) -> None:
        """Also with an offset of all logits, which leaves the distribution as it is."""
        logits = table(17, 2.0)
        for step, row in enumerate(logits):
            assert drawn(row, step=step) == drawn(row.copy(), step=step)
            assert drawn(row, step=step) == drawn(row + np.float32(8.0), step=step)

    def test_two_alike_models_agree_more_often_than_with_dice_of_their_own(self) -> None:
        logits = table(18, 2.0)
        level = logits + 0.2 * table(19, 1.0)
        coupled = [
            drawn(b, step=step) == drawn(q, step=step)
            for step, (b, q) in enumerate(zip(logits, level, strict=True))
        ]
        independent = [
            drawn(b, step=step) == drawn(q, step=step, stream=b"other")
            for step, (b, q) in enumerate(zip(logits, level, strict=True))
        ]
        assert np.mean(coupled) > 0.7 > 0.2 > np.mean(independent)
