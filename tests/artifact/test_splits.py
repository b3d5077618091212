"""A model in several files is one model, and parts of two are none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from edgeeval.artifact.inspect import describe, read_gguf, tensor_digests
from edgeeval.artifact.quantize import Build, build
from edgeeval.artifact.splits import is_first_or_only, model_name, read_parts, shard_paths
from edgeeval.errors import ModelFileError
from edgeeval.run.selftest import write_micro_model
from edgeeval.store import Workspace, digest, sha256_of
from tests.artifact.gguf_files import write_gguf
from tests.conftest import Ladder
from tests.native import native_tool, run_native

# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stem", "is_first"),
    [
        ("model.gguf", "model", True),
        ("model-00001-of-00003.gguf", "model", True),
        ("model-00002-of-00003.gguf", "model", False),
        ("model-00001-of-00001.gguf", "model", True),
        ("a-00001-of-00002-00001-of-00003.gguf", "a-00001-of-00002", True),
        ("model-0001-of-0003.gguf", "model-0001-of-0003", True),
        ("model-00001-of-00003.gguf.part", "model-00001-of-00003.gguf", True),
        ("model-00001-of-00003-Q8_0.gguf", "model-00001-of-00003-Q8_0", True),
        ("-00001-of-00003.gguf", "-00001-of-00003", True),
        ("model-٠٠٠٠٢-of-٠٠٠٠٣.gguf", "model-٠٠٠٠٢-of-٠٠٠٠٣", True),  # digits, but not llama.cpp's
        ("model-00001-of-00003.gguf\n", "model-00001-of-00003", True),
    ],
)
def test_a_name_says_which_part_a_file_is(name: str, stem: str, is_first: bool) -> None:
    assert model_name(Path("folder") / name) == stem
    assert is_first_or_only(Path("folder") / name) is is_first


def test_a_file_without_numbering_is_a_model(tmp_path: Path) -> None:
    assert shard_paths(tmp_path / "model.gguf") == (tmp_path / "model.gguf",)


def test_the_parts_are_found_beside_the_first_in_order(tmp_path: Path) -> None:
    names = [f"model-{number:05}-of-00012.gguf" for number in range(1, 13)]
    for name in reversed(names):
        (tmp_path / name).touch()
    assert shard_paths(tmp_path / names[0]) == tuple(tmp_path / name for name in names)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m-00002-of-00003.gguf", "part 2 of a split model; give the first: m-00001-of-00003.gguf"),
        ("m-00001-of-00003.gguf", "2 of 3 parts are missing, the first: m-00002-of-00003.gguf"),
        ("m-00001-of-99999.gguf", "99998 of 99999 parts are missing"),
        ("m-00000-of-00003.gguf", "its name says part 0 of 3; there is no such"),
        ("m-00004-of-00003.gguf", "its name says part 4 of 3; there is no such"),
        ("m-00001-of-00000.gguf", "its name says part 1 of 0; there is no such"),
    ],
)
def test_a_part_alone_is_refused_with_what_to_do(tmp_path: Path, name: str, message: str) -> None:
    write_micro_model(tmp_path / name)
    for function in (shard_paths, read_gguf):
        with pytest.raises(ModelFileError) as raised:
            function(tmp_path / name)
        assert message in str(raised.value)
        assert str(raised.value).startswith(str(tmp_path / name))


def test_a_folder_in_the_place_of_a_part_is_a_missing_part(tmp_path: Path) -> None:
    (tmp_path / "m-00001-of-00002.gguf").touch()
    (tmp_path / "m-00002-of-00002.gguf").mkdir()
    with pytest.raises(ModelFileError, match="1 of 2 parts are missing"):
        shard_paths(tmp_path / "m-00001-of-00002.gguf")


# -- a split model and the whole one -------------------------------------------------------------

Split = Callable[..., Path]


def split_by_gguf_py(source: Path, target: Path, *, small_first: bool = False) -> Path:
    """Rewrite a file without arrays as several with the gguf package; return the first."""
    whole = GGUFReader(source)
    writer = GGUFWriter(target, "llama", split_max_tensors=4, small_first_shard=small_first)
    for key, field in whole.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            writer.add_key_value(key, field.contents(), field.types[0])
    for tensor in whole.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return _first_of(target)


def split_by_llama_cpp(source: Path, target: Path, *, small_first: bool = False) -> Path:
    tool = native_tool("llama-gguf-split")
    options = ["--no-tensor-first-split"] if small_first else []
    prefix = target.with_suffix("")
    run_native(tool, "--split", "--split-max-tensors", 4, *options, source, prefix)
    return _first_of(target)


def _first_of(target: Path) -> Path:
    (first,) = target.parent.glob(f"{target.stem}-00001-of-*.gguf")
    return first


@pytest.fixture
def micro(tmp_path: Path) -> Path:
    write_micro_model(tmp_path / "micro.gguf")
    return tmp_path / "micro.gguf"


@pytest.mark.parametrize("small_first", [False, True])
@pytest.mark.parametrize("split", [split_by_gguf_py, split_by_llama_cpp])
def test_a_split_model_is_the_whole_one(
    tmp_path: Path, micro: Path, split: Split, small_first: bool
) -> None:
    first = split(micro, tmp_path / "split.gguf", small_first=small_first)
    whole, parts = read_gguf(micro), read_gguf(first)
    assert parts.n_files == len(shard_paths(first)) == (4 if small_first else 3)
    assert parts.tensors == whole.tensors
    assert parts.size_bytes == sum(path.stat().st_size for path in shard_paths(first))
    assert parts.metadata.keys() - whole.metadata.keys() == {
        "split.no",
        "split.count",
        "split.tensors.count",
    }
    assert tensor_digests(first) == tensor_digests(micro)


@pytest.mark.parametrize("split", [split_by_gguf_py, split_by_llama_cpp])
def test_the_records_differ_in_the_files_only(tmp_path: Path, micro: Path, split: Split) -> None:
    first = split(micro, tmp_path / "split.gguf")
    workspace = Workspace(tmp_path / "ws")
    whole = describe(workspace, micro, name="x", source="given")
    parts = describe(workspace, first, name="x", source="given")
    assert parts.sha256 == digest([sha256_of(path) for path in shard_paths(first)])
    assert parts.path == str(first)
    same = [
        key
        for key, value in vars(whole).items()
        if key not in ("path", "sha256", "size_bytes", "provenance")
    ]
    assert {key: getattr(parts, key) for key in same} == {key: getattr(whole, key) for key in same}
    assert "weights_sha256" in same


def test_a_changed_part_is_another_model(tmp_path: Path, micro: Path) -> None:
    first = split_by_gguf_py(micro, tmp_path / "split.gguf")
    workspace = Workspace(tmp_path / "ws")
    before = describe(workspace, first, name="x", source="given")
    last = shard_paths(first)[-1]
    content = bytearray(last.read_bytes())
    content[read_parts(first)[-1].header.tensors[0].start] ^= 1
    last.write_bytes(content)
    after = describe(workspace, first, name="x", source="given")
    assert before.sha256 != after.sha256
    assert before.weights_sha256 != after.weights_sha256


def test_quantizing_a_split_reference_writes_the_same_level(ladder: Ladder, tmp_path: Path) -> None:
    """Oracle: the level that the unsplit reference gave, byte by byte."""
    tool = native_tool("llama-gguf-split")
    run_native(tool, "--split", "--split-max-size", "100M", ladder.bf16.path, tmp_path / "split")
    first = _first_of(tmp_path / "split.gguf")
    assert len(shard_paths(first)) > 2
    workspace = Workspace(tmp_path / "ws")
    reference = describe(workspace, first, name="BF16", source="given")
    assert reference.weights_sha256 == ladder.bf16.weights_sha256
    wanted = Build(reference, "Q2_K", "Q2_K", "quantized from BF16", {})
    made = build(workspace, ladder.engine, wanted, lambda line: None)
    assert made.sha256 == ladder.q2_k.sha256


# -- parts that do not belong together -----------------------------------------------------------


ONE_TENSOR = {"a.weight": np.ones(4, np.float32)}


@pytest.fixture
def split_micro(tmp_path: Path, micro: Path) -> Path:
    return split_by_gguf_py(micro, tmp_path / "split.gguf")


def _change(path: Path, key: str, value: int) -> None:
    """Overwrite a number of the metadata where it stands (oracle: gguf's own reader finds it)."""
    reader = GGUFReader(path, "r+")
    reader.fields[key].parts[-1][0] = value
    reader.data.flush()


def _refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as raised:
        read_gguf(path)
    assert str(raised.value).isprintable()
    return str(raised.value)


def test_a_renamed_first_part_is_told_its_name(split_micro: Path) -> None:
    alone = split_micro.rename(split_micro.with_name("renamed.gguf"))
    expected = "by its metadata: 3, by its name: 1; give each file the name that it had"
    assert expected in _refusal(alone)


def test_a_whole_model_named_as_a_part_is_refused(tmp_path: Path, micro: Path) -> None:
    """llama.cpp would load the first file alone and leave the others unread."""
    for number in (1, 2):
        shutil.copyfile(micro, tmp_path / f"m-0000{number}-of-00002.gguf")
    message = _refusal(tmp_path / "m-00001-of-00002.gguf")
    assert "by its metadata: 1, by its name: 2" in message


def test_one_part_of_one_is_a_model(tmp_path: Path, micro: Path) -> None:
    only = micro.rename(tmp_path / "m-00001-of-00001.gguf")
    assert read_gguf(only).n_files == 1
    assert model_name(only) == "m"


def test_parts_in_the_wrong_order_are_refused(split_micro: Path) -> None:
    second, third = shard_paths(split_micro)[1:]
    kept = second.read_bytes()
    second.write_bytes(third.read_bytes())
    third.write_bytes(kept)
    message = _refusal(split_micro)
    assert message.startswith(f"{second}: by its name number 1 (from 0) of a split model")
    assert "by its metadata 2; get it again" in message


def test_a_part_that_is_no_part_is_refused(split_micro: Path, micro: Path) -> None:
    second = shard_paths(split_micro)[1]
    shutil.copyfile(micro, second)
    assert f"{second}: by its name number 1" in _refusal(split_micro)
    assert "by its metadata none" in _refusal(split_micro)


def test_a_count_that_the_name_contradicts_is_refused(split_micro: Path) -> None:
    _change(split_micro, "split.count", 4)
    assert "by its metadata: 4, by its name: 3" in _refusal(split_micro)


def test_a_number_of_tensors_that_is_wrong_is_refused(split_micro: Path) -> None:
    _change(split_micro, "split.tensors.count", 12)
    message = _refusal(split_micro)
    assert "its parts hold 11 tensors, its metadata say 12: they do not belong together" in message


def test_a_tensor_in_two_parts_is_refused(tmp_path: Path) -> None:
    for number in (0, 1):
        fields = {"split.no": number, "split.count": 2, "split.tensors.count": 2}
        path = tmp_path / f"m-0000{number + 1}-of-00002.gguf"
        write_gguf(path, fields=fields, tensors=ONE_TENSOR)
    message = _refusal(tmp_path / "m-00001-of-00002.gguf")
    assert "its parts hold 1 tensors, its metadata say 2: they do not belong together" in message


def test_a_broken_part_is_named(split_micro: Path) -> None:
    third = shard_paths(split_micro)[2]
    third.write_bytes(third.read_bytes()[:200])
    assert _refusal(split_micro).startswith(f"{third}: broken or truncated GGUF file")


@pytest.mark.parametrize("said", ["three", 2.0, True, "\x1b[2J" * 100])
def test_numbering_that_is_no_number_is_refused(tmp_path: Path, said: Any) -> None:
    path = write_gguf(tmp_path / "m.gguf", fields={"split.count": said}, tensors=ONE_TENSOR)
    if said is True:  # one file, however it is written
        assert read_gguf(path).n_files == 1
    else:
        assert len(_refusal(path)) < 300
