"""A model that brings a sentencepiece model reads text as the sentencepiece library does.

TinyLlama, Mistral 7B and Gemma 3 do: their tokenizer is a file tokenizer.model.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgeeval._llama import Model
from edgeeval.artifact.convert import convert
from edgeeval.artifact.converter import Converter
from edgeeval.store import Workspace
from tests.hf_folder import write_json, write_tiny_weights
from tests.judges.conftest import varied_lines

N_VOCAB = 2000
STYLES: dict[str, dict[str, Any]] = {
    "llama": {"control": ["<unk>", "<s>", "</s>"], "own": []},
    "gemma": {
        "control": ["<pad>", "<eos>", "<bos>", "<unk>"],
        "own": ["\n\n", "\t\t", "[multimodal]"],
        "options": {"add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3},
    },
}
_TRAIN = """
import json, sys, sentencepiece
job = json.load(sys.stdin)
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(job["lines"]),
    model_prefix=job["prefix"],
    minloglevel=2,
    **job["options"],
)
reader = sentencepiece.SentencePieceProcessor(model_file=job["prefix"] + ".model")
print(json.dumps([reader.encode(line) for line in job["lines"]]))
"""


def trained(converter: Converter, folder: Path, style: str, lines: list[str]) -> list[list[int]]:
    """Write a tokenizer.model as a model's authors do; return what the library makes of lines."""
    options = {
        "model_type": "bpe",
        "vocab_size": N_VOCAB,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "split_digits": True,
        "character_coverage": 0.99,
        "user_defined_symbols": STYLES[style]["own"],
        **STYLES[style].get("options", {}),
    }
    job = {"lines": lines, "prefix": str(folder / "tokenizer"), "options": options}
    done = subprocess.run(
        [str(converter.python), "-I", "-c", _TRAIN],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
    )
    ids: list[list[int]] = json.loads(done.stdout)
    return ids


def tokenizer_settings(style: str) -> dict[str, Any]:
    """Return what stands beside a sentencepiece model: which pieces are never a text's own."""
    control, own = STYLES[style]["control"], STYLES[style]["own"]
    special = {str(at): {"content": word, "special": True} for at, word in enumerate(control)}
    plain = {
        str(at): {"content": word, "special": False} for at, word in enumerate(own, len(control))
    }
    bos = "<s>" if style == "llama" else "<bos>"
    return {"added_tokens_decoder": special | plain, "bos_token": bos, "add_bos_token": True}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One for all, so that the converter is asked once what it knows."""
    return Workspace(tmp_path_factory.mktemp("conversions"))


@pytest.mark.parametrize("style", STYLES)
def test_its_tokens_are_the_library_s(
    style: str, converter: Converter, workspace: Workspace, tmp_path: Path
) -> None:
    lines = [line for line in varied_lines() if line and "\x00" not in line]
    lines = [*random.Random(1).sample(lines, 1000), "a\n\n\nb\t\t\tc", " ", "  a  b "]
    folder = tmp_path / style
    folder.mkdir()
    expected = trained(converter, folder, style, lines)
    write_json(folder / "tokenizer_config.json", tokenizer_settings(style))
    write_tiny_weights(folder, N_VOCAB, is_gemma=style == "gemma")
    path = convert(workspace, converter, folder, out_type="F16", progress=print)
    model = Model(path, use_extra_bufts=False)
    read = [
        model.vocabulary.tokenize(line, add_special=False, parse_special=False) for line in lines
    ]
    model.close()
    assert read == expected
