"""A small llama whose rows 256 divides, so that every quantization type really is what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, LlamaFileType

WIDTH = 256
LAYERS = 8
"""Enough for llama.cpp to treat the first, middle and last layers otherwise (IQ3_XS)."""
_VOCABULARY = 512


def write_wide_model(path: Path) -> Path:
    """Write random weights as F32, without a vocabulary."""
    writer = GGUFWriter(path, "llama")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 4)
    writer.add_vocab_size(_VOCABULARY)
    writer.add_tokenizer_model("no_vocab")
    generator = np.random.default_rng(1)

    def add(name: str, rows: int, columns: int) -> None:
        values = generator.standard_normal((rows, columns)).astype(np.float32) * 0.05
        writer.add_tensor(f"{name}.weight", values)

    add("token_embd", _VOCABULARY, WIDTH)
    add("output", _VOCABULARY, WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}", WIDTH, WIDTH)
        add(f"blk.{layer}.ffn_gate", 2 * WIDTH, WIDTH)
        add(f"blk.{layer}.ffn_up", 2 * WIDTH, WIDTH)
        add(f"blk.{layer}.ffn_down", WIDTH, 2 * WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
