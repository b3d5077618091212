"""A results.json is derived again from real journals; what was changed since is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from gguf import GGUFReader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeeval.errors import EdgeevalError
from edgeeval.pipeline import Request, evaluate
from edgeeval.pipeline.bench import Check
from edgeeval.pipeline.verify import verify
from edgeeval.recipe import recipe_of_files
from edgeeval.records import Results, Timings
from edgeeval.report import write_report
from edgeeval.report.jsonfile import write
from edgeeval.store import Journal, Workspace
from tests.cli.in_process import edgeeval
from tests.conftest import Ladder

DIMENSIONS = ("lm", "tasks", "harm", "align", "coherence")


class Kept(NamedTuple):
    """An evaluation: its workspace and its results.json."""

    workspace: Path
    results: Path

    def checks(self) -> dict[str, Check]:
        return {one.name: one for one in verify(self.results, Workspace(self.workspace))}

    def check(self, name: str) -> Check:
        """Return one check; those behind it are not made."""
        checks = verify(self.results, Workspace(self.workspace))
        return next(one for one in checks if one.name == name)

    def findings(self) -> dict[str, str]:
        return {one.name: one.said for one in self.checks().values() if one.outcome == "differs"}

    def one(self, pattern: str) -> Path:
        return sorted(self.workspace.glob(pattern))[0]


def scrambled(source: Path, target: Path) -> Path:
    """Copy a model and shuffle the rows of one tensor: the same numbers in the wrong places."""
    shutil.copyfile(source, target)
    [tensor] = [
        one for one in GGUFReader(target, "r+").tensors if one.name == "blk.10.ffn_down.weight"
    ]
    tensor.data[...] = np.random.default_rng(0).permutation(tensor.data, axis=0)
    return target


@pytest.fixture(scope="module")
def files(ladder: Ladder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("levels")
    whole = shutil.copyfile(ladder.q8_0.path, folder / "whole.gguf")
    return whole, scrambled(Path(ladder.bf16.path), folder / "scrambled.gguf")


@pytest.fixture(scope="module")
def request_of(ladder: Ladder, files: tuple[Path, Path], own_text: Path) -> Request:
    recipe = recipe_of_files(ladder.bf16.path, [str(file) for file in files])
    return Request(recipe, only=DIMENSIONS, text=own_text, n_ctx=64, windows=12, limit=8)


def _evaluated(request: Request, folder: Path) -> tuple[Kept, Results]:
    results = evaluate(request, Workspace(folder / "workspace"))
    write_report(results, folder / "results.json")
    return Kept(folder / "workspace", folder / "results.json"), results


@pytest.fixture(scope="module")
def evaluated(
    request_of: Request, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Kept, Results]:
    return _evaluated(request_of, tmp_path_factory.mktemp("evaluated"))


@pytest.fixture
def kept(evaluated: tuple[Kept, Results], tmp_path: Path) -> Kept:
    """A copy to tamper with."""
    original, _ = evaluated
    shutil.copytree(original.workspace, tmp_path / "workspace")
    shutil.copyfile(original.results, tmp_path / "results.json")
    return Kept(tmp_path / "workspace", tmp_path / "results.json")


def without_times(results: Results) -> bytes:
    """Return the document's bytes, less what a clock made."""
    return write(replace(results, timings=Timings("", 0, 0, None))).encode()


def test_a_fresh_evaluation_can_be_derived_again(evaluated: tuple[Kept, Results]) -> None:
    kept, _ = evaluated
    checks = kept.checks()
    assert kept.findings() == {}
    looked_at = {
        "evidence",
        "plans",
        "journals",
        "arrays",
        "alt-profanity-check's scores",
        "alt-profanity-check again",
    }
    assert looked_at <= checks.keys()
    assert checks["file of whole"].outcome == checks["file of scrambled"].outcome == "holds"
    assert int(checks["results: level whole"].said.split()[0]) > 300
    assert checks["control: reference against itself"].outcome == "holds"
    done = edgeeval("verify", kept.results, "--workspace", kept.workspace, "--quiet")
    assert done.code == 0
    assert done.out.endswith("checks: everything can be derived again\n")


def test_a_scrambled_tensor_is_caught(evaluated: tuple[Kept, Results]) -> None:
    _, results = evaluated
    whole, damaged = results.levels
    assert damaged.verdict == "fail", damaged
    assert whole.metrics["lm.kld_mean"].verdict == "pass", whole.metrics["lm.kld_mean"]
    divergence = damaged.metrics["lm.kld_mean"]
    assert divergence.verdict == "fail"
    assert divergence.lower is not None and divergence.lower > 0.15


def test_two_workspaces_and_an_interrupted_one_give_the_same_bytes(
    evaluated: tuple[Kept, Results], request_of: Request, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop_at_the_level(line: str) -> None:
        if line.startswith("whole: block 1 "):
            raise Stop

    interrupted = Workspace(tmp_path / "somewhere" / "else")
    with pytest.raises(Stop):
        evaluate(request_of, interrupted, stop_at_the_level)
    resumed = evaluate(request_of, interrupted)
    assert without_times(resumed) == without_times(evaluated[1])
    assert str(tmp_path) not in write(resumed)
    made = resumed.environment
    assert (made.n_ubatch, made.block_tokens, made.block_sequences) == (512, 2048, 32)
    assert made.n_batch["tasks-own"] >= 2048
    elsewhere = Kept(interrupted.root, tmp_path / "results.json")
    shutil.copyfile(evaluated[0].results, elsewhere.results)
    assert elsewhere.findings() == {}


# -- what was changed since ----------------------------------------------------------------------


def edit(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def edit_line(path: Path, number: int, change: Callable[[Any], object]) -> None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    change(lines[number])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def flip_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def journal_of(kept: Kept, key: str) -> Path:
    return next(
        path
        for path in sorted(kept.workspace.glob("runs/*/journal.jsonl"))
        if key in Journal(path).read()[0]["items"][0]
    )


def test_one_number_in_the_results_is_named_with_both_values(kept: Kept) -> None:
    def change(document: Any) -> None:
        document["levels"][0]["metrics"]["lm.kld_mean"]["value"] = 0.001

    edit(kept.results, change)
    [(name, said)] = kept.findings().items()
    assert name == "results: level whole"
    assert said.startswith("metrics.lm.kld_mean.value: 0.001 in the results, 0.0")
    done = edgeeval("verify", kept.results, "--workspace", kept.workspace, "--json", "--quiet")
    assert done.code == 1
    failed = [one for one in json.loads(done.out) if one["outcome"] == "differs"]
    assert [one["name"] for one in failed] == ["results: level whole"]


def test_every_changed_sentence_and_verdict_is_named(kept: Kept) -> None:
    def change(document: Any) -> None:
        document["recommendation"]["level"] = "scrambled"
        document["watermarks"].pop()
        document["environment"]["n_threads"] = 64
        document["levels"][1]["verdict"] = "pass"
        document["reference"]["metrics"]["lm.ppl"]["upper"] = 9.0

    edit(kept.results, change)
    found = kept.findings()
    sections = {"what was asked", "level scrambled", "reference"}
    assert found.keys() == {f"results: {section}" for section in sections}
    asked = found["results: what was asked"]
    for key in ("recommendation.level: scrambled in", "watermarks", "environment.n_threads: 64 in"):
        assert key in asked


def test_a_log_likelihood_in_a_journal_is_named(kept: Kept) -> None:
    journal = journal_of(kept, "log_likelihoods")

    def change(line: Any) -> None:
        line["items"][0]["log_likelihoods"][0] += 3.0

    edit_line(journal, 0, change)
    found = kept.findings()
    assert str(journal.relative_to(kept.workspace)) in found["journals"]
    assert any(name.startswith("results: ") for name in found)


def test_a_line_that_is_none_is_named_and_no_traceback(kept: Kept) -> None:
    journal = journal_of(kept, "texts")
    journal.write_text("garbage\n" + journal.read_text(encoding="utf-8"), encoding="utf-8")
    found = kept.findings()
    assert f"{journal}:1: not a journal's line" in found["journals"]
    assert "cannot be derived" in found["results"]


@pytest.mark.parametrize("folder", ["runs", "divergence"])
def test_one_byte_of_an_array_is_named(kept: Kept, folder: str) -> None:
    array = kept.one(f"{folder}/*/arrays/*.npy")
    flip_byte(array, -1)
    check = kept.check("arrays")
    assert check.outcome == "differs"
    assert str(array.relative_to(kept.workspace)) in check.said


def test_one_score_of_the_judge_is_named_by_both_checks(kept: Kept) -> None:
    def change(line: Any) -> None:
        line["scores"]["profanity"] = round(1 - line["scores"]["profanity"], 4)

    edit_line(kept.one("judged/*.jsonl"), 3, change)
    found = kept.findings()
    assert "was changed" in found["alt-profanity-check's scores"]
    assert "profanity 0." in found["alt-profanity-check again"]


def test_a_changed_key_in_a_plan_is_named(kept: Kept) -> None:
    plan = next(
        path for path in sorted(kept.workspace.glob("plans/*.json")) if b'"answer"' in
        path.read_bytes()
    )  # fmt: skip

    def change(document: Any) -> None:
        document["blocks"][0]["items"][0]["answer"] = (
            1 - document["blocks"][0]["items"][0]["answer"]
        )

    edit(plan, change)
    assert f"{plan.name}: was changed" in kept.check("plans").said


def test_changed_evidence_is_named(kept: Kept) -> None:
    edit(kept.one("evidence/*.json"), lambda document: document["request"].update(limit=None))
    assert "were changed" in kept.check("evidence").said
    assert kept.checks().keys() == {"evidence"}


def test_a_level_whose_file_was_changed_or_deleted(kept: Kept, files: tuple[Path, Path]) -> None:
    whole, _ = files
    flip_byte(whole, -1)
    try:
        assert "sha256" in kept.check("file of whole").said
    finally:
        flip_byte(whole, -1)
    moved = whole.rename(whole.with_suffix(".gone"))
    try:
        assert kept.check("file of whole").outcome == "cannot be shown"
    finally:
        moved.rename(whole)


# -- what is not there ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("runs/*/journal.jsonl", "the workspace lacks"),
        ("divergence/*/arrays/*.npy", "the workspace lacks"),
        ("judged/*.jsonl", "the workspace lacks"),
        ("plans/*.json", "the workspace lacks"),
        ("evidence/*.json", "has no evidence"),
    ],
)
def test_what_the_workspace_lacks_is_named_with_exit_code_2(
    kept: Kept, pattern: str, message: str
) -> None:
    gone = kept.one(pattern)
    gone.unlink()
    refusal = edgeeval("verify", kept.results, "--workspace", kept.workspace, "--quiet").refusal()
    assert message in refusal
    assert "run eval again" in refusal
    if message == "the workspace lacks":
        assert str(gone) in refusal


def test_another_workspace_and_a_document_without_one(kept: Kept, tmp_path: Path) -> None:
    other = ("--workspace", tmp_path / "nowhere", "--quiet")
    assert "no such workspace" in edgeeval("verify", kept.results, *other).refusal()
    edit(kept.results, lambda document: document.update(evidence=""))
    named = ("--workspace", kept.workspace, "--quiet")
    assert "name no evidence" in edgeeval("verify", kept.results, *named).refusal()
    edit(kept.results, lambda document: document.update(evidence="../../x"))
    assert "has no evidence" in edgeeval("verify", kept.results, *named).refusal()


@pytest.fixture(scope="module")
def small(
    request_of: Request, evaluated: tuple[Kept, Results], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kept]:
    """The same runs, of which only tasks are reported: no judge is started."""
    folder = tmp_path_factory.mktemp("small")
    shutil.copytree(evaluated[0].workspace, folder / "workspace")
    request = replace(request_of, only=("tasks",), text=None, n_ctx=None, windows=None)
    recipe = recipe_of_files(str(request.recipe.model.gguf), [str(request.recipe.levels[0].file)])
    kept, _ = _evaluated(replace(request, recipe=recipe), folder)
    yield kept


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(junk=st.binary(min_size=1, max_size=40), at=st.integers(0, 10_000), kind=st.sampled_from(
    ["runs/*/journal.jsonl", "plans/*.json", "evidence/*.json", "results"]
))  # fmt: skip
def test_garbage_anywhere_is_a_finding_or_one_line(
    small: Kept, junk: bytes, at: int, kind: str
) -> None:
    used = json.loads(small.results.read_bytes())["evidence"][:32]
    evidence = small.workspace / "evidence" / f"{used}.json"
    pieces = [small.workspace / name for name in json.loads(evidence.read_bytes())["pieces"]]
    path = {"results": small.results, "evidence/*.json": evidence}.get(kind) or next(
        one for one in pieces if one.match(kind)
    )
    data = path.read_bytes()
    at %= len(data)
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    try:
        outcomes = {one.outcome for one in verify(small.results, Workspace(small.workspace))}
        assert outcomes <= {"holds", "differs", "cannot be shown"}
    except EdgeevalError as error:
        assert "\n" not in str(error).strip()
    finally:
        path.write_bytes(data)
