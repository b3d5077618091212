"""What can be made again is deleted when it is asked for, and nothing else, wherever links lead."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgeeval.cli.clean import command
from edgeeval.errors import InputError
from edgeeval.store import REMOVABLE, Workspace

FILES = {
    "logprobs/run/0.npy": 700,
    "log/probe-1.log": 10,
    "artifacts/ab-Q8_0.gguf": 5000,
    "artifacts/ab-Q8_0.json": 100,
    "artifacts/cd-Q4_0.tmp": 300,
    "imatrix/ab.gguf": 400,
    "imatrix/cd.part": 200,
    "runs/ab/journal.jsonl": 60,
    "divergence/ab-cd/journal.jsonl": 61,
    "cost/ab.jsonl": 62,
    "plans/ab.json": 63,
    "calibration/ab.jsonl": 64,
    "bundles/ab/manifest.json": 65,
    "downloads/llm-x==1/x.gguf": 2_000_000,
    "downloads/hub/record.json": 66,
    "converter/0.3/convert.py": 67,
    "results/mine-12345678/results.json": 68,
    "results/mine-12345678/timings.jsonl": 69,
    "judged/ab.jsonl": 70,
    "judges/mine.gguf": 73,
    "judges/.other.tmp.gguf": 74,
    "inspected/ab.json": 71,
    "hashes.jsonl": 72,
}
LEFT_OVER = {
    "logprobs/run/0.npy",
    "log/probe-1.log",
    "artifacts/cd-Q4_0.tmp",
    "judges/.other.tmp.gguf",
}
MADE_AGAIN = {
    "--artifacts": {"artifacts/ab-Q8_0.gguf"},
    "--imatrix": {"imatrix/ab.gguf", "imatrix/cd.part"},
    "--judges": {"judges/mine.gguf"},
    "--runs": {
        "runs/ab/journal.jsonl",
        "divergence/ab-cd/journal.jsonl",
        "cost/ab.jsonl",
        "plans/ab.json",
        "results/mine-12345678/timings.jsonl",
    },
    "--calibration": {"calibration/ab.jsonl"},
    "--bundles": {"bundles/ab/manifest.json"},
    "--downloads": {"downloads/llm-x==1/x.gguf", "downloads/hub/record.json"},
    "--converter": {"converter/0.3/convert.py"},
}


def fill(root: Path) -> None:
    for name, size_bytes in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size_bytes)


def files(root: Path) -> set[str]:
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return there - {"lock"}


def clean(root: Path, *options: str) -> Result:
    line = [*options, "--workspace", str(root)]
    return CliRunner().invoke(command, line, catch_exceptions=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "ws")
    return tmp_path / "ws"


def test_without_options_only_leftovers_go(root: Path) -> None:
    assert clean(root).exit_code == 0
    assert files(root) == FILES.keys() - LEFT_OVER


@pytest.mark.parametrize("option", MADE_AGAIN)
def test_each_option_deletes_what_its_name_says(root: Path, option: str) -> None:
    """A built file's record stays: the level was measured, and is reported without its file."""
    clean(root, option)
    assert files(root) == FILES.keys() - LEFT_OVER - MADE_AGAIN[option]


def test_everything_that_can_be_deleted_has_an_option(root: Path) -> None:
    assert {option.removeprefix("--") for option in MADE_AGAIN} | {"leftovers"} == set(REMOVABLE)
    clean(root, *MADE_AGAIN)
    assert files(root) == {
        "artifacts/ab-Q8_0.json",
        "results/mine-12345678/results.json",
        "judged/ab.jsonl",
        "inspected/ab.json",
        "hashes.jsonl",
    }


def test_a_dry_run_lists_what_would_go_with_sizes_and_deletes_nothing(root: Path) -> None:
    listed = clean(root, "--dry-run", "--downloads", "--artifacts")
    assert files(root) == FILES.keys()
    sizes = {path: size for size, path in (line.split("\t") for line in listed.stdout.splitlines())}
    assert sizes[str(root / "downloads/llm-x==1")] == "2.0 MB"
    assert set(sizes) == {
        str(root / name)
        for name in (
            "artifacts/ab-Q8_0.gguf",
            "artifacts/cd-Q4_0.tmp",
            "downloads/hub",
            "downloads/llm-x==1",
            "log",
            "logprobs",
        )
    }
    assert listed.stderr == f"would free 2.0 MB in {root}\n"
    assert clean(root, "--downloads", "--artifacts").stderr == f"freed 2.0 MB in {root}\n"


def test_a_part_on_another_disk_is_left_alone_and_named(root: Path, tmp_path: Path) -> None:
    """`ln -s /big/disk downloads` is how people make room."""
    elsewhere = tmp_path / "disk"
    (root / "downloads").rename(elsewhere)
    (root / "downloads").symlink_to(elsewhere)
    (root / "runs" / "ab" / "journal.jsonl").unlink()
    (root / "runs" / "ab").rmdir()
    (root / "runs").rmdir()
    (root / "runs").symlink_to(elsewhere)
    done = clean(root, "--downloads", "--runs")
    assert (elsewhere / "llm-x==1" / "x.gguf").exists()
    assert (root / "downloads").is_symlink()
    assert done.stderr.splitlines()[:2] == [
        f"{root / name}: a link, left alone with what it leads to" for name in ("downloads", "runs")
    ]
    assert not (root / "plans").exists()


def test_of_a_link_inside_only_the_link_goes(root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "model.gguf").write_bytes(b"x" * 3_000_000)
    (root / "artifacts" / "linked.gguf").symlink_to(precious / "model.gguf")
    (root / "converter" / "0.4").symlink_to(precious)
    (root / "runs" / "cd").symlink_to(precious)
    (root / "results" / "other").symlink_to(precious)
    (precious / "timings.jsonl").touch()
    done = clean(root, "--artifacts", "--converter", "--runs")
    assert {path.name for path in precious.iterdir()} == {"model.gguf", "timings.jsonl"}
    assert not (root / "artifacts" / "linked.gguf").is_symlink()
    assert not (root / "converter" / "0.4").is_symlink()
    assert "freed 0.0 MB" in done.stderr  # links count for themselves


def test_fresh_does_not_pretend_to_have_forgotten_runs_behind_a_link(
    root: Path, tmp_path: Path
) -> None:
    (root / "runs").rename(tmp_path / "runs")
    (root / "runs").symlink_to(tmp_path / "runs")
    with pytest.raises(InputError, match=r"runs is a link.*another --workspace"):
        Workspace(root).forget_runs()
    assert (root / "plans" / "ab.json").exists()


def test_nothing_to_delete_is_no_error(tmp_path: Path) -> None:
    done = clean(tmp_path / "new", *MADE_AGAIN, "--dry-run")
    assert (done.exit_code, done.stdout) == (0, "")


def test_the_help_says_that_the_hugging_face_cache_stays() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "The Hugging Face cache is not touched" in text
