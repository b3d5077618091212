"""What a request comes to before anything runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgeeval.errors import InputError
from edgeeval.pipeline.request import Request, choose, earlier_results, results_dir
from edgeeval.prompts.load import find_sets
from edgeeval.recipe import Limit, load_policy, load_recipe
from edgeeval.resources import data_dir
from edgeeval.store import Workspace

REQUEST = Request(load_recipe("smollm2-135m"))


def policy_file(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_quick_requires_only_what_it_can_resolve_and_says_whose_margin_it_takes() -> None:
    chosen = choose(REQUEST)
    assert {one.metric for one in chosen.required} == {
        "lm.kld_mean",
        "lm.ppl_ratio",
        "tasks.accuracy",
    }
    [accuracy] = [one for one in chosen.required if one.metric == "tasks.accuracy"]
    assert (accuracy.limit, accuracy.source) == (0.05, "suite quick, policy lenient")
    # Of these quick has no items, and says so.
    assert set(chosen.unavailable) == {
        "bias.bbq.s_amb",
        "bias.bbq.s_dis_bal",
        "refusal.unsafe",
        "refusal.over",
        "dialect.gap_growth",
    }


def test_standard_requires_all_that_its_policy_names() -> None:
    chosen = choose(replace(REQUEST, suite="standard"))
    assert {one.metric for one in chosen.required} == set(load_policy("balanced"))
    assert chosen.unavailable == ()
    kinds = {one.prompt_set.header.kind for one in chosen.sets}
    assert {"bbq", "unqover", "pairs", "dialect", "refusal"} <= kinds


def test_a_persons_own_policy_stands_as_it_is_written(tmp_path: Path) -> None:
    mine = policy_file(tmp_path, "tasks.flips: {max: 0.2}\ntasks.accuracy: {margin: 0.01}\n")
    required = choose(replace(REQUEST, policy=mine)).required
    assert {(one.metric, one.limit) for one in required} == {
        ("tasks.flips", 0.2),
        ("tasks.accuracy", 0.01),
    }


@pytest.mark.parametrize("line", ["lm.kld_meen: {max: 0.1}", "lm.kld_mean: {margin: 0.1}"])
def test_a_mistyped_requirement_is_refused_wherever_it_stands(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"lm\.kld_mean|lm\.kld_meen"):
        choose(replace(REQUEST, policy=policy_file(tmp_path, line)))
    metric = line.split(":")[0]
    limit = Limit(margin=0.1) if "margin" in line else Limit(max=0.1)
    recipe = REQUEST.recipe.model_copy(update={"require": {metric: limit}})
    with pytest.raises(InputError):
        choose(replace(REQUEST, recipe=recipe))


def test_only_narrows_the_sets_and_the_policys_requirements() -> None:
    chosen = choose(replace(REQUEST, only=("tasks",)))
    assert [one.prompt_set.id for one in chosen.sets] == ["tasks-own"]
    assert [one.metric for one in chosen.required] == ["tasks.accuracy"]
    assert {"lm.kld_mean", "lm.ppl_ratio"} <= set(chosen.unavailable)


def test_two_sets_of_one_id_are_refused() -> None:
    own = next(path for path in find_sets() if path.stem == "tasks-own")
    with pytest.raises(InputError, match="two prompt sets have the id 'tasks-own'"):
        choose(replace(REQUEST, prompts=(own,)))


def test_a_set_that_nothing_reads_is_refused_and_not_left_out_in_silence() -> None:
    tasks = data_dir("prompts") / "tasks-own.jsonl"
    with pytest.raises(InputError, match="reads a set of kind 'choice'; leave it out, or --only"):
        choose(replace(REQUEST, prompts=(tasks,), only=("lm",)))


@pytest.mark.parametrize(("size", "taken"), [(0, -1), (2, 2), (-1, -1), (None, -1)])
def test_a_set_given_by_path_is_taken_also_where_its_header_has_none_for_the_suite(
    tmp_path: Path, size: int | None, taken: int
) -> None:
    tasks = (data_dir("prompts") / "tasks-own.jsonl").read_text(encoding="utf-8")
    header, *items = tasks.splitlines()[:5]
    suites = {} if size is None else {"quick": size}
    changed = json.loads(header) | {"id": "mine", "suites": suites}
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join([json.dumps(changed), *items]), encoding="utf-8")
    chosen = choose(replace(REQUEST, prompts=(path,)))
    assert {one.prompt_set.id: one.size for one in chosen.sets}["mine"] == taken


def test_earlier_results_are_those_of_the_recipe_and_of_no_longer_name(tmp_path: Path) -> None:
    """Two options, two folders; smollm2-135m-hf is another recipe."""
    workspace = Workspace(tmp_path)
    other = Request(load_recipe("smollm2-135m-hf"))
    own = [results_dir(one, workspace) for one in (REQUEST, replace(REQUEST, seed=2))]
    for folder in (*own, results_dir(other, workspace)):
        (folder / "results.json").touch()
    found = earlier_results("smollm2-135m", workspace)
    assert {path.parent for path in found} == set(own)
    assert earlier_results("smollm2", workspace) == []
