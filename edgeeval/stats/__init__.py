"""Turn per-item differences into intervals, p-values and sample sizes.

Everything here is a pure function of numbers: no records, no files, no settings.

    intervals.py   shares and their paired differences, of independent items
    means.py       means: clustered, skewed, mostly zero
    quantiles.py   quantiles, of independent and of clustered values
    cells.py       statistics that are made of several means
    control.py     a difference sharpened by a reference that ran on more items
    resampling.py  what has no formula: BCa cluster bootstrap, permuted labels
    discrimination.py  how well a judge tells two classes apart
    decisions.py   from an interval method to p-values, corrected over levels
    planning.py    what a sample can show before it is run, and what would decide

scipy is imported inside the functions, because `edgeeval --help` has to answer at once.
"""

from edgeeval.stats.cells import (
    CellItems,
    CellStatistic,
    cell_bootstrap,
    sum_of_means,
    sum_of_means_sample,
)
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
    clopper_pearson,
    exp_interval,
    paired_shares,
    wilson,
)
from edgeeval.stats.means import (
    Studentized,
    bounded_mean,
    bounded_sample,
    cluster_mean,
    cluster_sample,
)
from edgeeval.stats.planning import (
    delta80_mean,
    delta80_paired_shares,
    delta80_share,
    required_n_paired_shares,
    required_n_scaled,
    zero_change_upper,
)
from edgeeval.stats.quantiles import cluster_quantile, order_statistic
from edgeeval.stats.resampling import (
    BootstrapDistribution,
    PermutationGap,
    bca_bootstrap,
    bootstrap_distribution,
    bootstrap_means,
    permutation_gap,
)
from edgeeval.stats.sequential import early_stop, look_order

__all__ = [
    "BootstrapDistribution",
    "CellItems",
    "CellStatistic",
    "Direction",
    "Interval",
    "IntervalAt",
    "PermutationGap",
    "Studentized",
    "TwoTests",
    "auc",
    "bca_bootstrap",
    "bootstrap_distribution",
    "bootstrap_means",
    "bounded_mean",
    "bounded_sample",
    "cell_bootstrap",
    "clopper_pearson",
    "cluster_mean",
    "cluster_quantile",
    "cluster_sample",
    "control_beta",
    "control_variate",
    "delta80_mean",
    "delta80_paired_shares",
    "delta80_share",
    "early_stop",
    "exp_interval",
    "holm",
    "look_order",
    "mcnemar_exact",
    "order_statistic",
    "paired_shares",
    "permutation_gap",
    "required_n_paired_shares",
    "required_n_scaled",
    "share_difference",
    "smallest_alpha",
    "sum_of_means",
    "sum_of_means_sample",
    "tost_p",
    "wilson",
    "zero_change_upper",
]
