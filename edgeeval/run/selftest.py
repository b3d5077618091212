"""Try the engine's fast paths on a model of a few kilobytes before anything depends on them.

A build may use instructions that the CPU announces and then does not carry out: virtual machines
that show AMX and trap on its first use kill the process in the first batch of any quantized model.
llama.cpp keeps such kernels behind its "extra buffer types" (AMX, repacked weights), which can be
turned off, so a worker that dies here is started again without them.
"""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter

_WIDTH = 256
_HEADS = 4
_VOCABULARY = 512
BATCH_TOKENS = 64
"""Enough rows for the matrix kernels; one row takes the vector ones."""

_TYPES = {
    "attn_q": GGMLQuantizationType.Q8_0,
    "attn_k": GGMLQuantizationType.Q4_0,
    "attn_v": GGMLQuantizationType.Q4_1,
    "attn_output": GGMLQuantizationType.Q6_K,
    "ffn_gate": GGMLQuantizationType.Q4_K,
    "ffn_up": GGMLQuantizationType.Q5_K,
    "ffn_down": GGMLQuantizationType.Q2_K,
}
"""One weight of each common type: each has kernels of its own."""


def _blank(kind: GGMLQuantizationType) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a quantized square matrix of zeros: all-zero bytes are zeros in every type."""
    block, size_bytes = GGML_QUANT_SIZES[kind]
    return np.zeros((_WIDTH, _WIDTH // block * size_bytes), np.uint8)


def write_micro_model(path: Path) -> None:
    """Write a one-layer llama without a vocabulary; it computes nothing, with every kernel."""
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(4 * BATCH_TOKENS)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_vocab_size(_VOCABULARY)
    writer.add_tokenizer_model("no_vocab")
    generator = np.random.default_rng(0)
    table = generator.standard_normal((_VOCABULARY, _WIDTH)).astype(np.float32)
    writer.add_tensor("token_embd.weight", table)
    norm = np.ones(_WIDTH, np.float32)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", norm)
    for name, kind in _TYPES.items():
        writer.add_tensor(f"blk.0.{name}.weight", _blank(kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def try_engine(path: Path, *, device: str, n_threads: int, use_extra_bufts: bool) -> None:
    """Decode one batch and one token of the micro model; a broken build dies here.

    Raises:
        EdgeevalError: llama.cpp could not load or decode it.
    """
    from edgeeval._llama import Context, Model, Row

    model = Model(path, device=device, use_extra_bufts=use_extra_bufts)
    context = Context(
        model,
        n_ctx=2 * BATCH_TOKENS,
        n_batch=BATCH_TOKENS,
        n_ubatch=BATCH_TOKENS,
        n_seq_max=1,
        n_threads=n_threads,
        kv_unified=False,
        kv_type="f16",
        flash_attention=True,
    )
    context.decode([Row(index, index, (0,), True) for index in range(BATCH_TOKENS)])
    context.decode([Row(1, BATCH_TOKENS, (0,), True)])
    context.close()
    model.close()
