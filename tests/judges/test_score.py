"""Judging through the real worker process, with the judge that works out of the box."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeeval.errors import InputError, WorkerFailed
from edgeeval.judges import DEFAULT_JUDGE, Judged
from edgeeval.judges import score as judging
from edgeeval.judges.find import find_judge, judge_names
from edgeeval.judges.score import JudgedTexts, score_texts, work
from edgeeval.store import Journal, Workspace, text_digest

RUDE = "you are a fucking idiot"
POLITE = "thank you for your help, it was a lovely day"
ODD = 'quotes " and \\ and \x00 and \u2028 and \U0001f600 in one text'


def score_default(workspace: Workspace, texts: list[str]) -> JudgedTexts:
    return score_texts(workspace, find_judge(DEFAULT_JUDGE, workspace), texts)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose journal already has what one worker found."""
    workspace = Workspace(tmp_path_factory.mktemp("judged"))
    score_default(workspace, [RUDE, POLITE, RUDE, ODD])
    return workspace


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(judging, "run_job", refuse)


def journal(workspace: Workspace) -> Journal:
    return Journal(
        workspace.root / "judged" / f"{find_judge(DEFAULT_JUDGE, workspace).info.id}.jsonl"
    )


def test_rude_text_scores_above_polite_text(workspace: Workspace) -> None:
    judged = score_default(workspace, [RUDE, POLITE])
    (label,) = judged.info.labels
    assert judged.score(RUDE, label) > 0.9
    assert judged.score(POLITE, label) < 0.1


def test_scores_are_those_of_the_package_rounded_to_four_decimals(workspace: Workspace) -> None:
    """Oracle: the package itself, in this process."""
    from profanity_check import predict_prob

    judged = score_default(workspace, [RUDE, POLITE, ODD])
    for text, expected in zip((RUDE, POLITE, ODD), predict_prob([RUDE, POLITE, ODD]), strict=True):
        assert judged.score(text, "profanity") == round(float(expected), 4)


def test_the_same_text_is_scored_once(workspace: Workspace) -> None:
    lines = journal(workspace).read()
    assert [line["text"] for line in lines] == [text_digest(text) for text in (RUDE, POLITE, ODD)]


def test_a_text_that_was_scored_needs_no_worker(workspace: Workspace, no_worker: None) -> None:
    before = journal(workspace).path.read_bytes()
    score_default(workspace, [POLITE, RUDE])
    assert journal(workspace).path.read_bytes() == before


def test_no_text_needs_no_worker(tmp_path: Path, no_worker: None) -> None:
    score_default(Workspace(tmp_path), [])


def test_the_first_stored_score_stands(tmp_path: Path, no_worker: None) -> None:
    workspace = Workspace(tmp_path)
    for value in (0.25, 0.75):
        journal(workspace).append({"text": text_digest(RUDE), "scores": {"profanity": value}})
    assert score_default(workspace, [RUDE]).score(RUDE, "profanity") == 0.25


def test_an_unknown_judge_is_refused_with_the_nearest_name(tmp_path: Path, no_worker: None) -> None:
    with pytest.raises(InputError, match="did you mean 'alt-profanity-check'"):
        find_judge("alt-profanty-check", Workspace(tmp_path))
    with pytest.raises(InputError, match="judge 'x' is unknown"):
        find_judge("x", Workspace(tmp_path))


def job(labels: list[str], texts: list[str]) -> dict[str, Any]:
    return {"judge": "x", "kind": "x", "arguments": {}, "labels": labels, "texts": texts}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_what_is_no_probability_is_never_kept(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = SimpleNamespace(
        load=lambda: lambda texts: Judged({"rude": [value for _ in texts]}, [False for _ in texts])
    )
    monkeypatch.setattr(judging, "judge_module", lambda kind: broken)
    events: list[dict[str, Any]] = []
    with pytest.raises(WorkerFailed, match="is no probability"):
        work(job(["rude"], [RUDE]), events.append)
    assert events == []


def test_a_judge_that_leaves_out_a_label_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = SimpleNamespace(load=lambda: lambda texts: Judged({"rude": [0.5]}, [False]))
    monkeypatch.setattr(judging, "judge_module", lambda kind: silent)
    with pytest.raises(WorkerFailed, match=r"it scored \['rude'\], not \['rude', 'threat'\]"):
        work(job(["rude", "threat"], [RUDE]), lambda event: None)


def test_what_was_scored_before_a_judge_died_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five texts in pieces of two; the judge dies at the third piece, and the next call goes on."""
    asked: list[list[str]] = []

    def dying(texts: list[str]) -> Judged:
        asked.append(texts)
        if len(asked) == 3:
            raise WorkerFailed("out of memory")
        return Judged({"profanity": [len(text) / 100 for text in texts]}, [False] * len(texts))

    def here(workspace: Workspace, task: str, given: dict[str, Any], on_event: Any) -> None:
        work(given, on_event)

    monkeypatch.setattr(judging, "PIECE", 2)
    monkeypatch.setattr(judging, "run_job", here)
    monkeypatch.setattr(judging, "judge_module", lambda kind: SimpleNamespace(load=lambda: dying))
    texts = ["dddd", "a", "eeeee", "bb", "ccc"]
    with pytest.raises(WorkerFailed):
        score_default(Workspace(tmp_path), texts)
    judged = score_default(Workspace(tmp_path), texts)
    assert asked == [["a", "bb"], ["ccc", "dddd"], ["eeeee"], ["eeeee"]]
    assert [judged.score(text, "profanity") for text in texts] == [0.04, 0.01, 0.05, 0.02, 0.03]


def test_the_default_judge_s_id_has_its_version(tmp_path: Path) -> None:
    assert DEFAULT_JUDGE in judge_names(Workspace(tmp_path))
    info = find_judge(DEFAULT_JUDGE, Workspace(tmp_path)).info
    assert info.name == DEFAULT_JUDGE
    assert info.id == f"{DEFAULT_JUDGE}-{importlib.metadata.version(DEFAULT_JUDGE)}"
    assert info.labels == (info.primary,)


def test_truncated_texts_are_counted_among_those_that_were_asked_for(
    tmp_path: Path, no_worker: None
) -> None:
    workspace = Workspace(tmp_path)
    line = {"scores": {"profanity": 0.5}, "truncated": True}
    for text in (RUDE, POLITE, ODD):
        journal(workspace).append(line | {"text": text_digest(text), "truncated": text != POLITE})
    info = score_default(workspace, [RUDE, RUDE, POLITE]).info
    assert (info.n_texts, info.n_truncated) == (2, 1)
