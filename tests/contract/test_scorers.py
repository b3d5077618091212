"""What every scorer keeps, and what a new one has to."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from edgeeval.compare.methods import DIVISIBLE
from edgeeval.errors import InputError
from edgeeval.prompts.load import Header, find_sets, load_set
from edgeeval.recipe import load_policy, policy_names
from edgeeval.records import Direction
from edgeeval.scores import SCORERS, is_selected, scorer, selected_scorers
from edgeeval.scores.measured import Measured
from edgeeval.scores.table import Method, Metric
from tests.scores.conftest import a_run, measured

ALL = [metric for prefix in SCORERS for metric in scorer(prefix).METRICS]
PAIRED_METHODS = set(DIVISIBLE)


@pytest.mark.parametrize("prefix", SCORERS)
class TestAScorer:
    def test_resolves(self, prefix: str) -> None:
        module = scorer(prefix)
        assert module.METRICS
        assert all(isinstance(metric, Metric) for metric in module.METRICS)
        assert callable(module.score)
        assert module.__doc__

    def test_names_its_metrics_by_its_prefix(self, prefix: str) -> None:
        ids = [metric.id for metric in scorer(prefix).METRICS]
        assert all(name == prefix or name.startswith(f"{prefix}.") for name in ids)

    def test_reads_kinds_of_set_that_exist(self, prefix: str) -> None:
        kinds = {load_set(path).header.kind for path in find_sets()}
        assert set(scorer(prefix).KINDS) <= kinds

    def test_gives_no_table_from_sets_of_other_kinds(self, prefix: str) -> None:
        others = set(get_args(Header.model_fields["kind"].annotation)) - set(scorer(prefix).KINDS)
        level: Measured = measured(*(a_run(kind, []) for kind in sorted(others)))
        tables = list(scorer(prefix).score(level, level, None))
        assert all(table.set_id == "" for table in tables), "only cost.* belongs to no set"

    def test_yields_lazily_and_takes_the_three_arguments(self, prefix: str) -> None:
        level = measured()
        assert hasattr(scorer(prefix).score(level, level, None), "__next__")


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.id)
class TestAMetric:
    def test_has_a_legal_direction_and_method(self, metric: Metric) -> None:
        assert metric.direction in get_args(Direction)
        assert metric.method in get_args(Method)

    def test_names_its_items_if_it_counts_flips_in_one_direction(self, metric: Metric) -> None:
        assert metric.is_listed == (".flips_" in metric.id)
        assert metric.is_change or not metric.is_listed

    def test_compares_with_the_reference_exactly_if_its_direction_does(
        self, metric: Metric
    ) -> None:
        assert metric.paired == (metric.direction in ("higher", "lower", "zero"))

    def test_is_paired_by_a_method_that_can(self, metric: Metric) -> None:
        assert not metric.paired or metric.method in PAIRED_METHODS

    def test_has_what_its_method_needs(self, metric: Metric) -> None:
        assert (metric.quantile is not None) == (metric.method == "quantile")
        assert bool(metric.cells) == (metric.method == "sum_of_means")
        assert (metric.statistic is not None) == (metric.method == "bootstrap")
        assert bool(metric.group_by) == metric.method.startswith("group_")
        assert metric.bound > 0
        assert metric.title
        assert metric.unit

    def test_has_an_id_that_its_key_gives_back(self, metric: Metric) -> None:
        from edgeeval.compare.verdicts import metric_id

        assert metric_id(f"{metric.id}_5/set@judge:label") == metric.id


def test_ids_are_unique() -> None:
    ids = [metric.id for metric in ALL]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", policy_names())
class TestAPolicy:
    def test_names_metrics_that_are_known(self, name: str) -> None:
        assert set(load_policy(name)) <= {metric.id for metric in ALL}

    def test_asks_for_a_difference_only_where_there_is_one(self, name: str) -> None:
        by_id = {metric.id: metric for metric in ALL}
        for metric, limit in load_policy(name).items():
            if metric in by_id:
                assert (limit.margin is not None) == by_id[metric].paired

    def test_gives_a_reason_for_each_number(self, name: str) -> None:
        assert all(limit.reason for limit in load_policy(name).values())


def test_policies_speak_of_the_same_metrics_and_grow_no_stricter() -> None:
    strict, balanced, lenient = (load_policy(name) for name in ("strict", "balanced", "lenient"))
    assert set(strict) == set(balanced) == set(lenient)

    def number(limit: Any) -> float:
        return float(limit.margin if limit.margin is not None else limit.max)

    for metric in strict:
        assert number(strict[metric]) <= number(balanced[metric]) <= number(lenient[metric])


class TestOnly:
    def test_selects_by_prefix_or_metric(self) -> None:
        assert selected_scorers([]) == list(SCORERS)
        assert selected_scorers(["harm"]) == ["harm"]
        assert selected_scorers(["lm.ppl", "cost"]) == ["lm", "cost"]
        assert is_selected("lm.ppl", ["lm"])
        assert is_selected("lm.ppl", [])
        assert not is_selected("lm.ppl_ratio", ["lm.ppl"])

    def test_names_the_nearest_word(self) -> None:
        with pytest.raises(InputError, match=r"--only lm\.pp: no such metric .*lm\.ppl"):
            selected_scorers(["lm.pp"])
