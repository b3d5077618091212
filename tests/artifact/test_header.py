"""A GGUF header is read as the gguf package reads it, and a broken one never harms."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeeval.artifact.header import ArrayField, is_gguf, read_header
from edgeeval.errors import ModelFileError
from edgeeval.run.selftest import write_micro_model

_QUANTIZED = [
    GGMLQuantizationType.Q8_0,
    GGMLQuantizationType.Q4_0,
    GGMLQuantizationType.Q5_1,
    GGMLQuantizationType.Q2_K,
    GGMLQuantizationType.Q6_K,
    GGMLQuantizationType.IQ4_XS,
    GGMLQuantizationType.IQ2_XXS,
    GGMLQuantizationType.TQ1_0,
    GGMLQuantizationType.BF16,
]


def _write(path: Path, architecture: str, kinds: list[GGMLQuantizationType]) -> None:
    """Write a file with every type of metadata and tensors of the given types."""
    writer = GGUFWriter(path, architecture)
    writer.add_name("größer")
    writer.add_context_length(2048)
    for name, value in [("uint8", 255), ("int8", -1), ("uint16", 1), ("int16", -2), ("uint32", 3)]:
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    for name, value in [("int32", -4), ("uint64", 2**63), ("int64", -(2**62))]:
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    writer.add_float32("test.float32", 0.1)
    writer.add_float64("test.float64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_array("test.texts", ["", "a", "größer", "\u2028"])
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.floats", [0.5, 1.5])
    writer.add_array("test.booleans", [True, False, True])
    writer.add_token_list(["<s>", "a"])
    writer.add_token_types([3, 1])
    writer.add_tensor("norm.weight", np.ones(7, np.float32))
    writer.add_tensor("cube.weight", np.ones((2, 3, 4), np.float16))
    for kind in kinds:
        block, block_bytes = GGML_QUANT_SIZES[kind]
        row = np.zeros((2, 256 // block * block_bytes), np.uint8)
        writer.add_tensor(f"{kind.name}.weight", row, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _agrees_with_the_gguf_package(path: Path) -> None:
    header, oracle = read_header(path), GGUFReader(path)
    keys = [key for key in oracle.fields if not key.startswith("GGUF.")]
    assert list(header.fields) == keys
    for key in keys:
        expected, found = oracle.fields[key].contents(), header.fields[key]
        if isinstance(expected, list):
            assert (type(found), found.length) == (ArrayField, len(expected)), key
        else:
            assert found == expected, key
            assert type(found) is type(expected), key
    assert [
        (
            entry.name,
            entry.kind.name,
            entry.shape,
            entry.n_params,
            entry.size_bytes,
            entry.start,
        )
        for entry in header.tensors
    ] == [
        (
            tensor.name,
            tensor.tensor_type.name,
            tuple(int(size) for size in tensor.shape),
            int(tensor.n_elements),
            int(tensor.n_bytes),
            int(tensor.data_offset),
        )
        for tensor in oracle.tensors
    ]


def test_the_values_of_an_array_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    _write(path, "llama", [])
    fields = read_header(path, arrays=("test.texts", "test.floats", "test.uint8")).fields
    assert fields["test.texts"] == ("", "a", "größer", "\u2028")
    assert fields["test.floats"] == (0.5, 1.5)
    assert fields["test.integers"].length == 3
    assert fields["test.uint8"] == 255


def test_the_micro_model_is_read_as_the_gguf_package_reads_it(tmp_path: Path) -> None:
    """Oracle: gguf.GGUFReader."""
    write_micro_model(tmp_path / "micro.gguf")
    _agrees_with_the_gguf_package(tmp_path / "micro.gguf")


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen2moe", "mamba", "bert"])
def test_every_type_of_value_is_read_as_the_gguf_package_reads_it(
    tmp_path: Path, architecture: str
) -> None:
    """Oracle: gguf.GGUFReader."""
    _write(tmp_path / "file.gguf", architecture, _QUANTIZED)
    _agrees_with_the_gguf_package(tmp_path / "file.gguf")


def test_a_large_vocabulary_is_skipped_and_not_built(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "file.gguf", "llama")
    writer.add_token_list([f"token {index}" for index in range(20_000)])
    writer.add_tensor("norm.weight", np.ones(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with _cheaply():
        header = read_header(tmp_path / "file.gguf")
    assert header.fields["tokenizer.ggml.tokens"].length == 20_000


# -- truncated and damaged -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "file.gguf"
    _write(path, "llama", [GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_K])
    return path.read_bytes()


def _end_of_data(content: bytes, path: Path) -> int:
    """Return where the last tensor ends; behind it stands padding that nobody reads."""
    path.write_bytes(content)
    return max(int(one.data_offset + one.n_bytes) for one in GGUFReader(path).tensors)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_file_cut_off_at_any_byte_is_refused(
    small: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "file.gguf"
    end = _end_of_data(small, path)
    path.write_bytes(small[: data.draw(st.integers(0, end - 1))])
    with pytest.raises(ModelFileError, match=r"file\.gguf: (not a GGUF|broken or truncated)"):
        read_header(path)


def test_a_file_that_only_lacks_its_last_padding_is_whole(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    end = _end_of_data(small, path)
    expected = read_header(path)
    path.write_bytes(small[:end])
    assert read_header(path) == expected


def _read_or_refuse(path: Path) -> None:
    try:
        read_header(path)
    except ModelFileError as error:
        assert str(error).startswith(str(path))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_raises_nothing_but_a_model_file_error(
    small: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged = bytearray(small)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, len(small) - 8))
        new = data.draw(
            st.binary(min_size=1, max_size=8)
            | st.sampled_from([b"\xff" * 8, b"\0" * 8, struct.pack("<Q", 2**63), b"\x09\0\0\0"])
        )
        damaged[at : at + len(new)] = new
    path = tmp_path_factory.mktemp("damaged") / "file.gguf"
    path.write_bytes(damaged)
    _read_or_refuse(path)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_model_file_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "file.gguf"
    for start in (b"", b"GGUF", b"GGUF\3\0\0\0", b"GGUF\3\0\0\0" + struct.pack("<QQ", 1, 1)):
        path.write_bytes(start + content)
        _read_or_refuse(path)


# -- hostile -------------------------------------------------------------------------------------


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def _field(key: bytes, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _tensor(shape: tuple[int, ...], kind: int = 0, offset: int = 0, name: bytes = b"t") -> bytes:
    sizes = struct.pack(f"<{len(shape)}Q", *shape)
    return _text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset)


def _file(
    *, n_tensors: int = 0, n_fields: int = 0, body: bytes = b"", version: bytes = b"\3\0\0\0"
) -> bytes:
    return b"GGUF" + version + struct.pack("<QQ", n_tensors, n_fields) + body + b"\0" * 64


@contextmanager
def _cheaply() -> Iterator[None]:
    """Hold the body to a megabyte and a second (tracemalloc itself slows it tenfold)."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        assert time.perf_counter() - start < 1
    finally:
        tracemalloc.stop()


_HUGE = 2**63
_SIXTY_FOUR_BITS = 2**64 - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_file(n_tensors=_HUGE), "tensors are more than any model has"),
        (_file(n_tensors=1 << 20), "0 dimensions"),
        (_file(n_fields=1 << 16), "there twice"),
        (_file(n_fields=_SIXTY_FOUR_BITS, n_tensors=_SIXTY_FOUR_BITS), "are more than any model"),
        (_file(n_fields=1, body=struct.pack("<Q", _HUGE)), "ends inside a metadata key"),
        (_file(n_fields=1, body=_field(b"k", 8, struct.pack("<Q", _HUGE))), "ends inside k"),
        (_file(n_fields=1, body=_field(b"k", 9, struct.pack("<IQ", 4, _HUGE))), "ends inside k"),
        (
            _file(n_fields=1, body=_field(b"k", 9, struct.pack("<IQ", 8, _HUGE))),
            "texts in k are more",
        ),
        (_file(n_fields=1, body=_field(b"k", 9, struct.pack("<IQ", 8, 999))), "ends inside k"),
        (_file(n_tensors=2, body=_tensor((4,)) * 2), "two tensors have one name"),
        (_file(n_tensors=1, body=_text(b"t" * 70_000)), "70000 bytes in a tensor's name are more"),
        (_file(n_fields=1, body=_text(b"k" * 70_000)), "70000 bytes in a metadata key are more"),
        (_file(n_fields=1, body=_field(b"k", 9, struct.pack("<IQ", 9, 1))), "unknown type 9"),
        (_file(n_fields=1, body=_field(b"k", 9, struct.pack("<IQ", 77, 0))), "unknown type 77"),
        (_file(n_fields=1, body=_field(b"k", 13, b"")), "k has the unknown type 13"),
        (_file(n_tensors=1, body=_tensor(())), "0 dimensions"),
        (_file(n_tensors=1, body=_tensor((1,) * 100)), "100 dimensions"),
        (_file(n_tensors=1, body=_tensor((4,), kind=999)), "unknown type 999"),
        (_file(n_tensors=1, body=_tensor((4,), kind=4)), "unknown type 4"),  # Q4_2 was removed
        (_file(n_tensors=1, body=_tensor((0,))), "shape (0,)"),
        (_file(n_tensors=1, body=_tensor((4, 0))), "shape (4, 0)"),
        (_file(n_tensors=1, body=_tensor((31,), kind=8)), "blocks of 32"),
        (_file(n_tensors=1, body=_tensor((128, 2), kind=12)), "blocks of 256"),
        (_file(n_tensors=1, body=_tensor((_SIXTY_FOUR_BITS,) * 4)), "ends inside tensor t"),
        (_file(n_tensors=1, body=_tensor((4,), offset=_SIXTY_FOUR_BITS)), "ends inside tensor t"),
    ],
)
def test_hostile_counts_are_refused_quickly_and_in_little_memory(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(content)
    with (
        _cheaply(),
        pytest.raises(ModelFileError, match="broken or truncated") as raised,
    ):
        read_header(path)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (4, struct.pack("<I", 0)),
        (5, struct.pack("<i", -32)),
        (4, struct.pack("<I", 24)),
        (4, struct.pack("<I", 2**32 - 1)),
        (10, struct.pack("<Q", _SIXTY_FOUR_BITS)),
        (6, struct.pack("<f", 32.0)),
        (8, _text(b"32")),
        (9, struct.pack("<IQI", 4, 1, 32)),
    ],
)
def test_an_alignment_that_is_none_is_refused(tmp_path: Path, kind: int, value: bytes) -> None:
    path = tmp_path / "file.gguf"
    field = _field(b"general.alignment", kind, value)
    path.write_bytes(_file(n_fields=1, n_tensors=1, body=field + _tensor((4,))))
    with pytest.raises(ModelFileError, match=r"general\.alignment|ends inside tensor t"):
        read_header(path)


@pytest.mark.parametrize(("alignment", "start"), [(8, 104), (32, 128), (64, 128)])
def test_an_alignment_of_the_files_own_moves_the_data(
    tmp_path: Path, alignment: int, start: int
) -> None:
    """Oracle: by hand. Counts 24 bytes, alignment 8 + 17 + 4 + 4, tensor 8 + 1 + 4 + 8 + 4 + 8: 90,
    and one more metadata field of 8 + 1 + 4 + 1: 104. The tensor is four floats.
    """
    path = tmp_path / "file.gguf"
    fields = _field(b"general.alignment", 4, struct.pack("<I", alignment)) + _field(b"k", 0, b"\0")
    content = b"GGUF\3\0\0\0" + struct.pack("<QQ", 1, 2) + fields + _tensor((4,))
    assert len(content) == 104
    path.write_bytes(content.ljust(start + 16, b"\0"))
    assert read_header(path).tensors[0].size_bytes == 16
    path.write_bytes(content.ljust(start + 15, b"\0"))
    with pytest.raises(ModelFileError, match="ends inside tensor t"):
        read_header(path)


def test_tensors_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """Else a small file could stand for a large model; llama.cpp refuses it too."""
    path = tmp_path / "file.gguf"

    def with_second_at(offset: int) -> Path:
        tensors = _tensor((16,)) + _tensor((2,), offset=offset, name=b"u")
        path.write_bytes(_file(n_tensors=2, body=tensors) + bytes(64))
        return path

    assert [one.size_bytes for one in read_header(with_second_at(64)).tensors] == [64, 8]
    for offset in (0, 32, 63):
        with pytest.raises(ModelFileError, match="begins inside tensor"):
            read_header(with_second_at(offset))


def test_a_header_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    """A sparse file takes no room on the disk."""
    path = tmp_path / "file.gguf"
    start = b"GGUF\3\0\0\0" + struct.pack("<QQ", 0, 1) + _text(b"k") + struct.pack("<I", 8)
    with path.open("wb") as file:
        file.write(start + struct.pack("<Q", 1 << 40))
        file.truncate(1 << 41)
    with _cheaply(), pytest.raises(ModelFileError, match="larger than any model's"):
        read_header(path)


@pytest.mark.parametrize(
    "version",
    [struct.pack(">I", 3), struct.pack("<I", 1), struct.pack("<I", 0), struct.pack("<I", 4)],
    ids=["big-endian", "version 1", "version 0", "version 4"],
)
def test_other_versions_and_big_endian_files_are_refused_by_name(
    tmp_path: Path, version: bytes
) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(_file(version=version))
    with pytest.raises(ModelFileError, match="is not 2 or 3, little-endian"):
        read_header(path)


def test_version_2_is_read_like_version_3(tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(_file(n_tensors=1, body=_tensor((4, 2)), version=b"\2\0\0\0"))
    (entry,) = read_header(path).tensors
    assert (entry.shape, entry.n_params, entry.size_bytes) == ((4, 2), 8, 32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a GGUF file .it is empty"),
        (b"GGU", "not a GGUF file"),
        (b"GGML" + b"\0" * 100, "not a GGUF file"),
        (b"\x80\x04\x95 a pickle", "not a GGUF file"),
        (b"<!DOCTYPE html>", "not a GGUF file"),
        (b"GGUF", "ends inside the version"),
    ],
)
def test_another_file_is_told_by_its_first_bytes(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        read_header(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read: No such file"):
        read_header(tmp_path / "missing.gguf")
    with pytest.raises(ModelFileError, match="cannot be read: Is a directory"):
        read_header(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for function in (read_header, is_gguf):
        with pytest.raises(ModelFileError, match="a pipe or a device; give a file"):
            function(tmp_path / "pipe.gguf")
    with pytest.raises(ModelFileError, match="a pipe or a device"):
        read_header(Path("/dev/null"))


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link.gguf"
    link.symlink_to(link)
    with pytest.raises(ModelFileError, match="cannot be read: Too many levels of symbolic links"):
        read_header(link)


def test_a_name_that_is_not_utf8_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    fields = _field(b"general.name", 8, _text(b"gr\xf6\xdfer"))
    path.write_bytes(_file(n_fields=1, body=fields))
    assert read_header(path).fields == {"general.name": "gr\ufffd\ufffder"}
