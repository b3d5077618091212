"""Time 10,000 resamples of 40 metrics on 7 levels with 2,000 items each.

    python benchmarks/resampling.py

Side by side in one process: all 280 columns at once, and the same columns one at a time (some of
them, scaled up).
"""

from __future__ import annotations

import time

import numpy as np

from edgeeval import stats

N_ITEMS, N_COLUMNS, N_RESAMPLES, N_ALONE = 2000, 40 * 7, 10_000, 5


def main() -> None:
    """Print the seconds of both and their ratio."""
    columns = np.random.default_rng(1).choice(
        [-1.0, 0.0, 1.0], (N_ITEMS, N_COLUMNS), p=[0.03, 0.95, 0.02]
    )
    start = time.perf_counter()
    together = [one.interval() for one in stats.bootstrap_means(columns, N_RESAMPLES)]
    together_s = time.perf_counter() - start
    start = time.perf_counter()
    alone = [stats.bca_bootstrap(column, n_resamples=N_RESAMPLES) for column in columns.T[:N_ALONE]]
    alone_s = (time.perf_counter() - start) / N_ALONE * N_COLUMNS
    for one, other in zip(alone, together, strict=False):
        assert np.allclose(one[:3], other[:3]), (one, other)
    print(
        f"{N_COLUMNS} columns together: {together_s:.1f} s; one at a time: {alone_s:.0f} s, ",
        end="",
    )
    print(f"{alone_s / together_s:.0f} times as long")


if __name__ == "__main__":
    main()
