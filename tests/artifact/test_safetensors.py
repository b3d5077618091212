"""A safetensors header is read by its format's description, and a broken one never harms."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.artifact.converter import Converter
from edgeeval.artifact.safetensors import StoredTensor, read_safetensors
from edgeeval.errors import ModelFileError
from tests.hf_folder import write_safetensors


def file_of(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: list[Any], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


GOOD = {"a": entry("F32", [2, 3], 0, 24), "b": entry("BF16", [4], 24, 32)}
DATA = bytes(32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_a_header_worked_by_hand_is_read(path: Path) -> None:
    path.write_bytes(file_of({"__metadata__": {"format": "pt"}, **GOOD}, DATA))
    assert read_safetensors(path) == (
        StoredTensor("a", "F32", (2, 3), 0, 24),
        StoredTensor("b", "BF16", (4,), 24, 32),
    )
    assert [tensor.n_params for tensor in read_safetensors(path)] == [6, 4]


def test_tensors_come_in_the_order_of_their_data_and_may_be_scalars_or_empty(path: Path) -> None:
    header = {
        "late": entry("U8", [], 3, 4),
        "empty": entry("F64", [0, 7], 0, 0),
        "packed": entry("F4", [2, 3], 0, 3),
    }
    path.write_bytes(file_of(header, bytes(4)))
    tensors = read_safetensors(path)
    assert [tensor.name for tensor in tensors] == ["empty", "packed", "late"]
    assert [tensor.n_params for tensor in tensors] == [0, 6, 1]


BROKEN: list[tuple[bytes, str]] = [
    (b"", "get it again"),
    (b"\x01\0", "get it again"),
    (file_of(GOOD, DATA)[:60], "ends inside the header"),
    ((2**63).to_bytes(8, "little") + b"{}", "ends inside the header"),
    (file_of(b'{"a": 1', DATA), "the header is not JSON"),
    (file_of(b"[]", b""), "the header is not JSON"),
    (file_of(b"\xff\xfe", b""), "the header is not JSON"),
    (file_of(b'{"a":' * 100_000, b""), "the header is not JSON"),
    (file_of(b'{"a": {}, "a": {}}', b""), "a name stands twice"),
    (file_of({"a": 7}, b""), "tensor 'a' is not described"),
    (file_of({"a": {}}, b""), "unknown type None"),
    (file_of({"a": entry("Q4_K", [1], 0, 1)}, b"x"), "unknown type 'Q4_K'"),
    (file_of({"a": {**entry("U8", [1], 0, 1), "dtype": ["U8"]}}, b"x"), "unknown type"),
    (file_of({"a": entry("U8", [True], 0, 1)}, b"x"), "no usable shape"),
    (file_of({"a": entry("U8", [-1], 0, 1)}, b"x"), "no usable shape"),
    (file_of({"a": entry("U8", [1.0], 0, 1)}, b"x"), "no usable shape"),
    (file_of({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0]}}, b"x"), "no usable shape"),
    (file_of({"a": entry("U8", [1], -1, 0)}, b"x"), "no usable shape"),
    (file_of({"a": entry("F32", [2, 3], 0, 23)}, bytes(23)), "do not match its shape"),
    (file_of({"a": entry("U8", [2**64, 2**64], 0, 1)}, b"x"), "do not match its shape"),
    (file_of({"a": entry("U8", [0], 1, 0)}, b"x"), "do not match its shape"),
    (file_of(GOOD, DATA[:-1]), "ends inside tensor 'b'"),
    (file_of(GOOD, DATA + b"x"), "1 bytes at its end belong to no tensor"),
    (file_of({"a": entry("U8", [1], 1, 2)}, b"xx"), "'a' does not begin where"),
    (
        file_of({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"xxx"),
        "'b' does not begin where",
    ),
]


@pytest.mark.parametrize(("data", "reason"), BROKEN)
def test_a_broken_file_is_refused_in_one_line_that_says_where(
    path: Path, data: bytes, reason: str
) -> None:
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as refused:
        read_safetensors(path)
    assert reason in str(refused.value)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_a_long_name_does_not_flood_the_message(path: Path) -> None:
    path.write_bytes(file_of({"x" * 10_000: 7}, b""))
    with pytest.raises(ModelFileError) as refused:
        read_safetensors(path)
    assert len(str(refused.value)) < 1000


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read: No such file"):
        read_safetensors(path)


_WHOLE = file_of(GOOD, DATA)


@given(at=st.integers(0, len(_WHOLE) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_one_wrong_byte_or_a_torn_end_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, cut: bool
) -> None:
    data = _WHOLE[:at] if cut else _WHOLE[:at] + bytes([value]) + _WHOLE[at + 1 :]
    _read_or_refuse(tmp_path_factory.mktemp("fuzz") / "file.safetensors", data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
_OFFSET = st.integers(-1, 9)
_ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["U8", "F16", "F4", "F64"]) | _JSON,
        "shape": st.lists(st.integers(0, 4), max_size=3) | _JSON,
        "data_offsets": st.lists(_OFFSET, min_size=2, max_size=2) | _JSON,
    }
)


@given(
    header=st.dictionaries(st.text(max_size=3), _ENTRY | _JSON, max_size=4) | _JSON,
    data=st.binary(max_size=9),
)
def test_any_header_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: Any, data: bytes
) -> None:
    _read_or_refuse(tmp_path_factory.mktemp("fuzz") / "file.safetensors", file_of(header, data))


def _read_or_refuse(path: Path, data: bytes) -> None:
    """What is accepted owns every byte of the data once: the property that the converter needs."""
    path.write_bytes(data)
    try:
        tensors = read_safetensors(path)
    except ModelFileError:
        return
    owned = [index for tensor in tensors for index in range(tensor.start, tensor.end)]
    header_bytes = int.from_bytes(data[:8], "little")
    assert owned == list(range(len(data) - 8 - header_bytes))


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(["F32", "F16", "I64", "U8"]), st.lists(st.integers(0, 3))),
        max_size=5,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, described: dict[str, tuple[str, list[int]]]
) -> None:
    path = tmp_path_factory.mktemp("written") / "file.safetensors"
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64, "U8": np.uint8}
    write_safetensors(
        path,
        {
            name: (dtype, np.zeros(shape, kinds[dtype]), tuple(shape))
            for name, (dtype, shape) in described.items()
        },
    )
    found = {tensor.name: (tensor.dtype, list(tensor.shape)) for tensor in read_safetensors(path)}
    assert found == described


_ORACLE = """
import sys
from safetensors import SafetensorError, safe_open
for path in sys.argv[1:]:
    try:
        with safe_open(path, "pt") as file:
            print("read", *(f"{n}={file.get_slice(n).get_shape()}" for n in sorted(file.keys())))
    except SafetensorError as error:
        print("refused", error)
"""


def test_the_formats_own_library_reads_and_refuses_the_same(
    converter: Converter, tmp_path: Path
) -> None:
    """Oracle: the safetensors library, in the converter's environment."""
    whole = [_WHOLE, file_of({"__metadata__": {}, **GOOD}, DATA), file_of({}, b"")]
    broken = [data for data, _ in BROKEN]
    paths = []
    for index, data in enumerate([*whole, *broken]):
        paths.append(tmp_path / f"{index}.safetensors")
        paths[-1].write_bytes(data)
    done = subprocess.run(
        [str(converter.python), "-I", "-c", _ORACLE, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    for path, verdict in zip(paths, done.stdout.splitlines(), strict=True):
        try:
            found = {tensor.name: list(tensor.shape) for tensor in read_safetensors(path)}
            described = [f"{name}={found[name]}" for name in sorted(found)]
            assert verdict == " ".join(["read", *described]), path
        except ModelFileError as error:
            assert verdict.startswith("refused"), error
