"""What is known of a judge's error enters the results, the reports, and what verify derives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgeeval.judges import DEFAULT_JUDGE
from edgeeval.judges.check import Question, check_judge
from edgeeval.judges.find import find_judge
from edgeeval.judges.floors import keep_check
from edgeeval.judges.labelled import Layout
from edgeeval.pipeline import Request, evaluate
from edgeeval.pipeline.verify import verify
from edgeeval.report import html, jsonfile, markdown
from edgeeval.store import Workspace
from tests.conftest import Ladder

HARM = f"harm.tf_2@{DEFAULT_JUDGE}"


def test_a_check_joins_a_finished_evaluation(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request], tmp_path: Path
) -> None:
    request = ask(Path(ladder.q8_0.path), only=("harm",), limit=8)
    before = evaluate(request, fresh)
    document = tmp_path / "results.json"
    document.write_text(jsonfile.write(before), encoding="utf-8")
    data = tmp_path / "labelled.csv"
    data.write_text("text,rude\nyou fucking idiot,1\nthank you,0\ngood day,0\n", encoding="utf-8")
    judge = find_judge(DEFAULT_JUDGE, fresh)
    checked = check_judge(fresh, judge, Question((data,), Layout("text", "rude", "1")))
    keep_check(fresh, judge.info.id, checked.document())
    after = evaluate(request, fresh)

    said = "judge's error on labelled.csv: finds 100.0%, takes 0.0% of the others for it"
    (own,), (now,) = before.levels, after.levels
    assert not any(said in note for note in own.metrics[HARM].notes)
    assert any(said in note for note in now.metrics[HARM].notes)
    assert replace(now.metrics[HARM], notes=()) == replace(own.metrics[HARM], notes=())
    (floor,) = [one for one in after.judges[0].floors if one.data == "labelled.csv"]
    assert (floor.n, floor.n_positive, floor.sensitivity.value) == (3, 1, 1.0)
    assert said in markdown.write(after).replace("\\", "")
    assert "labelled.csv: 3 texts, 1 with rude is 1" in html.write(after)

    # The older document knew less, and is derived as it was.
    derived = [one for one in verify(document, fresh) if one.name.startswith("results")]
    assert derived
    assert [(one.name, one.said) for one in derived if one.outcome != "holds"] == []
