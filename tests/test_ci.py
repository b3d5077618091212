"""The gate as README tells a pipeline to run it, on the real model, and without any network."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from edgeeval.report import load_results
from tests.conftest import CHECKOUT, FETCHED

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
SMALL = "--only lm,tasks --n-ctx 128"
"""What makes README's command shorter, and no trial; the rest of the line is README's own."""


def workflow() -> dict[Any, Any]:
    found = re.search(
        r"<!-- workflow -->\n```yaml\n(.*?)```\n<!-- /workflow -->", README, re.DOTALL
    )
    assert found is not None
    document: dict[Any, Any] = yaml.safe_load(found[1])
    return document


def steps() -> list[dict[str, Any]]:
    (job,) = workflow()["jobs"].values()
    return list(job["steps"])


def gate_lines() -> list[str]:
    lines = [line for step in steps() for line in step.get("run", "").splitlines()]
    return [line for line in lines if line.startswith("edgeeval gate ")]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that has what `fetch` brings, and nothing else."""
    if not (FETCHED / "downloads").is_dir():
        pytest.skip("the model is not fetched")
    root = tmp_path_factory.mktemp("ci") / "workspace"
    root.mkdir()
    (root / "downloads").symlink_to((FETCHED / "downloads").resolve())
    return root


def run(
    line: str, workspace: Path, folder: Path, *, before: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a line of README's, made small."""
    words = shlex.split(line)
    assert words[0] == "edgeeval"
    small = [*words[1:], *SMALL.split(), "--workspace", str(workspace)]
    inherited = {name: value for name, value in os.environ.items() if "GITHUB" not in name}
    return subprocess.run(
        [*before, sys.executable, "-m", "edgeeval", *small],
        cwd=folder, env=inherited | {"PYTHONPATH": str(CHECKOUT)} | environment,
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


class TestTheWorkflow:
    def test_caches_the_engine_by_what_the_cpu_can_do(self) -> None:
        (engine,) = [step for step in steps() if step.get("with", {}).get("path") == "wheels"]
        assert "steps.cpu.outputs.features" in engine["with"]["key"]
        (features,) = [step for step in steps() if step.get("id") == "cpu"]
        done = subprocess.run(
            ["bash", "-ec", features["run"].replace('>> "$GITHUB_OUTPUT"', "")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert re.fullmatch(r"features=[0-9a-f]{16}\n", done.stdout)

    def test_builds_only_what_the_cache_lacks_and_installs_from_it_alone(self) -> None:
        commands = [step.get("run", "") for step in steps()]
        (build,) = [step for step in steps() if "pip wheel" in step.get("run", "")]
        assert build["if"] == "steps.wheels.outputs.cache-hit != 'true'"
        assert any("pip install --no-index --find-links wheels" in one for one in commands)

    def test_caches_the_workspace_and_uploads_what_the_gate_writes(self) -> None:
        assert any(step.get("with", {}).get("path") == ".edgeeval" for step in steps())
        (upload,) = [step for step in steps() if "upload-artifact" in step.get("uses", "")]
        (line,) = gate_lines()
        words = shlex.split(line)
        written = {words[i + 1] for i, word in enumerate(words) if word == "-o"}
        assert set(upload["with"]["path"].split()) == written
        assert upload["if"] == "always()"

    def test_names_only_verbs_and_options_that_exist(self) -> None:
        block = README.split("## In CI", 1)[1].split("## Verbs", 1)[0]
        lines = re.findall(r"^(?:\s*- run: )?edgeeval ([^#\n]+)", block, re.MULTILINE)
        assert len(lines) >= 6
        helps: dict[str, str] = {}
        for line in lines:
            verb, *words = shlex.split(line)
            if verb not in helps:
                command = [sys.executable, "-m", "edgeeval", verb, "--help"]
                helps[verb] = subprocess.run(
                    command, capture_output=True, text=True, check=True
                ).stdout
            for word in words:
                if word.startswith("-"):
                    assert re.search(rf"(^|[\s,]){re.escape(word)}\b", helps[verb]), (line, word)


def test_the_gate_passes_in_a_network_namespace_without_an_interface(
    workspace: Path, tmp_path: Path
) -> None:
    """The namespace has nothing but a loopback device that is down."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed")
    alone = [unshare, "--map-root-user", "--net", "--"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a person make a network namespace")
    look = "import socket; socket.create_connection(('192.0.2.1', 9), timeout=5)"
    reached = subprocess.run([*alone, sys.executable, "-c", look], capture_output=True, check=False)
    assert b"unreachable" in reached.stderr
    (line,) = gate_lines()
    done = run(line, workspace, tmp_path, before=alone)
    assert done.returncode == 0, done.stderr
    assert "Gate on Q8_0: passed (exit code 0)" in " ".join(done.stdout.split())


def test_the_line_of_the_workflow_passes_and_tells_github(workspace: Path, tmp_path: Path) -> None:
    (line,) = gate_lines()
    summary = tmp_path / "summary.md"
    done = run(
        line, workspace, tmp_path, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "::notice title=Gate on Q8_0%3A passed (exit code 0)::" in done.stderr
    assert "::error" not in done.stderr
    assert "Gate on Q8" in summary.read_text()
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (root.attrib["failures"], root.attrib["errors"]) == ("0", "0")
    assert [suite.attrib["name"] for suite in root] == ["Q8_0"], "nothing else was measured"
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_what_was_measured_is_judged_again_without_measuring(
    workspace: Path, tmp_path: Path
) -> None:
    (path,) = (workspace / "results").glob("*/results.json")
    gate = [sys.executable, "-m", "edgeeval", "gate", "--results", str(path)]

    def judged(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*gate, *options], capture_output=True, text=True, check=False)

    assert judged("--level", "Q8_0", "--baseline", str(path)).returncode == 0
    mistyped = judged("--level", "Q8")
    assert mistyped.returncode == 2
    assert "did you mean 'Q8_0'" in mistyped.stderr
    refused = judged("--policy", "strict")
    assert refused.returncode == 2
    assert "--policy" in refused.stderr
    gate_record = load_results(path).gate
    assert gate_record is not None
    assert {case.verdict for case in gate_record.cases} == {"pass"}
