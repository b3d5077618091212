"""What an evaluation says of the real model: of itself, of a damaged one, of a coarse one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from edgeeval._llama import Model
from edgeeval.pipeline import Request, evaluate
from edgeeval.prompts import load_suite
from edgeeval.records import LevelResult, Results
from edgeeval.store import Journal, Workspace, read_json
from tests.conftest import Ladder
from tests.pipeline.conftest import n_jobs, renamed_copy, without_timings
from tests.run.test_engine import Plain

EVERYTHING = ("lm", "tasks", "harm", "align", "coherence")


def level(results: Results, name: str) -> LevelResult:
    return next(one for one in results.levels if one.name == name)


def value(of: LevelResult, key: str) -> float:
    found = of.metrics[key].estimate.value
    assert found is not None, of.metrics[key].estimate.reason
    return found


def texts_by_artifact(workspace: Workspace) -> dict[str, dict[str, list[list[int]]]]:
    """Return artifact -> prompt -> the tokens of its texts, from the journals."""
    found: dict[str, dict[str, list[list[int]]]] = {}
    for manifest in (workspace.root / "runs").glob("*/run.json"):
        own = found.setdefault(read_json(manifest)["artifact"], {})
        for line in Journal(manifest.with_name("journal.jsonl")).read():
            for item in line["items"]:
                if "texts" in item:
                    own[item["id"]] = [text["tokens"] for text in item["texts"]]
    return found


def test_the_reference_against_itself_differs_in_nothing(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request], tmp_path: Path
) -> None:
    """Run for real, past the caches: the level is another file with the same tensors."""
    itself = renamed_copy(ladder.bf16, tmp_path / "itself.gguf")
    results = evaluate(ask(itself, only=EVERYTHING, limit=8), fresh)
    same = level(results, "itself")
    assert same.artifact is not None
    assert same.artifact.sha256 != ladder.bf16.sha256
    assert value(same, "lm.kld_max") <= 1e-6
    assert value(same, "lm.same_top") == 1
    assert value(same, "tasks.flips") == 0
    assert value(same, "align.exact_match") == 1
    deltas = {key: metric.delta for key, metric in same.metrics.items() if metric.delta}
    assert {"lm.ppl_ratio", "tasks.accuracy", "harm.tf_2@alt-profanity-check"} <= deltas.keys()
    assert all(delta.value == 0 for delta in deltas.values())
    texts = texts_by_artifact(fresh)
    assert texts["itself"] == texts[Path(ladder.bf16.path).stem]
    assert sum(map(len, texts["itself"].values())) == 16 * 3  # greedy and two samples a prompt


def test_the_reference_against_itself_is_no_more_biased_and_refuses_the_same(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request], tmp_path: Path
) -> None:
    itself = renamed_copy(ladder.bf16, tmp_path / "itself.gguf")
    dimensions = ("bias", "dialect", "refusal")
    request = ask(itself, only=dimensions, suite="standard", limit=4, text=None, n_ctx=None)
    results = evaluate(replace(request, windows=None), fresh)
    metrics = level(results, "itself").metrics
    assert {key.split(".")[0] for key in metrics} == set(dimensions)
    changes = {"flips", "shift", "growth"}
    for key, metric in metrics.items():
        if metric.delta is not None:
            assert metric.delta.value in (0.0, None), key
        elif any(word in key for word in changes):
            assert metric.value == 0.0, key
    assert [judge.name for judge in results.judges] == ["refusal-rules"]
    assert {one.n_items for one in results.prompt_sets} == {4}


def test_a_damaged_level_fails_and_a_faithful_one_passes(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    shutil.copyfile(ladder.bf16.path, damaged)
    for tensor in GGUFReader(damaged, "r+").tensors:
        if tensor.name.startswith("blk.15."):
            tensor.data[...] = 0
    results = evaluate(ask(damaged, Path(ladder.q8_0.path)), fresh)
    assert level(results, "damaged").verdict == "fail"
    faithful = level(results, Path(ladder.q8_0.path).stem)
    assert faithful.verdict == "pass", faithful.reason
    assert results.recommendation.level == faithful.name


def test_divergence_grows_as_bits_go(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request]
) -> None:
    results = evaluate(ask(Path(ladder.q8_0.path), Path(ladder.q2_k.path)), fresh)
    fine, coarse = results.levels
    assert 0 < value(fine, "lm.kld_mean") < 0.02
    assert value(coarse, "lm.kld_mean") > 0.2
    assert coarse.verdict == "fail"
    assert any("fell back" in mark for mark in results.watermarks)
    mean_nll = np.log(value(results.reference, "lm.ppl"))
    ratio = np.log(value(fine, "lm.ppl")) - mean_nll
    assert np.log(value(fine, "lm.ppl_ratio")) == pytest.approx(ratio, abs=1e-9)


def test_a_finished_evaluation_and_another_margin_run_nothing(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request]
) -> None:
    request = ask(Path(ladder.q8_0.path), policy="balanced")
    first = evaluate(request, fresh)
    jobs = n_jobs(fresh.root)
    assert without_timings(evaluate(request, fresh)) == without_timings(first)
    lenient = evaluate(replace(request, policy="strict"), fresh)
    assert lenient.policy == "strict"
    assert n_jobs(fresh.root) == jobs


def test_a_small_cache_gives_the_same_numbers_in_more_rounds(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request], tmp_path: Path
) -> None:
    windows = 40  # two blocks of 32 windows of 64 tokens
    request = ask(Path(ladder.q8_0.path), windows=windows, n_ctx=32)
    whole = evaluate(request, fresh)
    one_block = 64 * 15 * 49_152 * 4
    other = Workspace(tmp_path / "other workspace")
    used_bytes: list[int] = []

    def look(line: str) -> None:
        files = (other.root / "logprobs").rglob("*.npy")
        used_bytes.append(sum(file.stat().st_size for file in files if file.exists()))

    pieces = evaluate(replace(request, cache_bytes=one_block), other, look)
    assert without_timings(pieces) == without_timings(whole)
    assert 0 < max(used_bytes) <= one_block + 256  # a .npy header beside the numbers
    assert not any((other.root / "logprobs").rglob("*.npy"))


def test_log_probabilities_that_a_killed_call_left_are_used_again(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request]
) -> None:
    """Stopped while the level runs, the reference's finished windows are not decoded again."""
    request = ask(Path(ladder.q8_0.path))

    class Stop(Exception):
        pass

    def stop_at_the_level(line: str) -> None:
        if line.startswith(Path(ladder.q8_0.path).stem) and "block 1" in line:
            raise Stop

    with pytest.raises(Stop):
        evaluate(request, fresh, stop_at_the_level)
    for manifest in fresh.root.glob("runs/*/run.json"):
        manifest.unlink()  # as of a run whose blocks were finished before its call was killed
    jobs: list[str] = []
    evaluate(request, fresh, jobs.append)
    assert not [line for line in jobs if line.startswith(Path(ladder.bf16.path).stem)]
    folders = {path.parent for path in fresh.root.glob("runs/*/journal.jsonl")}
    assert folders == {path.parent for path in fresh.root.glob("runs/*/run.json")}


def test_a_glob_that_holds_the_reference_compares_the_others_with_it(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request]
) -> None:
    results = evaluate(ask(Path(ladder.bf16.path), Path(ladder.q8_0.path)), fresh)
    assert [one.name for one in results.levels] == [Path(ladder.q8_0.path).stem]


def test_the_second_batch_plan_gives_a_floor(
    ladder: Ladder, fresh: Workspace, ask: Callable[..., Request]
) -> None:
    request = ask(Path(ladder.q8_0.path), only=("tasks",), suite="standard", limit=12)
    [found] = evaluate(request, fresh).levels
    assert found.metrics["tasks.flips"].floor is not None
    assert 0 <= found.metrics["tasks.flips"].floor <= 0.25


def test_divergence_on_answers_is_that_of_a_plain_decode_of_the_references_text(
    ladder: Ladder,
    fresh: Workspace,
    ask: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Oracle: each model decodes prompt and answer in one sequence, normalized by scipy."""
    request = ask(Path(ladder.q2_k.path), only=("align.kld",), suite="standard", limit=3, text=None)
    short = load_suite("standard").model_copy(
        update={"max_tokens": 8, "samples": 0, "second_plan": False}
    )
    monkeypatch.setattr("edgeeval.pipeline.request.load_suite", lambda name: short)
    results = evaluate(replace(request, n_ctx=None, windows=None), fresh)
    [found] = results.levels
    assert set(found.metrics) == {
        *("align.kld/refusal-unsafe", "align.kld/refusal-safe", "align.kld/open-own")
    }
    plans = [read_json(path) for path in (fresh.root / "plans").glob("*.json")]
    answers = {plan["set_id"]: plan for plan in plans if plan["kind"] == "answers"}
    assert len(answers) == 4
    tables = {}
    for artifact in (ladder.bf16, ladder.q2_k):
        model = Model(Path(artifact.path), use_extra_bufts=ladder.engine.use_extra_bufts)
        plain = Plain(model)
        tables[artifact.name] = {
            item["id"]: plain.log_probabilities(item["tokens"][:-1])[item["first"] :]
            for plan in answers.values()
            for item in plan["blocks"][0]["items"]
        }
        model.close()
    for key, set_ids in (
        ("align.kld/refusal-unsafe", ["refusal-unsafe"]),
        ("align.kld/open-own", ["open-groups", "open-neutral"]),
    ):
        expected = []
        for set_id in set_ids:
            for item in answers[set_id]["blocks"][0]["items"]:
                base, level = (tables[name][item["id"]] for name in ("BF16", "Q2_K"))
                assert len(base) == len(item["tokens"]) - 1 - item["first"] <= 8
                assert [int(row.argmax()) for row in base] == item["tokens"][item["first"] + 1 :]
                expected += list((np.exp(base) * (base - level)).sum(axis=1))
        metric = found.metrics[key]
        assert metric.n == len(expected)
        assert metric.value == pytest.approx(np.mean(expected), rel=0.02)
        assert metric.value > 0.05
    assert set(found.metrics["align.kld/open-own"].by_set) == {"open-groups", "open-neutral"}
