"""What CONTRIBUTING.md says that an addition costs is what it costs: its own diffs, carried out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Ladder

CHECKOUT = Path(__file__).parents[2]
_TREE = ("edgeeval", "prompts", "quant_recipes", "tests")
_DIFF = re.compile(r"^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _patches() -> dict[str, list[str]]:
    """Return file -> lines of its part of a diff, for every file that CONTRIBUTING.md changes."""
    found: dict[str, list[str]] = {}
    for block in _DIFF.findall((CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        lines: list[str] = []
        for line in block.splitlines():
            if line.startswith("+++ b/"):
                lines = found.setdefault(line.removeprefix("+++ b/"), [])
            elif not line.startswith("--- "):
                lines.append(line)
    return found


def _apply(tree: Path, name: str, lines: list[str]) -> None:
    """Write a new file, or put lines behind the one that the diff shows before them."""
    path = tree / name
    added = [line[1:] for line in lines if line.startswith("+")]
    if not path.exists():
        assert len(added) == len(lines), f"{name} is new: each of its lines begins with +"
        path.write_text("\n".join(added) + "\n", encoding="utf-8")
        return
    before, after = ("\n".join(x[1:] for x in lines if x[0] in sides) for sides in (" -", " +"))
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{name}: where does {before!r} stand?"
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project and make the additions, nothing else."""
    copy = tmp_path_factory.mktemp("contributed")
    for name in _TREE:
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(CHECKOUT / "pyproject.toml", copy / "pyproject.toml")
    for name, lines in _patches().items():
        _apply(copy, name, lines)
    return copy


def _run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        timeout=300,
    )


def test_a_prompt_set_is_one_file_and_a_scorer_one_file_and_one_line() -> None:
    patches = _patches()
    assert set(patches) == {
        "prompts/tasks-mine.jsonl", "edgeeval/scores/length.py", "edgeeval/scores/__init__.py"
    }  # fmt: skip
    [line] = (line for line in patches["edgeeval/scores/__init__.py"] if line.startswith("+"))
    assert not any(line.startswith("-") for lines in patches.values() for line in lines)
    assert line.strip("+ ") == '"length": "edgeeval.scores.length",'


def test_the_prompt_set_is_listed_with_the_sizes_of_its_header(tree: Path) -> None:
    done = _run(tree, "-m", "edgeeval", "prompts", "list")
    assert done.returncode == 0, done.stderr
    [line] = (line for line in done.stdout.splitlines() if line.startswith("tasks-mine"))
    assert line.split()[1:6] == ["choice", "1", "20", "80", "80"]


def test_the_scorer_keeps_what_every_scorer_keeps(tree: Path) -> None:
    done = _run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "length",
                "tests/contract/test_scorers.py")  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_both_are_in_the_results_of_the_real_model(tree: Path, ladder: Ladder) -> None:
    done = _run(
        tree, "-m", "edgeeval", "eval", "--reference", ladder.bf16.path, ladder.q8_0.path,
        "--only", "length,tasks.accuracy", "--limit", "8", "--json",
        "--workspace", str(tree / "workspace"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert "tasks-mine" in {one["id"] for one in results["prompt_sets"]}
    [level] = results["levels"]
    metric = level["metrics"]["length.tokens"]
    assert metric["n"] == 16
    assert 0 < metric["value"] <= 32
    assert metric["delta"]["lower"] <= metric["delta"]["value"] <= metric["delta"]["upper"]
    assert level["metrics"]["tasks.accuracy"]["by_set"].keys() == {"tasks-own", "tasks-mine"}
