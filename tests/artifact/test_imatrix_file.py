"""Files of importance matrices: llama.cpp's formats, both ways, and what a broken one does."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_cpp import llama_cpp as binding

from edgeeval._llama import file_types
from edgeeval.artifact.imatrix_file import (
    ImatrixData,
    ImatrixEntry,
    quantizer_weights,
    read_imatrix,
    write_imatrix,
)
from edgeeval.errors import ModelFileError
from tests.artifact.moe import N_EXPERTS, N_LAYERS, UNREACHED, WIDTH, write_moe
from tests.native import native_tool, run_native


def entry(sums: list[float], counts: list[int]) -> ImatrixEntry:
    return ImatrixEntry(np.array(sums, np.float32), np.array(counts))


SMALL = ImatrixData(
    entries={
        "blk.0.attn_q.weight": entry([1.0, 2.5, 0.0], [4]),
        "blk.0.ffn_up_exps.weight": entry([1, 2, 3, 4, 5, 6], [3, 0]),
    },
    datasets=("größer.txt",),
    chunk_count=7,
    chunk_size=512,
)


def same(one: ImatrixData, other: ImatrixData) -> bool:
    return (
        list(one.entries) == list(other.entries)
        and all(
            np.array_equal(a.in_sum2, b.in_sum2)
            and a.in_sum2.dtype == b.in_sum2.dtype
            and np.array_equal(a.counts, b.counts)
            for a, b in zip(one.entries.values(), other.entries.values(), strict=True)
        )
        and (one.datasets, one.chunk_count, one.chunk_size, one.is_legacy)
        == (other.datasets, other.chunk_count, other.chunk_size, other.is_legacy)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


# -- round trips -----------------------------------------------------------------------------------


@given(
    sizes=st.dictionaries(
        st.text("abc.", min_size=1, max_size=12),
        st.tuples(st.integers(1, 5), st.integers(1, 4)),
        min_size=1,
        max_size=4,
    ),
    is_double=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    chunk_count=st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_read(
    folder: Path,
    sizes: dict[str, tuple[int, int]],
    is_double: bool,
    seed: int,
    chunk_count: int,
) -> None:
    generator = np.random.default_rng(seed)
    precision = np.float64 if is_double else np.float32
    entries = {
        name: ImatrixEntry(
            generator.random(n_experts * width).astype(precision),
            generator.integers(0, 2**24, n_experts),
        )
        for name, (n_experts, width) in sorted(sizes.items())
    }
    data = ImatrixData(entries, ("a.txt", "b.txt"), chunk_count, 512)
    write_imatrix(folder / "round.gguf", data)
    assert same(read_imatrix(folder / "round.gguf", precision=precision), data)
    assert [path.suffix for path in folder.glob("round*")] == [".gguf"]


def test_the_file_is_laid_out_as_llama_cpp_writes_it(tmp_path: Path) -> None:
    """Oracle: the gguf package's reader, and `save_imatrix` in llama.cpp's imatrix.cpp."""
    write_imatrix(tmp_path / "small.gguf", SMALL)
    reader = GGUFReader(tmp_path / "small.gguf")
    fields = {key: field.contents() for key, field in reader.fields.items() if key[0] != "G"}
    assert fields == {
        "general.type": "imatrix",
        "imatrix.datasets": ["größer.txt"],
        "imatrix.chunk_count": 7,
        "imatrix.chunk_size": 512,
    }
    found = [
        (t.name, t.tensor_type.name, t.shape.tolist(), t.data.tolist()) for t in reader.tensors
    ]
    assert found == [
        ("blk.0.attn_q.weight.in_sum2", "F32", [3], [1.0, 2.5, 0.0]),
        ("blk.0.attn_q.weight.counts", "F32", [1], [4.0]),
        ("blk.0.ffn_up_exps.weight.in_sum2", "F32", [3, 2], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        ("blk.0.ffn_up_exps.weight.counts", "F32", [1, 2], [[3.0], [0.0]]),
    ]


def legacy_bytes() -> bytes:
    """By hand, from `save_imatrix_legacy`: three chunks; then how many in all, and the text."""
    data = struct.pack("<i", 2)
    for name, n_chunks, sums in ((b"a", 3, (3.0, 1.5)), (b"bb", 0, (0.25,))):
        data += struct.pack("<i", len(name)) + name + struct.pack("<ii", n_chunks, len(sums))
        data += struct.pack(f"<{len(sums)}f", *sums)
    return data + struct.pack("<ii", 3, 5) + b"a.txt"


def test_the_older_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.dat"
    path.write_bytes(legacy_bytes())
    entries = {"a": entry([3.0, 1.5], [3]), "bb": entry([0.25], [0])}
    assert same(read_imatrix(path), ImatrixData(entries, ("a.txt",), 3, 0, is_legacy=True))
    path.write_bytes(legacy_bytes()[:-13])  # the oldest files end behind the last entry
    assert same(read_imatrix(path), ImatrixData(entries, (), 0, 0, is_legacy=True))
    weights = quantizer_weights(read_imatrix(path))
    assert {name: found.tolist() for name, found in weights.items()} == {
        "a": [1.0, 0.5],
        "bb": [0.25],  # without a count they are taken for means
    }


def test_the_older_format_of_the_native_tool_gives_the_same_weights(tmp_path: Path) -> None:
    """Oracle: llama-imatrix turns our file into the older format. Experts that nothing reached get
    ones there too; the product with the count and back rounds once or twice.
    """
    model = write_moe(tmp_path / "moe.gguf").path
    data = moe_matrix(n_tokens=1024, chunk_size=256)
    write_imatrix(tmp_path / "new.gguf", data)
    line = ["-m", model, "--in-file", tmp_path / "new.gguf", "-c", 256]
    line += ["-o", tmp_path / "old.dat", "--output-format", "dat"]
    run_native(native_tool("llama-imatrix"), *line)
    old = read_imatrix(tmp_path / "old.dat")
    assert (old.chunk_count, old.datasets, old.is_legacy) == (4, ("letters.txt",), True)
    weights, expected = quantizer_weights(old), quantizer_weights(data)
    assert weights.keys() == expected.keys()
    for name, found in weights.items():
        np.testing.assert_allclose(found, expected[name], rtol=3e-7)


# -- what the quantizer gets -----------------------------------------------------------------------


def test_the_quantizer_gets_means_and_ones_where_nothing_was_seen() -> None:
    """By hand: 1/4, 2.5/4, 0/4; the first expert's 1/3, 2/3, 3/3 in float32; the second's ones."""
    weights = quantizer_weights(SMALL)
    assert weights["blk.0.attn_q.weight"].tolist() == [0.25, 0.625, 0.0]
    third = [float(np.float32(one) / np.float32(3)) for one in (1, 2, 3)]
    assert weights["blk.0.ffn_up_exps.weight"].tolist() == [*third, 1.0, 1.0, 1.0]
    assert {found.dtype for found in weights.values()} == {np.dtype(np.float32)}


def moe_matrix(*, n_tokens: int, chunk_size: int) -> ImatrixData:
    """A random matrix for the small mixture of experts; one expert was reached by nothing."""
    generator = np.random.default_rng(6)
    entries = {}
    for layer in range(N_LAYERS):
        for name in ("attn_k", "attn_output", "attn_q", "attn_v"):
            sums = generator.gamma(0.3, n_tokens, WIDTH).astype(np.float32)
            entries[f"blk.{layer}.{name}.weight"] = ImatrixEntry(sums, np.array([n_tokens]))
        for name in ("ffn_down_exps", "ffn_gate_exps", "ffn_up_exps"):
            by_expert = generator.gamma(0.3, n_tokens, (N_EXPERTS, WIDTH)).astype(np.float32)
            counts = generator.integers(1, n_tokens, N_EXPERTS)
            by_expert[UNREACHED], counts[UNREACHED] = 0, 0
            entries[f"blk.{layer}.{name}.weight"] = ImatrixEntry(by_expert.ravel(), counts)
    return ImatrixData(entries, ("letters.txt",), n_tokens // chunk_size, chunk_size)


def quantize_with(
    source: Path, target: Path, file_type: str, weights: dict[str, np.ndarray]
) -> None:
    """Call llama.cpp's quantizer with these weights."""
    rows = [
        binding.llama_model_imatrix_data(
            name=name.encode(),
            data=found.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            size=found.size,
        )
        for name, found in weights.items()
    ]
    array = (binding.llama_model_imatrix_data * (len(rows) + 1))(*rows)
    params = binding.llama_model_quantize_default_params()
    params.ftype = file_types()[file_type]
    params.nthread = 1
    params.imatrix = array
    status = binding.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    assert status == 0


@pytest.mark.parametrize("file_type", ["Q2_K", "IQ2_XS", "Q4_0", "IQ4_NL"])
def test_a_level_quantized_with_these_weights_is_the_native_tools_to_the_bit(
    tmp_path: Path, file_type: str
) -> None:
    """Oracle: llama-quantize --imatrix on the same file."""
    model = write_moe(tmp_path / "moe.gguf").path
    matrix = tmp_path / "matrix.gguf"
    write_imatrix(matrix, moe_matrix(n_tokens=1000, chunk_size=100))
    native = tmp_path / "native.gguf"
    line = ("--imatrix", matrix, model, native, file_type, 1)
    run_native(native_tool("llama-quantize"), *line)
    weights = quantizer_weights(read_imatrix(matrix))
    quantize_with(model, tmp_path / "ours.gguf", file_type, weights)
    quantize_with(
        model, tmp_path / "flat.gguf", file_type, {n: np.ones_like(w) for n, w in weights.items()}
    )
    ours, theirs, flat = (
        {tensor.name: tensor.data.tobytes() for tensor in GGUFReader(path).tensors}
        for path in (tmp_path / "ours.gguf", native, tmp_path / "flat.gguf")
    )
    assert ours == theirs
    assert ours != flat


# -- broken files ----------------------------------------------------------------------------------


def a_gguf(
    path: Path,
    *tensors: tuple[str, np.ndarray],
    datasets: object = ("a.txt",),
    chunk_count: object = 1,
) -> Path:
    writer = GGUFWriter(path, "none")
    for key, value in (("imatrix.datasets", datasets), ("imatrix.chunk_count", chunk_count)):
        if isinstance(value, tuple):
            writer.add_array(key, list(value))
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif value is not None:
            writer.add_int64(key, value)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, value in tensors:
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


ONES, COUNT = np.ones(4, np.float32), np.ones(1, np.float32)
NOT_FINITE = np.full(4, np.nan, np.float32)
PAIR = (("a.in_sum2", ONES), ("a.counts", COUNT))


@pytest.mark.parametrize(
    ("tensors", "options", "message"),
    [
        ((("token_embd.weight", ONES),), {}, "not an imatrix: none of its tensors is named"),
        ((PAIR[0],), {}, "a: sums without counts, or counts without"),
        ((*PAIR, ("b.counts", COUNT)), {}, "b: sums without counts"),
        ((("a.in_sum2", ONES.astype(np.float16)), PAIR[1]), {}, r"a\.in_sum2: F16, or there twice"),
        ((PAIR[0], ("a.counts", np.ones(3, np.float32))), {}, "a: its 3 counts cannot be right"),
        ((PAIR[0], ("a.counts", np.array([np.nan], np.float32))), {}, "a: its 1 counts cannot"),
        ((PAIR[0], ("a.counts", np.array([1e30], np.float32))), {}, "a: its 1 counts cannot"),
        ((PAIR[0], ("a.counts", -COUNT)), {}, "a: a sum of squares or a count is"),
        ((("a.in_sum2", -ONES), PAIR[1]), {}, "a: a sum of squares or a count is"),
        (
            (("a.in_sum2", np.full(4, np.nan, np.float32)), PAIR[1]),
            {},
            "a: a sum of squares or a count is",
        ),
        (PAIR, {"datasets": None}, r"imatrix\.datasets is missing or no list of texts"),
        (PAIR, {"datasets": "a.txt"}, r"imatrix\.datasets is missing or no list of texts"),
        (PAIR, {"datasets": (1, 2)}, r"imatrix\.datasets is missing or no list of texts"),
        (PAIR, {"chunk_count": None}, r"imatrix\.chunk_count is missing or no whole number"),
        (PAIR, {"chunk_count": "7"}, r"imatrix\.chunk_count is missing or no whole number"),
        (PAIR, {"chunk_count": -1}, r"imatrix\.chunk_count is missing or no whole number"),
    ],
)
def test_a_file_that_is_no_matrix_is_refused_in_one_line(
    tmp_path: Path,
    tensors: tuple[tuple[str, np.ndarray], ...],
    options: dict[str, object],
    message: str,
) -> None:
    path = a_gguf(tmp_path / "file.gguf", *tensors, **options)
    with pytest.raises(ModelFileError, match=rf"^.*file\.gguf: {message}.*$"):
        read_imatrix(path)


def test_a_double_precision_checkpoint_is_no_matrix_for_anyone_else(tmp_path: Path) -> None:
    doubled = {
        name: ImatrixEntry(sums.astype(np.float64), counts)
        for name, (sums, counts) in SMALL.entries.items()
    }
    write_imatrix(tmp_path / "a.part", ImatrixData(doubled, ("a.txt",), 7, 512))
    with pytest.raises(ModelFileError, match=r"F64, or there twice; an imatrix holds F32"):
        read_imatrix(tmp_path / "a.part")


def test_a_tensor_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = a_gguf(tmp_path / "file.gguf", *PAIR, ("b.in_sum2", ONES), ("b.counts", COUNT))
    path.write_bytes(path.read_bytes().replace(b"b.in_sum2", b"a.in_sum2"))
    with pytest.raises(ModelFileError, match="two tensors have one name"):
        read_imatrix(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        b"hello, this is a text",
        struct.pack("<i", 0),
        struct.pack("<i", -1),
        struct.pack("<ii", 1, -5),
        struct.pack("<ii", 1, 2**31 - 1),
        struct.pack("<ii1sii", 1, 1, b"a", 1, 0),
        struct.pack("<ii1sii", 1, 1, b"a", 1, -1),
        struct.pack("<ii1sii", 1, 1, b"a", 1, 2**30),
        legacy_bytes()[:-1],
    ],
)
def test_bytes_that_are_neither_format_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.dat"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"^.*file\.dat: .+$"):
        read_imatrix(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read: No such file"):
        read_imatrix(tmp_path / "missing.gguf")
    with pytest.raises(ModelFileError, match="cannot be read: Is a directory"):
        read_imatrix(tmp_path)


@pytest.fixture(scope="module")
def originals(folder: Path) -> Iterator[list[bytes]]:
    write_imatrix(folder / "original.gguf", SMALL)
    yield [(folder / "original.gguf").read_bytes(), legacy_bytes()]


@settings(max_examples=400)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_never_anything_else(
    folder: Path, originals: list[bytes], data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(originals)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.just(b"\xff" * 8)))
        content[place : place + len(piece)] = piece
    path = folder / "damaged"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = read_imatrix(path)
    except ModelFileError as error:
        assert "\n" not in str(error)
    else:
        for name, weights in quantizer_weights(found).items():
            assert weights.size == found.entries[name].in_sum2.size
