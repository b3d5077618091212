"""Score multiple-choice questions with Transformers: run by an interpreter that has it.

Nothing of edgeeval is imported: tokens come from `tokenizers`, likelihoods from PyTorch in float32.

    python transformers_peer.py FOLDER < questions.json > log_likelihoods.json

Questions are `[prompt, [option, ...]]`, an option with the space before it.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any


def common_prefix(sequences: list[list[int]]) -> int:
    """Return how many tokens all sequences share, each keeping one to score."""
    n_shared = 0
    for tokens in zip(*(one[:-1] for one in sequences), strict=False):
        if len(set(tokens)) > 1:
            break
        n_shared += 1
    return n_shared


def log_likelihoods(model: Any, joint: list[list[int]]) -> list[float]:
    """Return the summed log-likelihood of what follows the shared tokens, of each sequence."""
    import torch

    n_shared = common_prefix(joint)
    shared = model(torch.tensor([joint[0][:n_shared]]), use_cache=True)
    found = []
    for tokens in joint:
        rest = tokens[n_shared:]
        rows = [shared.logits[0, -1:]]
        if len(rest) > 1:
            cache = copy.deepcopy(shared.past_key_values)
            rows.append(model(torch.tensor([rest[:-1]]), past_key_values=cache).logits[0])
        table = torch.log_softmax(torch.cat(rows).double(), dim=-1)
        found.append(float(sum(table[at, token] for at, token in enumerate(rest))))
    return found


def main(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    with torch.inference_mode():
        found = [
            log_likelihoods(
                model,
                [tokenizer.encode(prompt + o, add_special_tokens=False).ids for o in options],
            )
            for prompt, options in json.load(sys.stdin)
        ]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
