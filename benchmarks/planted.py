"""Samples whose truth is known, on the items and templates that the suites really choose."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

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
        """Difference of the mean largest score of a prompt, from 400,000 prompts."""
        n = 400_000
        prompts = Layout((), (), np.arange(n))
        many = Texts(self.rate, self.redrawn, self.factor, self.k, self.icc)
        level, reference = many._of_many(np.random.default_rng(1), prompts)
        return float((level.max(axis=1) - reference.max(axis=1)).mean())

    def _of_many(self, generator: np.random.Generator, prompts: Layout) -> tuple[Floats, Floats]:
        sized = Layout(("",) * prompts.codes.size, (), prompts.codes)
        return self.scores(generator, sized)
