"""Small files of several architectures: the gguf package's own tensor names, the usual keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, MODEL_TENSORS, TENSOR_NAMES
from gguf import GGMLQuantizationType as Kind

from tests.artifact.gguf_files import Zeros, write_gguf

_LAYERS = 2
_MATRICES = [
    (Kind.Q4_K, 256),
    (Kind.Q6_K, 512),
    (Kind.Q8_0, 96),
    (Kind.Q5_0, 64),
    (Kind.F16, 10),
    (Kind.BF16, 6),
    (Kind.F32, 5),
    (Kind.IQ4_XS, 256),
    (Kind.TQ2_0, 256),
    (Kind.IQ2_XXS, 256),
    (Kind.MXFP4, 32),
]
"""Types, each with a width of rows that can be cut into its blocks."""
_TOKENIZERS: dict[str, dict[str, Any]] = {
    "llama": {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "▁the", "<0x0A>", "größer"],
        "tokenizer.ggml.scores": [0.0, 0.0, -1.5, 0.1, -1e10],
        "tokenizer.ggml.token_type": [2, 3, 1, 6, 1],
        "tokenizer.ggml.add_space_prefix": False,
    },
    "gpt2": {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": ["a", "b", "ab", "Ġ", "<|im_end|>"],
        "tokenizer.ggml.token_type": [1, 1, 1, 1, 3],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": 4,
        "tokenizer.chat_template": "{% for m in messages %}{{ m.content }}\n{% endfor %}",
        "tokenizer.chat_template.tool_use": "{{ tools }}",
        "tokenizer.chat_templates": ["tool_use"],
    },
    "bert": {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": ["[PAD]", "[CLS]", "▁hello", "##ing"],
        "tokenizer.ggml.token_type": [3, 3, 1, 1],
        "tokenizer.ggml.token_type_count": 2,
    },
    "t5": {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.tokens": ["<pad>", "</s>", "▁x"],
        "tokenizer.ggml.scores": [0.0, 0.0, -2.0],
        "tokenizer.ggml.precompiled_charsmap": b"\x00\x80\xff\x01",
        "tokenizer.ggml.remove_extra_whitespaces": True,
    },
}
_KEYS: dict[str, dict[str, Any]] = {
    "llama": {"rope.freq_base": 500_000.0, "attention.head_count_kv": 3, "vocab_size": 5},
    "qwen2": {"attention.layer_norm_rms_epsilon": 1e-6, "rope.scaling.type": "yarn"},
    "qwen3moe": {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 96},
    "gemma3": {
        "attention.sliding_window": 512,
        "attention.sliding_window_pattern": [True, False],
        "attention.head_count_kv": [1, 2],
        "final_logit_softcapping": 30.0,
    },
    "phi3": {"rope.scaling.original_context_length": 4096, "rope.scaling.attn_factor": 1.19},
    "mamba": {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 8,
        "ssm.state_size": 2,
        "ssm.dt_b_c_rms": True,
    },
    "bert": {
        "attention.causal": False,
        "pooling_type": 1,
        "classifier.output_labels": ["no", "yes"],
    },
    "t5": {"decoder_start_token_id": 0, "attention.relative_buckets_count": 32},
}
_TOKENIZER_OF = {"qwen2": "gpt2", "qwen3moe": "gpt2", "mamba": "gpt2", "bert": "bert", "t5": "t5"}

ARCHITECTURES = sorted(_KEYS)


def write_architecture(path: Path, architecture: str) -> Path:
    """Write a file with every tensor that the gguf package knows of an architecture."""
    fields = {f"{architecture}.{key}": value for key, value in _KEYS[architecture].items()}
    fields |= {
        "general.type": "model",
        "general.name": f"Tiny {architecture}",
        "general.file_type": 15,
        "general.quantization_version": 2,
        "general.tags": ["text-generation", "größer"],
        f"{architecture}.context_length": 2048,
        f"{architecture}.block_count": _LAYERS,
    }
    fields |= _TOKENIZERS[_TOKENIZER_OF.get(architecture, "llama")]
    return write_gguf(
        path, architecture=architecture, fields=fields, tensors=_tensors(architecture)
    )


def _tensors(architecture: str) -> dict[str, Zeros]:
    kind = next(one for one, name in MODEL_ARCH_NAMES.items() if name == architecture)
    assert isinstance(kind, MODEL_ARCH)
    names = [
        TENSOR_NAMES[tensor].format(bid=layer)
        for tensor in MODEL_TENSORS[kind]
        for layer in range(_LAYERS if "{bid}" in TENSOR_NAMES[tensor] else 1)
    ]
    tensors: dict[str, Zeros] = {}
    for place, name in enumerate(names):
        matrix, width = _MATRICES[place % len(_MATRICES)]
        if "norm" in name or "rope" in name or name.endswith("ssm_d"):
            tensors[f"{name}.weight"] = (Kind.F32, (7,))
        elif name.endswith("_exps"):
            tensors[f"{name}.weight"] = (matrix, (4, 3, width))
        else:
            tensors[f"{name}.weight"] = (matrix, (3, width))
        if name.endswith(("attn_q", "cls")):
            tensors[f"{name}.bias"] = (Kind.F32, (3,))
    return tensors
