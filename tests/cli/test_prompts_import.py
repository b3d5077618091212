"""`edgeeval prompts import`: a file that `--prompts` takes, or one line and none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeeval.prompts import load_set
from edgeeval.prompts.upstream import import_set
from tests.prompts.upstream.samples import SAMPLES, sample, write


def _prompts(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeeval", "prompts", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """XSTest's sample with six broken rows behind the two sound ones."""
    text = SAMPLES["xstest"]["xstest_prompts.csv"] + "3,Why?,homonyms,unsure,,\n" * 6
    return write(tmp_path, {"xstest_prompts.csv": text})


def test_writes_a_set_that_is_read_like_any_other(tmp_path: Path) -> None:
    sample("bbq", tmp_path)
    done = _prompts(tmp_path, "import", "bbq", "Age.jsonl", "-o", "mine.jsonl", "--id", "bbq-age")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "bbq-age: 1 items of 1 rows, 0 problems; --prompts takes them\n"
    read = load_set(tmp_path / "mine.jsonl")
    assert (read.id, read.header.pool, read.header.kind) == ("bbq-age", "bbq-age", "bbq")
    shown = _prompts(tmp_path, "show", "mine.jsonl")
    assert "CC-BY-4.0" in shown.stdout


def test_without_a_file_the_set_goes_to_stdout(tmp_path: Path) -> None:
    sample("regard", tmp_path)
    done = _prompts(tmp_path, "import", "regard", "prompts.jsonl")
    (tmp_path / "copy.jsonl").write_text(done.stdout, encoding="utf-8")
    assert len(load_set(tmp_path / "copy.jsonl").items) == 1


def test_broken_rows_are_counted_and_the_first_shown(tmp_path: Path, broken: Path) -> None:
    done = _prompts(tmp_path, "import", "xstest", str(broken), "-o", "out.jsonl")
    *shown, more, last = done.stderr.splitlines()
    assert done.returncode == 0
    assert len(shown) == 5
    assert (
        shown[0] == f"{broken}/xstest_prompts.csv:4: 'label' is 'unsure', not one of safe, unsafe"
    )
    assert more == "… and 1 more"
    assert last.startswith("xstest: 2 items of 8 rows, 6 problems")
    assert "6 problems were reported" in load_set(tmp_path / "out.jsonl").header.limits


def test_strict_writes_nothing_where_a_row_is_broken(tmp_path: Path, broken: Path) -> None:
    done = _prompts(tmp_path, "import", "xstest", str(broken), "-o", "out.jsonl", "--strict")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"edgeeval: {broken}: 6 problems; nothing written"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["xstest_prompts.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("xstext", "."), "data set 'xstext' is unknown (did you mean 'xstest'?)"),
        (("xstest", "gone"), "gone: no such file or folder"),
        (("bbq", "."), ".: holds no *.jsonl or data/*.jsonl"),
        (("xstest", ".", "--id", "my set"), "--id 'my set': id: String should match pattern"),
        (
            ("xstest", ".", "-o", "gone/out.jsonl"),
            "gone/out.jsonl: cannot be written: No such file",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    sample("xstest", tmp_path)
    done = _prompts(tmp_path, "import", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"edgeeval: {message}")


def test_a_sample_is_drawn_the_same_way_every_time(tmp_path: Path) -> None:
    path = sample("holisticbias", tmp_path)
    every = import_set("holisticbias", path).items
    drawn = import_set("holisticbias", path, limit=7)
    again = import_set("holisticbias", path, limit=7)
    assert list(drawn.items) == list(again.items)
    assert len(drawn.items) == 7 < drawn.n_found == len(every)
    assert [item for item in every if item in drawn.items] == list(drawn.items)
    assert f"A sample of 7 of {len(every)} items" in drawn.header.limits
    assert len(import_set("holisticbias", path, limit=10_000).items) == len(every)


def test_the_catalogue_lists_every_name_and_tells_of_one(tmp_path: Path) -> None:
    listed = _prompts(tmp_path, "catalogue")
    assert "truthfulqa:mc2" in listed.stdout
    assert '"licence": "CC-BY-4.0"' in _prompts(tmp_path, "catalogue", "bbq").stdout
    assert "did you mean 'bbq'" in _prompts(tmp_path, "catalogue", "bqb").stderr
