"""`edgeeval bundle` on one machine, `edgeeval eval --reference X.bundle` on another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeeval.run.selftest import write_micro_model
from tests.cli.conftest import Call
from tests.conftest import Ladder
from tests.pipeline import bundles


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text("The ferry left at six with nobody on deck but the baker's boy. " * 20)
    return path


def test_from_one_machine_to_another(
    ladder: Ladder, call: Call, tmp_path: Path, text: Path
) -> None:
    path = tmp_path / "out" / "big.bundle"
    line = ["--only", "lm", "--quiet", "--workspace", tmp_path / "large"]
    window = ["--text", text, "--n-ctx", 32, "--windows", 7]
    made = call("bundle", ladder.bf16.path, "-o", path, *line, *window)
    assert (made.code, made.stdout) == (0, f"{path}\n"), made.stderr

    write_micro_model(tmp_path / "other.gguf")
    line = ["--only", "lm", "--quiet", "--workspace", tmp_path / "laptop", "--json"]
    levels = [ladder.q8_0.path, tmp_path / "other.gguf"]
    done = call("eval", "--reference", path, *levels, *line)
    assert done.code == 4, done.stderr
    results = json.loads(done.stdout)
    kept, lost = results["levels"]
    assert kept["status"] == "measured"
    assert 0 < kept["metrics"]["lm.kld_mean"]["value"] < 0.05
    assert lost["status"] == "lost"
    assert any("ran on another machine" in mark for mark in results["watermarks"])

    refused = call("eval", "--reference", path, ladder.q8_0.path, *line, "--suite", "standard")
    assert refused.refusal.startswith("--suite: the bundle's reference ran suite quick")


def test_a_bundle_has_a_name_that_says_so(call: Call, tmp_path: Path) -> None:
    done = call("bundle", "smollm2-135m", "-o", tmp_path / "x.tar")
    assert done.refusal == f"--output {tmp_path / 'x.tar'}: name it x.bundle"


@pytest.mark.parametrize("verb", ["eval", "plan"])
def test_a_strangers_bundle_is_refused_in_one_line(call: Call, tmp_path: Path, verb: str) -> None:
    path = bundles.write(tmp_path / "x.bundle", bundles.some_files() | {"../x": b"gotcha"})
    done = call(verb, "--reference", path, "a.gguf", "--quiet", "--workspace", tmp_path / "ws")
    assert done.refusal == f"{path}: '../x' does not belong into a bundle; refused"
    assert list((tmp_path / "ws" / "bundles").iterdir()) == []
    assert not (tmp_path / "ws" / "selftest").exists(), "the engine was started"


def test_a_bundle_is_no_model(call: Call, tmp_path: Path) -> None:
    path = bundles.write(tmp_path / "x.bundle")
    workspace = ["--workspace", tmp_path / "ws", "--quiet"]
    assert "a bundle is a reference: --reference" in call("eval", path, *workspace).refusal
    recipe = tmp_path / "mine.yaml"
    source = {"name": "mine", "model": {"bundle": str(path)}, "reference": "as given"}
    recipe.write_text(json.dumps(source | {"levels": [{"file": str(tmp_path / "a.gguf")}]}))
    (tmp_path / "a.gguf").touch()
    message = f"{path}: a bundle holds the run of a reference, not its model; give the model"
    assert call("quantize", recipe, *workspace).refusal == message
    again = ["bundle", recipe, "-o", tmp_path / "y.bundle"]
    assert call(*again, *workspace).refusal == message
    assert call("fetch", recipe, *workspace).stdout == f"{path}\n"
