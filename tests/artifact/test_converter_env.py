"""The environment's build: what is taken out of an archive, and what a failure leaves."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgeeval.artifact.converter import REQUIREMENTS, fetched_folder, find_converter, marker
from edgeeval.artifact.converter_env import extract_tree, fetch_converter
from edgeeval.errors import EdgeevalError, InputError, NotFetched
from edgeeval.store import Workspace, write_json

TOP = "llama_cpp_python-1.0/vendor/llama.cpp/"
GOOD = {f"{TOP}convert_hf_to_gguf.py": b"script", f"{TOP}conversion/base.py": b"base"}


def archive(path: Path, files: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type = kind
    info.linkname = target
    return info


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_only_the_converters_part_is_taken(tmp_path: Path) -> None:
    wanted = {
        **GOOD,
        f"{TOP}LICENSE": b"MIT",
        f"{TOP}gguf-py/gguf/constants.py": b"",
        f"{TOP}gguf-py/gguf/scripts/gguf_dump.py": b"",
        f"{TOP}models/templates/a.jinja": b"",
        f"{TOP}models/ggml-vocab-llama-spm.gguf": b"",
    }
    others = {
        f"{TOP}src/llama.cpp": b"",
        f"{TOP}models/ggml-vocab-qwen2.gguf": b"",
        f"{TOP}conversion.py": b"",
        f"{TOP}examples/convert_hf_to_gguf.py": b"",
        "llama_cpp_python-1.0/convert_hf_to_gguf.py": b"",
    }
    extract_tree(archive(tmp_path / "a.tar.gz", {**others, **wanted}), tmp_path / "out")
    assert files_in(tmp_path / "out") == sorted(name.removeprefix(TOP) for name in wanted)
    assert (tmp_path / "out" / "conversion" / "base.py").read_bytes() == b"base"


def test_nothing_of_an_archive_lands_outside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    files: dict[str, bytes | tarfile.TarInfo] = {
        **GOOD,
        f"{TOP}conversion/../../../../outside/a.py": b"x",
        f"{TOP}conversion/..": b"x",
        f"/vendor/llama.cpp/{tmp_path}/outside/b.py": b"x",
        f"{TOP}conversion/out.py": link(tarfile.SYMTYPE, str(tmp_path / "outside" / "c.py")),
        f"{TOP}conversion/hard.py": link(tarfile.LNKTYPE, "/etc/passwd"),
        f"{TOP}gguf-py/gguf": link(tarfile.SYMTYPE, str(tmp_path / "outside")),
        f"{TOP}gguf-py/gguf/d.py": b"x",
        f"{TOP}conversion/pipe.py": link(tarfile.FIFOTYPE, ""),
    }
    extract_tree(archive(tmp_path / "a.tar.gz", files), tmp_path / "tree" / "out")
    assert files_in(tmp_path) == [
        "a.tar.gz",
        "tree/out/conversion/base.py",
        "tree/out/convert_hf_to_gguf.py",
        "tree/out/gguf-py/gguf/d.py",
    ]


def test_an_archive_without_a_converter_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", {f"{TOP}README.md": b""})
    with pytest.raises(EdgeevalError, match=r"a\.tar\.gz: carries no convert_hf_to_gguf\.py"):
        extract_tree(path, tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 1, 20, 60, 120])
def test_a_broken_archive_is_refused(tmp_path: Path, keep: int) -> None:
    path = archive(tmp_path / "a.tar.gz", {**GOOD, f"{TOP}conversion/x.py": bytes(range(256)) * 9})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(EdgeevalError, match=r"a\.tar\.gz: a broken archive"):
        extract_tree(path, tmp_path / "out")


def test_a_converter_that_swells_without_end_is_refused(tmp_path: Path) -> None:
    """64 MiB are twenty times what the real one takes; zeros shrink well in an archive."""
    path = archive(tmp_path / "a.tar.gz", {**GOOD, f"{TOP}conversion/x.py": bytes(65 << 20)})
    with pytest.raises(EdgeevalError, match="far too large"):
        extract_tree(path, tmp_path / "out")


def test_every_requirement_is_pinned_to_one_version() -> None:
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[\w-]+==[\w.]+", line), line
    assert {"torch", "transformers"} <= {line.split("==")[0] for line in lines}


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip find nothing, as on a machine without a network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


def test_a_build_that_fails_says_why_in_a_line_and_does_not_count(
    tmp_path: Path, no_index: None
) -> None:
    workspace = Workspace(tmp_path)
    told: list[str] = []
    with pytest.raises(EdgeevalError, match=r"^pip: No matching distribution found for") as failed:
        fetch_converter(workspace, told.append)
    assert "\n" not in str(failed.value)
    assert Path(str(failed.value).rsplit(" ", 1)[1]).is_file()
    assert told == ["making a Python environment for llama.cpp's converter"]
    with pytest.raises(NotFetched):
        find_converter(workspace)


def test_a_disk_that_cannot_hold_it_is_refused_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeeval.artifact.converter_env._NEEDED_BYTES", 1 << 62)
    with pytest.raises(InputError, match=r"the converter's environment: needs .* MiB of disk"):
        fetch_converter(Workspace(tmp_path), print)
    assert files_in(tmp_path) == []


def test_what_is_there_is_not_built_again(tmp_path: Path, no_index: None) -> None:
    workspace = Workspace(tmp_path)
    folder = fetched_folder(workspace)
    (folder / "environment" / "bin").mkdir(parents=True)
    (folder / "environment" / "bin" / "python").touch()
    write_json(folder / "converter.json", marker())
    told: list[str] = []
    assert fetch_converter(workspace, told.append) == find_converter(workspace)
    assert told == []
