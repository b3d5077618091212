"""Judging through the real worker process, with the judge that works out of the box."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeeval.errors import InputError, WorkerFailed
from edgeeval.judges import DEFAULT_JUDGE, JUDGES
from edgeeval.judges import score as judging
from edgeeval.judges.score import describe_judge, score_texts, work
from edgeeval.run.worker import run_job
from edgeeval.store import Journal, Workspace, text_digest

RUDE = "you are a fucking idiot"
POLITE = "thank you for your help, it was a lovely day"
ODD = 'quotes " and \\ and \x00 and \u2028 and \U0001f600 in one text'


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose journal already has what one worker found."""
    workspace = Workspace(tmp_path_factory.mktemp("judged"))
    score_texts(workspace, DEFAULT_JUDGE, [RUDE, POLITE, RUDE, ODD])
    return workspace


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(judging, "run_job", refuse)


def journal(workspace: Workspace) -> Journal:
    return Journal(workspace.root / "judged" / f"{describe_judge(DEFAULT_JUDGE).id}.jsonl")


def test_rude_text_scores_above_polite_text(workspace: Workspace) -> None:
    judged = score_texts(workspace, DEFAULT_JUDGE, [RUDE, POLITE])
    (label,) = judged.info.labels
    assert judged.score(RUDE, label) > 0.9
    assert judged.score(POLITE, label) < 0.1


def test_scores_are_those_of_the_package_rounded_to_four_decimals(workspace: Workspace) -> None:
    """Oracle: the package itself, in this process."""
    from profanity_check import predict_prob

    judged = score_texts(workspace, DEFAULT_JUDGE, [RUDE, POLITE, ODD])
    for text, expected in zip((RUDE, POLITE, ODD), predict_prob([RUDE, POLITE, ODD]), strict=True):
        assert judged.score(text, "profanity") == round(float(expected), 4)


def test_the_same_text_is_scored_once(workspace: Workspace) -> None:
    lines = journal(workspace).read()
    assert [line["text"] for line in lines] == [text_digest(text) for text in (RUDE, POLITE, ODD)]


def test_a_text_that_was_scored_needs_no_worker(workspace: Workspace, no_worker: None) -> None:
    before = journal(workspace).path.read_bytes()
    score_texts(workspace, DEFAULT_JUDGE, [POLITE, RUDE])
    assert journal(workspace).path.read_bytes() == before


def test_no_text_needs_no_worker(tmp_path: Path, no_worker: None) -> None:
    score_texts(Workspace(tmp_path), DEFAULT_JUDGE, [])


def test_the_first_stored_score_stands(tmp_path: Path, no_worker: None) -> None:
    workspace = Workspace(tmp_path)
    for value in (0.25, 0.75):
        journal(workspace).append({"text": text_digest(RUDE), "scores": {"profanity": value}})
    assert score_texts(workspace, DEFAULT_JUDGE, [RUDE]).score(RUDE, "profanity") == 0.25


def test_an_unknown_judge_is_refused_with_the_nearest_name(tmp_path: Path, no_worker: None) -> None:
    with pytest.raises(InputError, match="did you mean 'alt-profanity-check'"):
        score_texts(Workspace(tmp_path), "alt-profanty-check", [RUDE])
    with pytest.raises(InputError, match="judge 'x' is unknown"):
        describe_judge("x")


def test_the_worker_refuses_an_unknown_judge_as_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is unknown"):
        run_job(Workspace(tmp_path), "judge", {"judge": "detoxfy", "texts": []})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_what_is_no_probability_is_never_kept(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = SimpleNamespace(load=lambda: lambda texts: {"rude": [value for _ in texts]})
    monkeypatch.setattr(judging, "_module", lambda name: broken)
    events: list[dict[str, Any]] = []
    with pytest.raises(WorkerFailed, match="is no probability"):
        work({"judge": "broken", "texts": [RUDE]}, events.append)
    assert events == []


@pytest.mark.parametrize("name", JUDGES)
def test_a_judge_s_id_has_its_version(name: str) -> None:
    info = describe_judge(name)
    assert info.name == name
    assert info.id == f"{name}-{importlib.metadata.version(name)}"
    assert info.labels
