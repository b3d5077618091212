"""A Hugging Face folder is understood, or refused in one line before anything is started."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.artifact.checkpoint import read_checkpoint
from edgeeval.errors import ModelFileError
from tests.hf_folder import Stored, write_json, write_safetensors

INDEX = "model.safetensors.index.json"


def tensor(dtype: str, *shape: int) -> Stored:
    size = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "F8_E4M3": 1}[dtype]
    return dtype, np.zeros((*shape, size), np.uint8), shape


def refusal(folder: Path) -> str:
    with pytest.raises(ModelFileError) as refused:
        read_checkpoint(folder)
    text = str(refused.value)
    assert "\n" not in text
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is whole."""
    folder = tmp_path / "My-Model-1B"
    folder.mkdir()
    write_json(folder / "config.json", {"architectures": ["LlamaForCausalLM"]})
    write_json(folder / "tokenizer.json", {})
    write_safetensors(
        folder / "model.safetensors",
        {"a.weight": tensor("BF16", 6, 2), "norm.weight": tensor("F32", 5)},
    )
    return folder


def shard(folder: Path, weight_map: dict[str, str] | None) -> None:
    """Replace the folder's weights by two shards, with an index or without."""
    (folder / "model.safetensors").unlink()
    for number, name in enumerate("ab", start=1):
        path = folder / f"model-{number:05}-of-00002.safetensors"
        write_safetensors(path, {f"{name}.weight": tensor("F16", 3)})
    if weight_map is not None:
        write_json(folder / INDEX, {"weight_map": weight_map})


SHARDS = {
    "a.weight": "model-00001-of-00002.safetensors",
    "b.weight": "model-00002-of-00002.safetensors",
}


def test_a_whole_folder_is_understood(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    assert checkpoint.name == "My-Model-1B"
    assert checkpoint.architectures == ("LlamaForCausalLM",)
    assert checkpoint.n_tensors == 2
    assert checkpoint.n_params == 17
    assert checkpoint.params_by_type == {"BF16": 12, "F32": 5}
    assert checkpoint.own_type == "BF16"
    assert checkpoint.quantization is None
    assert [path.name for path in checkpoint.files] == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_what_the_converter_does_not_read_does_not_count(folder: Path) -> None:
    """Pictures, pickles beside safetensors, other formats and hidden folders."""
    before = read_checkpoint(folder)
    for name in ("a.png", "pytorch_model.bin", "a.gguf", ".cache/state.json", "consolidated.st"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    write_safetensors(folder / "consolidated.safetensors", {"x": tensor("F32", 1)})
    assert read_checkpoint(folder) == before
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("x", encoding="utf-8")
    assert len(read_checkpoint(folder).files) == len(before.files) + 1


@pytest.mark.parametrize("weight_map", [SHARDS, None])
def test_shards_are_one_model_with_an_index_or_without(
    folder: Path, weight_map: dict[str, str] | None
) -> None:
    shard(folder, weight_map)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.n_tensors == 2
    assert checkpoint.own_type == "F16"


@pytest.mark.parametrize(
    ("config", "quantization"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
        ({"quantization_config": {}}, "unknown"),
        ({"quantization_config": None}, None),
    ],
)
def test_a_quantized_checkpoint_is_told_apart(
    folder: Path, config: dict[str, Any], quantization: str | None
) -> None:
    write_json(folder / "config.json", {"architectures": ["LlamaForCausalLM"], **config})
    assert read_checkpoint(folder).quantization == quantization


def test_packed_integers_are_no_type_to_keep(folder: Path) -> None:
    write_safetensors(
        folder / "model.safetensors", {"q": tensor("I32", 9), "scale": tensor("F16", 2)}
    )
    assert read_checkpoint(folder).own_type == "F16"
    write_safetensors(folder / "model.safetensors", {"q": tensor("F8_E4M3", 9)})
    assert read_checkpoint(folder).own_type == "F32"


def test_the_text_part_of_a_larger_model_is_named_too(folder: Path) -> None:
    config = {
        "architectures": ["XForConditionalGeneration"],
        "text_config": {"architectures": ["XForCausalLM"]},
    }
    write_json(folder / "config.json", config)
    assert read_checkpoint(folder).architectures == ("XForConditionalGeneration", "XForCausalLM")


def test_a_folder_that_is_not_there_or_is_a_file(folder: Path) -> None:
    assert "no such folder" in refusal(folder / "nothing")
    assert "no such folder" in refusal(folder / "config.json")


def test_no_config_says_what_the_folder_seems_to_be(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "no config.json: not a Hugging Face model folder" in refusal(folder)
    (folder / "a-Q8_0.gguf").write_bytes(b"")
    assert "for a-Q8_0.gguf give the file itself" in refusal(folder)
    write_json(folder / "adapter_config.json", {})
    assert "an adapter, not a model; merge it into its base first" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "config.json: not JSON"),
        (b"{", "config.json: not JSON"),
        (b"\xff", "config.json: not JSON"),
        (b"[" * 100_000, "config.json: not JSON"),
        (b"[]", "config.json: not a JSON object"),
        (b"{}", "names no architecture"),
        (b'{"architectures": []}', "names no architecture"),
        (b'{"architectures": "Llama"}', "names no architecture"),
        (b'{"architectures": [7]}', "names no architecture"),
        (b'{"architectures": ["A"], "text_config": {"architectures": [7]}}', "names no arch"),
    ],
)
def test_a_config_that_says_nothing(folder: Path, text: bytes, reason: str) -> None:
    (folder / "config.json").write_bytes(text)
    assert reason in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", -1),
        ("vocab_size", "many"),
        ("vocab_size", 1e9),
        ("text_config", {"num_hidden_layers": 10**9}),
    ],
)
def test_counts_that_the_weights_cannot_have_are_refused(
    folder: Path, key: str, value: Any
) -> None:
    """llama.cpp's converter makes lists as long as they say: a billion layers fill the memory."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ModelFileError, match=r"config\.json: \w+: .* cannot be, with \d+ tensors"):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickles_are_refused_with_what_to_do(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    text = refusal(folder)
    assert f"pickles ({name}), which can run code" in text
    assert "take a revision with safetensors" in text


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "no weights (model.safetensors" in refusal(folder)


def test_a_tensor_of_nothing_is_no_model(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", {"a": tensor("F32", 0)})
    assert "hold no parameters" in refusal(folder)


def test_a_truncated_shard_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert refusal(folder).startswith(f"{path}: ")


def test_no_tokenizer_unless_the_converter_carries_one(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "merges.txt").write_text("", encoding="utf-8")
    assert "no tokenizer (tokenizer.json, or tokenizer.model" in refusal(folder)
    for name in ("tokenizer.model", "vocab.json", "qwen.tiktoken", "rwkv_vocab_v20230424.txt"):
        (folder / name).write_text("", encoding="utf-8")
        read_checkpoint(folder)
        (folder / name).unlink()
    write_json(folder / "config.json", {"architectures": ["MambaForCausalLM"]})
    read_checkpoint(folder)


@pytest.mark.parametrize(
    "index", [b"{", b"{}", b'{"weight_map": []}', b'{"weight_map": {"a": 7}}', b"[]"]
)
def test_an_index_that_is_none(folder: Path, index: bytes) -> None:
    (folder / INDEX).write_bytes(index)
    assert INDEX in refusal(folder)


def test_a_missing_shard_is_named_with_an_index_or_without(folder: Path) -> None:
    shard(folder, SHARDS)
    (folder / SHARDS["b.weight"]).unlink()
    assert f"'{SHARDS['b.weight']}' is missing, which {INDEX} names" in refusal(folder)
    (folder / INDEX).unlink()
    assert f"{SHARDS['b.weight']} is missing" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../other.safetensors", "is not the name of a file beside it"),
        ("/etc/passwd", "is not the name of a file beside it"),
        ("sub/a.safetensors", "is not the name of a file beside it"),
        ("..", "is missing"),
        (".", "is not the name of a file beside it"),
        ("", "is missing"),
        ("a\0b", "is missing"),
    ],
)
def test_an_index_cannot_lead_out_of_the_folder(folder: Path, name: str, reason: str) -> None:
    write_safetensors(folder.parent / "other.safetensors", {"a.weight": tensor("F16", 3)})
    shard(folder, {**SHARDS, "a.weight": name})
    assert reason in refusal(folder)


@pytest.mark.parametrize(
    "weight_map",
    [
        {**SHARDS, "c.weight": SHARDS["b.weight"]},
        {**SHARDS, "a.weight": SHARDS["b.weight"]},
        {"b.weight": SHARDS["b.weight"], "x.weight": SHARDS["a.weight"]},
    ],
)
def test_the_index_and_the_shards_must_agree(folder: Path, weight_map: dict[str, str]) -> None:
    shard(folder, weight_map)
    assert f"is not where {INDEX} says" in refusal(folder)


def test_a_tensor_in_two_files_is_refused(folder: Path) -> None:
    write_safetensors(folder / "model.fp16.safetensors", {"a.weight": tensor("F16", 6, 2)})
    assert "a tensor stands in two files of" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    (folder / name).rename(folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)
    assert f"{folder / name}: a link out of the folder" in refusal(folder)


def test_a_linked_folder_is_refused_where_it_leads_out(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder / "1_Pooling").symlink_to(folder.parent / "elsewhere")
    assert "1_Pooling: a link out of the folder" in refusal(folder)


def test_links_inside_and_a_link_to_the_folder_itself_are_fine(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "real.json")
    (folder / "tokenizer.json").symlink_to("real.json")
    (folder / "round").symlink_to(folder)
    link = folder.parent / "short"
    link.symlink_to(folder)
    assert read_checkpoint(link) == read_checkpoint(folder)


def test_a_snapshot_in_the_hugging_face_cache_links_to_its_blobs_and_nowhere_else(
    folder: Path,
) -> None:
    """The cache's layout: models--OWNER--NAME/{blobs/HASH, snapshots/REVISION/NAME -> blob}."""
    entry = folder.parent / "hub" / "models--owner--Some-Model"
    snapshot = entry / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (entry / "blobs").mkdir()
    for path in list(folder.iterdir()):
        path.rename(entry / "blobs" / f"hash-of-{path.name}")
        (snapshot / path.name).symlink_to(f"../../blobs/hash-of-{path.name}")
    checkpoint = read_checkpoint(snapshot)
    assert checkpoint.name == "Some-Model"
    assert checkpoint.n_tensors == 2

    other = entry.parent / "models--owner--private" / "blobs"
    other.mkdir(parents=True)
    write_json(other / "secret", {"architectures": ["A"]})
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../../models--owner--private/blobs/secret")
    assert "a link out of the folder" in refusal(snapshot)


def test_a_pipe_named_like_a_file_does_not_hang_us(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "no config.json" in refusal(folder)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
_CONFIG_KEYS = st.sampled_from(["architectures", "text_config", "quantization_config", "x"])


@given(
    config=st.dictionaries(_CONFIG_KEYS, _JSON | st.dictionaries(_CONFIG_KEYS, _JSON)) | _JSON,
    index=st.none() | st.fixed_dictionaries({"weight_map": _JSON}) | _JSON,
)
def test_any_json_is_understood_or_refused(
    tmp_path_factory: pytest.TempPathFactory, config: Any, index: Any
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    write_safetensors(folder / "model.safetensors", {"a": tensor("F32", 1)})
    if index is not None:
        (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    try:
        checkpoint = read_checkpoint(folder)
    except ModelFileError:
        return
    assert checkpoint.n_params == 1
    assert checkpoint.architectures
