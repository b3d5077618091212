"""Early stop: z = 3.29, strata in proportion, and hardly any false alarm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats as oracle

from edgeeval.stats import early_stop, look_order, paired_shares
from edgeeval.stats.sequential import LOOKS, STOP_P


def test_the_threshold_is_haybittle_and_peto_s() -> None:
    assert pytest.approx(oracle.norm.sf(3.29), rel=1e-3) == STOP_P


def test_every_look_holds_the_strata_in_proportion() -> None:
    order = look_order(["a"] * 80 + ["b"] * 20, seed=3)
    assert sorted(order) == list(range(100))
    for look in LOOKS:
        assert sum(order[: int(100 * look)] >= 80) == pytest.approx(20 * look, abs=1)


def test_a_level_at_its_margin_is_hardly_ever_stopped() -> None:
    """Simulated: two looks at p = .0005 each stop less than .5 % of 2,000 levels."""
    generator, stopped = np.random.default_rng(2), 0
    for _ in range(2000):
        changed = np.cumsum(generator.random(400) < 0.05)

        def at(look: float, changed: npt.NDArray[np.int64] = changed) -> bool:
            n = int(400 * look)
            n_down = int(changed[n - 1])
            return early_stop(lambda alpha: paired_shares(0, n_down, n, alpha), 0.05, "higher")

        stopped += any(map(at, LOOKS))
    assert stopped / 2000 < 0.005
