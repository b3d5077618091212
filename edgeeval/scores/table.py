"""What a scorer gives: a metric's definition and one score per item."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgeeval.records import Direction
from edgeeval.stats import CellStatistic

Method = Literal[
    "share",
    "bounded",
    "mean",
    "log_ratio",
    "sum_of_means",
    "bootstrap",
    "quantile",
    "group_worst",
    "group_gap",
    "repeats",
]
"""How a metric's interval is made; see `edgeeval.compare.methods` for each."""


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
    is_listed: bool = False
    """Whether results name the items that it counts: flips in one direction."""
    transform: Literal["", "exp", "sqrt"] = ""
    """Applied to the mean and its bounds, for display: perplexity is exp of a mean."""
    bound: float = 1.0
    """Largest possible |difference| of one item (methods "bounded" and "sum_of_means")."""
    quantile: float | None = None
    min_n: int = 0
    """Fewer values than this leave a percentile undefined."""
    cells: tuple[str, ...] = ()
    """Cells whose means are added (method "sum_of_means")."""
    statistic: CellStatistic | None = None
    """Function of the cells' means (method "bootstrap")."""
    group_by: str = ""
    """Name of the groups that are compared (methods "group_worst" and "group_gap")."""
    of_texts: bool = False
    """Whether it is the share of texts that a judge flags: the judge's error then shrinks a
    difference by a factor that is known."""
    min_reference: float | None = None
    """A reference below this cannot show a loss: it has too little to lose."""


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
    """lm.*: scored tokens of the window; 0: an answer that the metric does not count."""
    cell: str = ""
    """What the item is averaged within, for statistics made of several means."""


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
    notes: tuple[str, ...] = ()
    """What a reader must know beside the number."""
    by_threshold: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)
    """Threshold -> what the scores would be if a judge's score counted from there on."""

    @property
    def key(self) -> str:
        """The pooled key, `id[@judge:label]`."""
        return f"{self.key_id}@{self.judge}" if self.judge else self.key_id
