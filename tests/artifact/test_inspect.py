"""A level's name is a label; its tensors are the truth."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, LlamaFileType

from edgeeval.artifact.inspect import (
    GgufInfo,
    describe,
    quantized_types,
    read_gguf,
    tensor_digests,
)
from edgeeval.errors import ModelFileError
from edgeeval.records import Artifact
from edgeeval.run.selftest import write_micro_model
from edgeeval.store import Workspace
from tests.artifact.gguf_files import Zeros, write_gguf

F32, F16, BF16 = GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16
Q8_0, Q5_0, Q4_K = GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q5_0, GGMLQuantizationType.Q4_K
Q6_K, IQ4_NL = GGMLQuantizationType.Q6_K, GGMLQuantizationType.IQ4_NL


def _write(
    path: Path,
    label: LlamaFileType | None,
    tensors: dict[str, Zeros],
    fields: dict[str, Any] | None = None,
) -> Path:
    labelled = {} if label is None else {"general.file_type": int(label)}
    return write_gguf(path, fields=labelled | (fields or {}), tensors=tensors)


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
    path = _write(tmp_path / "file.gguf", None, {"a": (F32, (4,))}, {"general.file_type": number})
    assert read_gguf(path).label in ("unknown", "GUESSED")


def test_what_the_metadata_say_is_told(tmp_path: Path) -> None:
    fields = {
        "general.name": "Größer",
        "llama.context_length": 2048,
        "tokenizer.ggml.tokens": ["a", "b", "c"],
        "tokenizer.chat_template": "{{ messages }}",
    }
    path = _write(tmp_path / "f.gguf", LlamaFileType.ALL_F32, {"a": (F32, (4,))}, fields)
    info = read_gguf(path)
    assert (info.name, info.label, info.n_ctx_train, info.n_vocab) == ("Größer", "F32", 2048, 3)
    assert info.has_chat_template
    bare = read_gguf(_write(tmp_path / "bare.gguf", None, {"a": (F32, (4,))}))
    assert (bare.name, bare.n_ctx_train, bare.n_vocab) == ("", None, None)
    assert not bare.has_chat_template


@pytest.mark.parametrize("value", [["an", "array"], "2048", 0.5, True])
def test_a_context_length_that_is_no_number_is_none(tmp_path: Path, value: Any) -> None:
    path = _write_with(tmp_path, {"llama.context_length": value})
    assert read_gguf(path).n_ctx_train is None


def test_a_file_without_tensors_is_shown_but_cannot_be_a_level(tmp_path: Path) -> None:
    """Such as the vocabulary files of llama.cpp's own tests."""
    path = _write(tmp_path / "file.gguf", None, {}, {"tokenizer.ggml.tokens": ["a"]})
    info = read_gguf(path)
    assert (info.n_vocab, info.tensors, info.n_params, info.bpw, info.shares()) == (
        1,
        (),
        0,
        None,
        {},
    )
    with pytest.raises(ModelFileError, match="without tensors"):
        describe(Workspace(tmp_path / "ws"), path, name="x", source="given")


def test_the_kind_and_the_imatrix_note_are_what_the_metadata_say(tmp_path: Path) -> None:
    """Keys: llama.cpp's tools/quantize/quantize.cpp and the GGUF specification."""
    bare = read_gguf(_write_with(tmp_path, {}))
    assert (bare.kind, bare.imatrix, bare.quantization_version) == ("model", "", None)
    full = {
        "general.type": "adapter",
        "general.quantization_version": 2,
        "quantize.imatrix.file": "imatrix.gguf",
        "quantize.imatrix.dataset": "calibration.txt",
        "quantize.imatrix.entries_count": 210,
        "quantize.imatrix.chunks_count": 82,
    }
    info = read_gguf(_write_with(tmp_path, full))
    assert (info.kind, info.quantization_version) == ("adapter", 2)
    assert info.imatrix == "calibration.txt, 82 chunks"
    del full["quantize.imatrix.dataset"], full["quantize.imatrix.chunks_count"]
    assert read_gguf(_write_with(tmp_path, full)).imatrix == "imatrix.gguf"


@pytest.mark.parametrize("value", [7, ["a"], True, 0.5])
def test_a_text_that_is_none_is_left_out(tmp_path: Path, value: Any) -> None:
    keys = ["general.type", "general.name", "quantize.imatrix.dataset", "tokenizer.chat_template"]
    info = read_gguf(_write_with(tmp_path, dict.fromkeys(keys, value)))
    assert (info.kind, info.name, info.imatrix) == ("model", "", "")
    assert not info.has_chat_template


def _write_with(folder: Path, fields: dict[str, Any], data: bytes = bytes(16)) -> Path:
    """Write a llama file of one tensor with these keys as they are."""
    path = folder / f"{len(list(folder.iterdir()))}.gguf"
    tensors = {"blk.0.attn_q.weight": np.frombuffer(data, np.float32)}
    return write_gguf(path, fields=fields, tensors=tensors)


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
    (kept,) = (workspace.root / "inspected").iterdir()
    assert json.loads(kept.read_bytes())["tensors"] == [
        ["a.weight", "Q8_0", [576, 2], 1224],
        ["b.weight", "F32", [576], 2304],
    ]
    json.dumps(first.type_shares, allow_nan=False)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        describe(Workspace(tmp_path), tmp_path / "missing.gguf", name="x", source="given")


# -- what makes two files the same ---------------------------------------------------------------

TOKENIZER: dict[str, Any] = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": ["<s>", "a", "b", "ab"],
    "tokenizer.ggml.token_type": [3, 1, 1, 1],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.eos_token_id": 0,
}
MODEL: dict[str, Any] = {
    "general.name": "one",
    "llama.rope.freq_base": 10_000.0,
    "tokenizer.chat_template": "{{ messages }}",
} | TOKENIZER


def _artifact(folder: Path, fields: dict[str, Any], data: bytes = bytes(16)) -> Artifact:
    path = _write_with(folder, fields, data)
    return describe(Workspace(folder / "ws"), path, name=path.stem, source="given")


def test_files_that_differ_in_words_only_hold_the_same_weights(tmp_path: Path) -> None:
    one = _artifact(tmp_path, MODEL)
    other = _artifact(tmp_path, MODEL | {"general.name": "two", "general.quantized_by": "me"})
    assert one.sha256 != other.sha256
    assert one.weights_sha256 == other.weights_sha256


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ({"llama.rope.freq_base": 100_000.0}, bytes(16)),
        ({"llama.rope.dimension_count": 64}, bytes(16)),
        ({"llama.feed_forward_length": [1, 2]}, bytes(16)),
        ({}, bytes(15) + b"\1"),
        ({}, bytes(12)),
    ],
    ids=["rope base", "one more key", "a list", "a byte", "shape"],
)
def test_whatever_changes_a_computation_makes_other_weights(
    tmp_path: Path, fields: dict[str, Any], data: bytes
) -> None:
    one, other = _artifact(tmp_path, MODEL), _artifact(tmp_path, MODEL | fields, data)
    assert one.weights_sha256 != other.weights_sha256
    assert one.tokenizer_sha256 == other.tokenizer_sha256


def test_the_order_and_the_padding_of_tensors_do_not_make_other_weights(tmp_path: Path) -> None:
    tensors = {"a.weight": (Q8_0, (3, 32)), "b.weight": (F32, (5,)), "c.weight": (F16, (2, 3))}
    turned = dict(reversed(tensors.items()))
    paths = [
        _write(tmp_path / "a.gguf", LlamaFileType.MOSTLY_Q8_0, tensors),
        _write(tmp_path / "b.gguf", LlamaFileType.MOSTLY_Q8_0, turned),
        _write(tmp_path / "c.gguf", LlamaFileType.MOSTLY_Q8_0, tensors, {"general.alignment": 64}),
    ]
    workspace = Workspace(tmp_path / "ws")
    found = [describe(workspace, path, name=path.stem, source="given") for path in paths]
    assert len({one.sha256 for one in found}) == 3
    assert len({one.weights_sha256 for one in found}) == 1


def test_each_tensors_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    """Oracle: gguf.GGUFReader's data, hashed whole."""
    path = tmp_path / "micro.gguf"
    write_micro_model(path)
    expected = {
        one.name: sha256(one.data.tobytes()).hexdigest() for one in GGUFReader(path).tensors
    }
    assert tensor_digests(path) == expected
    assert len(set(expected.values())) > 5


@pytest.mark.parametrize(
    ("fields", "tokenizer", "vocabulary"),
    [
        ({"tokenizer.ggml.eos_token_id": 1}, True, True),
        ({"tokenizer.ggml.padding_token_id": 2}, True, True),
        ({"tokenizer.ggml.add_bos_token": True}, True, True),
        ({"tokenizer.chat_template": "other"}, True, True),
        ({"tokenizer.ggml.pre": "llama-bpe"}, False, True),
        ({"tokenizer.ggml.model": "llama"}, False, True),
        ({"tokenizer.ggml.merges": ["b a"]}, False, True),
        ({"tokenizer.ggml.token_type": [3, 1, 1, 4]}, False, True),
        ({"tokenizer.ggml.scores": [0.0, 1.0, 1.0, 1.0]}, False, True),
        ({"tokenizer.ggml.tokens": ["<s>", "a", "b", "ba"]}, False, False),
    ],
)
def test_only_what_decides_token_ids_makes_another_tokenizer(
    tmp_path: Path, fields: dict[str, Any], tokenizer: bool, vocabulary: bool
) -> None:
    one, other = _artifact(tmp_path, MODEL), _artifact(tmp_path, MODEL | fields)
    assert (one.tokenizer_sha256 == other.tokenizer_sha256) is tokenizer
    assert (one.vocabulary_sha256 == other.vocabulary_sha256) is vocabulary
    assert one.weights_sha256 == other.weights_sha256


def test_a_chat_template_is_known_by_its_text(tmp_path: Path) -> None:
    """Oracle: sha256 of the text."""
    template = "{{ messages }}\n{# größer #}"
    found = _artifact(tmp_path, MODEL | {"tokenizer.chat_template": template})
    assert found.chat_template_sha256 == sha256(template.encode()).hexdigest()


def test_a_file_without_a_vocabulary_has_no_hashes_of_one(tmp_path: Path) -> None:
    found = _artifact(tmp_path, {"tokenizer.ggml.model": "no_vocab"})
    assert (found.vocabulary_sha256, found.tokenizer_sha256, found.chat_template_sha256) == (
        "",
        "",
        "",
    )


# -- what a mix asked for ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "fell_back"),
    [
        ({}, ["attn_v", "attn_q", "output"]),
        ({"attn_v": "Q8_0"}, ["attn_q", "output"]),
        ({"attn_v": "Q6_K"}, ["attn_v", "attn_q", "output"]),  # asked for, and fell back
        ({"attn_.*": "Q8_0", "^output": "Q5_0"}, []),
        ({"attn_v": "Q6_K", "attn_.*": "Q8_0"}, ["attn_v", "output"]),  # the first decides
    ],
)
def test_a_mix_is_held_against_what_it_asked_for(
    tmp_path: Path, overrides: dict[str, str], fell_back: list[str]
) -> None:
    tensors = {
        "blk.0.attn_v.weight": (Q8_0, (2, 576)),
        "blk.0.attn_q.weight": (Q8_0, (2, 576)),
        "output.weight": (Q5_0, (2, 576)),
    }
    path = _write(tmp_path / "file.gguf", LlamaFileType.MOSTLY_Q4_K_M, tensors)
    found = read_gguf(path, overrides).tensors
    assert [one.name.split(".")[-2] for one in found if one.fell_back] == fell_back
    described = describe(
        Workspace(tmp_path / "ws"), path, name="x", source="given", overrides=overrides
    )
    assert described.fallback_share == pytest.approx(len(fell_back) / 3, abs=1e-6)


def test_a_mix_can_fall_back_where_its_label_cannot(tmp_path: Path) -> None:
    """Q8_0 cuts rows of 576 into blocks of 32; Q4_K, which the mix asked for, cannot."""
    tensors = {"blk.0.attn_v.weight": (Q5_0, (2, 576)), "output.weight": (Q8_0, (2, 576))}
    path = _write(tmp_path / "file.gguf", LlamaFileType.MOSTLY_Q8_0, tensors)
    found = read_gguf(path, {"attn_v": "Q4_K"}).tensors
    assert [one.fell_back for one in found] == [True, False]
