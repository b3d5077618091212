"""A ladder is what the recipe says, made once, with the bytes that llama.cpp's own tools write."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from gguf import GGUFReader

from edgeeval.artifact.imatrix_file import ImatrixData, ImatrixEntry, write_imatrix
from edgeeval.artifact.inspect import kept_record
from edgeeval.errors import InputError
from edgeeval.pipeline import Built, Request, build_ladder
from edgeeval.pipeline.ladder import Ladder as Rungs
from edgeeval.recipe import recipe_of, recipe_of_files
from edgeeval.recipe.load import parse_recipe
from edgeeval.store import Workspace, sha256_of
from tests.artifact.wide_model import write_wide_model
from tests.conftest import Ladder
from tests.native import native_tool, run_native
from tests.pipeline.test_robust import start, wait_for


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibration") / "bees.txt"
    path.write_text("Whoever keeps bees learns to wait; on cold mornings the hive hums. " * 12)
    return path


def recipe_for(source: Path | str, levels: list[Any], **keys: Any) -> Request:
    content = {"name": "mine", "model": {"gguf": str(source)}, "levels": levels}
    return Request(parse_recipe({"reference": "BF16", **content, **keys}, "test", Path()))


def by_name(built: Built) -> dict[str, str]:
    return {level.name: level.sha256 for level in built.levels}


# -- which levels there are ----------------------------------------------------------------------


@pytest.fixture
def rungs(ladder: Ladder, tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that names the rungs of a request; nothing is built for it."""

    def names(request: Request) -> list[str]:
        workspace = Workspace(tmp_path / "workspace")
        found = Rungs(request, workspace, ladder.engine, pytest.fail)
        return [rung.name for rung in found.rungs]

    return names


def copies(source: Path, *targets: Path) -> None:
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def test_files_of_one_name_from_two_uploaders_get_numbers(
    rungs: Callable[..., list[str]], tmp_path: Path
) -> None:
    wide = write_wide_model(tmp_path / "F32.gguf")
    files = [tmp_path / "a/Q4_K_M.gguf", tmp_path / "b/Q4_K_M.gguf", tmp_path / "c/F32.gguf"]
    copies(wide, *files)
    request = Request(recipe_of_files(str(wide), [str(path) for path in files]))
    assert rungs(request) == ["Q4_K_M", "Q4_K_M-2", "F32-2"]  # F32 is the reference's name


def test_a_glob_may_name_the_reference_and_every_part_of_a_split_model(
    rungs: Callable[..., list[str]], tmp_path: Path
) -> None:
    wide = write_wide_model(tmp_path / "F32.gguf")
    parts = [f"big-0000{number}-of-00003.gguf" for number in (3, 1, 2)]
    copies(wide, *(tmp_path / name for name in parts), tmp_path / "z.gguf")
    (tmp_path / "same.gguf").symlink_to(wide)
    names = ["z.gguf", *parts, "F32.gguf", "same.gguf"]
    request = Request(recipe_of_files(str(wide), [str(tmp_path / name) for name in names]))
    assert rungs(request) == ["z", "big"]


def test_a_later_part_alone_is_a_level_that_tells_what_to_give(
    rungs: Callable[..., list[str]], tmp_path: Path
) -> None:
    wide = write_wide_model(tmp_path / "F32.gguf")
    copies(wide, tmp_path / "big-00002-of-00003.gguf")
    request = Request(recipe_of_files(str(wide), [str(tmp_path / "big-00002-of-00003.gguf")]))
    assert rungs(request) == ["big"]


def test_the_file_that_the_reference_is_dequantized_from_is_a_level(
    rungs: Callable[..., list[str]], ladder: Ladder
) -> None:
    """What people have: one quantized file, to be compared with its own dequantization."""
    path = ladder.q8_0.path
    recipe = recipe_of_files(path, [path], reference_type="BF16")
    assert rungs(Request(recipe)) == [Path(path).stem]


def test_nothing_but_the_reference_is_no_ladder(
    rungs: Callable[..., list[str]], tmp_path: Path
) -> None:
    wide = write_wide_model(tmp_path / "F32.gguf")
    with pytest.raises(InputError, match="F32: give levels to compare it with, not itself"):
        rungs(Request(recipe_of_files(str(wide), [str(wide)])))


@pytest.mark.parametrize(
    ("imatrix", "message"),
    [
        ({"text": "/gone/bees.txt"}, "imatrix: /gone/bees.txt: no such file"),
        ({"file": "/gone/made.gguf"}, "/gone/made.gguf: cannot be read: No such file"),
        ({"file": __file__}, f"{__file__}: "),
    ],
)
def test_an_imatrix_that_is_not_there_is_bad_input_before_anything_runs(
    rungs: Callable[..., list[str]], tmp_path: Path, imatrix: dict[str, str], message: str
) -> None:
    """It would else cost every level, after the reference was measured."""
    wide = write_wide_model(tmp_path / "F32.gguf")
    with pytest.raises(InputError, match=f"^{message}"):
        rungs(recipe_for(wide, ["Q4_0"], imatrix=imatrix))
    unused = recipe_for(wide, [{"type": "Q4_0", "imatrix": False}], imatrix=imatrix)
    assert rungs(unused) == ["Q4_0"]


# -- quantized with an importance matrix ---------------------------------------------------------


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wide_model(tmp_path_factory.mktemp("wide") / "F32.gguf")


@pytest.fixture(scope="module")
def wide_imatrix(wide: Path) -> Path:
    """An imatrix of random sums: one a weight of a block, as llama-imatrix collects them."""
    generator = np.random.default_rng(3)
    entries = {
        tensor.name: ImatrixEntry(
            generator.gamma(2.0, 50.0, int(tensor.shape[0])).astype(np.float32), np.array([1024])
        )
        for tensor in GGUFReader(wide).tensors
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2
    }
    path = wide.with_name("given.gguf")
    write_imatrix(path, ImatrixData(entries, ("bees.txt",), 2, 512))
    return path


def native_bytes(source: Path, imatrix: Path, kind: str, folder: Path) -> bytes:
    """Quantize with llama-quantize; the imatrix is named as edgeeval writes its name."""
    (folder / imatrix.name).symlink_to(imatrix)
    line = [native_tool("llama-quantize"), "--imatrix", imatrix.name, source, "native.gguf", kind]
    done = subprocess.run(
        [*map(str, line), "2"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (folder / imatrix.name).unlink()
    return (folder / "native.gguf").read_bytes()


def test_with_an_imatrix_a_level_is_the_native_tools_to_the_byte(
    wide: Path, wide_imatrix: Path, tmp_path: Path
) -> None:
    """Oracle: llama-quantize of the engine's commit. Not even `quantize.imatrix.file` differs where
    it is given a name in the folder that it works in.
    """
    kinds = ["Q4_K_M", "IQ3_S", "IQ2_XXS", "IQ1_S", "Q2_K_S"]
    mix = {"name": "mix", "type": "IQ2_M", "tensors": {"token_embd": "Q8_0"}}
    request = recipe_for(wide, [*kinds, mix], reference="F32", imatrix={"file": str(wide_imatrix)})
    built = build_ladder(request, Workspace(tmp_path / "workspace"))
    assert built.lost == {}
    for level in built.levels[:-1]:
        assert Path(level.path).read_bytes() == native_bytes(
            wide, wide_imatrix, level.name, tmp_path
        )
        assert level.provenance.imatrix_sha256 == sha256_of(wide_imatrix)
        assert level.imatrix == "bees.txt, 2 chunks"
    assert len(set(by_name(built).values())) == len(kinds) + 1


def test_the_native_tools_imatrix_path_is_all_that_differs(
    wide: Path, wide_imatrix: Path, tmp_path: Path
) -> None:
    """Given a path, llama-quantize writes the path; edgeeval writes no path of this machine."""
    native = tmp_path / "native.gguf"
    line = ("--imatrix", wide_imatrix, wide, native, "Q4_K_M", 2)
    run_native(native_tool("llama-quantize"), *line)
    request = recipe_for(wide, ["Q4_K_M"], reference="F32", imatrix={"file": str(wide_imatrix)})
    [level] = build_ladder(request, Workspace(tmp_path / "workspace")).levels
    mine, theirs = (GGUFReader(path) for path in (level.path, native))

    def fields(reader: GGUFReader) -> dict[str, Any]:
        return {key: one.contents() for key, one in reader.fields.items() if key[:5] != "GGUF."}

    differing = {key for key, value in fields(mine).items() if value != fields(theirs)[key]}
    assert fields(mine).keys() == fields(theirs).keys()
    assert differing == {"quantize.imatrix.file"}
    assert fields(mine)["quantize.imatrix.file"] == "given.gguf"
    for one, other in zip(mine.tensors, theirs.tensors, strict=True):
        assert (one.name, one.data.tobytes()) == (other.name, other.data.tobytes())


def test_a_recipes_imatrix_is_computed_once_recorded_and_used_again(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, calibration: Path
) -> None:
    """The real model. Oracle of the bytes: llama-quantize with that imatrix."""
    plain = {"name": "plain", "type": "Q4_0", "imatrix": False}
    imatrix = {"text": str(calibration), "chunks": 2, "n_ctx": 64}
    request = recipe_for(ladder.bf16.path, ["Q4_0", "IQ3_XXS", plain], imatrix=imatrix)
    said: list[str] = []
    built = build_ladder(request, fresh, said.append)
    assert built.lost == {}
    [made] = fresh.root.glob("imatrix/*.gguf")
    assert [line for line in said if "imatrix" in line] == [
        f"{built.reference.name}: imatrix: 2 of 2 chunks"
    ]
    weighted, small, unweighted = built.levels
    assert weighted.provenance.imatrix_sha256 == sha256_of(made)
    assert small.provenance.imatrix_sha256 == sha256_of(made)
    assert weighted.imatrix == "bees.txt, 2 chunks"
    assert (unweighted.provenance.imatrix_sha256, unweighted.imatrix) == ("", "")
    assert weighted.weights_sha256 != unweighted.weights_sha256
    expected = native_bytes(Path(ladder.bf16.path), made, "Q4_0", tmp_path)
    assert Path(weighted.path).read_bytes() == expected

    said.clear()
    assert build_ladder(request, fresh, said.append) == built
    assert said == []
    more = recipe_for(ladder.bf16.path, ["Q5_0"], imatrix=imatrix)
    [level] = build_ladder(more, fresh, said.append).levels
    assert level.provenance.imatrix_sha256 == sha256_of(made)
    assert said == [f"Q5_0: quantized from {built.reference.name}"]


def test_a_lost_level_does_not_stop_the_others(wide: Path, tmp_path: Path) -> None:
    typo = {"name": "typo", "type": "Q4_0", "tensors": {"attn_w": "Q8_0"}}
    request = recipe_for(wide, [typo, "Q8_0", {"file": __file__, "name": "text"}], reference="F32")
    built = build_ladder(request, Workspace(tmp_path / "workspace"))
    assert list(by_name(built)) == ["Q8_0"]
    assert "'attn_w' is found in no tensor's name" in built.lost["typo"]
    assert "not a GGUF file" in built.lost["text"]


def test_the_reference_may_go_when_the_levels_are_there(wide: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    request = recipe_for(wide, ["Q8_0"])
    kept = Request(request.recipe, keep="levels")
    built = build_ladder(kept, workspace)
    assert not Path(built.reference.path).exists()
    assert kept_record(Path(built.reference.path), "BF16") == built.reference
    assert Path(built.levels[0].path).exists()


def test_a_type_that_is_not_what_it_seems_says_so_before_it_is_made(
    wide: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    build_ladder(recipe_for(wide, ["MXFP4_MOE"]), Workspace(tmp_path / "workspace"), told.append)
    said, *_, built = told
    assert said.startswith("MXFP4_MOE: only the experts")
    assert said.endswith("a dense model comes out as Q8_0")
    assert built == "MXFP4_MOE: quantized from BF16"


# -- SIGKILL -------------------------------------------------------------------------------------


def quantize_line(recipe: Path, workspace: Path) -> list[str]:
    line = [sys.executable, "-m", "edgeeval", "quantize", str(recipe), "--json"]
    return [*line, "--workspace", str(workspace)]


def kill_when(line: list[str], happens: Callable[[], bool]) -> None:
    """Start, wait, SIGKILL the parent; its worker must follow."""
    process = start(line)
    wait_for(lambda: happens() or process.poll() is not None)
    assert process.poll() is None, "it ended before it could be killed"
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "a worker outlived its parent"


def test_killed_at_any_step_and_run_again_the_files_are_the_same(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, calibration: Path
) -> None:
    """Killed while the reference is written, the imatrix computed, a level written, between two."""
    recipe = {
        "name": "mine",
        "model": {"gguf": ladder.q8_0.path},
        "reference": "BF16",
        "levels": ["Q4_0", "IQ3_XXS"],
        "imatrix": {"text": str(calibration), "n_ctx": 32},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(recipe))
    whole = build_ladder(Request(recipe_of(str(path))), fresh)
    hashes = {**by_name(whole), "BF16": whole.reference.sha256}

    killed = Workspace(tmp_path / "killed")
    shutil.copytree(fresh.root / "selftest", killed.folder() / "selftest")
    line = quantize_line(path, killed.root)

    def there(pattern: str) -> Callable[[], bool]:
        return lambda: any(killed.root.glob(pattern))

    kill_when(line, there("artifacts/*-BF16.tmp"))
    assert not any(killed.root.glob("artifacts/*.gguf"))
    kill_when(line, there("log/imatrix-*.job.json"))
    assert not any(killed.root.glob("imatrix/*.gguf"))
    kill_when(line, there("artifacts/*-Q4_0.tmp"))
    kill_when(line, there("artifacts/*-Q4_0.json"))
    assert not any(killed.root.glob("artifacts/*-IQ3_XXS.gguf"))

    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    built = json.loads(done.stdout)
    found = {one["name"]: one["sha256"] for one in (built["reference"], *built["levels"])}
    assert found == hashes
    assert all(sha256_of(file) in hashes.values() for file in killed.root.glob("artifacts/*.gguf"))
    assert not any(killed.root.rglob("*.tmp"))
