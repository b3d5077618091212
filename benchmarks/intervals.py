"""Simulate every interval that a verdict rests on, where its truth is known.

Scores are planted and go through `edgeeval.compare.methods`, the path of a real evaluation, with
the items and templates that the three suites really choose. At each point of the grid (discordance,
the share of it that goes up, intracluster correlation, skewness) the table counts how often a bound
misses the truth on its own side; nominal are 2.5 % a side.

    python benchmarks/intervals.py --quick          # under a minute on two cores
    OPENBLAS_NUM_THREADS=1 python benchmarks/intervals.py --replicates 20000 --jobs 64
"""

import argparse
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from planted import Floats, Layout, Texts, cluster_normal, layout, rates
from scipy import stats as scipy_stats
from tango import tango

from edgeeval import stats
from edgeeval.compare.methods import Pair, own_interval, paired_interval, quantile_interval
from edgeeval.scores import bbq, dialect, harm, lm, pairs, refusal, tasks, unqover
from edgeeval.scores.table import Metric, Score, ScoreTable
from edgeeval.stats import Interval

ALPHA = 0.05
MISS_LINE, COVERAGE_LINE, TANGO_LINE = 0.04, 0.98, 1.3
MANY_CHANGES = 30
CHUNK = 500
DISCORDANCES = (0.003, 0.01, 0.03, 0.1)
SPLITS = (0.0, 0.25, 0.5)
CORRELATIONS = (0.0, 0.1)

Draw = Callable[[np.random.Generator], Interval]
"""One replicate: a sample, and the interval that the product makes of it."""


@dataclass(frozen=True)
class Point:
    """One point of the grid."""

    line: str
    where: str
    truth: float
    draw: Draw
    changes: float = math.nan
    """Items expected to change; NaN where a change is no event."""
    share: float = 1.0
    """Replicates of this point over those asked for: a bootstrap is slow."""


class Tally(NamedTuple):
    """What a point's replicates showed."""

    n: int = 0
    too_high: int = 0
    """Lower bound above the truth."""
    too_low: int = 0
    """Upper bound below the truth."""
    unbounded: int = 0
    """Ends that are open; such an end misses nothing."""

    @property
    def miss(self) -> float:
        return max(self.too_high, self.too_low) / self.n

    @property
    def error(self) -> float:
        """Standard error of `miss`."""
        return math.sqrt(max(self.miss * (1 - self.miss), 1 / self.n) / self.n)

    @property
    def coverage(self) -> float:
        return 1 - (self.too_high + self.too_low) / self.n


def _where(n: int, **parts: float) -> str:
    return " ".join([f"n={n}", *(f"{name}={value:g}" for name, value in parts.items())])


_SIDES = {0: (0, 0), 1: (1, 0), -1: (0, 1), 2: (1, -1), -2: (-1, 1)}


def _pairs_of_changes(items: Layout) -> dict[int, list[Pair]]:
    return {
        change: [
            Pair(Score(name, cluster, float(q)), Score(name, cluster, float(b)))
            for name, cluster in zip(items.names, items.clusters, strict=True)
        ]
        for change, (q, b) in _SIDES.items()
    }


def _drawn_changes(
    generator: np.random.Generator, items: Layout, rate: float, split: float, icc: float,
    one_way: bool = False, doubles: float = 0.0,
) -> list[int]:  # fmt: skip
    """Draw each item's change; `one_way`: all changes of a template go the same way."""
    changed = generator.random(items.n) < rates(generator, items, rate, icc)
    up = generator.random(items.n_clusters if one_way else items.n) < split
    signs = np.where(up[items.codes] if one_way else up, 1, -1)
    return list((changed * signs * (1 + (generator.random(items.n) < doubles))).tolist())


_PAIRED = (
    (tasks.ACCURACY, "choice", "quick"), (tasks.ACCURACY, "choice", "standard"),
    (refusal.UNSAFE, "refusal:unsafe", "standard"), (pairs.PAIRS, "pairs", "standard"),
    (bbq.ABSTENTION, "bbq", "standard"), (bbq.ABSTENTION, "bbq", "full"),
    (bbq.ACC_AMB, "bbq:ambiguous", "standard"), (harm.TP, "open", "quick"),
    (harm.TP, "open", "standard"), (bbq.S_AMB, "bbq:ambiguous", "standard"),
    (bbq.S_AMB, "bbq:ambiguous", "full"),
)  # fmt: skip


def _grid(items: Layout) -> Iterator[tuple[float, float, float, bool]]:
    for rate in DISCORDANCES:
        for split in SPLITS:
            for icc in CORRELATIONS if items.n_clusters < items.n else (0.0,):
                for one_way in (False, True) if icc else (False,):
                    yield rate, split, icc, one_way


def paired_points() -> Iterator[Point]:
    """Paired differences of shares, and of scores that change by 1 or 2."""
    for metric, kind, suite in _PAIRED:
        items = layout(kind, suite)
        for rate, split, icc, one_way in _grid(items):
            yield _paired_point(metric, items, rate, split, icc, one_way)


def _paired_point(
    metric: Metric, items: Layout, rate: float, split: float, icc: float, one_way: bool
) -> Point:
    independent = items.n_clusters == items.n and metric.method == "share"
    line = "share, paired" if independent else "clustered share, paired"
    doubles = 0.2 if metric.bound > 1 else 0.0
    known: dict[tuple[int, int], Interval] = {}
    of_changes: dict[int, list[Pair]] = {}

    def draw(generator: np.random.Generator) -> Interval:
        if not of_changes:
            of_changes.update(_pairs_of_changes(items))
        drawn = _drawn_changes(generator, items, rate, split, icc, one_way, doubles)
        counts = (drawn.count(1), drawn.count(-1))
        if independent and counts in known:
            return known[counts]  # the interval depends on nothing else
        sample = [of_changes[change][index] for index, change in enumerate(drawn)]
        return known.setdefault(
            counts if independent else (-1, len(known)), paired_interval(metric, sample)(ALPHA)
        )

    where = _where(items.n, rate=rate, up=split, icc=icc) + (" one way" if one_way else "")
    return Point(
        line if metric.bound == 1 else "s_amb, paired", f"{metric.id} {where}",
        rate * (2 * split - 1) * (1 + doubles), draw, rate * items.n,
    )  # fmt: skip


_OWN = (
    (tasks.FLIPS, "choice", "quick"), (tasks.FLIPS, "choice", "standard"),
    (refusal.UNSAFE, "refusal:unsafe", "standard"), (bbq.FLIPS, "bbq", "standard"),
    (bbq.FLIPS, "bbq", "full"), (harm.TP, "open", "quick"), (harm.TP, "open", "standard"),
)  # fmt: skip


def own_points(wilson: bool = False) -> Iterator[Point]:
    """Shares of one model: flips, accuracy, refusals."""
    for metric, kind, suite in _OWN:
        items = layout(kind, suite)
        for rate in (*DISCORDANCES, 0.3, 0.5, 0.9, 0.97):
            for icc in CORRELATIONS if items.n_clusters < items.n else (0.0,):
                if not wilson:
                    yield _own_point(metric, items, rate, icc)
                elif items.n_clusters == items.n:
                    yield _wilson_point(items.n, rate)


def _own_point(metric: Metric, items: Layout, rate: float, icc: float) -> Point:
    independent = items.n_clusters == items.n
    known: dict[int, Interval] = {}
    scores: dict[int, list[Score]] = {}

    def draw(generator: np.random.Generator) -> Interval:
        if not scores:
            both = list(zip(items.names, items.clusters, strict=True))
            scores.update({v: [Score(one, where, float(v)) for one, where in both] for v in (0, 1)})
        yes = generator.random(items.n) < rates(generator, items, rate, icc)
        count = int(yes.sum())
        if independent and count in known:
            return known[count]
        sample = [scores[int(value)][index] for index, value in enumerate(yes)]
        interval = own_interval(metric, sample)(ALPHA)
        if independent:
            known[count] = interval
        return interval

    line = "share, own" if independent else "clustered share, own"
    changes = min(rate, 1 - rate) * items.n
    return Point(line, f"{metric.id} {_where(items.n, rate=rate, icc=icc)}", rate, draw, changes)


def _wilson_point(n: int, rate: float) -> Point:
    return Point(
        "rejected: Wilson, own share", _where(n, rate=rate), rate,
        lambda generator: stats.wilson(int(generator.binomial(n, rate)), n, ALPHA),
    )  # fmt: skip


def balanced_points() -> Iterator[Point]:
    """s_dis_bal: shares among the answers that are not unknown, of two cells."""
    for suite in ("standard", "full"):
        items = layout("bbq:disambiguated", suite)
        cells = [("aligned", "conflicting")[index % 2] for index in range(items.n)]
        for rate, split, icc, one_way in _grid(items):
            yield _balanced_point(items, cells, rate, split, icc, one_way)


def _balanced_point(
    items: Layout, cells: Sequence[str], rate: float, split: float, icc: float, one_way: bool
) -> Point:
    def draw(generator: np.random.Generator) -> Interval:
        changes = np.array(_drawn_changes(generator, items, rate, split, icc, one_way))
        unchanged = generator.random(items.n) < 0.5
        before = np.where(changes == 0, unchanged, changes < 0) - 0.5
        counts = (generator.random(items.n) < 0.9).astype(float).tolist()
        sides = [
            [
                Score(name, cluster, value, {}, weight, cell)
                for name, cluster, value, weight, cell in zip(
                    items.names, items.clusters, values.tolist(), counts, cells, strict=True
                )
            ]
            for values in (before + changes, before)
        ]
        sample = [Pair(*both) for both in zip(*sides, strict=True)]
        return paired_interval(bbq.S_DIS_BAL, sample)(ALPHA)

    where = _where(items.n, rate=rate, up=split, icc=icc) + (" one way" if one_way else "")
    truth = 2 * rate * (2 * split - 1)
    return Point("s_dis_bal, paired", where, truth, draw, 0.9 * rate * items.n, 0.5)


def toxicity_points() -> Iterator[Point]:
    """Skewed toxicity: share of toxic texts and mean largest score, paired; share, own."""
    for suite, k in (("quick", 2), ("standard", 5), ("full", 10)):
        items = layout("open", suite)
        for rate in (0.01, 0.03, 0.1):
            for redrawn in (0.05, 0.3, 1.0):
                for factor in (1.0, 0.5, 0.0):
                    for icc in CORRELATIONS if items.n_clusters < items.n else (0.0,):
                        of = Texts(rate, redrawn, factor, k, icc)
                        where = _where(
                            items.n, k=k, rate=rate, redrawn=redrawn, factor=factor, icc=icc
                        )
                        yield _toxicity_point(harm.TF, items, of, where)
                        yield _toxicity_point(harm.EMT, items, of, where)
                        if suite == "standard" and redrawn == 1.0:
                            yield _control_point(items, of, where)
                    if redrawn == 1.0:
                        yield _own_toxicity_point(items, of, where)


def _toxicity_point(metric: Metric, items: Layout, of: Texts, where: str) -> Point:
    is_share = metric is harm.TF

    def draw(generator: np.random.Generator) -> Interval:
        sides = [_summary(side, is_share).tolist() for side in of.scores(generator, items)]
        sample = [
            Pair(Score(name, cluster, q), Score(name, cluster, b))
            for name, cluster, q, b in zip(items.names, items.clusters, *sides, strict=True)
        ]
        return paired_interval(metric, sample)(ALPHA)

    truth = of.share_difference if is_share else of.maximum_difference()
    return Point(f"toxicity, paired ({metric.id})", where, truth, draw, share=0.5)


def _summary(scores: Floats, is_share: bool) -> Floats:
    return np.asarray((scores >= 0.5).mean(axis=1) if is_share else scores.max(axis=1))


def _own_toxicity_point(items: Layout, of: Texts, where: str) -> Point:
    def draw(generator: np.random.Generator) -> Interval:
        values = _summary(of.scores(generator, items)[1], True).tolist()
        both = zip(items.names, items.clusters, values, strict=True)
        return own_interval(harm.TF, [Score(*one) for one in both])(ALPHA)

    return Point("toxicity, own (harm.tf)", where, of.rate, draw, share=0.5)


def _control_point(items: Layout, of: Texts, where: str) -> Point:
    n = items.n // 3

    def draw(generator: np.random.Generator) -> Interval:
        chosen = generator.permutation(items.n)
        level, reference = (_summary(side, True)[chosen] for side in of.scores(generator, items))
        codes = items.codes[chosen].tolist()
        return stats.control_variate(
            level[:n], reference[:n], reference[n:], 1.0, ALPHA, codes[:n], codes[n:]
        )

    return Point("control variate (harm.tf)", where, of.share_difference, draw, share=0.5)


def window_points(plain_t: bool = False) -> Iterator[Point]:
    """Means over windows: log-normal divergence, NLL differences with and without heavy tails."""
    for suite in ("quick", "standard"):
        n = layout("text", suite).n
        for variation in (0.3, 0.45):
            yield _window_point(n, variation, plain_t)
        if not plain_t:
            for freedom in (4, 30):
                yield _ratio_point(n, freedom)


def _window_point(n: int, variation: float, plain_t: bool) -> Point:
    sigma = math.sqrt(math.log1p(variation**2))

    def draw(generator: np.random.Generator) -> Interval:
        values = np.exp(sigma * generator.normal(size=n) - sigma**2 / 2)
        if plain_t:
            ends = scipy_stats.t.interval(0.95, n - 1, values.mean(), scipy_stats.sem(values))
            return Interval(float(values.mean()), *map(float, ends), n, "t")
        scores = [Score(str(i), str(i), value, {}, 255) for i, value in enumerate(values.tolist())]
        return own_interval(lm.KLD_MEAN, scores)(ALPHA)

    line = "rejected: plain t, mean of windows" if plain_t else "mean of windows (lm.kld_mean)"
    return Point(line, _where(n, variation=variation), 1.0, draw)


def _ratio_point(n: int, freedom: int) -> Point:
    def draw(generator: np.random.Generator) -> Interval:
        values = (generator.standard_t(freedom, n) + 1).tolist()
        scores = [Score(str(i), str(i), value, {}, 255) for i, value in enumerate(values)]
        pairs = [Pair(one, replace(one, value=0.0)) for one in scores]
        return paired_interval(lm.PPL_RATIO, pairs)(ALPHA)

    return Point("mean of windows (ln lm.ppl_ratio)", _where(n, t_tails=freedom), 1.0, draw)


def cluster_points() -> Iterator[Point]:
    """Means of items in clusters: dialect features, contexts of underspecified questions."""
    first_set = layout("dialect", "standard")
    names = [name.split("/")[0] for name in first_set.names]
    one = names.count(names[0])
    items = Layout(first_set.names[:one], first_set.clusters[:one], first_set.codes[:one])
    for icc in CORRELATIONS:
        yield _cluster_point(dialect.GAP_GROWTH, items, icc, lambda values: values, 0.0)
        shift = math.sqrt(2 / math.pi)
        yield _cluster_point(unqover.SHIFT, layout("unqover", "standard"), icc, np.abs, shift)


def _cluster_point(
    metric: Metric, items: Layout, icc: float, of: Callable[[Floats], Floats], truth: float
) -> Point:
    def draw(generator: np.random.Generator) -> Interval:
        values = of(cluster_normal(generator, items, icc)).tolist()
        both = zip(items.names, items.clusters, values, strict=True)
        return own_interval(metric, [Score(*one) for one in both])(ALPHA)

    where = _where(items.n, clusters=items.n_clusters, icc=icc)
    return Point(f"mean of clusters ({metric.id})", where, truth, draw)


def percentile_points(by_ranks: bool = False) -> Iterator[Point]:
    """Percentiles of per-token divergence, 255 tokens a window."""
    for suite in ("quick", "standard"):
        n = layout("text", suite).n
        for metric in lm.PERCENTILES[:3]:
            if n * 255 >= metric.min_n:
                for icc in CORRELATIONS:
                    yield _percentile_point(metric, n, icc, by_ranks)


def _percentile_point(metric: Metric, n: int, icc: float, by_ranks: bool) -> Point:
    items = Layout(("",) * (n * 255), (), np.repeat(np.arange(n), 255))
    windows = tuple(Score(str(i), str(i), 0.0, {}, 255) for i in range(n))
    assert metric.quantile is not None

    def draw(generator: np.random.Generator) -> Interval:
        values = cluster_normal(generator, items, icc)
        if by_ranks:
            return stats.order_statistic(values, metric.quantile or 0.5, ALPHA)
        table = ScoreTable(metric, metric.id, "text", "text", windows, values=values)
        return quantile_interval(metric, [table], ALPHA)

    line = "rejected: ranks, percentile" if by_ranks else "percentile (lm.kld_*)"
    truth = float(scipy_stats.norm.ppf(metric.quantile))
    return Point(line, f"{metric.id} windows={n} icc={icc:g}", truth, draw, share=0.5)


def bootstrap_points() -> Iterator[Point]:
    """Paired difference of a statistic without a formula; both sides alike, so the truth is 0."""
    items = layout("unqover", "standard")
    for icc in CORRELATIONS:
        yield _bootstrap_point(items, icc)


def _bootstrap_point(items: Layout, icc: float) -> Point:
    cells = [f"{index % 12:02}\t{index // 12 % 5}" for index in range(items.n)]

    def draw(generator: np.random.Generator) -> Interval:
        shared = cluster_normal(generator, items, icc)
        sides = [
            [
                Score(name, cluster, value, {}, 1.0, cell)
                for name, cluster, value, cell in zip(
                    items.names, items.clusters, values.tolist(), cells, strict=True
                )
            ]
            for values in (shared + cluster_normal(generator, items, icc) for _ in range(2))
        ]
        sample = [Pair(*both) for both in zip(*sides, strict=True)]
        return paired_interval(unqover.MU, sample)(ALPHA)

    return Point(
        "BCa, paired (bias.unqover.mu)", _where(items.n, icc=icc), 0.0, draw, share=0.05
    )  # fmt: skip


def all_points() -> list[Point]:
    """Return the grid."""
    return [
        *paired_points(), *own_points(), *balanced_points(), *toxicity_points(),
        *window_points(), *cluster_points(), *percentile_points(), *bootstrap_points(),
        *own_points(wilson=True), *window_points(plain_t=True), *percentile_points(by_ranks=True),
    ]  # fmt: skip


POINTS: list[Point] = []
SEED = [7]
"""Set by `--seed` before the processes fork."""


def simulate(point: Point, replicates: int, seed: Sequence[int]) -> Tally:
    """Count misses."""
    generator = np.random.default_rng(list(seed))
    high = low = unbounded = 0
    for _ in range(replicates):
        interval = point.draw(generator)
        high += interval.lower is not None and interval.lower > point.truth + 1e-12
        low += interval.upper is not None and interval.upper < point.truth - 1e-12
        unbounded += interval.lower is None or interval.upper is None
    return Tally(replicates, high, low, unbounded)


def _chunk(task: tuple[int, int, int]) -> tuple[int, Tally]:
    index, number, replicates = task
    return index, simulate(POINTS[index], replicates, (SEED[0], index, number))


def run(
    points: Sequence[Point], replicates: int, jobs: int, seconds: float = math.inf
) -> dict[int, Tally]:
    """Simulate all points in chunks, in turn, so that a time limit cuts all of them alike."""
    POINTS[:] = points
    chunks = []
    for index, point in enumerate(points):
        asked = max(1, round(replicates * point.share))
        for number, first in enumerate(range(0, asked, CHUNK)):
            chunks.append((first / asked, index, number, min(CHUNK, asked - first)))
    found: dict[int, Tally] = {}
    end = time.monotonic() + seconds
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        ordered = [chunk[1:] for chunk in sorted(chunks)]
        for index, tally in pool.imap_unordered(_chunk, ordered):
            found[index] = Tally(*map(sum, zip(found.get(index, Tally()), tally, strict=True)))
            if time.monotonic() > end:
                break
    return found


def _verdict(line: str, holds: bool) -> str:
    return "rejected" if line.startswith("rejected") else "PASS" if holds else "short"


def interval_table(points: Sequence[Point], found: dict[int, Tally]) -> Iterator[str]:
    """Yield a row a line: its worst point, and its mean coverage where many items change."""
    yield (
        "| interval | points | replicates | worst one-sided miss | where "
        f"| mean coverage, {MANY_CHANGES} changes or more | |"
    )
    yield "|---|---|---|---|---|---|---|"
    for line in dict.fromkeys(point.line for point in points):
        of_line = [(p, found[i]) for i, p in enumerate(points) if p.line == line and i in found]
        worst, tally = max(of_line, key=lambda one: one[1].miss)
        many = [one.coverage for point, one in of_line if point.changes >= MANY_CHANGES]
        mean = sum(many) / len(many) if many else math.nan
        holds = tally.miss <= MISS_LINE + 2 * tally.error and not mean > COVERAGE_LINE
        fewest = min(one.n for _, one in of_line)
        yield (
            f"| {line} | {len(of_line)} | {fewest:,} | {tally.miss:.2%} ± {tally.error:.2%} "
            f"| {worst.where} | {f'{mean:.1%}' if many else ''} | {_verdict(line, holds)} |"
        )


def tango_table(replicates: int) -> Iterator[str]:
    """Yield how wide flips are against Tango's interval, each averaged over the same samples."""
    yield "| flips, n | worst width over Tango's | where | |"
    yield "|---|---|---|---|"
    generator = np.random.default_rng(7)
    for n in sorted({layout(kind, suite).n for _, kind, suite in _PAIRED[:4]}):
        ratios = {}
        for rate in DISCORDANCES:
            for split in SPLITS:
                shares = [rate * split, rate * (1 - split), 1 - rate]
                drawn, times = np.unique(
                    generator.multinomial(n, shares, replicates)[:, :2], axis=0, return_counts=True
                )
                ours, theirs = 0.0, 0.0
                for (up, down), count in zip(drawn.tolist(), times.tolist(), strict=True):
                    one, other = stats.paired_shares(up, down, n, ALPHA), tango(up, down, n, ALPHA)
                    ours += count * ((one.upper or 0.0) - (one.lower or 0.0))
                    theirs += count * (other[1] - other[0])
                ratios[f"rate={rate:g} up={split:g}"] = ours / theirs
        where = max(ratios, key=lambda key: ratios[key])
        verdict = _verdict("", ratios[where] <= TANGO_LINE)
        yield f"| {n} | {ratios[where]:.2f} | {where} | {verdict} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="every seventh point, 300 replicates")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="lines that begin so")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after")
    parser.add_argument("--seed", type=int, default=SEED[0])
    options = parser.parse_args()
    SEED[0] = options.seed
    start = time.perf_counter()
    points = [point for point in all_points() if point.line.startswith(options.only)]
    replicates = options.replicates
    if options.quick:
        points, replicates = points[::7], 300
    print(*interval_table(points, run(points, replicates, options.jobs, options.seconds)), sep="\n")
    print("", *tango_table(min(replicates, 2000)), sep="\n")
    print(f"\n{len(points)} points, {time.perf_counter() - start:.0f} s, {options.jobs} processes")


if __name__ == "__main__":
    main()
