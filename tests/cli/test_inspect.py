"""`edgeeval inspect` says what the gguf package says, what differs, and refuses what is broken."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, GGUFValueType
from gguf.scripts import gguf_dump
from hypothesis import event, given, settings
from hypothesis import strategies as st

from edgeeval.artifact.imatrix_file import ImatrixData, ImatrixEntry, write_imatrix
from tests.artifact.gguf_files import write_gguf
from tests.cli.architectures import ARCHITECTURES, write_architecture
from tests.cli.in_process import edgeeval

# -- what the gguf package's own dump says -------------------------------------------------------


def dump(path: Path) -> Any:
    """Oracle: `gguf-dump --json --json-array`."""
    out = io.StringIO()
    arguments = ["gguf-dump", "--json", "--json-array", str(path)]
    with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(out):
        gguf_dump.main()
    return json.loads(out.getvalue())


_CODES = {"UINT8": "B", "INT8": "b", "UINT32": "I", "INT32": "i", "FLOAT32": "f", "BOOL": "?"}


def hashed(kind: str, values: list[Any]) -> dict[str, Any]:
    """An array as inspect tells it: by hand, from the specification's layout."""
    data = struct.pack("<IQ", GGUFValueType[kind], len(values))
    for value in values:
        if kind == "STRING":
            text = value.encode()
            data += struct.pack("<Q", len(text)) + text
        else:
            data += struct.pack(f"<{_CODES[kind]}", value)
    return {"length": len(values), "sha256": hashlib.sha256(data).hexdigest()}


def agrees_with_the_dump(path: Path) -> Any:
    (found,) = edgeeval("inspect", "--json", "--tensors", path).document()["files"]
    expected = dump(path)
    metadata = {
        key: hashed(field["array_types"][0], field["value"])
        if field["type"] == "ARRAY"
        else field["value"]
        for key, field in expected["metadata"].items()
        if not key.startswith("GGUF.")
    }
    assert found["metadata"] == metadata
    assert list(found["metadata"]) == list(metadata)
    assert {
        one["name"]: {"type": one["type"], "shape": one["shape"]} for one in found["tensors"]
    } == {
        name: {"type": one["type"], "shape": one["shape"]}
        for name, one in expected["tensors"].items()
    }
    tensors = GGUFReader(path).tensors  # the dump does not tell sizes
    assert [(one["n_params"], one["size_bytes"]) for one in found["tensors"]] == [
        (int(one.n_elements), int(one.n_bytes)) for one in tensors
    ]
    assert found["n_tensors"] == len(tensors)
    assert found["n_params"] == sum(int(one.n_elements) for one in tensors)
    assert found["size_bytes"] == path.stat().st_size
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_file_of_any_architecture_is_what_the_dump_says(
    tmp_path: Path, architecture: str
) -> None:
    path = write_architecture(tmp_path / "file.gguf", architecture)
    found = agrees_with_the_dump(path)
    metadata = dump(path)["metadata"]
    assert found["architecture"] == metadata["general.architecture"]["value"] == architecture
    assert found["name"] == metadata["general.name"]["value"]
    assert found["n_vocab"] == len(metadata["tokenizer.ggml.tokens"]["value"])
    assert found["n_ctx_train"] == metadata[f"{architecture}.context_length"]["value"]
    assert found["has_chat_template"] is ("tokenizer.chat_template" in metadata)
    assert (found["label"], found["quantization_version"], found["kind"]) == ("Q4_K_M", 2, "model")
    text = edgeeval("inspect", "--tensors", path).out
    for tensor in found["tensors"]:
        assert f"  {tensor['name']} " in text


def test_a_vocabulary_without_tensors_is_what_the_dump_says(tmp_path: Path) -> None:
    fields = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "b"]}
    path = write_gguf(tmp_path / "vocab.gguf", fields=fields)
    found = agrees_with_the_dump(path)
    assert (found["n_vocab"], found["n_params"], found["bpw"]) == (2, 0, None)
    assert "parameters     none: the file holds no tensors" in edgeeval("inspect", path).out


# -- what people read ----------------------------------------------------------------------------

NORM = {"output_norm.weight": np.ones(64, np.float32)}


def test_a_file_is_told_in_a_few_lines(tmp_path: Path) -> None:
    """By hand: 32 x 576 parameters at 5.5 bits (Q5_0), 64 at 32; 18,432 of 18,496 fell back."""
    path = write_gguf(
        tmp_path / "file.gguf",
        fields={
            "general.name": "Small",
            "general.file_type": 15,
            "general.quantization_version": 2,
            "llama.context_length": 512,
            "tokenizer.ggml.tokens": ["a", "b", "c"],
            "tokenizer.chat_template": "{{ messages }}",
            "quantize.imatrix.dataset": "calibration.txt",
            "quantize.imatrix.chunks_count": 7,
        },
        tensors={"blk.0.attn_q.weight": (Kind.Q5_0, (32, 576)), **NORM},
    )
    (record,) = edgeeval("inspect", "--json", path).document()["files"]
    size_mb = path.stat().st_size / 1e6
    assert edgeeval("inspect", path).out.splitlines() == [
        str(path),
        "  architecture   llama (Small)",
        "  label          Q4_K_M",
        f"  size           {size_mb:.1f} MB, 5.59 bits per weight, quantization version 2",
        "  parameters     0.0 M in 2 tensors",
        "  context        512 tokens, vocabulary 3",
        f"  tokenizer      {record['tokenizer_sha256'][:12]} "
        f"(vocabulary {record['vocabulary_sha256'][:12]})",
        f"  chat template  {hashlib.sha256(b'{{ messages }}').hexdigest()[:12]}",
        "  imatrix        calibration.txt, 7 chunks",
        "  tensor types   Q5_0 99.7%, F32 0.3%",
        "  fell back      99.7% of the parameters, to Q5_0 99.7%: the file is not what its label "
        "says",
    ]
    assert edgeeval("inspect", "--tensors", path).out.splitlines()[-3:] == [
        "  tensor               type  shape    bytes    bpw",
        "  blk.0.attn_q.weight  Q5_0  576x32  12,672   5.50  fell back",
        "  output_norm.weight   F32   64         256  32.00",
    ]
    assert "tensors" not in record


def test_a_split_model_says_so(tmp_path: Path) -> None:
    for number in (0, 1):
        write_gguf(
            tmp_path / f"m-0000{number + 1}-of-00002.gguf",
            fields={"split.no": number, "split.count": 2, "split.tensors.count": 2},
            tensors={f"{number}.weight": np.ones(1000, np.float32)},
        )
    ran = edgeeval("inspect", tmp_path / "m-00001-of-00002.gguf")
    assert " MB in 2 files, 32.00 bits per weight" in ran.out


# -- several files -------------------------------------------------------------------------------

BASE: dict[str, Any] = {
    "general.name": "one",
    "llama.rope.freq_base": 10_000.0,
    "tokenizer.ggml.tokens": ["a", "b"],
    "tokenizer.ggml.pre": "default",
}


def _written(folder: Path, name: str, fields: dict[str, Any], tensors: dict[str, Any]) -> Path:
    return write_gguf(folder / name, fields={**BASE, **fields}, tensors={**NORM, **tensors})


def _attn_v(*kinds: Kind) -> dict[str, Any]:
    return {f"blk.{layer}.attn_v.weight": (kind, (2, 256)) for layer, kind in enumerate(kinds)}


def test_several_files_are_compared_with_the_first(tmp_path: Path) -> None:
    first = _written(tmp_path, "a.gguf", {}, _attn_v(Kind.Q4_K, Kind.Q4_K, Kind.Q4_K))
    other = _written(
        tmp_path,
        "b.gguf",
        {
            "general.name": "two",
            "llama.rope.freq_base": 1e6,
            "tokenizer.ggml.pre": "smollm",
            "tokenizer.chat_template": "{{ messages }}",
        },
        _attn_v(Kind.Q6_K, Kind.Q4_K, Kind.Q6_K),
    )
    ran = edgeeval("inspect", first, other)
    grown = other.stat().st_size - first.stat().st_size
    n_params = 64 + 3 * 512
    assert ran.out.split("\n\n")[1].splitlines() == [
        f"{other}, compared with {first}",
        f"  size           +{grown / 1e6:.1f} MB (+{grown / first.stat().st_size:.1%}), "
        f"+{2 * 2 * (210 - 144) * 8 / n_params:.2f} bits per weight",
        "  architecture   the same",
        "  hyperparameter rope.freq_base: 1e+06 instead of 10000",
        "  tokenizer      another, with the same vocabulary: tokenizer.ggml.pre",
        "  chat template  another",
        "  metadata       other keys that differ: general.name",
        "  tensors        attn_v: Q6_K instead of Q4_K in 2 layers (0, 2)",
        "  weights        not the same: see tensors",
    ]
    assert ran.err == ""  # no data were read


def test_files_of_the_same_weights_are_told(tmp_path: Path) -> None:
    tensors = _attn_v(Kind.Q4_K)
    changed = {"output_norm.weight": np.full(64, 2, np.float32), **tensors}
    paths = [
        _written(tmp_path, "a.gguf", {}, tensors),
        _written(tmp_path, "b.gguf", {"general.name": "two"}, tensors),
        _written(tmp_path, "c.gguf", {"llama.rope.freq_base": 1.0}, tensors),
        _written(tmp_path, "d.gguf", {}, changed),
        _written(tmp_path, "e.gguf", {"general.name": "three"}, changed),
    ]
    ran = edgeeval("inspect", *paths)
    verdicts = [line.split(None, 1)[1] for line in ran.out.splitlines() if "  weights " in line]
    assert verdicts == [
        "the same to the last bit: the two compute the same",
        "the same data, but other hyperparameters",
        "not the same: 1 of 2 tensors hold other data",
        "not the same: 1 of 2 tensors hold other data",
    ]
    assert ran.out.endswith(
        f"\nThe same weights: {paths[0]}, {paths[1]}\n\nThe same weights: {paths[3]}, {paths[4]}\n"
    )
    assert ran.err == "comparing the data of 5 files, 0 MB\n"
    comparison = edgeeval("inspect", "--json", *paths).document()["comparison"]
    assert comparison["same_weights"] == [list(map(str, paths[:2])), list(map(str, paths[3:]))]


def test_the_comparison_is_in_the_document(tmp_path: Path) -> None:
    first = _written(tmp_path, "a.gguf", {"llama.x": float("inf")}, _attn_v(Kind.Q4_K))
    other = _written(tmp_path, "b.gguf", {"llama.x": float("nan")}, _attn_v(Kind.Q6_K))
    assert edgeeval("inspect", "--json", first).document()["comparison"] is None
    document = edgeeval("inspect", "--json", first, other).document()
    assert [one["file"] for one in document["files"]] == [str(first), str(other)]
    assert document["files"][0]["metadata"]["llama.x"] == "inf"
    comparison = document["comparison"]
    assert (comparison["first"], comparison["same_weights"]) == (str(first), [])
    (found,) = comparison["others"]
    assert found["file"] == str(other)
    assert found["hyperparameters"] == [{"key": "llama.x", "first": "inf", "other": "nan"}]
    assert found["types"] == [
        {
            "tensor": "attn_v",
            "layers": [0],
            "n_tensors": 1,
            "n_params": 512,
            "first": "Q4_K",
            "other": "Q6_K",
        }
    ]
    assert (found["same_tokenizer"], found["n_data_differ"]) == (True, None)


def test_hundreds_of_differences_are_cut_short_for_people(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(20)]
    odd = [layer * 2 for layer in range(20)]
    first = dict.fromkeys(names, (Kind.F16, (2, 32)))
    first |= {f"blk.{layer}.a.weight": (Kind.F16, (4, 32)) for layer in odd}
    fields = {f"llama.k{number}": number for number in range(20)}
    fields |= {f"general.k{number}": number for number in range(20)}
    one = _written(tmp_path, "a.gguf", {}, first)
    other = _written(
        tmp_path, "b.gguf", fields, {key: (Kind.Q8_0, of[1]) for key, of in first.items()}
    )
    out = edgeeval("inspect", one, other).out
    assert out.count("k19") == 0
    assert out.count("… 8 more: --json has all") == 1  # hyperparameters
    assert out.count("… 9 more: --json has all") == 1  # 20 tensors and one in layers
    assert "general.k5 and 14 more" in out
    assert "a: Q8_0 instead of F16 in 20 layers (0, 2, 4, 6, 8, 10, 12, 14, …)" in out
    (found,) = edgeeval("inspect", "--json", one, other).document()["comparison"]["others"]
    assert [len(found[key]) for key in ("hyperparameters", "metadata", "types")] == [20, 20, 21]


# -- importance matrices -------------------------------------------------------------------------


def _matrix(n_layers: int) -> ImatrixData:
    entries = {
        f"blk.{layer}.ffn_down.weight": ImatrixEntry(
            np.array([layer, 2 * layer], np.float32), np.array([2])
        )
        for layer in range(n_layers)
    }
    entries["blk.0.attn_q.weight"] = ImatrixEntry(np.zeros(4, np.float32), np.array([0]))
    return ImatrixData(entries, ("calibration\x1b.txt",), 7, 512)


def test_an_imatrix_is_told_by_its_statistics(tmp_path: Path) -> None:
    """By hand: layer n has the mean squares n/2 and n, 3n/2 together."""
    path = tmp_path / "imatrix.gguf"
    write_imatrix(path, _matrix(13))
    lines = edgeeval("inspect", path).out.splitlines()
    assert lines[:4] == [
        str(path),
        "  imatrix        GGUF",
        "  calibration    calibration .txt, 7 chunks of 512 tokens",
        "  weights        14 in 13 layers; no token reached 1",
    ]
    assert [line.split()[:3] for line in lines[5:15]] == [
        ["ffn_down", str(layer), f"{1.5 * layer:g}"] for layer in range(12, 2, -1)
    ]
    assert lines[15] == "  … 3 more, of less weight: --tensors shows all"
    assert [line.split()[:2] for line in lines[17:27]] == [
        [str(layer), f"{1.5 * layer:g}"] for layer in range(12, 2, -1)
    ]
    assert lines[27:] == [lines[15]]
    assert len(edgeeval("inspect", "--tensors", path).out.splitlines()) == 4 + 1 + 13 + 1 + 13


def test_an_imatrix_is_a_document_too(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    write_imatrix(path, _matrix(2))
    document = edgeeval("inspect", "--json", "--tensors", path).document()
    (found,) = document["files"]
    assert document["comparison"] is None
    assert found | {"layers": [], "tensors": []} == {
        "file": str(path),
        "kind": "imatrix",
        "size_bytes": path.stat().st_size,
        "is_legacy": False,
        "datasets": ["calibration\x1b.txt"],
        "chunk_count": 7,
        "chunk_size": 512,
        "n_weights": 3,
        "n_weights_reached": 2,
        "layers": [],
        "tensors": [],
    }
    assert [(one["layer"], one["sum"]) for one in found["layers"]] == [(0, 0.0), (1, 1.5)]
    assert [(one["name"], one["sum"]) for one in found["tensors"]] == [
        ("blk.1.ffn_down.weight", 1.5),
        ("blk.0.ffn_down.weight", 0.0),
    ]
    assert "tensors" not in edgeeval("inspect", "--json", path).document()["files"][0]


def _legacy(*entries: tuple[bytes, int, list[float]], tail: bytes = b"") -> bytes:
    """By hand, as `save_imatrix_legacy` of llama.cpp's imatrix tool writes it."""
    data = struct.pack("<i", len(entries))
    for name, n_calls, values in entries:
        data += struct.pack("<i", len(name)) + name + struct.pack("<ii", n_calls, len(values))
        data += struct.pack(f"<{len(values)}f", *values)
    return data + tail


def test_an_imatrix_of_the_older_format_is_told(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    tail = struct.pack("<ii", 82, 8) + b"wiki.txt"
    path.write_bytes(_legacy((b"blk.3.attn_q.weight", 4, [2.0, 6.0]), tail=tail))
    lines = edgeeval("inspect", path).out.splitlines()
    assert lines[1:4] == [
        "  imatrix        in llama.cpp's older format",
        "  calibration    wiki.txt, 82 chunks",
        "  weights        1 in 1 layers",
    ]
    assert lines[5].split()[:3] == ["attn_q", "3", "2"]


def test_models_among_matrices_are_compared(tmp_path: Path) -> None:
    write_imatrix(tmp_path / "imatrix.gguf", _matrix(1))
    one = _written(tmp_path, "a.gguf", {}, {})
    other = _written(tmp_path, "b.gguf", {}, {})
    document = edgeeval("inspect", "--json", one, tmp_path / "imatrix.gguf", other).document()
    assert [file["kind"] for file in document["files"]] == ["model", "imatrix", "model"]
    assert document["comparison"]["same_weights"] == [[str(one), str(other)]]


# -- files that cannot be used -------------------------------------------------------------------


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def _gguf(n_tensors: int, n_fields: int, body: bytes = b"") -> bytes:
    return b"GGUF\3\0\0\0" + struct.pack("<QQ", n_tensors, n_fields) + body + bytes(64)


def _tensor(name: bytes, size: int, offset: int) -> bytes:
    return _text(name) + struct.pack("<IQIQ", 1, size, 0, offset)


_MOST = 2**64 - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a GGUF file (it is empty)"),
        (b"<!DOCTYPE html>", "not a GGUF file (it begins with b'<!DO')"),
        (_gguf(_MOST, 0), "tensors are more than any model has"),
        (_gguf(0, _MOST), "metadata keys are more than any model has"),
        (_gguf(0, 1, struct.pack("<Q", _MOST)), "it ends inside a metadata key"),
        (_gguf(1, 0, _tensor(b"t", 4, _MOST)), "it ends inside tensor t"),
        (_gguf(1, 0, _tensor(b"t", _MOST, 0)), "it ends inside tensor t"),
        (
            _gguf(1, 0, _tensor(b"\x1b]0;owned\x07\xff", 4, 1 << 30)),
            "inside tensor ]0;owned \ufffd",
        ),
        (
            _gguf(0, 1, _text("a\u202e\x1b[2J\n".encode()) + b"\xff" * 4),
            "a [2J has the unknown type",
        ),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(content)
    for options in ([], ["--json"], ["--tensors"]):
        assert message in edgeeval("inspect", path, *options).refusal()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a GGUF file nor a whole imatrix in the older format"),
        (b"PK\3\4 weights", "neither a GGUF file nor a whole imatrix"),
        (struct.pack("<i", 2**31 - 1) + b"\xff" * 40, "neither a GGUF file nor a whole imatrix"),
        (_legacy((b"w", 1, [float("nan")])), "w: a sum of squares or a count is negative or not"),
        (_legacy((b"\x1b[2J", 1, [])), "[2J: no sums"),
    ],
)
def test_a_file_that_is_neither_model_nor_imatrix_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "imatrix.dat"
    path.write_bytes(content)
    assert message in edgeeval("inspect", path).refusal()


@pytest.mark.parametrize("name", ["it.gguf", "it.dat", "it-00001-of-00002.gguf"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.symlink_to(path)
    refused = edgeeval("inspect", path).refusal()
    assert "Too many levels of symbolic links" in refused or "2 of 2 parts are missing" in refused
    path.unlink()
    path.mkdir()
    refused = edgeeval("inspect", path).refusal()
    assert "Is a directory" in refused or "2 of 2 parts are missing" in refused


@pytest.mark.parametrize("name", ["pipe.gguf", "pipe.dat", "pipe-00001-of-00001.gguf"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-m", "edgeeval", "inspect", name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "a pipe" in done.stderr or "parts are missing" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_strangers_words_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    evil = "x\x1b[2J\n\u202e\x07" + "long " * 100
    path = write_gguf(
        tmp_path / "e\x1b]0;v\x07\udcff.gguf",
        architecture=evil,
        fields={
            "general.name": evil,
            "general.type": evil,
            "quantize.imatrix.file": evil,
            f"{evil}.rope": evil,
        },
        tensors={evil: np.ones(4, np.float32)},
    )
    other = write_gguf(
        tmp_path / "other.gguf",
        architecture=evil,
        fields={f"{evil}.rope": 1, evil: evil},
        tensors={f"blk.0.{evil}": np.ones(4, np.float32)},
    )
    ran = edgeeval("inspect", "--tensors", path, other)
    assert ran.code == 0
    for line in ran.out.split("\n"):
        assert line.isprintable(), line
        assert len(line) < 600
    edgeeval("inspect", "--tensors", "--json", path, other).document()


# -- fuzzing -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Valid files of every sort that inspect knows, by suffix."""
    folder = tmp_path_factory.mktemp("seeds")
    write_imatrix(folder / "imatrix.gguf", _matrix(3))
    model = write_gguf(
        folder / "model.gguf",
        fields={
            **BASE,
            "general.file_type": 15,
            "general.alignment": 32,
            "llama.context_length": 64,
            "llama.feed_forward_length": [1, 2],
            "quantize.imatrix.file": "imatrix.gguf",
            "quantize.imatrix.chunks_count": 3,
            "split.count": 1,
        },
        tensors={**NORM, **_attn_v(Kind.Q4_K, Kind.Q6_K), "token_embd.weight": (Kind.F16, (3, 5))},
    )
    legacy = _legacy(
        (b"blk.0.attn_q.weight", 2, [1.0, 2.0]),
        (b"blk.1.attn_q.weight", 2, [0.0, 0.5]),
        tail=struct.pack("<ii", 3, 4) + b"text",
    )
    imatrix = (folder / "imatrix.gguf").read_bytes()
    return {"model.gguf": model.read_bytes(), "imatrix.gguf": imatrix, "imatrix.dat": legacy}


_NUMBERS = st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1])


@st.composite
def _damage(draw: st.DrawFn, content: bytes) -> bytes:
    """Overwrite, cut out, put in or cut off, once to three times."""
    data = bytearray(content)
    kinds = ["byte", "byte", "byte", "bytes", "number", "short", "cut", "insert", "end", "move"]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1)) if data else 0
        match draw(st.sampled_from(kinds)):
            case "byte" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "bytes":
                new = draw(st.binary(min_size=1, max_size=8))
                data[at : at + len(new)] = new
            case "number":
                data[at : at + 8] = struct.pack("<Q", draw(_NUMBERS))
            case "short":
                data[at : at + 4] = struct.pack("<I", draw(_NUMBERS) % 2**32)
            case "cut":
                del data[at : at + draw(st.integers(1, 64))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
            case "end":
                del data[at:]
            case "move":
                there = draw(st.integers(0, len(data)))
                data[at : at + 16] = data[there : there + 16]
    return bytes(data)


@settings(max_examples=400)
@given(data=st.data())
def test_a_damaged_file_is_told_or_refused_in_one_line(
    seeds: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(seeds)))
    folder = tmp_path_factory.mktemp("damaged")
    path, whole = folder / name, folder / f"whole-{name}"
    path.write_bytes(data.draw(_damage(seeds[name])))
    whole.write_bytes(seeds[name])
    ran = edgeeval("inspect", "--json", "--tensors", path, whole)
    event(f"{name}: {'refused' if ran.code else 'told'}")
    if ran.code != 0:
        assert str(path) in ran.refusal()
        return
    assert len(ran.document()["files"]) == 2
    shown = edgeeval("inspect", "--tensors", path, whole)
    assert shown.code == 0
    assert all(line.isprintable() for line in shown.out.split("\n"))
