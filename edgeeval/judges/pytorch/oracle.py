"""Read a classifier checkpoint with PyTorch, and say what it answers.

This runs in the converter's environment, where edgeeval is not installed, started as llama.cpp's
converter is: without the network, without code of the model's own. It has a folder to itself,
because its folder is where Python looks for modules first. Its arguments are a command and a job
file:

    unpack   a pickle -> safetensors, and the configuration that Detoxify keeps beside the weights
    answer   a checkpoint and texts -> tokenizer.json, token ids and raw outputs
"""

import json
import pickle
import sys
from pathlib import Path
from typing import Any, NoReturn

FAULT = "FAULT: "
"""Begins the one line that says what is wrong with the checkpoint."""
_MAX_REASON = 300


def _refuse(reason: str) -> NoReturn:
    print(FAULT + " ".join(reason.split())[:_MAX_REASON])  # noqa: T201 (this is how it reports)
    sys.exit(2)


def _load_pickle(path: Path) -> dict[str, Any]:
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        _refuse("it is a pickle that asks for code to be run, or broken; it was not run")
    except Exception as error:  # a broken archive may raise anything
        _refuse(f"broken or truncated: {type(error).__name__}: {error}")
    if not isinstance(loaded, dict):
        _refuse("it holds no dictionary of weights")
    return loaded


def unpack(job: dict[str, Any]) -> None:
    """Turn a pickled checkpoint into safetensors.

    Detoxify's own files are a dictionary with `state_dict` and `config`; what its training saves
    has the prefix `model.` before every name.
    """
    import torch
    from safetensors.torch import save_file

    loaded = _load_pickle(Path(job["checkpoint"]))
    weights = loaded.get("state_dict", loaded)
    if not isinstance(weights, dict) or not weights:
        _refuse("it holds no weights")
    tensors = {
        str(name).removeprefix("model."): value.to(torch.float32).contiguous()
        for name, value in weights.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    if not tensors:
        _refuse("it holds no weights")
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, job["weights"])
    config = loaded.get("config") if "state_dict" in loaded else None
    Path(job["config"]).write_text(json.dumps(config), encoding="utf-8")


def answer(job: dict[str, Any]) -> None:
    """Say what the checkpoint makes of texts, one at a time, so that padding has no say."""
    import torch
    import transformers
    from safetensors.torch import load_file

    transformers.logging.set_verbosity_error()
    tokenizer = _tokenizer(Path(job["folder"]))
    model_class = getattr(transformers, job["architecture"])
    config = model_class.config_class(**job["config"])
    config.num_labels = job["n_labels"]
    with torch.no_grad():
        model = model_class(config).eval()
        weights = load_file(job["weights"])
        told = model.load_state_dict(
            {name: weights[stored].to(torch.float32) for name, stored in job["names"].items()},
            strict=False,
        )
        lacking = [name for name in told.missing_keys if not name.endswith("_ids")]
        if lacking or told.unexpected_keys:
            _refuse(f"PyTorch does not take its weights: {lacking or told.unexpected_keys}")
        ids, outputs = [], []
        for text in job["texts"]:
            tokens = tokenizer(text, truncation=True, max_length=job["max_tokens"])["input_ids"]
            ids.append(tokens)
            outputs.append(model(torch.tensor([tokens])).logits[0].tolist())
    Path(job["tokenizer"]).write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
    found = {
        "ids": ids,
        "outputs": outputs,
        "truncation_side": tokenizer.truncation_side,
        "n_tokens": len(tokenizer),
    }
    Path(job["answers"]).write_text(json.dumps(found), encoding="utf-8")


def _tokenizer(folder: Path) -> Any:
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, use_fast=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # a stranger's files may raise anything
        _refuse(f"its tokenizer cannot be read: {type(error).__name__}: {error}")
    if not tokenizer.is_fast:
        _refuse("its tokenizer has no fast form, which a judge needs")
    return tokenizer


if __name__ == "__main__":
    {"unpack": unpack, "answer": answer}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
