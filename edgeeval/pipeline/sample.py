"""Say what a planned sample can show of the requirements, before any of it is run."""

from collections.abc import Sequence
from typing import NamedTuple

from edgeeval.compare.power import (
    Expected,
    Power,
    cannot_pass,
    expectations_of,
    power,
    sample_that_could,
    shipped_expectations,
)
from edgeeval.compare.verdicts import metric_id
from edgeeval.errors import InputError
from edgeeval.pipeline.request import Chosen, Request, earlier_results
from edgeeval.records import Requirement
from edgeeval.report import load_results
from edgeeval.run.foreign import Plan
from edgeeval.scores import SCORERS, is_selected, scorer
from edgeeval.scores.table import Metric
from edgeeval.store import Workspace


class Sample(NamedTuple):
    """What will decide a requirement."""

    requirement: Requirement
    metric: Metric
    key: str
    """The metric's id, with the set or the pool behind it where there are several."""
    n: int
    """Items, several questions about one as one."""
    n_clusters: int
    """Their templates, windows."""


def samples_of(chosen: Chosen, plans: Sequence[Plan]) -> list[Sample]:
    """Return what will decide each requirement: one entry a key, none where nothing will.

    As the estimates do afterwards: sets of one pool decide together, each other set alone, and an
    item decides only what it says something about.
    """
    return samples(chosen.required, chosen.scorers, plans)


def samples(
    required: Sequence[Requirement], scorers: Sequence[str], plans: Sequence[Plan]
) -> list[Sample]:
    """Return what will decide each of these requirements, by these scorers."""
    found = []
    for requirement in required:
        for name in scorers:
            for metric in scorer(name).METRICS:
                if metric.id == metric_id(requirement.metric):
                    found += _of_metric(requirement, name, metric, plans)
    return found


def _of_metric(
    requirement: Requirement, name: str, metric: Metric, plans: Sequence[Plan]
) -> list[Sample]:
    pools: dict[str, dict[str, tuple[int, int]]] = {}
    for plan in plans:
        if plan.content["kind"] in scorer(name).KINDS:
            n_items, n_clusters = _counted(name, metric, plan)
            if n_items:
                of_pool = pools.setdefault(plan.content["pool"], {})
                of_pool[plan.content["set_id"]] = n_items, n_clusters
    wanted = requirement.metric.partition("@")[0].partition("/")[2]
    found = []
    for pool, sizes in pools.items():
        own = pool if len(sizes) > 1 else next(iter(sizes))
        if wanted in ("", own):
            key = f"{metric.id}/{own}" if len(pools) > 1 else metric.id
            n_items, n_clusters = (sum(counts) for counts in zip(*sizes.values(), strict=True))
            found.append(Sample(requirement, metric, key, n_items, n_clusters))
    return found


def _counted(name: str, metric: Metric, plan: Plan) -> tuple[int, int]:
    """Count the items of a plan that a metric is made of, and their templates."""
    counts = getattr(scorer(name), "counts", lambda metric, item: True)
    asked = [
        item for block in plan.content["blocks"] for item in block["items"] if counts(metric, item)
    ]
    items = {item.get("item", item["id"]) for item in asked}
    return len(items), len({item["template_id"] for item in asked})


def unmeasurable(request: Request, chosen: Chosen, sampled: Sequence[Sample]) -> list[str]:
    """Say which requirements nothing in this evaluation measures, and why."""
    decided = {one.requirement.metric for one in sampled}
    found = []
    for requirement in chosen.required:
        name = metric_id(requirement.metric)
        prefix = next(one for one in SCORERS if name in {m.id for m in scorer(one).METRICS})
        kinds = scorer(prefix).KINDS
        if prefix not in chosen.scorers or not is_selected(name, request.only):
            why = f"--only leaves {name} out"
        elif kinds and requirement.metric not in decided:
            why = f"suite {chosen.suite.name} has no items of kind {' or '.join(kinds)} for it"
        else:
            continue
        found.append(f"{requirement.metric} ({requirement.source}) is not measured: {why}")
    return found


def too_small(sampled: Sequence[Sample], n_levels: int) -> list[str]:
    """Say which requirements the sample cannot show even if nothing changes, and what could."""
    found = []
    for requirement, metric, key, n, n_clusters in sampled:
        if not cannot_pass(requirement, metric, n, n_levels, n_clusters):
            continue
        needed = sample_that_could(requirement, metric, n, n_levels, n_clusters)
        could = f"{needed:,} could" if needed else "no sample could"
        levels = f" with {n_levels} levels judged together" if n_levels > 1 else ""
        found.append(
            f"{key}: {n:,} items cannot show a limit of {requirement.limit:g} even "
            f"if nothing changes{levels}; {could}: take a larger suite or another limit"
        )
    return found


def power_of(
    request: Request, workspace: Workspace, sampled: Sequence[Sample], names: Sequence[str]
) -> tuple[Power, ...]:
    """Return for each requirement and level what the sample can show."""
    sources = [*_earlier(request, workspace), ("levels of SmolLM2-135M", shipped_expectations())]
    return tuple(
        power(name, one.requirement, one.metric, one.n, len(names), sources, one.key)
        for one in sampled
        for name in names
    )


def _earlier(request: Request, workspace: Workspace) -> list[tuple[str, Expected]]:
    """Return what earlier results of this recipe say, the newest first."""
    found = []
    for path in earlier_results(request.name, workspace):
        try:
            found.append((f"{path.parent.name}", expectations_of(load_results(path))))
        except InputError:  # of another version, or damaged: it can tell nothing
            continue
    return found
