"""Several judges in one evaluation: who is asked, what must hold by whom, what is kept apart."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeeval.errors import InputError
from edgeeval.judges import DEFAULT_JUDGE, Judge
from edgeeval.judges.find import find_judge
from edgeeval.pipeline import Request, evaluate, judging
from edgeeval.pipeline.forecast import forecast
from edgeeval.pipeline.judging import with_judges
from edgeeval.pipeline.pace import judging_pace
from edgeeval.pipeline.request import Chosen, choose
from edgeeval.recipe import Limit, load_recipe
from edgeeval.records import JudgeInfo, Results
from edgeeval.report import csvfile, html, jsonfile, markdown
from edgeeval.report.summary import summary
from edgeeval.store import Journal, Workspace, text_digest
from tests.conftest import Ladder
from tests.pipeline.conftest import block_lines, n_jobs

LABELS = ("muslim", "toxicity", "threat|<b>")
"""Whom a text mentions, the primary harm, and a harm whose name is hostile."""
PLANTED = Judge(
    JudgeInfo(
        "planted-1", "planted", "profanity", "planted by a test", LABELS, "toxicity", "sigmoid", 512
    )
)
BROKEN = Judge(
    JudgeInfo("b-1", "broken", "profanity", "cannot load", ("x",), "x", "none", None),
    {"no such argument": 1},
)
REQUEST = Request(load_recipe("smollm2-135m"), suite="standard", only=("harm",))


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"planted": PLANTED, "broken": BROKEN}
    monkeypatch.setattr(
        judging, "find_judge", lambda name, kept: known.get(name) or find_judge(name, kept)
    )


def asked(*judges: str, require: dict[str, Limit] | None = None, **changes: Any) -> Chosen:
    recipe = REQUEST.recipe.model_copy(update={"require": require or {}})
    request = replace(REQUEST, recipe=recipe, judges=judges, **changes)
    return with_judges(request, choose(request), Workspace(Path("nowhere")))


def required(chosen: Chosen) -> dict[str, float]:
    return {one.metric: one.limit for one in chosen.required}


class TestWhatIsRequired:
    def test_without_a_judge_s_name_it_must_hold_by_every_judge_s_primary_label(self) -> None:
        assert required(asked()) == {"harm.tf@alt-profanity-check": 0.02}
        assert required(asked(DEFAULT_JUDGE, "planted")) == {
            "harm.tf@alt-profanity-check": 0.02,
            "harm.tf@planted:toxicity": 0.02,
        }

    def test_a_name_means_that_judge_and_a_label_that_label(self) -> None:
        own = {
            "harm.emt_5@planted": Limit(margin=0.1),
            "harm.tp@planted:threat|<b>": Limit(max=0.2),
            f"harm.tp@{DEFAULT_JUDGE}:profanity": Limit(max=0.3),
        }
        found = required(asked(DEFAULT_JUDGE, "planted", require=own))
        assert (
            found
            | {
                "harm.emt_5@planted:toxicity": 0.1,
                "harm.tp@planted:threat|<b>": 0.2,
                "harm.tp@alt-profanity-check": 0.3,
            }
            == found
        )
        assert len(found) == 5

    @pytest.mark.parametrize(
        ("metric", "message"),
        [
            ("harm.tf@plantd", r"'plantd' does not judge here .*'planted'"),
            ("harm.tf@planted:toxicty", r"planted has no such harm .*'toxicity'"),
            ("harm.tf@planted:muslim", r"planted has no such harm"),
            (f"harm.tf@{DEFAULT_JUDGE}", r"does not judge here.*--judge alt-profanity-check"),
        ],
    )
    def test_whoever_is_not_asked_cannot_be_required(self, metric: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            asked("planted", require={metric: Limit(max=0.1)})

    def test_other_requirements_are_left_alone(self) -> None:
        chosen = asked("planted", only=("harm", "refusal"))
        assert {"refusal.unsafe", "refusal.over", "harm.tf@planted:toxicity"} == set(
            required(chosen)
        )


class TestWhoIsAsked:
    def test_the_default_the_recipe_s_or_the_command_line_s(self) -> None:
        recipe = REQUEST.recipe.model_copy(update={"judges": ("planted",)})
        for request, names in (
            (REQUEST, [DEFAULT_JUDGE]),
            (replace(REQUEST, recipe=recipe), ["planted"]),
            (replace(REQUEST, recipe=recipe, judges=(DEFAULT_JUDGE,)), [DEFAULT_JUDGE]),
            (replace(REQUEST, judges=("planted", DEFAULT_JUDGE)), ["planted", DEFAULT_JUDGE]),
        ):
            chosen = with_judges(request, choose(request), Workspace(Path("nowhere")))
            assert [judge.info.name for judge in chosen.judges] == names

    def test_nobody_where_nothing_is_judged_but_a_wrong_name_is_refused(self) -> None:
        assert asked(only=("lm",)).judges == ()
        assert asked(DEFAULT_JUDGE, only=("lm",)).judges == ()
        with pytest.raises(InputError, match="did you mean 'alt-profanity-check'"):
            asked("alt-profanity-chek", only=("lm",))

    def test_the_rules_of_refusals_do_not_judge_harm(self) -> None:
        with pytest.raises(InputError, match="refusal-rules tells refusals, not harm"):
            asked("refusal-rules")

    def test_two_of_one_name_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(judging, "find_judge", lambda name, kept: PLANTED)
        assert len(asked("one.gguf", "one.gguf").judges) == 1
        with pytest.raises(InputError, match="two judges are called 'planted'"):
            asked("one.gguf", "two.gguf")


def plant(workspace: Workspace) -> None:
    """Give every sampled text of the workspace's runs a score by its length."""
    texts = {
        text["text"].strip()
        for path in (workspace.root / "runs").glob("*/journal.jsonl")
        for line in Journal(path).read()
        for item in line["items"]
        for text in item["texts"]
    }
    Journal(workspace.folder("judged") / f"{PLANTED.info.id}.jsonl").append(
        *(
            {
                "text": text_digest(text),
                "scores": {"muslim": 1.0, "toxicity": len(text) % 100 / 100, "threat|<b>": 0.0},
                "truncated": len(text) % 2 == 0,
            }
            for text in texts
        )
    )


@pytest.fixture
def in_one_run(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request]
) -> tuple[Results, Results, Request]:
    """An evaluation by the default judge, and the same with two more judges."""
    request = ask(Path(ladder.q8_0.path), only=("harm",), limit=8)
    first = evaluate(request, fresh)
    before = n_jobs(fresh.root), block_lines(fresh.root)
    plant(fresh)
    more = replace(
        request,
        judges=(DEFAULT_JUDGE, "planted", "broken"),
        recipe=request.recipe.model_copy(update={"require": {"harm.tf": Limit(max=0.9)}}),
    )
    second = evaluate(more, fresh)
    assert (n_jobs(fresh.root), block_lines(fresh.root)) == before, "something was decoded again"
    assert {one.metric for one in forecast(more, fresh).power} == {
        "harm.tf@alt-profanity-check", "harm.tf@planted:toxicity", "harm.tf@broken"
    }  # fmt: skip
    return first, second, more


def test_judges_that_come_later_decode_nothing_and_change_no_other_judge_s_numbers(
    in_one_run: tuple[Results, Results, Request], fresh: Workspace, ladder: Ladder
) -> None:
    first, second, request = in_one_run
    own, more = first.levels[0].metrics, second.levels[0].metrics
    names = ("emt_2", "tp_2", "tf_2", "group_worst", "group_gap")
    suffixes = (DEFAULT_JUDGE, "planted:toxicity", "planted:threat|<b>")
    keys = [f"harm.{name}@{suffix}" for suffix in suffixes for name in names]
    assert [key for key in more if "broken" not in key] == keys
    unrequired = {"requirement": None, "verdict": None, "p_pass": None, "p_fail": None}
    for key in keys[:5]:
        assert replace(more[key], **unrequired, reason="") == replace(own[key], reason="")
    assert more["harm.tf_2@planted:threat|<b>"].value == 0
    assert more["harm.tf_2@planted:toxicity"].value != own[f"harm.tf_2@{DEFAULT_JUDGE}"].value
    default, planted, broken = second.judges
    assert default.n_texts == planted.n_texts > 20
    assert 0 < planted.n_truncated < planted.n_texts
    assert broken.n_texts == 0
    assert "no such argument" in broken.problem
    # A judge that says nothing is never a pass.
    silent = more["harm.tf@broken"]
    assert silent.verdict == "not measured"
    assert "no such argument" in silent.reason
    assert second.levels[0].verdict == "not measured"
    assert any("broken judged no text" in text for text in second.watermarks)
    assert first.evidence != second.evidence
    _reports_tell_the_judges_apart(second)
    _a_forecast_counts_what_a_judge_has_not_read(request, fresh, ladder, default.n_texts)


def _a_forecast_counts_what_a_judge_has_not_read(
    request: Request, fresh: Workspace, ladder: Ladder, n_judged: int
) -> None:
    """Two artifacts, two samples an item, some of them equal; nothing is left to decode."""
    assert forecast(request, fresh).elapsed_s == 0
    judge = find_judge(DEFAULT_JUDGE, fresh)
    (fresh.root / "judged" / f"{judge.info.id}.jsonl").unlink()
    found = forecast(request, fresh)
    n_texts = 2 * 2 * sum(one.n_items for one in found.sets if one.generated_tokens)
    assert n_texts >= n_judged
    # Measured once: `pytest.fail` would hear of a second time.
    texts_per_s = judging_pace(fresh, ladder.engine, judge, 32, pytest.fail)
    assert found.elapsed_s == pytest.approx(n_texts / texts_per_s)


def _reports_tell_the_judges_apart(results: Results) -> None:
    page, text = html.write(results), markdown.write(results)
    assert "<b>" not in page.replace("<b>x</b>", "")
    assert "threat\\|&lt;b&gt;" in text
    rows = list(csv.DictReader(io.StringIO(csvfile.write(results))))
    assert any(row["key"].endswith("planted:threat|<b>") and row["threshold"] for row in rows)
    columns = {column.title: column.note for column in summary(results).columns}
    assert columns["harm"] == "Harm: as alt-profanity-check judges."
    assert columns["toxicity"] == "Toxicity: as planted:toxicity judges."
    assert "longer than it reads" in page
    read_back = jsonfile._adapter().validate_json(jsonfile.write(results), strict=True)
    assert markdown.write(read_back) == text
