"""Classifiers with random weights, made by PyTorch, and what PyTorch makes of texts."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edgeeval.artifact.converter import Converter
from edgeeval.judges import Judge
from edgeeval.judges.build import build_judge, find_source
from edgeeval.judges.checkpoint import Wishes
from edgeeval.store import Workspace
from tests.artifact.conftest import converter as converter  # a fixture, for this folder too
from tests.conftest import CHECKOUT

pytest.importorskip("tokenizers")

_SCRIPT = Path(__file__).with_name("make_classifier.py")
N_SCORED = 120
"""Texts that PyTorch scores; all 5,000 would take minutes."""
MAX_TOKENS = 96
_SIZES = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}
SIX = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
SIXTEEN = (
    "toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat",
    "sexual_explicit", "male", "female", "homosexual_gay_or_lesbian", "christian", "jewish",
    "muslim", "black", "white", "psychiatric_or_mental_illness",
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A checkpoint that a test made, and what PyTorch says of the texts."""

    folder: Path
    architecture: str
    labels: tuple[str, ...]
    activation: str
    ids: list[list[int]]
    """Of every varied line."""
    probabilities: list[list[float]]
    """Of the first `N_SCORED`."""


@cache
def varied_lines() -> list[str]:
    """Return 5,000 lines: prose of several languages and code, and what breaks tokenizers."""
    rng = random.Random(7)
    prose = [
        line
        for path in sorted(CHECKOUT.glob("prompts/text-*.jsonl"))
        for item in path.read_text(encoding="utf-8").splitlines()[1:]
        for line in json.loads(item).get("text", "").splitlines()
    ]
    alphabets = [
        "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJ.,;:!?'\"-0123456789",
        "àâäãåçéèêëíìîïñóòôöõøúùûüýÿßœæ ÀÉÎÖÛÇŠŽ",
        "".join(map(chr, range(0x1F600, 0x1F650))) + "\u200d\ufe0f\U0001f3fd ",
        "".join(map(chr, range(0x4E00, 0x4E80))) + "。，！？",
        "".join(map(chr, range(0x3041, 0x30FF))) + " ",
        "".join(map(chr, range(0xAC00, 0xAC60))) + " ",
        "абвгдежзийклмнопрстуфхцчшщъыьэюя АБВ",
        "ابتثجحخدذرزسشصضطظعغفقكلمنهوي ",
        "अआइईउऊऋएऐओऔकखगघङचछजझञ ािीुूेैोौंः्",
        "\u0300\u0301\u0308\u030ae\u0323o\u00adx\u200b\u202e\ufeff\u00a0\u2003\t\r\n\x07",
        "½①™ﬁ２ＡＢＣ㎞ⅧªºΩµ",
        "<>&[]{}()/\\|@#$%^*_+=~`",
    ]
    edge = ["", " ", "\n\n", "a" * 99, "a" * 100, "a" * 101, "a" * 5000, "é" * 300, "word " * 3000]
    lines = edge + rng.sample(prose, min(len(prose), 60))
    while len(lines) < 5000:
        kind = rng.random()
        if kind < 0.3:
            start, end = sorted(rng.choices(range(400), k=2))
            lines.append(rng.choice(prose)[start:end])
        elif kind < 0.8:
            letters = rng.choice(alphabets)
            lines.append("".join(rng.choices(letters, k=rng.choice([1, 3, 10, 40, 150]))))
        else:
            lines.append("".join(rng.choices("".join(alphabets), k=rng.choice([5, 30, 80]))))
    return lines


def run_pytorch(converter: Converter, folder: Path, jobs: list[dict[str, Any]]) -> None:
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    done = subprocess.run(
        [str(converter.python), "-I", "-X", "utf8", str(_SCRIPT), str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def make_job(folder: Path, family: str, labels: tuple[str, ...], **more: Any) -> dict[str, Any]:
    texts = [line for line in varied_lines() if len(line) < 500]
    return {
        "command": "make", "seed": 1, "family": family, "folder": str(folder), "labels": labels,
        "texts": texts[:1500], "n_vocab": 1500, "max_tokens": MAX_TOKENS, "spread": 1.0,
        "sizes": _SIZES, "format": "safetensors", "problem_type": None, **more,
    }  # fmt: skip


def answer_job(folder: Path, architecture: str, activation: str, n_labels: int) -> dict[str, Any]:
    return {
        "command": "answer", "folder": str(folder), "architecture": architecture,
        "activation": activation, "n_labels": n_labels, "max_tokens": MAX_TOKENS,
        "texts": varied_lines(), "n_scored": N_SCORED,
        "ids": str(folder) + ".ids.json", "probabilities": str(folder) + ".probabilities.json",
    }  # fmt: skip


CASES = {
    # how it is saved, whose class, labels, activation
    "bert": ("safetensors", "Bert", SIX, "sigmoid"),
    "roberta": ("bin", "Roberta", ("anger", "hate"), "softmax"),
    "xlm-roberta": ("safetensors", "XLMRoberta", ("neutral", "toxic", "other"), "softmax"),
    "detoxify-six": ("ckpt", "Bert", SIX, "sigmoid"),
    "detoxify-sixteen": ("lightning", "Roberta", SIXTEEN, "sigmoid"),
}


@pytest.fixture(scope="session")
def checkpoints(converter: Converter, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Every checkpoint of `CASES`, with PyTorch's answers."""
    root = tmp_path_factory.mktemp("checkpoints")
    jobs = []
    for name, (saved, family, labels, activation) in CASES.items():
        multi = "multi_label_classification" if activation == "sigmoid" else None
        jobs += [
            make_job(
                root / name, family, labels, format=saved, problem_type=multi, classes=labels,
                seed=len(jobs),
            ),
            answer_job(
                root / name, f"{family}ForSequenceClassification", activation, len(labels)
            ),
        ]  # fmt: skip
    run_pytorch(converter, root, jobs)
    return {
        name: Made(
            root / name,
            f"{family}ForSequenceClassification",
            labels,
            activation,
            json.loads((root / f"{name}.ids.json").read_text()),
            json.loads((root / f"{name}.probabilities.json").read_text()),
        )
        for name, (_, family, labels, activation) in CASES.items()
    }


@dataclass(frozen=True)
class Builder:
    """Builds judges in one workspace, each once."""

    workspace: Workspace
    converter: Converter
    built: dict[tuple[str, str], Judge]

    def judge(self, made: Made, file_type: str) -> Judge:
        key = (made.folder.name, file_type)
        if key not in self.built:
            self.built[key] = self.build(made.folder, file_type)
        return self.built[key]

    def build(self, folder: Path, file_type: str = "F16", **wishes: Any) -> Judge:
        return build_judge(
            self.workspace,
            find_source(self.workspace, str(folder), Wishes(**wishes)),
            file_type=file_type,
            target=self.workspace.folder("judges") / f"{folder.name}-{file_type}.gguf",
            progress=lambda line: None,
            converter=self.converter,
        )


@pytest.fixture(scope="session")
def builder(converter: Converter, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(Workspace(tmp_path_factory.mktemp("judges")), converter, {})
