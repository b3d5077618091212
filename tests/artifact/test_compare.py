"""Files are compared by what they hold; every expected difference was put in by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.artifact.compare import (
    Difference,
    FieldDifference,
    FileComparison,
    TensorDifference,
    alike,
    compare_files,
)
from edgeeval.artifact.header import ArrayField
from edgeeval.artifact.inspect import GgufInfo, TensorInfo, read_gguf, tensor_digests
from tests.artifact.gguf_files import Zeros, write_gguf

FIELDS: dict[str, Any] = {
    "general.name": "one",
    "llama.rope.freq_base": 10_000.0,
    "llama.feed_forward_length": [1, 2],
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["<s>", "a", "b"],
    "tokenizer.ggml.eos_token_id": 0,
    "tokenizer.chat_template": "{{ messages }}",
}
TENSORS: dict[str, Zeros] = {
    "token_embd.weight": (Kind.Q8_0, (5, 256)),
    "output_norm.weight": (Kind.F32, (256,)),
    **{f"blk.{layer}.attn_v.weight": (Kind.Q4_K, (2, 256)) for layer in range(4)},
    **{f"blk.{layer}.attn_q.weight": (Kind.Q4_K, (8, 256)) for layer in range(4)},
}


class Files:
    """Files of a folder, numbered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        fields: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Any] | None = None,
        *,
        architecture: str = "llama",
        without: tuple[str, ...] = (),
    ) -> None:
        """Write a file with FIELDS and TENSORS, but for what is given; None takes a field away."""
        kept = {
            key: value for key, value in {**FIELDS, **(fields or {})}.items() if value is not None
        }
        there = {
            name: one for name, one in {**TENSORS, **(tensors or {})}.items() if name not in without
        }
        name = f"{len(list(self.folder.iterdir()))}.gguf"
        write_gguf(self.folder / name, architecture=architecture, fields=kept, tensors=there)

    def infos(self) -> list[GgufInfo]:
        return [read_gguf(path) for path in self._paths()]

    def _paths(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def compared(self) -> FileComparison:
        infos = self.infos()
        digests = {place: tensor_digests(self._paths()[place]) for place in alike(infos)}
        return compare_files(infos, digests)

    def difference(self) -> Difference:
        (one,) = self.compared().others
        return one


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The folder has a first file."""
    one = Files(tmp_path)
    one.add()
    return one


def test_a_copy_differs_in_nothing(files: Files) -> None:
    files.add()
    assert files.compared() == FileComparison(
        others=(
            Difference(
                size_bytes=0,
                bpw=0.0,
                same_architecture=True,
                hyperparameters=(),
                same_tokenizer=True,
                same_vocabulary=True,
                same_chat_template=True,
                tokenizer=(),
                metadata=(),
                missing=(),
                shapes=(),
                types=(),
                n_data_differ=0,
                same_weights=True,
            ),
        ),
        same_weights=((0, 1),),
    )


# -- metadata ------------------------------------------------------------------------------------


def test_other_words_are_told_and_change_no_weight(files: Files) -> None:
    files.add({"general.name": "two", "general.author": "me", "tokenizer.ggml.eos_token_id": 1})
    found = files.difference()
    assert found.metadata == (
        FieldDifference("general.name", "one", "two"),
        FieldDifference("tokenizer.ggml.eos_token_id", 0, 1),
        FieldDifference("general.author", None, "me"),
    )
    assert found.same_weights
    assert found.same_tokenizer


def test_another_hyperparameter_makes_another_model_of_the_same_data(files: Files) -> None:
    files.add({"llama.rope.freq_base": 1e6, "llama.context_length": 64})
    found = files.difference()
    assert found.hyperparameters == (
        FieldDifference("llama.rope.freq_base", 10_000.0, 1e6),
        FieldDifference("llama.context_length", None, 64),
    )
    assert (found.n_data_differ, found.same_weights) == (0, False)
    assert files.compared().same_weights == ()


def test_a_list_is_compared_by_its_values(files: Files) -> None:
    files.add({"llama.feed_forward_length": [2, 1]})
    (found,) = files.difference().hyperparameters
    assert isinstance(found.first, ArrayField)
    assert isinstance(found.other, ArrayField)
    assert (found.first.length, found.other.length) == (2, 2)


def test_another_architecture_has_no_hyperparameters_in_common(files: Files) -> None:
    files.add({"qwen2.rope.freq_base": 1e6}, architecture="qwen2")
    found = files.difference()
    assert not found.same_architecture
    assert found.hyperparameters == ()
    assert [one.key for one in found.metadata] == ["qwen2.rope.freq_base"]
    assert (found.n_data_differ, found.same_weights) == (0, False)


@pytest.mark.parametrize(
    ("fields", "tokenizer", "vocabulary"),
    [
        ({"tokenizer.ggml.pre": "smollm"}, ("tokenizer.ggml.pre",), True),
        ({"tokenizer.ggml.tokens": ["<s>", "b", "a"]}, ("tokenizer.ggml.tokens",), False),
        ({"tokenizer.ggml.tokens": None}, ("tokenizer.ggml.tokens",), False),
    ],
)
def test_another_tokenizer_is_told_by_the_keys_that_make_it(
    files: Files, fields: dict[str, Any], tokenizer: tuple[str, ...], vocabulary: bool
) -> None:
    files.add(fields)
    found = files.difference()
    assert (found.tokenizer, found.same_vocabulary) == (tokenizer, vocabulary)
    assert not found.same_tokenizer
    assert found.metadata == ()


def test_another_chat_template_is_told(files: Files) -> None:
    files.add({"tokenizer.chat_template": "{{ bos_token }}"})
    assert not files.difference().same_chat_template
    assert files.difference().metadata == ()


def test_a_number_that_is_none_is_like_itself_and_true_is_not_one(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.add({"llama.scale": float("nan"), "llama.flag": True})
    files.add({"llama.scale": float("nan"), "llama.flag": 1})
    assert [one.key for one in files.difference().hyperparameters] == ["llama.flag"]


# -- tensors -------------------------------------------------------------------------------------


def test_types_are_told_by_name_and_layers(files: Files) -> None:
    """By hand: Q6_K has 210 bytes a 256 weights, Q4_K 144; attn_v has two such blocks a layer."""
    files.add(tensors={f"blk.{layer}.attn_v.weight": (Kind.Q6_K, (2, 256)) for layer in (3, 0, 1)})
    found = files.difference()
    assert found.types == (TensorDifference("attn_v", (0, 1, 3), 3, 3 * 512, "Q4_K", "Q6_K"),)
    assert (found.missing, found.shapes) == ((), ())
    n_params = 5 * 256 + 256 + 4 * 512 + 4 * 2048
    assert found.bpw == pytest.approx(3 * 2 * (210 - 144) * 8 / n_params)
    assert found.size_bytes == 3 * (448 - 288)  # padded to 32 bytes
    assert (found.n_data_differ, found.same_weights) == (None, False)


def test_the_largest_difference_stands_first(files: Files) -> None:
    files.add(
        tensors={
            "token_embd.weight": (Kind.F16, (5, 256)),
            "blk.0.attn_v.weight": (Kind.Q6_K, (2, 256)),
            "blk.0.attn_q.weight": (Kind.Q5_K, (8, 256)),
            "blk.2.attn_q.weight": (Kind.Q6_K, (8, 256)),
        }
    )
    assert [(one.tensor, one.layers, one.other) for one in files.difference().types] == [
        ("attn_q", (0,), "Q5_K"),
        ("attn_q", (2,), "Q6_K"),
        ("token_embd", (), "F16"),
        ("attn_v", (0,), "Q6_K"),
    ]


def test_missing_tensors_and_other_shapes_are_told(files: Files) -> None:
    files.add(
        tensors={
            "token_embd.weight": (Kind.Q8_0, (6, 256)),
            "output.weight": (Kind.Q6_K, (5, 256)),
            "blk.0.attn_q.bias": (Kind.F32, (8,)),
        },
        without=("blk.3.attn_v.weight", "blk.3.attn_q.weight", "blk.2.attn_q.weight"),
    )
    found = files.difference()
    assert found.shapes == (TensorDifference("token_embd", (), 1, 1280, "256x5", "256x6"),)
    assert found.missing == (
        TensorDifference("attn_q", (2, 3), 2, 4096, "Q4_K", None),
        TensorDifference("output", (), 1, 1280, None, "Q6_K"),
        TensorDifference("attn_v", (3,), 1, 512, "Q4_K", None),
        TensorDifference("attn_q.bias", (0,), 1, 8, None, "F32"),
    )


def test_layers_of_an_encoder_and_a_decoder_are_told_apart(tmp_path: Path) -> None:
    files = Files(tmp_path)
    names = [f"{part}.blk.{layer}.attn_q.weight" for part in ("enc", "dec") for layer in (0, 1)]
    files.add(tensors=dict.fromkeys(names, (Kind.F16, (2, 32))))
    files.add(tensors=dict.fromkeys(names, (Kind.Q8_0, (2, 32))))
    assert [(one.tensor, one.layers) for one in files.difference().types] == [
        ("enc.attn_q", (0, 1)),
        ("dec.attn_q", (0, 1)),
    ]


def test_other_data_are_counted(files: Files) -> None:
    ones = np.ones(256, np.float32)
    files.add(tensors={"output_norm.weight": ones})
    found = files.difference()
    assert (found.types, found.shapes, found.missing) == ((), (), ())
    assert (found.n_data_differ, found.same_weights) == (1, False)


def test_a_vocabulary_has_no_weights_to_compare(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for _ in range(2):
        files.add(without=tuple(TENSORS))
    found = files.difference()
    assert alike(files.infos()) == ()
    assert (found.bpw, found.n_data_differ, found.same_weights) == (None, None, False)
    assert found.same_tokenizer


# -- several files -------------------------------------------------------------------------------


def test_only_files_with_the_same_tensors_are_read(files: Files) -> None:
    larger = {"output_norm.weight": (Kind.F16, (256,))}
    files.add(tensors=larger)
    files.add({"general.name": "again"})
    files.add(tensors={"token_embd.weight": (Kind.F16, (5, 256))})
    files.add({"llama.rope.freq_base": 1e6}, larger)
    files.add(tensors=larger)
    assert alike(files.infos()) == (0, 1, 2, 4, 5)
    found = files.compared()
    assert found.same_weights == ((0, 2), (1, 5))
    assert [one.same_weights for one in found.others] == [False, True, False, False, False]
    assert [one.n_data_differ for one in found.others] == [None, 0, None, None, None]


def test_one_file_differs_from_nothing(files: Files) -> None:
    assert files.compared() == FileComparison((), ())


# -- whatever the types --------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from(["Q4_K", "Q6_K", "F16"]), st.sampled_from(["Q4_K", "Q6_K"])))
)
def test_every_tensor_that_differs_is_in_one_group(pairs: list[tuple[str, str]]) -> None:
    """Oracle: the list itself, counted one by one."""
    base = GgufInfo("model", "llama", "", "", 2, 1, 1, "", "", "", "", 1, 100, {}, ())

    def info(side: int) -> GgufInfo:
        names = [f"blk.{place // 2}.{'ab'[place % 2]}.weight" for place in range(len(pairs))]
        tensors = [
            TensorInfo(name, pair[side], (256, 2), 512, 288, False)
            for name, pair in zip(names, pairs, strict=True)
        ]
        return replace(base, tensors=tuple(tensors))

    files = [info(0), info(1)]
    digests = {place: {one.name: "" for one in files[place].tensors} for place in alike(files)}
    (found,) = compare_files(files, digests).others
    told = {
        (one.tensor, layer): (one.first, one.other) for one in found.types for layer in one.layers
    }
    expected = {
        ("ab"[place % 2], place // 2): pair
        for place, pair in enumerate(pairs)
        if pair[0] != pair[1]
    }
    assert told == expected
    assert sum(one.n_tensors for one in found.types) == len(expected)
    assert sum(one.n_params for one in found.types) == 512 * len(expected)
    assert found.same_weights is (bool(pairs) and not expected)
