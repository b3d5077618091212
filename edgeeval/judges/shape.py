"""What the encoders have in common that llama.cpp runs as "bert": their names and shapes.

BERT, RoBERTa and XLM-RoBERTa are one graph. They differ in where positions start, and in the head:
BERT's classifier reads the pooler of the model itself, RoBERTa's has a dense layer of its own.
llama.cpp runs both as tanh(cls x) and then cls.output.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

ARCHITECTURES = {
    "BertForSequenceClassification": "bert",
    "RobertaForSequenceClassification": "roberta",
    "XLMRobertaForSequenceClassification": "roberta",
}
"""Hugging Face class -> the prefix of its weights' names."""

_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
"""Name in a layer, there and in llama.cpp."""
_HEADS = {
    "bert": {"bert.pooler.dense": "cls", "classifier": "cls.output"},
    "roberta": {"classifier.dense": "cls", "classifier.out_proj": "cls.output"},
}


@dataclass(frozen=True)
class Shape:
    """The sizes of an encoder with a classification head."""

    prefix: str
    n_layers: int
    n_embd: int
    n_ff: int
    n_heads: int
    n_vocab: int
    n_positions: int
    """Positions that a text may have; what RoBERTa keeps before its first is not counted."""
    padding_id: int | None
    """RoBERTa's: its positions count from behind this number. BERT's count from 0."""
    n_token_types: int
    n_labels: int
    norm_epsilon: float

    @property
    def position_offset(self) -> int:
        """Rows of the position table before that of a text's first token."""
        return 0 if self.padding_id is None else self.padding_id + 1


class Weight(NamedTuple):
    """One tensor, there and here."""

    source: str
    """Its name in the checkpoint."""
    target: str
    """Its name in the GGUF file."""
    shape: tuple[int, ...]
    """In the checkpoint, rows first."""


def weights_of(shape: Shape) -> Iterator[Weight]:
    """Yield every tensor that such a classifier has, in the order of a GGUF file."""
    embd, embeddings = shape.n_embd, f"{shape.prefix}.embeddings"
    n_rows = shape.n_positions + shape.position_offset
    yield Weight(f"{embeddings}.word_embeddings.weight", "token_embd.weight", (shape.n_vocab, embd))
    yield Weight(f"{embeddings}.position_embeddings.weight", "position_embd.weight", (n_rows, embd))
    yield Weight(
        f"{embeddings}.token_type_embeddings.weight",
        "token_types.weight",
        (shape.n_token_types, embd),
    )
    yield from _pair(f"{embeddings}.LayerNorm", "token_embd_norm", (embd,))
    for layer in range(shape.n_layers):
        for name, target in _LAYER.items():
            yield from _pair(
                f"{shape.prefix}.encoder.layer.{layer}.{name}",
                f"blk.{layer}.{target}",
                _layer_shape(target, shape),
            )
    for name, target in _HEADS[shape.prefix].items():
        yield from _pair(name, target, (embd if target == "cls" else shape.n_labels, embd))


def _layer_shape(target: str, shape: Shape) -> tuple[int, ...]:
    if target.endswith("_norm"):
        return (shape.n_embd,)
    rows = shape.n_ff if target == "ffn_up" else shape.n_embd
    return (rows, shape.n_ff if target == "ffn_down" else shape.n_embd)


def _pair(source: str, target: str, shape: tuple[int, ...]) -> Iterator[Weight]:
    yield Weight(f"{source}.weight", f"{target}.weight", shape)
    yield Weight(f"{source}.bias", f"{target}.bias", shape[:1])


def is_unused(name: str) -> bool:
    """Tell whether a checkpoint's tensor has no part in the answer.

    RoBERTa's pooler is left over from pretraining: its classifier does not read it.
    """
    return name.endswith((".position_ids", ".token_type_ids")) or name.startswith("roberta.pooler.")


def modern_name(name: str) -> str:
    """Return a tensor's name as newer checkpoints have it: early ones say gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )
