"""What a scorer gives: a metric's definition and one score per item."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgeeval.records import Direction

Method = Literal["share", "bounded", "mean", "log_ratio", "quantile", "permutation", "repeats"]
"""How a metric's interval is made; see `edgeeval.compare.estimates` for each."""


@dataclass(frozen=True)
class Metric:
    """A metric's fixed properties: its interval's method never depends on the data."""

    id: str
    title: str
    unit: str
    direction: Direction
    method: Method
    paired: bool = True
    """Whether level minus reference is meaningful (it is not for KLD, flips, size)."""
    is_change: bool = False
    """Whether the value itself counts changes from the reference (flips)."""
    transform: Literal["", "exp", "sqrt"] = ""
    """Applied to the mean and its bounds, for display: perplexity is exp of a mean."""
    bound: float = 1.0
    """Largest possible |difference| of one item (method "bounded")."""
    quantile: float | None = None
    min_n: int = 0
    """Fewer values than this leave a percentile undefined."""


@dataclass(frozen=True)
class Score:
    """One item's number."""

    item: str
    cluster: str
    """Template, window or feature: items of one cluster are not independent."""
    value: float | None
    """None: the item could not be scored; it is counted, not skipped in silence."""
    groups: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0
    """lm.*: scored tokens of the window."""


@dataclass(frozen=True)
class ScoreTable:
    """One metric of one run."""

    metric: Metric
    key_id: str
    """The metric's id, with k where the metric's name has one (`harm.tf_5`)."""
    set_id: str
    pool: str
    scores: tuple[Score, ...]
    judge: str = ""
    """`name:label` of the judge that made the numbers, or empty."""
    values: npt.NDArray[np.float32] | None = None
    """Per-token values, for percentiles."""
    chance: float | None = None
    """Expected value of a guesser: a reference that is no better is insensitive."""
    n_empty: int = 0
    """Sampled texts that were empty: they have no score, also where their item has one."""
    missing: str = ""
    """Why there is no number at all."""

    @property
    def key(self) -> str:
        """The pooled key, `id[@judge:label]`."""
        return f"{self.key_id}@{self.judge}" if self.judge else self.key_id
