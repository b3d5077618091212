"""What a plan says of a sample is what `edgeeval.stats` gives for the numbers put in by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from scipy import stats as oracle

from edgeeval import stats
from edgeeval.compare import collect
from edgeeval.compare.power import (
    Expected,
    as_table,
    cannot_pass,
    expectations_of,
    power,
    sample_that_could,
    shipped_expectations,
)
from edgeeval.compare.verdicts import metric_id
from edgeeval.recipe import QUANTIZATION_TYPES
from edgeeval.records import (
    Environment,
    LevelResult,
    PromptSetInfo,
    Recommendation,
    Requirement,
    Results,
    Timings,
)
from edgeeval.scores import SCORERS, scorer
from edgeeval.scores.bbq import S_AMB, S_DIS_BAL
from edgeeval.scores.harm import TF
from edgeeval.scores.lm import KLD_MEAN, PPL, PPL_RATIO, SAME_TOP
from edgeeval.scores.refusal import UNSAFE
from edgeeval.scores.table import Metric
from edgeeval.scores.tasks import ACCURACY, ACCURACY_NORM, FLIPS
from tests.compare.conftest import a_table, shares

N_WINDOWS, N_ITEMS, TOKENS = 16, 240, 255
KLD = np.random.default_rng(5).gamma(4.0, 0.01, N_WINDOWS)
LN_RATIO = np.random.default_rng(6).normal(0.01, 0.02, N_WINDOWS)
EXPECTED: Expected = {
    "Q4_K_M": {
        "lm.kld_mean": (0.048, 0.02),
        "lm.ppl_ratio": (0.03, 0.04),
        "tasks.flips": (0.06, 0.24),
        "tasks.accuracy_norm": (-0.01, 0.3),
    }
}


def limit(metric: Metric, kind: str, value: float) -> Requirement:
    return Requirement(metric.id, kind, value, "by hand")  # type: ignore[arg-type]


def delta80(metric: Metric, kind: str, n: int, n_levels: int = 1) -> float | None:
    wanted = limit(metric, kind, 0.07)
    return power("Q4_K_M", wanted, metric, n, n_levels, [("by hand", EXPECTED)]).delta80


# -- by hand -------------------------------------------------------------------------------------


def test_the_first_of_seven_levels_is_held_against_a_seventh_of_the_error() -> None:
    """Holm at .05 one-sided over seven levels is .1/7 two-sided."""
    assert delta80(FLIPS, "max", 240, 7) == stats.delta80_share(240, 0.06, 0.1 / 7)
    assert delta80(FLIPS, "max", 240) == stats.delta80_share(240, 0.06, 0.1)


def test_accuracy_is_expected_to_change_as_answers_flip() -> None:
    assert delta80(ACCURACY, "margin", 240, 6) == stats.delta80_paired_shares(240, 0.06, 0.1 / 6)


def test_a_share_whose_flips_are_not_counted_changes_as_its_differences_spread() -> None:
    """By hand: a mean of -.01 and a spread of .3 are .3² + .01² = 9.01 % of items that change."""
    found = delta80(ACCURACY_NORM, "margin", 240)
    assert found == pytest.approx(stats.delta80_paired_shares(240, 0.0901, 0.1), abs=1e-9)


def test_a_metric_with_a_judge_of_its_own_is_found_by_the_metrics_name() -> None:
    by_rules: Expected = {"Q4_K_M": {"refusal.unsafe@refusal-rules": (0.0, 0.2)}}
    wanted = limit(UNSAFE, "margin", 0.05)
    found = power("Q4_K_M", wanted, UNSAFE, 320, 1, [("by rules", by_rules)])
    assert found.delta80 == stats.delta80_paired_shares(320, 0.2**2, 0.1)
    by_two: Expected = {"Q4_K_M": {"harm.tf@a": (0.0, 0.1), "harm.tf@b": (0.0, 0.2)}}
    found = power("Q4_K_M", limit(TF, "margin", 0.02), TF, 600, 1, [("by two", by_two)])
    assert found.delta80 is None, "two judges, and none was named"


def test_a_ceiling_on_a_mean_starts_from_its_value_and_a_margin_from_nothing() -> None:
    skewness = 3 * 0.02 / 0.048 + (0.02 / 0.048) ** 3  # that of a log-normal value
    expected = stats.delta80_mean(16, 0.048, 0.02, 0.1, skewness=skewness)
    assert delta80(KLD_MEAN, "max", 16) == expected
    assert delta80(PPL_RATIO, "margin", 16) == stats.delta80_mean(16, 0.0, 0.04, 0.1)


@pytest.mark.parametrize(
    ("metric", "kind", "n"),
    [
        (KLD_MEAN, "max", 6),  # too few windows for an interval
        (PPL_RATIO, "max", 16),  # its difference is known, not its value
        (SAME_TOP, "min", 16),
        (FLIPS, "min", 240),
        (PPL, "max", 16),  # nothing is expected of it
    ],
)
def test_what_is_not_known_is_not_made_up(metric: Metric, kind: str, n: int) -> None:
    assert delta80(metric, kind, n) is None


def test_an_unknown_level_has_no_expectation() -> None:
    found = power("IQ1_S", limit(FLIPS, "max", 0.1), FLIPS, 240, 1, [("by hand", EXPECTED)])
    assert (found.delta80, found.is_enough, found.basis) == (None, None, "")


def test_the_first_source_that_knows_the_level_is_believed() -> None:
    earlier: Expected = {"Q4_K_M": {"tasks.flips": (0.01, 0.1)}}
    sources = [("earlier", earlier), ("by hand", EXPECTED)]
    flips = power("Q4_K_M", limit(FLIPS, "max", 0.1), FLIPS, 240, 1, sources)
    assert (flips.basis, flips.delta80) == ("earlier", stats.delta80_share(240, 0.01, 0.1))
    kld = power("Q4_K_M", limit(KLD_MEAN, "max", 0.1), KLD_MEAN, 16, 1, sources)
    assert kld.basis == "by hand"


def test_enough_is_a_limit_that_such_a_level_would_keep() -> None:
    exact = delta80(FLIPS, "max", 240)
    assert exact is not None
    for ceiling, is_enough in ((exact, True), (exact - 1e-9, False)):
        wanted = limit(FLIPS, "max", ceiling)
        found = power("Q4_K_M", wanted, FLIPS, 240, 1, [("by hand", EXPECTED)])
        assert found.is_enough is is_enough


# -- what not even an unchanged level could show -------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "kind", "value", "n", "expected"),
    [
        (ACCURACY, "margin", 0.05, 40, True),  # by hand: z² = 2.7055 at .1, 2.7055/42.7 = .063
        (ACCURACY, "margin", 0.05, 60, False),  # 2.7055/62.7 = .043
        (FLIPS, "max", 0.05, 50, True),  # 1 - .05^(1/50) = .058
        (FLIPS, "max", 0.05, 60, False),  # 1 - .05^(1/60) = .049
        (KLD_MEAN, "max", 0.05, 6, True),  # no interval below seven windows
        (KLD_MEAN, "max", 0.05, 7, False),
        (FLIPS, "min", 0.05, 1, False),
    ],
)
def test_a_sample_that_can_show_nothing_is_known_before_it_is_run(
    metric: Metric, kind: str, value: float, n: int, expected: bool
) -> None:
    assert cannot_pass(limit(metric, kind, value), metric, n, 1) is expected


@pytest.mark.parametrize(
    ("metric", "kind", "value", "n", "needed"),
    [
        (ACCURACY, "margin", 0.05, 40, 52),  # z²/(n + z²) < .05, z² = 2.7055: n > 51.4
        (FLIPS, "max", 0.05, 10, 59),  # 1 − .05^(1/n) < .05: n > 58.4
        (KLD_MEAN, "max", 0.05, 3, 7),
        (TF, "margin", 0.02, 48, None),
        (S_AMB, "margin", 0.05, 60, None),
    ],
)
def test_the_sample_that_could_is_the_smallest(
    metric: Metric, kind: str, value: float, n: int, needed: int | None
) -> None:
    wanted = limit(metric, kind, value)
    assert cannot_pass(wanted, metric, n, 1)
    found = sample_that_could(wanted, metric, n, 1)
    assert found is not None
    assert found == needed or needed is None
    assert not cannot_pass(wanted, metric, found, 1)
    assert cannot_pass(wanted, metric, found - 1, 1)


def test_items_of_one_template_count_for_less() -> None:
    """Rule of three at one-sided .05, −ln(.05)·R/n = 2/.05·3 = 120 independent items of s_amb."""
    wanted = limit(S_AMB, "margin", 0.05)
    alone = sample_that_could(wanted, S_AMB, 60, 1)
    grouped = sample_that_could(wanted, S_AMB, 60, 1, n_clusters=10)
    assert alone is not None and grouped is not None
    assert alone >= 2 * -math.log(0.05) / 0.05
    assert grouped > alone


def test_more_levels_need_more_items() -> None:
    wanted = limit(ACCURACY, "margin", 0.05)
    sizes = [sample_that_could(wanted, ACCURACY, 10, levels) for levels in (1, 6)]
    z = oracle.norm.ppf([1 - 0.05, 1 - 0.05 / 6])
    assert sizes == [math.floor(one**2 * 0.95 / 0.05) + 1 for one in z]


def test_a_floor_has_no_unchanged_value_and_a_statistic_of_cells_has_one() -> None:
    assert not cannot_pass(limit(ACCURACY, "min", 0.5), ACCURACY, 1, 1)
    wanted = limit(S_DIS_BAL, "margin", 0.05)
    assert cannot_pass(wanted, S_DIS_BAL, 60, 1)
    assert not cannot_pass(wanted, S_DIS_BAL, 6000, 1)


# -- what earlier results say --------------------------------------------------------------------


@pytest.fixture(scope="module")
def results() -> Results:
    """One level, measured on 16 windows and 240 items."""
    own = [
        a_table(KLD_MEAN, list(KLD), weights=[TOKENS] * N_WINDOWS),
        a_table(PPL_RATIO, list(LN_RATIO), weights=[TOKENS] * N_WINDOWS),
        a_table(FLIPS, shares(12, N_ITEMS)),
        a_table(ACCURACY, shares(120, N_ITEMS)),
    ]
    base = [
        a_table(PPL_RATIO, [0.0] * N_WINDOWS, weights=[TOKENS] * N_WINDOWS),
        a_table(ACCURACY, shares(126, N_ITEMS)),
    ]
    metrics = {key: evidence.result for key, evidence in collect(own, base).items()}

    def a_set(kind: str, n_items: int) -> PromptSetInfo:
        return PromptSetInfo(kind, kind, 1, "", "", "", n_items, 0, "")

    return Results(
        name="by-hand",
        suite="quick",
        policy="balanced",
        seed=1,
        reference=LevelResult("BF16", "measured", None),
        levels=(
            LevelResult("Q4_K_M", "measured", None, metrics),
            LevelResult("Q2_K", "lost", None),
        ),
        recommendation=Recommendation(None, ""),
        watermarks=(),
        environment=Environment("", "", "", "", True, "cpu", 1, 512, {}, 2048, 32, 8, "", "", ""),
        judges=(),
        prompt_sets=(a_set("text", 10), a_set("text", N_WINDOWS - 10), a_set("choice", N_ITEMS)),
        timings=Timings("", 0, 0, None),
    )


def test_the_spread_of_a_window_comes_back_out_of_the_interval(results: Results) -> None:
    """Oracle: numpy, on the windows, but for what the correction for skewness adds to a width.

    A report counts tokens there, a plan windows.
    """
    found = expectations_of(results)["Q4_K_M"]
    assert found["lm.kld_mean"] == pytest.approx((KLD.mean(), KLD.std(ddof=1)), rel=0.15)
    assert found["lm.ppl_ratio"] == pytest.approx((LN_RATIO.mean(), LN_RATIO.std(ddof=1)), rel=0.2)
    assert found["tasks.flips"][0] == pytest.approx(12 / N_ITEMS)
    assert results.levels[0].metrics["lm.kld_mean"].n == N_WINDOWS * TOKENS


def test_what_was_measured_is_what_the_next_plan_expects(results: Results) -> None:
    """Oracle: scipy's t. The upper bound that the level had, and the scatter of the next one."""
    sources = [("earlier", expectations_of(results))]
    found = power("Q4_K_M", limit(KLD_MEAN, "max", 0.1), KLD_MEAN, N_WINDOWS, 1, sources)
    quantiles = oracle.t.ppf([0.95, 0.8], N_WINDOWS - 1).sum()
    error = KLD.std(ddof=1) / math.sqrt(N_WINDOWS)
    assert found.delta80 == pytest.approx(KLD.mean() + quantiles * error, rel=0.15)
    assert found.delta80 > KLD.mean() + quantiles * error  # skewed: the bound reaches further


def test_a_lost_level_and_one_item_say_nothing(results: Results) -> None:
    assert expectations_of(results)["Q2_K"] == {}
    metrics = {
        key: replace(one, n=1, delta=one.delta and replace(one.delta, n=1))
        for key, one in results.levels[0].metrics.items()
    }
    tiny = replace(
        results,
        levels=(replace(results.levels[0], metrics=metrics),),
        prompt_sets=(replace(results.prompt_sets[0], n_items=1),),
    )
    assert expectations_of(tiny)["Q4_K_M"] == {}


def test_a_table_is_written_as_the_shipped_one_is_read(results: Results) -> None:
    table = as_table(results)
    assert yaml.safe_load(yaml.safe_dump(table)) == table
    for metric, pair in expectations_of(results)["Q4_K_M"].items():
        assert table["Q4_K_M"][metric] == pytest.approx(list(pair), rel=0.005)


def test_the_shipped_table_knows_levels_and_metrics_that_exist() -> None:
    known = {metric.id for name in SCORERS for metric in scorer(name).METRICS}
    for level, metrics in shipped_expectations().items():
        assert level in QUANTIZATION_TYPES
        assert {metric_id(key) for key in metrics} <= known
        assert all(spread >= 0 for _, spread in metrics.values())
