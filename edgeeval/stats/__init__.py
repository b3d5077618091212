"""Turn per-item differences into intervals, p-values and sample sizes.

Everything here is a pure function of numbers: no records, no files, no settings.

    intervals.py   one interval method per kind of data
    cells.py       statistics that are made of several means
    control.py     a difference sharpened by a reference that ran on more items
    resampling.py  what has no formula: BCa cluster bootstrap, permuted labels
    discrimination.py  how well a judge tells two classes apart
    decisions.py   from an interval method to p-values, corrected over levels
    planning.py    what a sample can show before it is run, and what would decide

scipy is imported inside the functions, because `edgeeval --help` has to answer at once.
"""

from edgeeval.stats.cells import CellItems, CellStatistic, cell_bootstrap, sum_of_means
from edgeeval.stats.control import control_beta, control_variate
from edgeeval.stats.decisions import (
    Direction,
    IntervalAt,
    TwoTests,
    holm,
    mcnemar_exact,
    smallest_alpha,
    tost_p,
)
from edgeeval.stats.discrimination import auc, share_difference
from edgeeval.stats.intervals import (
    Interval,
    bounded_mean,
    clopper_pearson,
    cluster_mean,
    exp_interval,
    order_statistic,
    paired_shares,
    wilson,
)
from edgeeval.stats.planning import (
    delta80_mean,
    delta80_paired_shares,
    delta80_share,
    required_n_paired_shares,
    required_n_scaled,
    zero_change_upper,
)
from edgeeval.stats.resampling import (
    BootstrapDistribution,
    PermutationGap,
    bca_bootstrap,
    bootstrap_distribution,
    permutation_gap,
)

__all__ = [
    "BootstrapDistribution",
    "CellItems",
    "CellStatistic",
    "Direction",
    "Interval",
    "IntervalAt",
    "PermutationGap",
    "TwoTests",
    "auc",
    "bca_bootstrap",
    "bootstrap_distribution",
    "bounded_mean",
    "cell_bootstrap",
    "clopper_pearson",
    "cluster_mean",
    "control_beta",
    "control_variate",
    "delta80_mean",
    "delta80_paired_shares",
    "delta80_share",
    "exp_interval",
    "holm",
    "mcnemar_exact",
    "order_statistic",
    "paired_shares",
    "permutation_gap",
    "required_n_paired_shares",
    "required_n_scaled",
    "share_difference",
    "smallest_alpha",
    "sum_of_means",
    "tost_p",
    "wilson",
    "zero_change_upper",
]
