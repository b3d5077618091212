"""The controls hold on honest scorers, and fire where one is broken, each by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeeval import stats
from edgeeval.pipeline import controls
from edgeeval.pipeline.bench import Bench, Check
from edgeeval.prompts import load_suite, suite_sets
from edgeeval.prompts.items import Item
from edgeeval.run.questions import questions_of
from edgeeval.scores import (
    SCORERS,
    align,
    bbq,
    coherence,
    dialect,
    harm,
    lm,
    pairs,
    refusal,
    tasks,
    unqover,
)
from edgeeval.scores.measured import SetRun
from edgeeval.stats import PermutationGap, TwoTests
from tests.scores.conftest import a_judge, a_run, a_text, measured

N_ITEMS = 24
SAMPLES = 2


class _Model:
    """A model that answers shipped items by drawing lots; its texts are judged likewise."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.judged: dict[str, float] = {}

    def of(self, kind: str, item: Item) -> Iterator[dict[str, Any]]:
        base = {"id": item.id, "template_id": item.template_id, "groups": dict(item.groups)}
        if kind == "text":
            nll = self._random.exponential(3.0, 60).astype(np.float32)
            yield base | {"template_id": item.id, "nll": nll, "n_bytes": 240}
        elif kind in ("open", "refusal"):
            numbers = range(-1, SAMPLES if kind == "open" else 0)
            unsafe = {"unsafe": item.unsafe} if kind == "refusal" else {}  # type: ignore[union-attr]
            yield base | {"texts": [self._text(number) for number in numbers], **unsafe}
        else:
            for asked in questions_of(item):
                own = {"item": item.id, "id": f"{item.id}/{asked.part}"} if asked.part else {}
                values = (-self._random.exponential(20.0, len(asked.options))).tolist()
                n_bytes = [len(option.encode()) for option in asked.options]
                yield base | own | asked.fields | {"log_likelihoods": values, "n_bytes": n_bytes}

    def _text(self, number: int) -> dict[str, Any]:
        text = " ".join(str(word) for word in self._random.integers(0, 900, 20))
        self.judged[text] = float(self._random.random() < 0.2)
        return a_text(number, text)


def _runs(model: _Model) -> Iterator[SetRun]:
    for prompt_set, _, size in suite_sets(load_suite("standard")):
        kind = prompt_set.header.kind
        step = 40 if kind == "unqover" else 1  # its order goes attribute by attribute
        chosen = prompt_set.stratified()[::step][: max(N_ITEMS, size if kind == "open" else 0)]
        items = [one for item in chosen for one in model.of(kind, item)]
        yield a_run(kind, items, prompt_set.id, prompt_set.header.pool, SAMPLES)


@pytest.fixture(scope="module")
def bench() -> Bench:
    model = _Model(1)
    reference = measured(*_runs(model), name="reference")
    scorers = tuple(name for name in SCORERS if name != "cost")
    return Bench(scorers, reference, (replace(reference),), a_judge(model.judged))


@pytest.fixture(scope="module")
def honest(bench: Bench) -> list[Check]:
    return controls.run_controls(bench)


def fired(checks: list[Check]) -> dict[str, str]:
    return {one.name: one.said for one in checks if one.outcome == "differs"}


def test_all_controls_hold_on_honest_scorers(honest: list[Check]) -> None:
    assert {one.name: one.said for one in honest if one.outcome != "holds"} == {}
    names = " ".join(one.name for one in honest)
    for kind in ("choice", "bbq", "unqover", "pairs", "refusal", "open", "text", "dialect"):
        assert kind in names
    assert controls.complaints(honest) == []


def test_every_kind_of_prompt_set_is_planted_and_damaged(honest: list[Check]) -> None:
    kinds = {kind for name in SCORERS for kind in controls.scorer(name).KINDS}
    assert kinds == {one.kind for one in controls.ANSWERERS}
    assert kinds - {"refusal"} == {one.kind for one in controls.DAMAGES}
    assert any("refusals turned" in one.name for one in honest)  # refusal's damage


_true_loss, _true_tost = dialect._loss, stats.tost_p


def _swapped_p(*arguments: Any) -> TwoTests:
    tests = _true_tost(*arguments)
    return TwoTests(tests.p_fail, tests.p_pass)


def _other_way_round(item: Any) -> Any:
    loss = _true_loss(item)
    return loss._replace(gap=-loss.gap)


def _gap(p: float) -> Callable[..., PermutationGap]:
    return lambda values, groups, **_: PermutationGap(0.1, 0.1, 0.0, p, len(groups))


@pytest.mark.parametrize(
    ("scorer", "owner", "name", "broken", "control"),
    [
        (
            "bias.bbq",
            bbq._Answered,
            "side",
            property(lambda one: -1.0 * one.is_biased),
            "always target",
        ),
        ("bias.bbq", bbq._Answered, "is_unknown", property(lambda one: False), "always unknown"),
        (
            "bias.bbq",
            bbq._Answered,
            "is_right",
            property(lambda one: True),
            "chance in expectation",
        ),
        (
            "bias.bbq",
            bbq._Answered,
            "is_biased",
            property(lambda one: one.was_biased),
            "bias.bbq.flips",
        ),
        (
            "tasks",
            tasks,
            "answer",
            lambda item: int(np.argmin(item["log_likelihoods"])),
            "always right",
        ),
        ("tasks", tasks, "answer", lambda item: 0, "tasks.flips"),
        (
            "bias.unqover",
            unqover,
            "MU",
            replace(unqover.MU, statistic=unqover._eta),
            "stereotyped subject by half",
        ),
        (
            "bias.unqover",
            unqover,
            "ETA",
            replace(unqover.ETA, statistic=unqover._mu),
            "stereotyped subject by half",
        ),
        (
            "bias.unqover",
            unqover.Preference,
            "c",
            property(lambda one: one.shares[0][0] - one.shares[0][1]),
            "stereotyped subject by half",
        ),
        ("bias.pairs", pairs, "prefers_stereotype", lambda item: True, "never the stereotype"),
        (
            "refusal",
            refusal.refusal,
            "is_refusal",
            lambda text: not text.startswith("I'm"),
            "always refuse",
        ),
        ("refusal", refusal.refusal, "is_refusal", lambda text: False, "refusals turned"),
        ("coherence", coherence, "is_coherent", lambda tokens, text: True, "in circles"),
        ("align", align, "greedy", lambda item: {"tokens": [], "text": ""}, "align.exact_match"),
        ("harm", harm, "_share_over", lambda at, values: 1 - np.mean(values), "never harmful"),
        ("harm", harm, "_share_over", lambda at, values: 0.0, "harmful texts"),
        ("lm", lm, "_mean", lambda values: -float(np.mean(values)), "lm.kld_mean"),
        ("lm", lm, "_mean", lambda values: float(np.max(values)) / 2, "half a nat a token"),
        ("dialect", dialect, "_loss", _other_way_round, "dialect.gap_growth"),
        ("dialect", dialect, "_loss", _other_way_round, "the dialect twice as dear"),
        ("tasks", stats, "tost_p", _swapped_p, "tasks.flips"),
        ("harm", stats, "permutation_gap", _gap(0.0005), "shuffled group labels"),
        ("harm", stats, "permutation_gap", _gap(0.4), "planted gap between groups"),
    ],
)
def test_a_broken_scorer_or_comparison_is_named_by_its_control(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    scorer: str,
    owner: Any,
    name: str,
    broken: Any,
    control: str,
) -> None:
    monkeypatch.setattr(owner, name, broken)
    found = fired(controls.run_controls(replace(bench, scorers=(scorer,))))
    assert any(control in one for one in found), found


def test_a_scorer_that_draws_lots_differs_from_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lots = np.random.default_rng(0)
    monkeypatch.setattr(tasks, "answer", lambda item: int(lots.integers(2)))
    alone = replace(bench, scorers=("tasks",))
    assert "tasks" in fired(controls.run_controls(alone))["reference against itself"]


def test_a_scorer_that_breaks_is_a_finding_and_no_traceback(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(item: Any) -> bool:
        raise KeyError("direction")

    monkeypatch.setattr(pairs, "prefers_stereotype", breaks)
    checks = controls.run_controls(replace(bench, scorers=("bias.pairs",)))
    assert fired(checks)["planted: pairs: always the stereotype"] == "KeyError: 'direction'"
    assert any("cannot be believed: planted: pairs" in one for one in controls.complaints(checks))


def test_a_run_of_a_few_items_says_what_it_cannot_show(bench: Bench) -> None:
    few = tuple(
        replace(run, items=dict(list(run.items.items())[:4])) for run in bench.reference.sets
    )
    small = replace(bench, reference=replace(bench.reference, sets=few), levels=())
    outcomes = {one.name: one.outcome for one in controls.run_controls(small)}
    assert "differs" not in outcomes.values()
    assert outcomes["planted gap between groups"] == "cannot be shown"


@pytest.mark.parametrize("prefix", [name for name in SCORERS if name != "cost"])
def test_one_scorer_alone_is_checked_without_the_others(bench: Bench, prefix: str) -> None:
    checks = controls.run_controls(replace(bench, scorers=(prefix,)))
    assert fired(checks) == {}
    assert len(checks) >= 2
