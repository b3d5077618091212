"""Write a GGUF file of the llama architecture as the Hugging Face folder that it could come from.

The inverse of llama.cpp's converter, for tests: what is converted back must be the file again. It
uses neither torch nor transformers nor the safetensors library, so the converter is held against
something that shares no code with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader, ReaderTensor

_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
_GEMMA_NAMES = {
    "attn_post_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_post_norm": "post_feedforward_layernorm",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
}
"""What Gemma 3 names otherwise, or has besides."""
_CONTROL = 3
"""GGUF's token type of special tokens."""

Stored = tuple[str, npt.NDArray[Any], tuple[int, ...]]
"""Data type, bytes, shape."""


def write_safetensors(path: Path, tensors: Mapping[str, Stored]) -> None:
    """Write a file by the format's description."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, data, shape) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [at, at + data.nbytes],
        }
        at += data.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, data, _ in tensors.values():
            file.write(np.ascontiguousarray(data).tobytes())


def write_hf_folder(gguf: Path, folder: Path, *, n_shards: int = 1) -> Path:
    """Write configuration, weights and tokenizer of an unquantized GGUF file into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    reader = GGUFReader(gguf)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    write_json(folder / "config.json", _config(fields, reader.tensors))
    write_tokenizer(folder, fields)
    tensors = dict(_stored(tensor, fields) for tensor in reader.tensors)
    if n_shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return folder
    weight_map = {}
    for index in range(n_shards):
        shard = f"model-{index + 1:05}-of-{n_shards:05}.safetensors"
        part = dict(list(tensors.items())[index::n_shards])
        write_safetensors(folder / shard, part)
        weight_map.update(dict.fromkeys(part, shard))
    size_bytes = sum(data.nbytes for _, data, _ in tensors.values())
    index_file = {"metadata": {"total_size": size_bytes}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index_file)
    return folder


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _stored(tensor: ReaderTensor, fields: Mapping[str, Any]) -> tuple[str, Stored]:
    kind = tensor.tensor_type.name
    assert kind in ("F32", "F16", "BF16"), "only an unquantized file comes from a folder"
    data = np.asarray(tensor.data)
    shape = tuple(int(size) for size in reversed(tensor.shape))
    for part, key in [("attn_q", "head_count"), ("attn_k", "head_count_kv")]:
        if f".{part}." in tensor.name:
            data = _unpermute(data, int(fields[f"llama.attention.{key}"]))
    return _name(tensor.name), (kind, data, shape)


def _unpermute(rows: npt.NDArray[Any], n_heads: int) -> npt.NDArray[Any]:
    """Undo what the converter does to the rows of a head for llama.cpp's rotary embedding.

    It takes the halves of a head's rows in turn: (head, half, row) -> (head, row, half).
    """
    by_head = rows.reshape(n_heads, len(rows) // n_heads // 2, 2, *rows.shape[1:])
    return by_head.swapaxes(1, 2).reshape(rows.shape)


def _name(name: str, names: Mapping[str, str] = _NAMES) -> str:
    block = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if block:
        return f"model.layers.{block[1]}.{names[block[2]]}.weight"
    return f"{names[name.removesuffix('.weight')]}.weight"


def _config(fields: Mapping[str, Any], tensors: list[ReaderTensor]) -> dict[str, Any]:
    names = {tensor.name for tensor in tensors}
    kinds = {tensor.name: tensor.tensor_type.name for tensor in tensors}
    dtype = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[kinds["token_embd.weight"]]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "hidden_act": "silu",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "max_position_embeddings": fields["llama.context_length"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "rms_norm_eps": fields["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": fields["llama.rope.freq_base"],
        "tie_word_embeddings": "output.weight" not in names,
        "torch_dtype": dtype,
        "vocab_size": fields["llama.vocab_size"],
    }


def write_tokenizer(folder: Path, fields: Mapping[str, Any]) -> None:
    """Write a byte-level BPE tokenizer whose digits stand alone, as SmolLM2's do."""
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    special = [(index, token) for index, token in enumerate(tokens) if kinds[index] == _CONTROL]
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": token, "special": True, **plain} for index, token in special
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [digits, {**byte_level, "add_prefix_space": False}],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": fields["tokenizer.ggml.merges"],
        },
    }
    write_json(folder / "tokenizer.json", tokenizer)
    of = {
        role: tokens[fields[f"tokenizer.ggml.{key}_token_id"]]
        for role, key in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")]
    }
    settings = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": fields["tokenizer.ggml.add_space_prefix"],
        "added_tokens_decoder": {
            str(index): {"content": token, "special": True, **plain} for index, token in special
        },
        "additional_special_tokens": [of["bos"], of["eos"]],
        **{f"{role}_token": token for role, token in of.items()},
        "chat_template": fields["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": fields["llama.context_length"],
    }
    write_json(folder / "tokenizer_config.json", settings)


def write_tiny_folder(gguf: Path, folder: Path) -> Path:
    """Write a folder with random weights of one thin layer and the tokenizer of a GGUF file."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {name: field.contents() for name, field in GGUFReader(gguf).fields.items()}
    write_tokenizer(folder, fields)
    return write_tiny_weights(folder, len(fields["tokenizer.ggml.tokens"]))


def write_tiny_weights(folder: Path, n_vocab: int, *, is_gemma: bool = False) -> Path:
    """Write config.json and random weights of one thin layer, of Llama or of Gemma 3."""
    width = 32
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": width,
        "max_position_embeddings": 128,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "vocab_size": n_vocab,
    }
    names = dict(_NAMES)
    shapes = {"token_embd.weight": (n_vocab, width), "output_norm.weight": (width,)}
    for part in ("attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        shapes[f"blk.0.{part}.weight"] = (width, width)
    for part in ("attn_k", "attn_v"):
        shapes[f"blk.0.{part}.weight"] = (width // 2, width)
    for part in ("attn_norm", "ffn_norm"):
        shapes[f"blk.0.{part}.weight"] = (width,)
    if is_gemma:
        config |= {
            "architectures": ["Gemma3ForCausalLM"],
            "model_type": "gemma3_text",
            "head_dim": width // 2,
            "sliding_window": 64,
        }
        names |= _GEMMA_NAMES
        shapes |= {f"blk.0.{part}.weight": (width,) for part in ("attn_post_norm", "ffn_post_norm")}
        shapes |= {f"blk.0.{part}.weight": (width // 2,) for part in ("q_norm", "k_norm")}
    write_json(folder / "config.json", config)
    random = np.random.default_rng(0)
    tensors: dict[str, Stored] = {
        _name(name, names): ("F16", random.standard_normal(shape).astype(np.float16), shape)
        for name, shape in shapes.items()
    }
    write_safetensors(folder / "model.safetensors", tensors)
    return folder
