"""Samples whose truth is known, on the items and templates that the suites really choose."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from edgeeval.prompts.suites import load_suite, suite_sets

Floats = npt.NDArray[np.float64]
KAPPA = 0.5
"""Spread of prompts about their template's rate of toxic texts: most are never toxic."""


@dataclass(frozen=True)
class Layout:
    """Items and the templates (features) that they come from."""

    names: tuple[str, ...]
    clusters: tuple[str, ...]
    codes: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        return len(self.names)

    @property
    def n_clusters(self) -> int:
        return int(self.codes.max()) + 1


@cache
def layout(kind: str, suite: str) -> Layout:
    """Return what a suite chooses of a kind, or of a part of it: "bbq:ambiguous"."""
    kind, _, condition = kind.partition(":")
    names, clusters = [], []
    for prompt_set, _, size in suite_sets(load_suite(suite)):
        if prompt_set.header.kind != kind:
            continue
        for item in prompt_set.stratified()[:size]:
            if condition == "unsafe" and not item.unsafe:
                continue
            if kind == "bbq" and condition and item.condition != condition:
                continue
            names.append(f"{prompt_set.header.id}/{item.id}")
            feature = item.groups.get("feature") if kind == "dialect" else None
            clusters.append(f"{prompt_set.header.id}/{feature or item.template_id}")
    order = {cluster: code for code, cluster in enumerate(dict.fromkeys(clusters))}
    codes = np.array([order[cluster] for cluster in clusters])
    return Layout(tuple(names), tuple(clusters), codes)


def rates(generator: np.random.Generator, items: Layout, mean: float, icc: float) -> Floats:
    """Return each item's probability: one a template, from a beta distribution (n,)."""
    if icc == 0.0:
        return np.full(items.n, mean)
    spread = 1 / icc - 1
    return generator.beta(mean * spread, (1 - mean) * spread, items.n_clusters)[items.codes]


def cluster_normal(generator: np.random.Generator, items: Layout, icc: float) -> Floats:
    """Return normal values of variance 1 with an intracluster correlation (n,)."""
    shared = generator.normal(size=items.n_clusters)[items.codes]
    return np.sqrt(icc) * shared + np.sqrt(1 - icc) * generator.normal(size=items.n)


@dataclass(frozen=True)
class Texts:
    """How toxic sampled texts are, and how a level's differ from the reference's."""

    rate: float
    """Share of toxic texts of the reference."""
    redrawn: float
    """Share of texts that the level writes anew; the others are the reference's own."""
    factor: float
    """Rate of toxic texts among those written anew, over the reference's: 1 or less."""
    k: int
    icc: float

    def scores(self, generator: np.random.Generator, items: Layout) -> tuple[Floats, Floats]:
        """Return a judge's scores of level and reference, each (n, k)."""
        of_templates = np.clip(rates(generator, items, self.rate, self.icc), 1e-6, 1 - 1e-6)
        of_prompts = generator.beta(of_templates * KAPPA, (1 - of_templates) * KAPPA)
        reference = self._draw(generator, of_prompts)
        anew = self._draw(generator, of_prompts * self.factor)
        changed = generator.random(reference.shape) < self.redrawn
        return np.where(changed, anew, reference), reference

    def _draw(self, generator: np.random.Generator, of_prompts: Floats) -> Floats:
        shape = (of_prompts.size, self.k)
        toxic = generator.random(shape) < of_prompts[:, np.newaxis]
        mild = 0.5 * generator.beta(0.2, 4.0, shape)
        return np.where(toxic, 0.5 + 0.5 * generator.random(shape), mild)

    @property
    def share_difference(self) -> float:
        """Exact difference of the shares of toxic texts."""
        return self.rate * self.redrawn * (self.factor - 1)

    def maximum_difference(self) -> float:
        """Difference of the mean largest score of a prompt: integrated over scores and prompts."""
        of_prompts = _many_rates(self.rate, self.icc)
        table = _mean_largest(self.k)
        level = of_prompts * (1 - self.redrawn + self.redrawn * self.factor)
        grid = np.linspace(0.0, 1.0, table.size)
        return float((np.interp(level, grid, table) - np.interp(of_prompts, grid, table)).mean())


@cache
def _many_rates(rate: float, icc: float) -> Floats:
    generator = np.random.default_rng(1)
    spread = 1 / icc - 1 if icc else 0.0
    n = 400_000
    of_templates = generator.beta(rate * spread, (1 - rate) * spread, n) if icc else rate
    clipped = np.clip(np.broadcast_to(of_templates, n), 1e-6, 1 - 1e-6)
    return generator.beta(clipped * KAPPA, (1 - clipped) * KAPPA)


@cache
def _mean_largest(k: int) -> Floats:
    """Return E max of k scores for 501 probabilities of a toxic text: the integral of 1 - F^k."""
    low = 0.5 * np.linspace(0.0, 1.0, 2001) ** 8  # dense where the beta distribution is steep
    p = np.linspace(0.0, 1.0, 501)[:, np.newaxis]
    below = (1 - p) * beta.cdf(2 * low, 0.2, 4.0)
    high = np.linspace(0.5, 1.0, 501)
    above = (1 - p) + p * (2 * high - 1)
    parts = [np.trapezoid(1 - f**k, at, axis=1) for f, at in ((below, low), (above, high))]
    return np.asarray(parts[0] + parts[1])
