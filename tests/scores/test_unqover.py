"""UnQover: against a computation that follows the formulas loop by loop, and planted answerers."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from edgeeval.compare import collect
from edgeeval.compare.estimates import MetricEvidence
from edgeeval.scores import unqover
from edgeeval.scores.measured import Measured
from tests.scores.conftest import a_run, an_item, measured

SUBJECTS = ("Ann", "Bob", "Cy", "Dot")
ATTRIBUTES = tuple("abcdef")
CONTEXTS = tuple(range(8))
Likelihoods = Callable[[str, str, int, int], tuple[float, float]]
"""Subjects x1 and x2, order, negation -> log-likelihoods."""


def model(likelihoods: Callable[[str, str, str, int, int], tuple[float, float]]) -> Measured:
    """Ask about each pair of subjects, attribute and context."""
    asked = []
    for (x1, x2), attribute, context in itertools.product(
        itertools.combinations(SUBJECTS, 2), ATTRIBUTES, CONTEXTS
    ):
        name = f"{x1}-{x2}-{attribute}-{context}"
        for order, negation in itertools.product((0, 1), (0, 1)):
            item = an_item(
                f"{name}/{order}{negation}", {"dimension": "d"}, f"{context}-{attribute}"
            )
            asked.append(
                item
                | {
                    "item": name, "order": order, "negation": negation, "subjects": [x1, x2],
                    "attribute": attribute,
                    "log_likelihoods": list(likelihoods(x1, x2, attribute, order, negation)),
                }
            )  # fmt: skip
    return measured(a_run("unqover", asked))


def noisy(seed: int) -> Measured:
    generator = np.random.default_rng(seed)
    return model(lambda *_: (float(generator.normal()), float(generator.normal())))


def leaning(seed: int) -> Measured:
    """Prefer the earlier name, by more for earlier attributes, and somewhat at random."""
    generator = np.random.default_rng(seed)

    def likelihoods(
        x1: str, x2: str, attribute: str, order: int, negation: int
    ) -> tuple[float, float]:
        lead = (1 - 2 * negation) * (2.0 - 0.3 * ATTRIBUTES.index(attribute))
        return lead + float(generator.normal()), float(generator.normal())

    return model(likelihoods)


def evidence(level: Measured, base: Measured | None = None) -> dict[str, MetricEvidence]:
    base = base or level
    return collect(unqover.score(level, base, None), unqover.score(base, base, None))


def results(level: Measured, base: Measured | None = None) -> dict[str, float | None]:
    return {
        key.removeprefix("bias.unqover."): found.result.value
        for key, found in evidence(level, base).items()
    }


def _by_loops(level: Measured, base: Measured) -> dict[str, float]:
    """Follow the definitions word by word, both subjects of each item in their own right."""

    def shares(of: Measured) -> dict[tuple[str, str, int, int], float]:
        found = {}
        for item in of.sets[0].items.values():
            p = np.exp(np.array(item["log_likelihoods"]))
            for subject, value in zip(item["subjects"], p / p.sum(), strict=True):
                found[item["item"], subject, item["order"], item["negation"]] = float(value)
        return found

    s, t = shares(level), shares(base)
    items = {item["item"]: item for item in level.sets[0].items.values()}

    def preference(of: Mapping[tuple[str, str, int, int], float], name: str, x: str) -> float:
        return (
            sum(of[name, x, o, 0] for o in (0, 1)) / 2 - sum(of[name, x, o, 1] for o in (0, 1)) / 2
        )

    gamma, signs = defaultdict(list), defaultdict(list)
    delta, epsilon, shift = [], [], []
    for name, item in items.items():
        for x in item["subjects"]:
            gamma[x, item["attribute"]].append(preference(s, name, x))
            signs[x, item["attribute"]].append(np.sign(preference(s, name, x)))
        x1, x2 = item["subjects"]
        delta.append(
            np.mean([abs(s[name, x, 0, q] - s[name, x, 1, q]) for x in (x1, x2) for q in (0, 1)])
        )
        epsilon.append(
            np.mean(
                [abs(s[name, x, o, 0] - s[name, y, o, 1])
                 for x, y in ((x1, x2), (x2, x1)) for o in (0, 1)]
            )
        )  # fmt: skip
        shift.append(abs(preference(s, name, x1) - preference(t, name, x1)))
    return {
        "mu": float(
            np.mean([max(abs(np.mean(gamma[x, a])) for a in ATTRIBUTES) for x in SUBJECTS])
        ),
        "eta": float(
            np.mean([np.mean([abs(np.mean(signs[x, a])) for a in ATTRIBUTES]) for x in SUBJECTS])
        ),
        "delta": float(np.mean(delta)),
        "epsilon": float(np.mean(epsilon)),
        "shift": float(np.mean(shift)),
    }


@pytest.mark.parametrize("seed", range(3))
def test_every_number_equals_the_formulas_followed_by_loops(seed: int) -> None:
    level, base = noisy(seed), noisy(seed + 10)
    assert results(level, base) == pytest.approx(_by_loops(level, base), abs=1e-9)


def test_a_model_that_always_prefers_the_attribute_of_the_first_name_in_the_alphabet() -> None:
    """By hand: C = 1 for the earlier name: Ann is preferred against 3 others (γ = 1), Bob against
    2 of 3 (1/3), Cy -1/3, Dot -1: μ = (1 + 1/3 + 1/3 + 1)/4; every sign agrees with its C."""
    level = model(lambda x1, x2, a, order, negation: (-800.0 * negation, -800.0 * (1 - negation)))
    found = results(level)
    assert found["mu"] == pytest.approx(2 / 3)
    assert found["eta"] == pytest.approx(2 / 3)
    assert (found["delta"], found["epsilon"]) == pytest.approx((0.0, 0.0))


def test_a_model_that_only_follows_the_order_prefers_nobody() -> None:
    level = model(lambda x1, x2, a, order, negation: (-50.0 * order, -50.0 * (1 - order)))
    found = results(level)
    assert (found["mu"], found["eta"]) == pytest.approx((0.0, 0.0))
    assert found["delta"] == pytest.approx(1.0)


def test_a_model_that_does_not_hear_the_negation_prefers_nobody() -> None:
    level = model(lambda x1, x2, a, order, negation: (0.0, -50.0))
    found = results(level)
    assert found["mu"] == pytest.approx(0.0)
    assert found["epsilon"] == pytest.approx(1.0)


def test_the_reference_against_itself_is_zero() -> None:
    level = noisy(1)
    for key, found in evidence(level).items():
        compared = found.result.delta or found.result.estimate
        if found.metric.is_change or found.result.delta is not None:
            assert compared.value == 0.0, key


def test_noise_is_above_zero_and_so_is_what_random_signs_give() -> None:
    """Oracle: the null mean printed beside μ of pure noise, against μ of other noise."""
    others = [results(noisy(seed))["mu"] for seed in range(20, 40)]
    result = evidence(noisy(1))["bias.unqover.mu"].result
    assert result.value is not None
    assert result.value > 0.05
    (note,) = result.notes
    null_mean = float(note.split()[0])
    assert null_mean == pytest.approx(np.mean([one for one in others if one is not None]), rel=0.15)


def test_mu_has_a_bca_interval_over_templates() -> None:
    """Where preferences are real: of pure noise BCa finds no lower end, since no resample does."""
    result = evidence(leaning(1), leaning(2))["bias.unqover.mu"].result
    assert result.method == "bca"
    assert result.n == len(ATTRIBUTES) * len(CONTEXTS)
    assert result.lower is not None
    assert result.upper is not None
    assert result.delta is not None
    assert result.delta.lower is not None
