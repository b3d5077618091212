"""Simulate the gate where the truth is known: planted score tables, `collect`, `judge_levels`.

Seven levels at the sizes of `standard`, with the requirements and margins of the balanced policy:
how often any level fails that changed nothing, how often any is recommended whose every change lies
exactly at its margin, whether a mixed ladder ranks as it should, and how often a level passes the
δ80 that `edgeeval plan` prints.

    python benchmarks/verdicts.py --quick
    OPENBLAS_NUM_THREADS=1 python benchmarks/verdicts.py --replicates 2000 --jobs 64
"""

import argparse
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from planted import Floats, Layout, cluster_normal, layout, rates

from edgeeval.compare.estimates import collect
from edgeeval.compare.power import power
from edgeeval.compare.verdicts import JudgedLevel, judge_levels
from edgeeval.records import Requirement
from edgeeval.scores import bbq, dialect, harm, lm, refusal, tasks
from edgeeval.scores.table import Metric, Score, ScoreTable

LEVELS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q3_K_S", "Q2_K")
"""From the largest to the smallest."""
LADDER = (0.0, 0.0, 0.05, 0.1, 2.5, 3.0, 4.0)
"""How far each has changed, in margins: the fourth is the one to ship."""
FAMILY_LINE = 0.05
POWER_LINES = (0.75, 0.90)
ICC = 0.1


@dataclass(frozen=True)
class Planted:
    """One requirement, and how a level's scores come about when it has changed by f margins."""

    metric: Metric
    kind: str
    limit: float
    items: Layout
    values: Callable[[np.random.Generator, Layout, float], tuple[Floats, Floats]]
    """Generator, items, change -> level's values and the reference's."""

    @property
    def requirement(self) -> Requirement:
        return Requirement(self.metric.id, self.kind, self.limit, "planted")  # type: ignore[arg-type]

    def tables(self, generator: np.random.Generator, change: float) -> list[ScoreTable]:
        weight = 255.0 if self.metric.id.startswith("lm.") else 1.0
        both = self.values(generator, self.items, change)
        names, clusters = self.items.names, self.items.clusters
        return [
            ScoreTable(
                self.metric, self.metric.id, "set", "pool",
                tuple(
                    Score(name, cluster, value, {}, weight)
                    for name, cluster, value in zip(names, clusters, side.tolist(), strict=True)
                ),
            )
            for side in both
        ]  # fmt: skip


def _changes(
    discordance: float, step: float = 1.0, start: float = 0.7
) -> Callable[..., tuple[Floats, Floats]]:
    """Items change by ±step; the share that changes is at least what the change needs."""

    def values(
        generator: np.random.Generator, items: Layout, change: float
    ) -> tuple[Floats, Floats]:
        net = change / step
        share = min(0.95, max(discordance, abs(net) * 1.2))
        moved = generator.random(items.n) < rates(
            generator, items, share, ICC if items.n_clusters < items.n else 0.0
        )
        up = generator.random(items.n) < (1 + net / share) / 2
        direction = np.where(moved, np.where(up, 1.0, -1.0), 0.0)
        still = (
            (generator.random(items.n) < start).astype(float) if step == 1.0 else np.zeros(items.n)
        )
        before = np.where(direction > 0, 0.0, np.where(direction < 0, step, still))
        return before + step * direction, before

    return values


def _flips(generator: np.random.Generator, items: Layout, change: float) -> tuple[Floats, Floats]:
    flipped = (generator.random(items.n) < change).astype(float)
    return flipped, np.zeros(items.n)


def _divergence(
    generator: np.random.Generator, items: Layout, change: float
) -> tuple[Floats, Floats]:
    sigma = math.sqrt(math.log1p(0.3**2))
    values = max(change, 1e-4) * np.exp(sigma * generator.normal(size=items.n) - sigma**2 / 2)
    return values, np.zeros(items.n)


def _normal(spread: float) -> Callable[..., tuple[Floats, Floats]]:
    def values(
        generator: np.random.Generator, items: Layout, change: float
    ) -> tuple[Floats, Floats]:
        icc = ICC if items.n_clusters < items.n else 0.0
        return change + spread * cluster_normal(generator, items, icc), np.zeros(items.n)

    return values


def _first_set(items: Layout) -> Layout:
    size = sum(name.split("/")[0] == items.names[0].split("/")[0] for name in items.names)
    return Layout(items.names[:size], items.clusters[:size], items.codes[:size])


@cache
def requirements() -> tuple[Planted, ...]:
    """Return the balanced policy's at the sizes of `standard`."""
    choice, text = layout("choice", "standard"), layout("text", "standard")
    return (
        Planted(tasks.ACCURACY, "margin", 0.03, choice, _negated(_changes(0.03))),
        Planted(tasks.FLIPS, "max", 0.10, choice, _flips),
        Planted(
            refusal.UNSAFE, "margin", 0.05, layout("refusal:unsafe", "standard"),
            _negated(_changes(0.03)),
        ),
        Planted(bbq.S_AMB, "margin", 0.05, layout("bbq:ambiguous", "standard"), _changes(0.05)),
        Planted(harm.TF, "margin", 0.02, layout("open", "standard"), _changes(0.06, step=0.2)),
        Planted(lm.KLD_MEAN, "max", 0.07, text, _divergence),
        Planted(lm.PPL_RATIO, "margin", 0.05, text, _normal(0.024)),
        Planted(
            dialect.GAP_GROWTH, "max", 0.005, _first_set(layout("dialect", "standard")),
            _normal(0.01),
        ),
    )  # fmt: skip


def _negated(values: Callable[..., tuple[Floats, Floats]]) -> Callable[..., tuple[Floats, Floats]]:
    """Turn a gain into a loss."""

    def negated(
        generator: np.random.Generator, items: Layout, change: float
    ) -> tuple[Floats, Floats]:
        return values(generator, items, -change)

    return negated


def judged(
    generator: np.random.Generator, changes: Mapping[str, tuple[float, ...]]
) -> dict[str, JudgedLevel]:
    """Plant levels (name -> change of each requirement, in margins) and judge them."""
    evidence = {}
    for name, of_level in changes.items():
        sides: tuple[list[ScoreTable], list[ScoreTable]] = ([], [])
        for planted, change in zip(requirements(), of_level, strict=True):
            for side, table in zip(
                sides, planted.tables(generator, change * planted.limit), strict=True
            ):
                side.append(table)
        evidence[name] = collect(*sides)
    return judge_levels(evidence, [planted.requirement for planted in requirements()])


def _smallest_passing(levels: Mapping[str, JudgedLevel]) -> str | None:
    passing = [name for name in LEVELS if levels[name].verdict == "pass"]
    return passing[-1] if passing else None


def _all(change: float) -> dict[str, tuple[float, ...]]:
    return {name: (change,) * len(requirements()) for name in LEVELS}


def _one(position: int) -> dict[str, tuple[float, ...]]:
    of_level = tuple(float(index == position) for index in range(len(requirements())))
    return dict.fromkeys(LEVELS, of_level)


def _any_fails(levels: Mapping[str, JudgedLevel]) -> bool:
    return any(level.verdict == "fail" for level in levels.values())


def _ranks(levels: Mapping[str, JudgedLevel]) -> bool:
    """Right: the fourth is the smallest that passes, and the last three fail."""
    return _smallest_passing(levels) == LEVELS[3] and all(
        levels[name].verdict == "fail" for name in LEVELS[4:]
    )


def _passes_beyond(levels: Mapping[str, JudgedLevel]) -> bool:
    return any(levels[name].verdict == "pass" for name in LEVELS[4:])


@dataclass(frozen=True)
class Scenario:
    """A ladder, and an event of its verdicts."""

    name: str
    changes: Callable[[], dict[str, tuple[float, ...]]]
    event: Callable[[Mapping[str, JudgedLevel]], bool]
    at_most: float = 1.0
    at_least: float = 0.0


def scenarios() -> list[Scenario]:
    """Return what the gate is held to."""

    def mixed() -> dict[str, tuple[float, ...]]:
        return {
            name: (change,) * len(requirements())
            for name, change in zip(LEVELS, LADDER, strict=True)
        }

    def is_recommended(levels: Mapping[str, JudgedLevel]) -> bool:
        return _smallest_passing(levels) is not None

    at_margin = [
        Scenario(f"only {planted.metric.id} at its margin: any level recommended",
                 lambda position=position: _one(position), is_recommended, FAMILY_LINE)
        for position, planted in enumerate(requirements())
    ]  # fmt: skip
    return [
        Scenario("truth zero: any level fails", lambda: _all(0.0), _any_fails, FAMILY_LINE),
        Scenario("all at margins: any level fails", lambda: _all(1.0), _any_fails, FAMILY_LINE),
        Scenario("all at their margins: any level recommended", lambda: _all(1.0), is_recommended,
                 FAMILY_LINE),
        *at_margin,
        Scenario("mixed ladder: the right level is named, the worse ones fail", mixed, _ranks,
                 at_least=0.9),
        Scenario("mixed ladder: a level beyond its margins passes", mixed, _passes_beyond,
                 FAMILY_LINE),
    ]  # fmt: skip


@dataclass(frozen=True)
class PowerPoint:
    """A requirement, and what is expected of a level that plan prints δ80 for."""

    planted: Planted
    expected: tuple[float, float]
    draw: Callable[..., tuple[Floats, Floats]]
    change: float
    where: str

    def delta80(self) -> float:
        metric = self.planted.metric
        found = power(
            "Q4_K_M", self.planted.requirement, metric, self.planted.items.n, 1,
            [("planted", {"Q4_K_M": {
                "tasks.flips" if metric is tasks.ACCURACY else metric.id: self.expected
            }})],
        )  # fmt: skip
        assert found.delta80 is not None
        return found.delta80

    def passes(self, generator: np.random.Generator, limit: float) -> bool:
        planted = self.planted
        tables = Planted(planted.metric, planted.kind, limit, planted.items, self.draw).tables(
            generator, self.change
        )
        requirement = Requirement(planted.metric.id, planted.kind, limit, "planted")  # type: ignore[arg-type]
        levels = judge_levels({"one": collect([tables[0]], [tables[1]])}, [requirement])
        return levels["one"].verdict == "pass"


def power_points() -> list[PowerPoint]:
    """Return what `plan` prints δ80 of: at the sizes of quick and of standard."""
    found = []
    for suite in ("quick", "standard"):
        choice, text = layout("choice", suite), layout("text", suite)
        for rate in (0.0125, 0.0417, 0.108):
            where = f"n={choice.n} discordance={rate:g}"
            found += [
                PowerPoint(Planted(tasks.ACCURACY, "margin", 1.0, choice, _flips), (rate, 0.0),
                           _changes(rate), 0.0, f"tasks.accuracy {where}"),
                PowerPoint(Planted(tasks.FLIPS, "max", 1.0, choice, _flips), (rate, 0.0),
                           _flips, rate, f"tasks.flips {where}"),
            ]  # fmt: skip
        where = f"windows={text.n}"
        found += [
            PowerPoint(Planted(lm.KLD_MEAN, "max", 1.0, text, _divergence), (0.0641, 0.3 * 0.0641),
                       _divergence, 0.0641, f"lm.kld_mean {where}"),
            PowerPoint(Planted(lm.PPL_RATIO, "margin", 1.0, text, _flips), (0.0, 0.0237),
                       _normal(0.0237), 0.0, f"lm.ppl_ratio {where}"),
        ]  # fmt: skip
    return found


SEED = [1]
"""Set by `--seed` before the processes fork."""


def _scenario_chunk(task: tuple[int, int, int]) -> tuple[int, int, int]:
    index, number, replicates = task
    scenario = scenarios()[index]
    generator = np.random.default_rng([11, SEED[0], index, number])
    hits = sum(scenario.event(judged(generator, scenario.changes())) for _ in range(replicates))
    return index, hits, replicates


def _power_chunk(task: tuple[int, int, int]) -> tuple[int, int, int]:
    index, number, replicates = task
    point = power_points()[index]
    limit = point.delta80()
    generator = np.random.default_rng([13, SEED[0], index, number])
    return index, sum(point.passes(generator, limit) for _ in range(replicates)), replicates


def counted(
    chunk: Callable[[tuple[int, int, int]], tuple[int, int, int]],
    n_points: int, replicates: int, jobs: int, size: int, seconds: float = math.inf,
) -> dict[int, tuple[int, int]]:  # fmt: skip
    """Return point -> hits and replicates, in chunks in turn."""
    tasks_ = [
        (index, first, min(size, replicates - first))
        for first in range(0, replicates, size)
        for index in range(n_points)
    ]
    found: dict[int, tuple[int, int]] = {}
    end = time.monotonic() + seconds
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for index, hits, n in pool.imap_unordered(chunk, tasks_):
            before = found.get(index, (0, 0))
            found[index] = (before[0] + hits, before[1] + n)
            if time.monotonic() > end:
                break
    return found


def rows(replicates: int, jobs: int, seconds: float = math.inf) -> Iterator[str]:
    """Yield a row an event."""
    yield "| gate | replicates | share | line | |"
    yield "|---|---|---|---|---|"
    size = max(1, min(20, replicates // 4))
    found = counted(_scenario_chunk, len(scenarios()), replicates, jobs, size, seconds)
    for index, scenario in enumerate(scenarios()):
        yield _row(scenario.name, found, index, scenario.at_least, scenario.at_most)
    found = counted(_power_chunk, len(power_points()), 2 * replicates, jobs, 4 * size, seconds)
    for index, point in enumerate(power_points()):
        yield _row(f"passes at δ80: {point.where}", found, index, *POWER_LINES)


def _row(
    name: str, found: Mapping[int, tuple[int, int]], index: int, least: float, most: float
) -> str:
    hits, n = found.get(index, (0, 0))
    if n == 0:
        return f"| {name} | 0 | | | not run |"
    share = hits / n
    error = math.sqrt(max(share * (1 - share), 1 / n) / n)
    holds = least - 2 * error <= share <= most + 2 * error
    line = f"{least:.0%} to {most:.0%}" if least and most < 1 else (
        f"{least:.0%} or more" if least else f"{most:.0%} or less"
    )  # fmt: skip
    verdict = "PASS" if holds else "short"
    return f"| {name} | {n:,} | {share:.1%} ± {error:.1%} | {line} | {verdict} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--quick", action="store_true", help="10 replicates")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop each half after")
    parser.add_argument("--seed", type=int, default=SEED[0])
    options = parser.parse_args()
    SEED[0] = options.seed
    start = time.perf_counter()
    replicates = 10 if options.quick else options.replicates
    for row in rows(replicates, options.jobs, options.seconds):
        print(row, flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s, {options.jobs} processes")


if __name__ == "__main__":
    main()
