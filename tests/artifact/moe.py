"""A mixture of experts so small that numpy can compute it, with a vocabulary of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from gguf import GGUFWriter, TokenType

WIDTH = 256
N_LAYERS = 2
N_EXPERTS = 4
N_USED = 2
UNREACHED = 3
"""The expert that no token is ever sent to."""
BOS = 1
FIRST_BYTE = 3
_EPS = 1e-5
_HEADS = 4


class Moe(NamedTuple):
    """The model's file and its weights, by name."""

    path: Path
    weights: dict[str, np.ndarray]


def write_moe(path: Path) -> Moe:
    """Write a two-layer llama with experts whose attention gives nothing, so that it is easy.

    The first embedding column is large and positive; the router takes it as a reason against one
    expert.
    """
    generator = np.random.default_rng(4)

    def matrix(*shape: int) -> np.ndarray:
        return (generator.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    table = generator.standard_normal((FIRST_BYTE + 256, WIDTH)).astype(np.float32)
    table[:, 0] = 5 + np.abs(table[:, 0])
    weights = {"token_embd": table, "output_norm": np.ones(WIDTH, np.float32)}
    for layer in range(N_LAYERS):
        block = {
            "attn_norm": 1 + 0.1 * generator.standard_normal(WIDTH).astype(np.float32),
            "attn_q": matrix(WIDTH, WIDTH),
            "attn_k": matrix(WIDTH, WIDTH),
            "attn_v": matrix(WIDTH, WIDTH),
            "attn_output": np.zeros((WIDTH, WIDTH), np.float32),
            "ffn_norm": 1 + 0.1 * generator.standard_normal(WIDTH).astype(np.float32),
            "ffn_gate_inp": matrix(N_EXPERTS, WIDTH),
            "ffn_gate_exps": matrix(N_EXPERTS, WIDTH, WIDTH),
            "ffn_up_exps": matrix(N_EXPERTS, WIDTH, WIDTH),
            "ffn_down_exps": matrix(N_EXPERTS, WIDTH, WIDTH) / 4,
        }
        block["ffn_gate_inp"][UNREACHED, 0] = -10
        weights |= {f"blk.{layer}.{name}": value for name, value in block.items()}
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(N_LAYERS)
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(_EPS)
    writer.add_rope_dimension_count(WIDTH // _HEADS)
    writer.add_expert_count(N_EXPERTS)
    writer.add_expert_used_count(N_USED)
    writer.add_vocab_size(len(table))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))])
    writer.add_token_scores([0.0] * len(table))
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
    writer.add_token_types(kinds)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_space_prefix(False)
    for name, value in weights.items():
        writer.add_tensor(f"{name}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Moe(path, weights)


def _normed(rows: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + _EPS) * scale


def inputs_by_brute_force(moe: Moe, tokens: list[int]) -> dict[str, list[tuple[np.ndarray, int]]]:
    """Return, by weight, what `in_sum2` and `counts` are: one pair a matrix, in float64.

    One token after the other and one expert after the other. `attn_output` is left out: what the
    attention gives is never computed here, since its output weight is zero.
    """
    weights = {name: value.astype(np.float64) for name, value in moe.weights.items()}
    rows = weights["token_embd"][tokens]
    found: dict[str, list[tuple[np.ndarray, int]]] = {}
    for layer in range(N_LAYERS):
        block = {
            name.split(".", 2)[2]: value
            for name, value in weights.items()
            if name.startswith(f"blk.{layer}.")
        }
        before = _normed(rows, block["attn_norm"])
        after = _normed(rows, block["ffn_norm"])
        for names, seen in (
            (("attn_q", "attn_k", "attn_v"), before),
            (("ffn_gate_inp",), after),
        ):
            for name in names:
                found[f"blk.{layer}.{name}.weight"] = [((seen**2).sum(axis=0), len(tokens))]
        entering = [(np.zeros(WIDTH), 0) for _ in range(N_EXPERTS)]
        leaving = [(np.zeros(WIDTH), 0) for _ in range(N_EXPERTS)]
        out = np.zeros_like(rows)
        for place, row in enumerate(after):
            logits = block["ffn_gate_inp"] @ row
            shares = np.exp(logits - logits.max())
            chosen = np.argsort(-shares)[:N_USED]
            for expert in chosen:
                gate = block["ffn_gate_exps"][expert] @ row
                hidden = gate / (1 + np.exp(-gate)) * (block["ffn_up_exps"][expert] @ row)
                entering[expert] = (entering[expert][0] + row**2, entering[expert][1] + 1)
                leaving[expert] = (leaving[expert][0] + hidden**2, leaving[expert][1] + 1)
                share = shares[expert] / shares[chosen].sum()
                out[place] += share * (block["ffn_down_exps"][expert] @ hidden)
        found[f"blk.{layer}.ffn_gate_exps.weight"] = entering
        found[f"blk.{layer}.ffn_up_exps.weight"] = entering
        found[f"blk.{layer}.ffn_down_exps.weight"] = leaving
        rows = rows + out
    return found
