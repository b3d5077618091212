"""A level's name is a label; its tensors are the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType

from edgeeval.artifact.inspect import GgufInfo, describe, quantized_types, read_gguf
from edgeeval.errors import ModelFileError
from edgeeval.run.selftest import write_micro_model
from edgeeval.store import Workspace

F32, F16, BF16 = GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16
Q8_0, Q5_0, Q4_K = GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q5_0, GGMLQuantizationType.Q4_K
Q6_K, IQ4_NL = GGMLQuantizationType.Q6_K, GGMLQuantizationType.IQ4_NL


def _write(
    path: Path,
    label: LlamaFileType | None,
    tensors: dict[str, tuple[GGMLQuantizationType, tuple[int, ...]]],
    **fields: Any,
) -> Path:
    """Write a file of zeros. Shapes are (rows, columns): GGUF stores the columns first."""
    writer = GGUFWriter(path, "llama")
    if label is not None:
        writer.add_file_type(label)
    for key, value in fields.items():
        getattr(writer, f"add_{key}")(value)
    for name, (kind, shape) in tensors.items():
        block, block_bytes = GGML_QUANT_SIZES[kind]
        stored = (*shape[:-1], shape[-1] // block * block_bytes)
        writer.add_tensor(name, np.zeros(stored, np.uint8), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _inspect(path: Path, label: LlamaFileType, tensors: dict[str, Any]) -> GgufInfo:
    return read_gguf(_write(path / "file.gguf", label, tensors))


# -- what fell back ------------------------------------------------------------------------------


def test_rows_of_576_labelled_q4_k_m_fell_back(tmp_path: Path) -> None:
    """Oracle: by hand. 576 = 2.25 x 256, so attn_q (576 x 576 = 331,776 parameters, Q5_0) and the
    embedding (100 x 576 = 57,600, Q8_0) fell back; ffn_down's rows are 1,536 = 6 x 256 wide (576 x
    1,536 = 884,736, Q4_K) and did not; the norm (576, F32) was never to be quantized.
    """
    info = _inspect(
        tmp_path,
        LlamaFileType.MOSTLY_Q4_K_M,
        {
            "token_embd.weight": (Q8_0, (100, 576)),
            "blk.0.attn_q.weight": (Q5_0, (576, 576)),
            "blk.0.ffn_down.weight": (Q4_K, (576, 1536)),
            "blk.0.attn_norm.weight": (F32, (576,)),
        },
    )
    total = 331_776 + 57_600 + 884_736 + 576
    assert info.n_params == total
    assert info.shares(fallback_only=True) == {"Q5_0": 331_776 / total, "Q8_0": 57_600 / total}
    assert info.shares() == {
        "Q4_K": 884_736 / total,
        "Q5_0": 331_776 / total,
        "Q8_0": 57_600 / total,
        "F32": 576 / total,
    }


def test_no_tensor_of_256_wide_rows_fell_back(tmp_path: Path) -> None:
    """A recipe may want Q8_0 for one tensor: where 256 divides the row, the type was chosen."""
    info = _inspect(
        tmp_path,
        LlamaFileType.MOSTLY_Q4_K_M,
        {
            "token_embd.weight": (Q8_0, (10, 768)),
            "blk.0.attn_q.weight": (Q5_0, (256, 256)),
            "blk.0.ffn_down.weight": (Q6_K, (256, 1024)),
        },
    )
    assert info.shares(fallback_only=True) == {}


def test_unquantized_matrices_and_norms_are_not_counted(tmp_path: Path) -> None:
    info = _inspect(
        tmp_path,
        LlamaFileType.MOSTLY_Q4_K_M,
        {
            "blk.0.attn_norm.weight": (F32, (576,)),
            "blk.0.ffn_gate_inp.weight": (F32, (8, 576)),  # a router: llama.cpp keeps it
            "blk.0.attn_q.bias": (F16, (576,)),
            "blk.0.small.weight": (
                BF16,
                (8, 576),
            ),  # kept as the source had it: no fallback is BF16
            "blk.0.ffn_down.weight": (Q4_K, (576, 256)),
        },
    )
    assert info.shares(fallback_only=True) == {}


def test_rows_that_not_even_32_divides_fell_back_to_f16(tmp_path: Path) -> None:
    """Oracle: tensor_type_fallback in llama-quant.cpp ends in F16."""
    info = _inspect(
        tmp_path,
        LlamaFileType.MOSTLY_Q4_K_M,
        {"a.weight": (F16, (10, 100)), "b.weight": (Q4_K, (10, 256))},
    )
    assert info.shares(fallback_only=True) == {"F16": 1000 / 3560}


@pytest.mark.parametrize(
    ("label", "fell_back"),
    [
        (LlamaFileType.MOSTLY_Q2_K, True),
        (LlamaFileType.MOSTLY_Q6_K, True),
        (LlamaFileType.MOSTLY_IQ4_XS, True),
        (LlamaFileType.MOSTLY_TQ1_0, True),
        (LlamaFileType.MOSTLY_IQ4_NL, False),
        (LlamaFileType.MOSTLY_Q4_0, False),
        (LlamaFileType.MOSTLY_Q8_0, False),
        (LlamaFileType.MOSTLY_F16, False),
    ],
)
def test_only_labels_whose_blocks_are_256_wide_can_fall_back(
    tmp_path: Path, label: LlamaFileType, fell_back: bool
) -> None:
    info = _inspect(tmp_path, label, {"a.weight": (Q8_0, (2, 576))})
    assert bool(info.shares(fallback_only=True)) is fell_back


# -- what stands in a file -----------------------------------------------------------------------


def test_the_micro_models_tensors_are_what_the_gguf_package_says(tmp_path: Path) -> None:
    """Oracle: gguf.GGUFReader."""
    path = tmp_path / "micro.gguf"
    write_micro_model(path)
    info, oracle = read_gguf(path), GGUFReader(path)
    n_params = sum(int(one.n_elements) for one in oracle.tensors)
    assert (info.architecture, info.label, info.n_ctx_train) == ("llama", "unknown", 256)
    assert info.n_params == n_params
    assert info.bpw == pytest.approx(sum(int(one.n_bytes) for one in oracle.tensors) * 8 / n_params)
    assert {one.name: one.type for one in info.tensors} == {
        one.name: one.tensor_type.name for one in oracle.tensors
    }
    assert sum(info.shares().values()) == pytest.approx(1)


def test_bits_per_weight_are_those_of_the_blocks(tmp_path: Path) -> None:
    """Oracle: ggml's block layouts. Q8_0: 34 bytes a 32 weights; Q4_K: 144 bytes a 256."""
    assert _inspect(tmp_path, LlamaFileType.MOSTLY_Q8_0, {"a": (Q8_0, (3, 64))}).bpw == 8.5
    assert _inspect(tmp_path, LlamaFileType.MOSTLY_Q4_K_S, {"a": (Q4_K, (3, 256))}).bpw == 4.5
    both = {"a": (Q8_0, (1, 256)), "b": (Q4_K, (1, 256))}
    assert _inspect(tmp_path, LlamaFileType.MOSTLY_Q4_K_S, both).bpw == 6.5


@pytest.mark.parametrize(
    ("kinds", "quantized"),
    [
        ([F32], []),
        ([F16, F32], []),
        ([BF16, F32], []),
        ([F16, Q8_0], ["Q8_0"]),
        ([Q8_0, IQ4_NL, Q8_0], ["Q8_0", "IQ4_NL"]),
    ],
)
def test_a_reference_is_known_by_its_tensors_and_not_by_its_label(
    tmp_path: Path, kinds: list[GGMLQuantizationType], quantized: list[str]
) -> None:
    tensors = {f"t{index}": (kind, (1, 256)) for index, kind in enumerate(kinds)}
    found = _inspect(tmp_path, LlamaFileType.MOSTLY_F16, tensors)
    assert quantized_types(found.shares()) == quantized


@pytest.mark.parametrize("number", [99_999, 1024])
def test_an_unknown_label_is_called_unknown(tmp_path: Path, number: int) -> None:
    path = _write(tmp_path / "file.gguf", None, {"a": (F32, (4,))}, file_type=number)
    assert read_gguf(path).label in ("unknown", "GUESSED")


def test_what_the_metadata_say_is_told(tmp_path: Path) -> None:
    fields = {
        "name": "Größer",
        "context_length": 2048,
        "token_list": ["a", "b", "c"],
        "chat_template": "{{ messages }}",
    }
    path = _write(tmp_path / "f.gguf", LlamaFileType.ALL_F32, {"a": (F32, (4,))}, **fields)
    info = read_gguf(path)
    assert (info.name, info.label, info.n_ctx_train, info.n_vocab) == ("Größer", "F32", 2048, 3)
    assert info.has_chat_template
    bare = read_gguf(_write(tmp_path / "bare.gguf", None, {"a": (F32, (4,))}))
    assert (bare.name, bare.n_ctx_train, bare.n_vocab) == ("", None, None)
    assert not bare.has_chat_template


@pytest.mark.parametrize("value", [["an", "array"], "2048", 0.5])
def test_a_context_length_that_is_no_number_is_none(tmp_path: Path, value: Any) -> None:
    writer = GGUFWriter(tmp_path / "file.gguf", "llama")
    kind = {list: "array", str: "string", float: "float32"}[type(value)]
    getattr(writer, f"add_{kind}")("llama.context_length", value)
    writer.add_tensor("a", np.ones(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert read_gguf(tmp_path / "file.gguf").n_ctx_train is None


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    """Such as the vocabulary files of llama.cpp's own tests."""
    path = _write(tmp_path / "file.gguf", None, {}, token_list=["a"])
    with pytest.raises(ModelFileError, match="without tensors"):
        read_gguf(path)


# -- the record ----------------------------------------------------------------------------------


def test_a_record_is_kept_by_the_files_hash_and_the_name_is_the_callers(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    tensors = {"a.weight": (Q8_0, (2, 576)), "b.weight": (F32, (576,))}
    path = _write(tmp_path / "file.gguf", LlamaFileType.MOSTLY_Q4_K_M, tensors)
    first = describe(workspace, path, name="one", source="given")
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(path.read_bytes())
    second = describe(workspace, copy, name="two", source="quantized from F16")
    assert first.sha256 == second.sha256
    assert (first.name, second.name) == ("one", "two")
    assert first.fallback_share == second.fallback_share == pytest.approx(1152 / 1728, abs=1e-6)
    assert first.fallback_types == {"Q8_0": first.fallback_share}
    assert quantized_types(first.type_shares) == ["Q8_0"]
    assert len(list((workspace.root / "inspected").iterdir())) == 1
    json.dumps(first.type_shares, allow_nan=False)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        describe(Workspace(tmp_path), tmp_path / "missing.gguf", name="x", source="given")
