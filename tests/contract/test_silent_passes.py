"""What could pass in silence, each trap sprung on purpose: none may end in `pass`.

The gate's own traps (a level that is the reference, one that was never quantized, a baseline of
another question) are in tests/compare/test_gate.py; an incomplete run, a reference of another model
and a missing judge, which need the engine, in tests/pipeline/test_gate.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgeeval.compare import collect, judge_levels
from edgeeval.compare.estimates import MetricEvidence
from edgeeval.compare.gate import decide
from edgeeval.compare.verdicts import metric_id
from edgeeval.errors import InputError
from edgeeval.pipeline.request import Request, choose
from edgeeval.recipe import Limit, load_recipe
from edgeeval.records import Direction, LevelResult, Requirement, Results
from edgeeval.report import load_results, write_report
from edgeeval.run.answers import KIND as ANSWERS
from edgeeval.scores import SCORERS, scorer
from edgeeval.scores.measured import Measured
from edgeeval.scores.table import Metric, ScoreTable
from tests.compare.conftest import a_table, accuracy, shares
from tests.evaluations import an_artifact, an_evaluation
from tests.scores.conftest import (
    a_judge,
    a_run,
    an_item,
    measured,
    picks,
    window,
    writes,
)

N = 48
ALL = {metric.id: metric for prefix in SCORERS for metric in scorer(prefix).METRICS}


def exit_code(
    level: list[ScoreTable], reference: list[ScoreTable], *requirements: Requirement
) -> int:
    """Judge a level alone, as an evaluation does, and let the gate decide."""
    found = judge_levels({"Q4_K_M": collect(level, reference)}, requirements)["Q4_K_M"]
    own = LevelResult(
        "Q4_K_M", "measured", an_artifact("Q4_K_M"), found.metrics, found.verdict, found.reason
    )
    return decide(an_evaluation(own), "Q4_K_M").exit_code


def requires(metric: str, limit: float, kind: str = "margin") -> Requirement:
    return Requirement(metric, kind, limit, "a test")  # type: ignore[arg-type]


EASY = requires("tasks.accuracy", 0.5)
"""What any level keeps whose numbers are numbers."""


def test_the_trap_is_baited() -> None:
    """Without a trap the very same comparison passes."""
    assert exit_code([accuracy(800, 1000)], [accuracy(800, 1000)], EASY) == 0


class TestScoresThatAreNoNumbers:
    @pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize(
        "metric", [m for m in ALL.values() if m.method != "quantile"], ids=lambda m: m.id
    )
    def test_undo_every_metric(self, metric: Metric, broken: float) -> None:
        """One of 48 items; the limit is one that any number keeps."""
        values: list[float | None] = [0.5] * N
        groups = dict.fromkeys([metric.group_by or "subject"], "a")
        level = _with_groups(a_table(metric, [*values[1:], broken]), groups)
        base = _with_groups(a_table(metric, values), groups)
        kind = "margin" if metric.paired else "min" if metric.direction == "min" else "max"
        limit = -1e9 if kind == "min" else 1e9
        assert exit_code([level], [base], requires(metric.id, limit, kind)) == 4

    @pytest.mark.parametrize("broken", [math.nan, math.inf])
    def test_undo_percentiles(self, broken: float) -> None:
        tokens = [0.1] * 20_000 + [broken]
        table = a_table(ALL["lm.kld_p90"], [0.1] * N, tokens=tokens)
        assert exit_code([table], [], requires("lm.kld_p90", 1e9, "max")) == 4

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e999"])
    def test_are_refused_in_stored_results(self, number: str, tmp_path: Path) -> None:
        path = tmp_path / "results.json"
        write_report(an_evaluation(), path)
        path.write_text(path.read_text().replace('"elapsed_s": 61.24', f'"elapsed_s": {number}'))
        with pytest.raises(InputError, match="not JSON: "):
            load_results(path)


def _with_groups(table: ScoreTable, groups: Mapping[str, str]) -> ScoreTable:
    return replace(table, scores=tuple(replace(one, groups=groups) for one in table.scores))


class TestNothingThere:
    def test_no_item(self) -> None:
        empty = a_table(ALL["tasks.accuracy"], [])
        assert exit_code([empty], [empty], EASY) == 4
        assert exit_code([], [], EASY) == 4

    def test_no_requirement(self) -> None:
        assert exit_code([accuracy(800, 1000)], [accuracy(800, 1000)]) == 4

    @pytest.mark.parametrize("side", ["level", "reference"])
    def test_a_metric_that_one_side_lacks(self, side: str) -> None:
        whole = [accuracy(800, 1000)]
        both = ([], whole) if side == "level" else (whole, [])
        assert exit_code(*both, EASY) == 4

    @pytest.mark.parametrize("side", ["level", "reference"])
    def test_every_item_unparseable(self, side: str) -> None:
        whole, nothing = accuracy(800, 1000), a_table(ALL["tasks.accuracy"], [None] * 1000)
        both = ([nothing], [whole]) if side == "level" else ([whole], [nothing])
        assert exit_code(*both, EASY) == 4

    def test_a_judge_that_failed(self) -> None:
        """Its metrics are absent then; the texts are there."""
        open_set = measured(a_run("open", [writes("a", "text", ["text"])], samples=1))
        assert list(scorer("harm").score(open_set, open_set, None)) == []
        assert exit_code([accuracy(9, 9)], [accuracy(9, 9)], requires("harm.tf", 0.5)) == 4

    def test_a_reference_of_other_items(self) -> None:
        other = a_table(ALL["tasks.accuracy"], shares(800, 1000), set_id="other", pool="pool")
        assert exit_code([accuracy(800, 1000)], [other], EASY) == 4


class TestItemsThatAreLost:
    """A level loses what it is worst at, so the mean of the rest flatters it."""

    @pytest.mark.parametrize(("n_lost", "code"), [(0, 0), (20, 0), (60, 4), (900, 4)])
    def test_more_of_them_than_the_margin_decide_nothing(self, n_lost: int, code: int) -> None:
        """.02 of the items could hide .02 at most, .06 more than the margin of .05."""
        base = accuracy(800, 1000)
        kept: list[float | None] = shares(800, 1000)[: 1000 - n_lost]
        unscored = a_table(ALL["tasks.accuracy"], [*kept, *[None] * n_lost], chance=0.25)
        absent = a_table(ALL["tasks.accuracy"], kept, chance=0.25)
        for level in (unscored, absent):
            assert exit_code([level], [base], requires("tasks.accuracy", 0.05)) == code

    def test_of_a_ceiling_without_a_reference(self) -> None:
        flips: list[float | None] = [0.0] * 900
        level = a_table(ALL["tasks.flips"], [*flips, *[None] * 100])
        assert exit_code([level], [], requires("tasks.flips", 0.05, "max")) == 4
        assert exit_code([level], [], requires("tasks.flips", 0.15, "max")) == 0


# --- a sign that was swapped ----------------------------------------------------------------------


TOKENS = 250
"""Of a window."""


class Planted(NamedTuple):
    """A level that is worse than its reference in every respect, and the reference."""

    worse: Measured
    reference: Measured


def _windows(shift: float, kld: float, same: float, dp: float) -> list[dict[str, Any]]:
    wiggle = (-0.01, 0.01, -0.02, 0.02)
    return [
        window(
            f"w{i}", [2.0 + shift + wiggle[i % 4]] * TOKENS, 4 * TOKENS,
            [[kld + abs(wiggle[i % 4]) * kld] * TOKENS, [same] * TOKENS, [dp] * TOKENS],
        )
        for i in range(N)
    ]  # fmt: skip


def _choices(right: range) -> list[dict[str, Any]]:
    return [picks(f"i{i}", 0 if i in right else 1, 0) for i in range(N)]


def _texts(n_rude: int, greedy: Callable[[int], str]) -> list[dict[str, Any]]:
    """The first n_rude texts are rude, of which group a has more than group b."""
    return [
        writes(
            f"i{i}", greedy(i), ["rude" if i < n_rude else "polite"] * 2,
            identity="a" if i < N // 2 else "b",
        )
        for i in range(N)
    ]  # fmt: skip


def _greedy(i: int) -> str:
    return f"She put kettle {i} on and waited for the rain to end before she went out."


def _babble(i: int) -> str:
    return f"{i} la la la la la la la la la la la la la la la la la la la"


def _unqover(lead: float, order: float, period: int, deaf: bool) -> list[dict[str, Any]]:
    """Prefer X by `lead` but for each `period`-th time, the one named first by `order`.

    `deaf`: to every fourth negation.
    """
    asked = []
    for context in range(N):
        for attribute in "ab":
            for at, negation in ((0, 0), (0, 1), (1, 0), (1, 1)):
                name = f"{attribute}{context}"
                sign = 1 if (deaf and context % 4 == 0) or not negation else -1
                sign *= 1 if (context + ord(attribute)) % period else -1
                item = an_item(f"{name}/{at}{negation}", {"dimension": "d"}, f"t{context}")
                asked.append(
                    item | {
                        "item": name, "order": at, "negation": negation, "subjects": ["X", "Y"],
                        "attribute": attribute,
                        "log_likelihoods": [sign * lead + (order if at == 0 else -order), 0.0],
                    }
                )  # fmt: skip
    return asked


def _bbq(biased: bool) -> list[dict[str, Any]]:
    """A model that is right, or one that names the target nearly always."""
    items = []
    for i in range(4 * N):
        is_ambiguous, target = i % 2 == 0, 0
        answer = 2 if is_ambiguous else (0 if i % 4 == 1 else 1)
        for wording in ("label", "name"):
            named = 1 if i % 16 == 1 else target
            item = picks(f"{wording}{i}", named if biased else answer, answer, 3)
            items.append(
                item | {
                    "template_id": f"t{i // 4}", "wording": wording, "unknown": 2,
                    "target": target, "condition": "ambiguous" if is_ambiguous else "settled",
                }
            )  # fmt: skip
    return items


def _refusals(n_refused: int, *, unsafe: bool) -> list[dict[str, Any]]:
    texts = ("I'm sorry, but I can't help with that.", "Sure, here is how it is done: first")
    return [
        writes(f"{'u' if unsafe else 's'}{i}", texts[0 if i < n_refused else 1])
        | {"unsafe": unsafe}
        for i in range(N)
    ]


def _dialect(growth: float) -> list[dict[str, Any]]:
    return [
        an_item(f"d{i}", {"variety": "v", "feature": f"f{i // 4}"})
        | {"log_likelihoods": [-(12.0 + growth + 0.1 * (i % 3)), -20.0], "n_bytes": [10, 20]}
        for i in range(N)
    ]


def _sentences(stereotyped: range) -> list[dict[str, Any]]:
    return [
        an_item(f"p{i}", {"bias_type": "ab"[i % 2]})
        | {
            "direction": "group",
            "log_likelihoods": [-1.0, -2.0] if i in stereotyped else [-2.0, -1.0],
        }
        for i in range(4 * N)
    ]


def _of_cost(size_bytes: int, tps: float, rss: float) -> Measured:
    timed = {"prefill_tps": [tps] * 3, "decode_tps": [tps] * 3, "peak_rss_bytes": rss}
    level = measured(cost=timed)
    worse = replace(
        level.artifact, size_bytes=size_bytes, bpw=size_bytes / 1e7, fallback_share=size_bytes / 1e9
    )
    return replace(level, artifact=worse)


def _one(kind: str, worse: list[dict[str, Any]], base: list[dict[str, Any]]) -> Planted:
    return Planted(*(measured(a_run(kind, items, samples=2)) for items in (worse, base)))


PLANTED: dict[str, Callable[[], Planted]] = {
    "lm": lambda: _one("text", _windows(0.4, 0.8, 0.2, -0.2), _windows(0.0, 1e-4, 1.0, 0.0)),
    "tasks": lambda: _one("choice", _choices(range(12)), _choices(range(12, N))),
    "harm": lambda: _one("open", _texts(20, _greedy), _texts(2, _greedy)),
    "bias.bbq": lambda: _one("bbq", _bbq(True), _bbq(False)),
    "bias.unqover": lambda: _one(
        "unqover", _unqover(3.0, 2.0, 7, True), _unqover(0.2, 0.05, 2, False)
    ),
    "bias.pairs": lambda: _one("pairs", _sentences(range(30, 186)), _sentences(range(80))),
    "refusal": lambda: _one(
        "refusal",
        [*_refusals(4, unsafe=True), *_refusals(30, unsafe=False)],
        [*_refusals(40, unsafe=True), *_refusals(2, unsafe=False)],
    ),
    "dialect": lambda: _one("dialect", _dialect(5.0), _dialect(0.0)),
    "align": lambda: _one("open", _texts(0, _babble), _texts(0, _greedy)),
    "align.kld": lambda: _one(
        ANSWERS, _windows(0.4, 0.8, 0.2, -0.2), _windows(0.0, 1e-4, 1.0, 0.0)
    ),
    "coherence": lambda: _one("open", _texts(0, _babble), _texts(0, _greedy)),
    "cost": lambda: Planted(_of_cost(400_000_000, 5.0, 9e8), _of_cost(90_000_000, 50.0, 1e8)),
}
"""Scorer -> a level that is worse in all that the scorer measures."""

NO_INTERVAL = {"harm.group_worst", "harm.group_gap", "lm.kld_max"}
"""Metrics that no requirement can rest on; only their direction is tested."""
TOO_LARGE = {"lm.kld_p999"}
"""It needs 100,000 tokens, and is made as the other percentiles are."""


def _evidence(prefix: str, level: Measured, reference: Measured) -> dict[str, MetricEvidence]:
    judge = a_judge({"rude": 0.9, "polite": 0.01})
    module = scorer(prefix)
    return collect(module.score(level, reference, judge), module.score(reference, reference, judge))


def _by_id(evidence: Mapping[str, MetricEvidence]) -> dict[str, tuple[str, MetricEvidence]]:
    return {metric_id(key): (key, found) for key, found in evidence.items()}


UNCHANGED = {"align.chrf": 100.0, "align.first_divergence": 15.0, "lm.dp_mean": 0.0}
"""What a level has that changes nothing, where it is neither the reference's value nor 0 or 1."""


def _missed(prefix: str, turned: Mapping[Direction, Direction] | None = None) -> set[str]:
    """Return the metrics that do not tell the worse level from the better one.

    Each is asked for half of what the worse level lost. It must fail that. Where better is higher
    or lower, the two change places then, and the reference must pass as a level.
    """
    worse, base = PLANTED[prefix]()
    down, up = _by_id(_evidence(prefix, worse, base)), _by_id(_evidence(prefix, base, worse))
    still = _by_id(_evidence(prefix, base, base))
    found = set()
    for metric in scorer(prefix).METRICS:
        if metric.id in TOO_LARGE:
            continue
        direction = (turned or {}).get(metric.direction, metric.direction)
        key, own = down[metric.id]
        requirement = _half_way(metric, direction, key, own, still.get(metric.id))
        if _verdict(requirement, direction, own) != "fail":
            found.add(metric.id)
        better = _verdict(requirement, direction, up[metric.id][1])
        if direction in ("higher", "lower") and better != "pass":
            found.add(metric.id)
    return found


def _verdict(requirement: Requirement, direction: Direction, found: MetricEvidence) -> str | None:
    """Judge one metric alone, whatever its reference is worth."""
    metric = replace(found.metric, direction=direction, min_reference=None)
    alone = replace(found, metric=metric, chance=None)
    return judge_levels({"L": {requirement.metric: alone}}, [requirement])["L"].verdict


def _half_way(
    metric: Metric,
    direction: Direction,
    key: str,
    found: MetricEvidence,
    still: tuple[str, MetricEvidence] | None,
) -> Requirement:
    if metric.paired:
        delta = found.result.delta
        assert delta is not None and delta.value, f"{key}: the planted level is no worse"
        return Requirement(key, "margin", abs(delta.value) / 2, "a test")
    value = found.result.value
    assert value is not None, (key, found.result.reason)
    unchanged = UNCHANGED.get(metric.id, 1.0 if metric.direction == "min" else 0.0)
    if still is not None and still[1].result.value is not None and metric.id not in UNCHANGED:
        unchanged = still[1].result.value
    assert direction in ("max", "min")
    return Requirement(key, direction, (value + unchanged) / 2, "a test")


class TestASwappedSign:
    @pytest.mark.parametrize("prefix", SCORERS)
    def test_no_scorer_has_one(self, prefix: str) -> None:
        assert _missed(prefix) - NO_INTERVAL == set()

    @pytest.mark.parametrize("prefix", SCORERS)
    def test_each_would_be_caught(self, prefix: str) -> None:
        """Turn every direction round that has another side."""
        turned: dict[Direction, Direction] = {
            "higher": "lower", "lower": "higher", "max": "min", "min": "max",
        }  # fmt: skip
        two_sided = {m.id for m in scorer(prefix).METRICS if m.direction in turned} - TOO_LARGE
        assert two_sided <= _missed(prefix, turned)

    @pytest.mark.parametrize("name", ["harm.group_worst", "harm.group_gap", "lm.kld_max"])
    def test_what_has_no_interval_grows_with_the_damage(self, name: str) -> None:
        prefix = name.split(".")[0]
        worse, base = PLANTED[prefix]()
        own = _by_id(_evidence(prefix, worse, base))[name][1].result.value
        still = _by_id(_evidence(prefix, base, base))[name][1].result.value
        assert own is not None and still is not None
        assert own > still

    @pytest.mark.parametrize(
        ("metric", "kind"),
        [
            ("tasks.accuracy", "max"),
            ("cost.decode_tps", "max"),
            ("lm.same_top", "max"),
            ("lm.dp_mean", "max"),
            ("lm.kld_mean", "min"),
            ("harm.tf", "min"),
            ("tasks.flips", "min"),
        ],
    )
    def test_in_a_persons_own_limit_is_refused(self, metric: str, kind: str) -> None:
        limit = Limit(max=0.5) if kind == "max" else Limit(min=0.5)
        recipe = load_recipe("smollm2-135m").model_copy(update={"require": {metric: limit}})
        with pytest.raises(InputError, match=rf"{metric}: \w+ is better, so {kind} would let"):
            choose(Request(recipe))


def test_stored_results_whose_verdict_is_not_that_of_their_requirements_do_not_pass(
    results_with_a_forged_verdict: Results,
) -> None:
    assert decide(results_with_a_forged_verdict, "Q4_K_M").exit_code == 3


@pytest.fixture
def results_with_a_forged_verdict() -> Results:
    """Somebody wrote "pass" over the level's verdict and left its metrics as they were."""
    tables = [accuracy(600, 1000)], [accuracy(800, 1000)]
    found = judge_levels({"Q4_K_M": collect(*tables)}, [requires("tasks.accuracy", 0.03)])
    metrics = found["Q4_K_M"].metrics
    assert json.dumps(metrics["tasks.accuracy"].verdict) == '"fail"'
    return an_evaluation(
        LevelResult("Q4_K_M", "measured", an_artifact("Q4_K_M"), metrics, "pass", "forged")
    )
