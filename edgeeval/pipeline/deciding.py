"""Tell which items decide a requirement, before anything runs.

As the estimates do afterwards: sets of one pool decide together, each other set alone, and an item
decides only what it says something about.
"""

from collections.abc import Sequence
from typing import NamedTuple

from edgeeval.compare.verdicts import metric_id
from edgeeval.records import Requirement
from edgeeval.run.foreign import Plan
from edgeeval.scores import scorer
from edgeeval.scores.table import Metric


class Decision(NamedTuple):
    """A requirement, and the sample that will decide it."""

    requirement: Requirement
    metric: Metric
    key: str
    """The metric's id, with the set or the pool behind it where there are several."""
    n: int


def decisions(
    required: Sequence[Requirement], scorers: Sequence[str], plans: Sequence[Plan]
) -> list[Decision]:
    """Return what will decide each requirement: one entry a key, none where nothing will."""
    found = []
    for requirement in required:
        for name in scorers:
            for metric in scorer(name).METRICS:
                if metric.id == metric_id(requirement.metric):
                    found += _of_metric(requirement, name, metric, plans)
    return found


def _of_metric(
    requirement: Requirement, name: str, metric: Metric, plans: Sequence[Plan]
) -> list[Decision]:
    pools: dict[str, dict[str, int]] = {}
    for plan in plans:
        if plan.content["kind"] in scorer(name).KINDS and (n := _n_items(name, metric, plan)):
            pools.setdefault(plan.content["pool"], {})[plan.content["set_id"]] = n
    wanted = requirement.metric.partition("@")[0].partition("/")[2]
    found = []
    for pool, sizes in pools.items():
        own = pool if len(sizes) > 1 else next(iter(sizes))
        if wanted in ("", own):
            key = f"{metric.id}/{own}" if len(pools) > 1 else metric.id
            found.append(Decision(requirement, metric, key, sum(sizes.values())))
    return found


def _n_items(name: str, metric: Metric, plan: Plan) -> int:
    """Count the items of a plan, several questions about one as one, that a metric is made of."""
    counts = getattr(scorer(name), "counts", lambda metric, item: True)
    asked = (item for block in plan.content["blocks"] for item in block["items"])
    return len({item.get("item", item["id"]) for item in asked if counts(metric, item)})
