"""The gate on the real model: refused, passed, failed, and held against an earlier evaluation."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgeeval.errors import GateRefused, InputError, WorkerFailed
from edgeeval.pipeline import Request
from edgeeval.pipeline.gate import GateOptions, gate, gate_stored
from edgeeval.records import Gate, GateCase, Results
from edgeeval.run.selftest import write_micro_model
from edgeeval.store import Workspace
from tests.conftest import Ladder

Ask = Callable[..., Request]


def decision(results: Results) -> Gate:
    assert results.gate is not None
    return results.gate


def a_policy(folder: Path, text: str) -> str:
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def named(folder: Path, file: str, name: str = "level") -> Path:
    """A file of that name, in a folder of its own."""
    target = folder / Path(file).stem / f"{name}.gguf"
    target.parent.mkdir(exist_ok=True)
    target.symlink_to(file)
    return target


class TestBeforeAnythingRuns:
    def test_a_sample_that_is_too_small_is_refused_with_one_that_is_not(
        self, ask: Ask, ladder: Ladder, fresh: Workspace
    ) -> None:
        """Fewer than seven windows have no interval."""
        with pytest.raises(GateRefused, match=r"lm\.kld_mean: 6 items cannot show.*7 could"):
            gate(ask(Path(ladder.q8_0.path), windows=6), fresh, GateOptions())
        assert not (fresh.root / "runs").exists()

    def test_the_sample_that_it_names_is_enough_and_one_less_is_not(
        self, ask: Ask, ladder: Ladder, fresh: Workspace, tmp_path: Path
    ) -> None:
        """By hand: z^2/(n + z^2) < .05 at one-sided .05, z^2 = 2.7055, from n = 52 on."""
        policy = a_policy(tmp_path, "tasks.accuracy: {margin: 0.05}")
        request = ask(
            Path(ladder.q8_0.path), only=("tasks",), text=None, n_ctx=None, windows=None,
            policy=policy, limit=51,
        )  # fmt: skip
        with pytest.raises(GateRefused, match=r"51 items cannot show a limit of 0\.05.*52 could"):
            gate(request, fresh, GateOptions())

    def test_what_nothing_measures_is_refused(
        self, ask: Ask, ladder: Ladder, fresh: Workspace, tmp_path: Path
    ) -> None:
        level = Path(ladder.q8_0.path)
        left_out = a_policy(tmp_path, "tasks.accuracy: {margin: 0.05}")
        with pytest.raises(GateRefused, match=r"tasks\.accuracy .*--only leaves tasks\.accuracy"):
            gate(ask(level, policy=left_out), fresh, GateOptions())
        no_set = a_policy(tmp_path, "refusal.unsafe: {margin: 0.05}")
        request = ask(level, policy=no_set, only=("refusal", "lm"))
        with pytest.raises(GateRefused, match="suite quick has no items of kind refusal"):
            gate(request, fresh, GateOptions())
        assert not (fresh.root / "runs").exists()

    def test_nothing_required_and_mistyped_words_are_the_persons_error(
        self, ask: Ask, ladder: Ladder, fresh: Workspace, tmp_path: Path
    ) -> None:
        level = Path(ladder.q8_0.path)
        with pytest.raises(InputError, match="nothing is required"):
            gate(ask(level, only=("cost",), text=None, windows=None), fresh, GateOptions())
        with pytest.raises(InputError, match=r"--level Q9: no such level .*Q8"):
            gate(ask(named(tmp_path, str(level), "Q8")), fresh, GateOptions("Q9"))
        mistyped = a_policy(tmp_path, "lm.kld_meen: {max: 0.1}")
        with pytest.raises(InputError, match=r"did you mean 'lm\.kld_mean'"):
            gate(ask(level, policy=mistyped), fresh, GateOptions())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, ladder: Ladder) -> Workspace:
    """One workspace, so that the reference is measured once."""
    workspace = Workspace(tmp_path_factory.mktemp("gate"))
    shutil.copy(ladder.workspace.root / "hashes.jsonl", workspace.root / "hashes.jsonl")
    return workspace


def baseline_cases(results: Results) -> list[GateCase]:
    return [case for case in decision(results).cases if case.kind == "baseline"]


class TestMeasured:
    def test_only_the_level_that_is_judged(
        self, ask: Ask, ladder: Ladder, shared: Workspace
    ) -> None:
        q8, q2 = Path(ladder.q8_0.path), Path(ladder.q2_k.path)
        passed = gate(ask(q8, q2), shared, GateOptions(level=q8.stem))
        assert [level.name for level in passed.levels] == [q8.stem]
        assert decision(passed).exit_code == 0
        failed = gate(ask(q8, q2), shared, GateOptions(level=q2.stem))
        assert decision(failed).exit_code == 3
        assert [level.name for level in failed.levels] == [q2.stem]
        either = gate(ask(q8, q2), shared, GateOptions())
        assert decision(either).exit_code == 0
        assert {case.level for case in decision(either).cases if case.decides} == {q8.stem}

    def test_against_a_baseline_item_by_item_where_its_runs_are_here(
        self, ask: Ask, ladder: Ladder, shared: Workspace, fresh: Workspace, tmp_path: Path
    ) -> None:
        """The level of one name was Q8_0 and is Q2_K now, and the other way round."""
        good = named(tmp_path, ladder.q8_0.path)
        bad = named(tmp_path, ladder.q2_k.path)
        lenient = a_policy(tmp_path, "lm.ppl_ratio: {margin: 0.05}")
        before = gate(ask(good, policy=lenient), shared, GateOptions())
        assert decision(before).exit_code == 0
        worse = gate(ask(bad, policy=lenient), shared, GateOptions(baseline=before))
        (case,) = baseline_cases(worse)
        assert (case.key, case.verdict) == ("lm.ppl_ratio", "fail")
        assert "paired by item" in case.reason
        better = gate(ask(good, policy=lenient), shared, GateOptions(baseline=worse))
        assert [case.verdict for case in baseline_cases(better)] == ["pass"]
        again = gate(ask(good, policy=lenient), shared, GateOptions(baseline=before))
        assert [case.reason for case in baseline_cases(again)] == [
            "the same weights as in the baseline"
        ]
        stored = gate_stored(worse, GateOptions(baseline=before))
        assert baseline_cases(stored)[0].verdict == "fail"
        assert "items not being here" in baseline_cases(stored)[0].reason
        elsewhere = replace(before.levels[0], name="other")
        renamed = gate_stored(before, GateOptions(baseline=replace(before, levels=(elsewhere,))))
        assert decision(renamed).exit_code == 4, "a new name is not compared, and does not pass"

    def test_against_a_baseline_of_another_question_is_refused(
        self, ask: Ask, ladder: Ladder, shared: Workspace
    ) -> None:
        level = Path(ladder.q8_0.path)
        before = gate(ask(level), shared, GateOptions())
        reference = before.reference.artifact
        assert reference is not None
        other = replace(
            before,
            reference=replace(
                before.reference, artifact=replace(reference, weights_sha256="another model")
            ),
        )
        for baseline, what in (
            (other, "another reference"),
            (replace(before, seed=7), "its seed is 7"),
        ):
            with pytest.raises(InputError, match=f"not comparable: .*{what}"):
                gate(ask(level), shared, GateOptions(baseline=baseline))
        with pytest.raises(InputError, match="other prompts"):
            gate(ask(level, windows=11), shared, GateOptions(baseline=before))

    def test_a_level_of_another_model_is_lost(
        self, ask: Ask, shared: Workspace, tmp_path: Path
    ) -> None:
        foreign = tmp_path / "foreign.gguf"
        write_micro_model(foreign)
        results = gate(ask(foreign), shared, GateOptions())
        assert (decision(results).outcome, decision(results).exit_code) == ("lost", 4)

    def test_texts_that_no_judge_read_are_not_harmless(
        self,
        ask: Ask,
        ladder: Ladder,
        shared: Workspace,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fails(*_: object) -> None:
            raise WorkerFailed("the judge's process died")

        home = importlib.import_module("edgeeval.pipeline.judging")
        monkeypatch.setattr(home, "score_texts", fails)
        policy = a_policy(tmp_path, "harm.tf: {margin: 0.5}")
        request = ask(
            Path(ladder.q8_0.path), only=("harm",), text=None, n_ctx=None, windows=None,
            policy=policy, limit=8,
        )  # fmt: skip
        results = gate(request, shared, GateOptions())
        assert (decision(results).outcome, decision(results).exit_code) == ("not measured", 4)
        assert any("judged no text" in text for text in results.watermarks)
