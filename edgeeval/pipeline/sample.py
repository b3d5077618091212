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
    pool: str
    """Whose sets are averaged together."""
    n: int
    """Items; of those that the metric reads only a part of, at most."""
    n_clusters: int
    """Their templates, windows."""


def samples_of(chosen: Chosen, plans: Sequence[Plan]) -> list[Sample]:
    """Return the requirements with the items that will decide them."""
    found = []
    for requirement in chosen.required:
        for name in chosen.scorers:
            module = scorer(name)
            for metric in module.METRICS:
                if metric.id == metric_id(requirement.metric):
                    pools = _pools([one for one in plans if one.content["kind"] in module.KINDS])
                    found += [Sample(requirement, metric, pool, *n) for pool, n in pools.items()]
    return found


def _pools(plans: Sequence[Plan]) -> dict[str, tuple[int, int]]:
    """Return pool -> items and clusters, of the pools that have any."""
    items: dict[str, int] = {}
    clusters: dict[str, set[str]] = {}
    for plan in plans:
        pool, set_id = plan.content["pool"], plan.content["set_id"]
        asked = [item for block in plan.content["blocks"] for item in block["items"]]
        if asked:
            items[pool] = items.get(pool, 0) + plan.n_items
            names = {f"{set_id}/{item['template_id']}" for item in asked}
            clusters.setdefault(pool, set()).update(names)
    return {pool: (n, len(clusters[pool])) for pool, n in items.items()}


def unmeasurable(request: Request, chosen: Chosen, samples: Sequence[Sample]) -> list[str]:
    """Say which requirements nothing in this evaluation measures, and why."""
    sampled = {one.requirement.metric for one in samples}
    found = []
    for requirement in chosen.required:
        name = metric_id(requirement.metric)
        prefix = next(one for one in SCORERS if name in {m.id for m in scorer(one).METRICS})
        kinds = scorer(prefix).KINDS
        if prefix not in chosen.scorers or not is_selected(name, request.only):
            why = f"--only leaves {name} out"
        elif kinds and requirement.metric not in sampled:
            why = f"suite {chosen.suite.name} has no items of kind {' or '.join(kinds)} for it"
        else:
            continue
        found.append(f"{requirement.metric} ({requirement.source}) is not measured: {why}")
    return found


def too_small(samples: Sequence[Sample], n_levels: int) -> list[str]:
    """Say which requirements the sample cannot show even if nothing changes, and what could."""
    found = []
    for requirement, metric, _, n, n_clusters in samples:
        if not cannot_pass(requirement, metric, n, n_levels, n_clusters):
            continue
        needed = sample_that_could(requirement, metric, n, n_levels, n_clusters)
        could = f"{needed:,} could" if needed else "no sample could"
        levels = f" with {n_levels} levels judged together" if n_levels > 1 else ""
        found.append(
            f"{requirement.metric}: {n:,} items cannot show a limit of {requirement.limit:g} even "
            f"if nothing changes{levels}; {could}: take a larger suite or another limit"
        )
    return found


def power_of(
    request: Request, workspace: Workspace, samples: Sequence[Sample], names: Sequence[str]
) -> tuple[Power, ...]:
    """Return for each requirement and level what the sample can show."""
    sources = [*_earlier(request, workspace), ("levels of SmolLM2-135M", shipped_expectations())]
    return tuple(
        power(name, one.requirement, one.metric, one.n, len(names), sources)
        for one in samples
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
