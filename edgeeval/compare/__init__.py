"""Compare levels with the reference, item by item, and say what follows.

estimates.py  scores -> estimates and paired differences, one interval method a metric
verdicts.py   estimates + requirements -> pass, fail, inconclusive, not measured
recommend.py  verdicts -> the level to ship, the Pareto front
"""

from edgeeval.compare.estimates import MetricEvidence, collect
from edgeeval.compare.recommend import mark_pareto, recommend
from edgeeval.compare.verdicts import judge_levels

__all__ = ["MetricEvidence", "collect", "judge_levels", "mark_pareto", "recommend"]
