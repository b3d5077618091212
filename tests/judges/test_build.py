"""`judge build` through the command line: what it refuses, in one line, leaving nothing behind."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeeval.errors import InputError, ModelFileError, NotFetched
from edgeeval.judges import build as building
from edgeeval.judges.build import build_judge, find_source, probe_texts
from edgeeval.judges.checkpoint import Wishes
from edgeeval.store import Workspace
from tests.judges.conftest import SIX, Builder, Made

Change = Callable[[Path], None]


def refusal(builder: Builder, folder: Path, **wishes: Any) -> str:
    """Return the one line of a build that fails; no file came of it."""
    before = sorted(builder.workspace.folder("judges").iterdir())
    with pytest.raises(ModelFileError) as caught:
        builder.build(folder, **wishes)
    assert sorted(builder.workspace.folder("judges").iterdir()) == before
    assert str(caught.value).isprintable()
    return str(caught.value)


def edited(made: Made, target: Path, **changes: Any) -> Path:
    """Copy a checkpoint and change its config.json; None takes a key away."""
    shutil.copytree(made.folder, target)
    config = json.loads((target / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    (target / "config.json").write_text(json.dumps(kept))
    return target


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id2label": None}, "id2label: no label is named; --labels"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, "LABEL_0, LABEL_1, which says nothing"),
        ({"id2label": {"1": "toxic", "2": "rude"}}, "not numbered from 0"),
        ({"id2label": {"0": "toxic", "1": "toxic"}}, "2, of which 1 differ"),
        ({"id2label": {"0": "toxic", "1": "rude@x:y"}}, "'rude@x:y' is no usable name"),
        ({"id2label": {"0": "toxic", "1": "rude"}}, "6 outputs for 2 labels"),
        ({"id2label": {str(n): f"kind {n}" for n in range(6)}}, "--primary LABEL says which does"),
        ({"architectures": ["AlbertForSequenceClassification"]}, "the detoxify extra does"),
        ({"architectures": ["BertForMaskedLM"]}, "'BertForMaskedLM' is no classifier"),
        ({"architectures": ["RobertaForSequenceClassification"]}, "its weights lack 'roberta."),
        ({"architectures": 7}, "architecture 'none'"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"position_embedding_type": "relative_key"}, "absolute positions"),
        ({"hidden_size": 128}, "config.json makes it [1500, 128]"),
        ({"num_hidden_layers": 2}, "'bert.encoder.layer.2."),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers: 1000000000 is no size"),
        ({"num_hidden_layers": 4}, "its weights lack 'bert.encoder.layer.3."),
        ({"vocab_size": -3}, "vocab_size: -3 is no size"),
        ({"num_attention_heads": 7}, "7 heads: no such encoder"),
        ({"layer_norm_eps": "x"}, "layer_norm_eps: 'x'"),
        ({"problem_type": "regression"}, "gives no probabilities; --activation"),
    ],
)
def test_what_the_configuration_does_not_say_rightly_is_refused(
    changes: dict[str, Any],
    reason: str,
    checkpoints: dict[str, Made],
    builder: Builder,
    tmp_path: Path,
) -> None:
    assert reason in refusal(builder, edited(checkpoints["bert"], tmp_path / "odd", **changes))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("/tmp/edgeeval-was-here"),))


def _plant_code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": _Code()}))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("bert", lambda folder: _truncate(folder / "model.safetensors"), "it ends inside"),
        ("bert", lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        ("bert", lambda folder: (folder / "config.json").write_text("[1"), "not JSON"),
        ("bert", lambda folder: (folder / "config.json").unlink(), "cannot be read"),
        ("bert", lambda folder: (folder / "config.json").symlink_to("/etc/passwd"), "link out of"),
        ("roberta", lambda folder: _truncate(folder / "pytorch_model.bin"), "broken or truncated"),
        ("roberta", lambda folder: _plant_code(folder / "pytorch_model.bin"), "was not run"),
        ("detoxify-six", lambda folder: _truncate(folder / "toxic-1234.ckpt"), "truncated"),
        ("detoxify-six", lambda folder: _plant_code(folder / "toxic-1234.ckpt"), "was not run"),
    ],
)
def test_broken_and_hostile_files_are_refused(
    name: str,
    change: Change,
    reason: str,
    checkpoints: dict[str, Made],
    builder: Builder,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(checkpoints[name].folder, tmp_path / "broken")
    if "symlink" in change.__code__.co_names:
        (folder / "config.json").unlink()
    change(folder)
    assert reason in refusal(builder, folder)
    assert not Path("/tmp/edgeeval-was-here").exists()


def test_a_tokenizer_of_another_model_is_refused(
    checkpoints: dict[str, Made], builder: Builder, tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoints["bert"].folder, tmp_path / "mixed")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {word: at for word, at in vocabulary.items() if at < 1000}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "1000 tokens and the model has embeddings for 1500" in refusal(builder, folder)


def test_a_judge_that_is_not_like_its_checkpoint_is_not_kept(
    checkpoints: dict[str, Made], builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: PyTorch is said to have answered something else."""
    true = building.PyTorch.answers

    def shifted(*arguments: Any) -> Any:
        answers = true(*arguments)
        outputs = [[value + 0.1 for value in row] for row in answers.outputs]
        return replace(answers, outputs=outputs)

    monkeypatch.setattr(building.PyTorch, "answers", shifted)
    reason = refusal(builder, checkpoints["bert"].folder)
    assert "differ from PyTorch's by up to 0.02" in reason
    assert "more than 0.005; not kept" in reason


def test_labels_and_the_rest_may_be_given(
    checkpoints: dict[str, Made], builder: Builder, tmp_path: Path
) -> None:
    folder = edited(checkpoints["bert"], tmp_path / "given", id2label=None, problem_type=None)
    judge = builder.build(folder, labels=SIX, activation="sigmoid", primary="threat")
    assert judge.info.labels == SIX
    assert (judge.info.primary, judge.info.activation) == ("threat", "sigmoid")
    assert "no label 'thread' (did you mean 'threat'?)" in refusal(
        builder, folder, labels=SIX, primary="thread"
    )


def test_an_unknown_source_or_type_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(InputError, match="did you mean 'detoxify-unbiased'"):
        find_source(workspace, "detoxify-unbiassed", Wishes())
    with pytest.raises(NotFetched, match="edgeeval fetch --judge detoxify-original"):
        find_source(workspace, "detoxify-original", Wishes())
    source = find_source(workspace, str(tmp_path), Wishes())
    with pytest.raises(InputError, match="type 'Q4_K_M'"):
        build_judge(
            workspace, source, file_type="Q4_K_M", target=None, progress=lambda line: None
        )  # fmt: skip


def test_the_probe_texts_are_varied() -> None:
    texts = probe_texts()
    assert 60 <= len(texts) == len(set(texts))
    assert "" in texts
    assert max(map(len, texts)) > 5000
    scripts = ("\u4e00\u9fff", "\u3040\u30ff", "\uac00\ud7af", "\u0400\u04ff", "\u0600\u06ff")
    for first, last in (*scripts, "\U0001f300\U0001faff"):
        assert any(first <= char <= last for text in texts for char in text)
