"""Compute on logits: log-probabilities, divergence per token, coupled sampling. Pure numpy."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_ROWS_A_PIECE = 32
"""Rows worked on together: 32 rows of a 50,000-token vocabulary stay in the cache."""


def _pieces(n_rows: int) -> list[slice]:
    return [
        slice(start, min(start + _ROWS_A_PIECE, n_rows))
        for start in range(0, n_rows, _ROWS_A_PIECE)
    ]


def _in_threads(work: Callable[[slice], None], n_rows: int, n_threads: int) -> None:
    """Work on pieces of rows in threads: numpy lets go of the interpreter inside its loops."""
    pieces = _pieces(n_rows)
    if n_threads < 2 or len(pieces) < 2:
        for piece in pieces:
            work(piece)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, pieces))


def log_softmax(logits: Floats, n_threads: int = 1) -> Floats:
    """Return log-probabilities, float32, shape as given (rows, vocabulary)."""
    result = np.empty_like(logits)

    def work(piece: slice) -> None:
        shifted = np.subtract(
            logits[piece], logits[piece].max(axis=1, keepdims=True), out=result[piece]
        )
        total = np.exp(shifted).sum(axis=1, keepdims=True)
        shifted -= np.log(total)

    _in_threads(work, len(logits), n_threads)
    return result


def token_log_probabilities(logits: Floats, targets: Ints) -> npt.NDArray[np.float64]:
    """Return each row's log-probability of its target token, in nats, shape (rows,)."""
    result = np.empty(len(logits), np.float64)
    for piece in _pieces(len(logits)):
        rows = logits[piece]
        top = rows.max(axis=1)
        total = np.exp(rows - top[:, None]).sum(axis=1, dtype=np.float64)
        chosen = rows[np.arange(len(rows)), targets[piece]].astype(np.float64)
        result[piece] = chosen - top - np.log(total)
    return result


class Divergence(NamedTuple):
    """How a level's next-token distribution differs from the reference's; each of shape (rows,)."""

    kld: Floats
    """KL(reference || level) in nats."""
    same_top: Floats
    """1 where both rank the same token first, else 0."""
    dp: Floats
    """Probability of the true next token, level minus reference (llama.cpp's Δp)."""


def divergence(reference: Floats, level: Floats, targets: Ints, n_threads: int = 1) -> Divergence:
    """Compare two tables of log-probabilities, each of shape (rows, vocabulary)."""
    n_rows = len(targets)
    kld, same_top, dp = (np.empty(n_rows, np.float32) for _ in range(3))

    def work(piece: slice) -> None:
        b, q = np.asarray(reference[piece]), level[piece]
        kld[piece] = np.einsum("rv,rv->r", np.exp(b), b - q)
        same_top[piece] = b.argmax(axis=1) == q.argmax(axis=1)
        rows = np.arange(len(b))
        true = targets[piece]
        dp[piece] = np.exp(q[rows, true]) - np.exp(b[rows, true])

    _in_threads(work, n_rows, n_threads)
    return Divergence(kld, same_top, dp)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _splitmix64(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64-bit counters (Steele, Lea & Flood 2014, the finalizer of SplitMix64)."""
    z = state + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def gumbel(stream: bytes, step: int, tokens: Ints) -> npt.NDArray[np.float64]:
    """Return Gumbel(0, 1) noise that depends on (stream, step, token) and on nothing else.

    Two models that draw with the same stream meet the same noise at every token, whatever their
    batch mates, so their texts differ where the models do and not where the dice do.

    Args:
        stream: names seed, item and sample.
        step: index of the generated token.
        tokens: token ids, shape (n,).
    """
    key = hashlib.blake2b(stream + step.to_bytes(8, "little"), digest_size=8).digest()
    base = np.uint64(int.from_bytes(key, "little"))
    bits = _splitmix64(_splitmix64(tokens.astype(np.uint64)) ^ base)
    # 52 bits: a half is exact beside them, so that uniform is never 0 or 1 and the noise is finite.
    uniform = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return -np.log(-np.log(uniform))


_CUTOFFS = (1e-3, 1e-5, 0.0)


def sample(logits: Floats, *, top_p: float, temperature: float, stream: bytes, step: int) -> int:
    """Draw one token by the Gumbel-max trick over the top-p tokens (nucleus sampling).

    Args:
        logits: shape (vocabulary,).
        top_p: the kept tokens are the fewest, most likely ones whose probabilities reach it.
        temperature: divides the logits.
        stream: see `gumbel`.
        step: see `gumbel`.
    """
    scaled = (logits - logits.max()) / np.float32(temperature)
    weights = np.exp(scaled)
    total = float(weights.sum(dtype=np.float64))
    for cutoff in _CUTOFFS:  # sorting a few likely tokens beats sorting the vocabulary
        likely = np.flatnonzero(weights >= cutoff * total)
        if float(weights[likely].sum(dtype=np.float64)) >= top_p * total:
            break
    order = likely[np.argsort(-weights[likely], kind="stable")]
    reached = np.cumsum(weights[order], dtype=np.float64) >= top_p * total
    kept = order[: int(np.argmax(reached)) + 1 if reached.any() else len(order)]
    noisy = scaled[kept].astype(np.float64) + gumbel(stream, step, kept)
    return int(kept[np.argmax(noisy)])
