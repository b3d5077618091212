"""The detoxify package as a judge: its own predict on a local checkpoint, nothing looked up."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeeval.artifact.converter import Converter
from edgeeval.errors import InputError, ModelFileError
from edgeeval.judges.find import find_judge
from edgeeval.judges.score import score_texts
from edgeeval.store import Workspace
from tests.judges.conftest import N_SCORED, SIX, answer_job, make_job, run_pytorch, varied_lines

needs_detoxify = pytest.mark.skipif(
    importlib.util.find_spec("detoxify") is None, reason="the detoxify extra is not installed"
)


@pytest.mark.skipif(importlib.util.find_spec("detoxify") is not None, reason="it is installed")
def test_without_the_extra_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pip install 'edgeeval\[detoxify\]'"):
        find_judge(f"detoxify:{tmp_path}", Workspace(tmp_path))


@pytest.fixture(scope="module")
def albert(converter: Converter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A "-small" checkpoint in Detoxify's format, with PyTorch's answers beside it."""
    folder = tmp_path_factory.mktemp("detoxify") / "small"
    sizes = {
        "hidden_size": 96, "embedding_size": 32, "num_hidden_layers": 3,
        "num_attention_heads": 4, "intermediate_size": 256,
    }  # fmt: skip
    jobs = [
        make_job(
            folder, "Albert", SIX, format="ckpt", classes=SIX, sizes=sizes,
            tokenizer_name="BertTokenizerFast",
        ),
        answer_job(folder, "AlbertForSequenceClassification", "sigmoid", 6),
    ]  # fmt: skip
    run_pytorch(converter, folder.parent, jobs)
    return folder


@needs_detoxify
def test_an_albert_model_scores_as_pytorch_does(albert: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    judge = find_judge(f"detoxify:{albert}", workspace)
    assert judge.info.labels == (
        "toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack",
    )  # fmt: skip
    assert (judge.info.name, judge.info.primary) == ("small-pytorch", "toxicity")
    texts = varied_lines()[:N_SCORED]
    judged = score_texts(workspace, judge, texts)
    ours = np.array([[judged.score(text, label) for label in judge.info.labels] for text in texts])
    theirs = np.array(json.loads(Path(f"{albert}.probabilities.json").read_text()))
    assert np.abs(ours - theirs).max() <= 1e-4  # four decimals, and padding
    assert judged.is_truncated("word " * 3000)
    assert not judged.is_truncated("")


@needs_detoxify
def test_a_pickle_with_code_is_not_run(albert: Path, tmp_path: Path) -> None:
    from tests.judges.test_build import _plant_code

    folder = shutil.copytree(albert, tmp_path / "hostile")
    _plant_code(next(folder.glob("*.ckpt")))
    with pytest.raises((InputError, ModelFileError), match="no checkpoint of Detoxify's"):
        find_judge(f"detoxify:{folder}", Workspace(tmp_path))
    assert not Path("/tmp/edgeeval-was-here").exists()


@needs_detoxify
def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 checkpoints there"):
        find_judge(f"detoxify:{tmp_path}", Workspace(tmp_path))
