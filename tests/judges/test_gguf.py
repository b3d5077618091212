"""Judges as GGUF files, held against PyTorch and the tokenizers library on the same checkpoints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeeval.artifact.converter import Converter
from edgeeval.errors import InputError, ModelFileError, NotFetched
from edgeeval.judges.build import judge_texts
from edgeeval.judges.find import find_judge, judge_names
from edgeeval.judges.gguf import batches, probabilities_of, tokenizer_of
from edgeeval.judges.gguf_file import read_judge_file
from edgeeval.judges.score import score_texts
from edgeeval.store import Workspace
from tests.judges.conftest import (
    N_SCORED,
    Builder,
    Made,
    make_job,
    run_pytorch,
    varied_lines,
)

TOLERANCES = {"F32": 1e-3, "F16": 2e-3}
HF = ["bert", "roberta", "xlm-roberta"]


@pytest.mark.parametrize("name", HF)
def test_token_ids_are_those_of_the_tokenizers_library(
    name: str, checkpoints: dict[str, Made], builder: Builder
) -> None:
    file = read_judge_file(Path(builder.judge(checkpoints[name], "F16").arguments["path"]))
    ids, truncated = tokenizer_of(file)(varied_lines())
    assert len(ids) == 5000
    assert ids == checkpoints[name].ids
    longest = max(map(len, ids))
    assert longest == file.max_tokens
    assert {len(one) for one, cut in zip(ids, truncated, strict=True) if cut} == {longest}
    assert 20 < sum(truncated) < 2500


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_a_tokenizer_in_its_older_files_makes_the_same_ids(
    name: str, checkpoints: dict[str, Made], builder: Builder, tmp_path: Path
) -> None:
    """Some of the field's classifiers have vocab.txt, or vocab.json with merges.txt, alone."""
    folder = shutil.copytree(checkpoints[name].folder, tmp_path / f"{name}-older")
    (folder / "tokenizer.json").unlink()
    judge = builder.build(folder)
    ids, _ = tokenizer_of(read_judge_file(Path(judge.arguments["path"])))(varied_lines())
    assert ids == checkpoints[name].ids


def test_a_sentencepiece_model_is_tokenizer_enough(
    converter: Converter, builder: Builder, tmp_path: Path
) -> None:
    """The oracle is the sentencepiece library, on the prompt sets' prose: on odd characters
    transformers' fast tokenizers, which judges follow, are known to go their own way."""
    folder = tmp_path / "older"
    run_pytorch(converter, tmp_path, [make_job(folder, "XLMRoberta", ("toxic",), older=True)])
    assert not (folder / "tokenizer.json").exists()
    judge = builder.build(folder)
    script = (
        "import json, sys, sentencepiece\n"
        "reader = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])\n"
        "print(json.dumps([reader.encode(line) for line in json.loads(sys.argv[2])]))\n"
    )
    # One word of a hundred equal letters has many splits that are equally likely.
    prose = [line for line in varied_lines() if line.isascii() and " " in line and len(line) < 150]
    lines = prose[:200]
    done = subprocess.run(
        [str(converter.python), "-I", "-c", script, str(folder / "sentencepiece.bpe.model"),
         json.dumps(lines)], capture_output=True, text=True, check=True,
    )  # fmt: skip
    # The model's own numbers are <unk>, <s>, </s>; XLM-RoBERTa's are <s>, <pad>, </s>, <unk>.
    expected = [
        [0, *(token + 1 if token else 3 for token in tokens), 2]
        for tokens in json.loads(done.stdout)
    ]
    file = read_judge_file(Path(judge.arguments["path"]))
    ids, truncated = tokenizer_of(file)(lines)
    whole = [at for at, cut in enumerate(truncated) if not cut]
    assert len(whole) > 100
    assert [ids[at] for at in whole] == [expected[at] for at in whole]


def test_a_padding_token_that_a_text_writes_out_is_left_out(
    checkpoints: dict[str, Made], builder: Builder
) -> None:
    """RoBERTa gives it a position of its own, which llama.cpp cannot express."""
    file = read_judge_file(Path(builder.judge(checkpoints["roberta"], "F16").arguments["path"]))
    (written, other), _ = tokenizer_of(file)(["good<pad>morning", "good<mask>morning"])
    assert file.padding_id == 1
    assert written == [token for token in other if token != 4]  # <mask> stays, as in the original
    assert 4 in other


@pytest.mark.parametrize("file_type", TOLERANCES)
@pytest.mark.parametrize("name", HF)
def test_probabilities_are_pytorch_s(
    name: str, file_type: str, checkpoints: dict[str, Made], builder: Builder
) -> None:
    made = checkpoints[name]
    judge = builder.judge(made, file_type)
    ours = judge_texts(builder.workspace, Path(judge.arguments["path"]), varied_lines()[:N_SCORED])
    assert judge.info.labels == made.labels
    theirs = np.array(made.probabilities)
    assert theirs.std(axis=0).min() > 0.01  # the texts are told apart, so agreement means something
    assert np.abs(ours - theirs).max() <= TOLERANCES[file_type]


def test_eight_bits_a_weight_are_further_away_and_say_so(
    checkpoints: dict[str, Made], builder: Builder
) -> None:
    measured = [
        builder.judge(checkpoints["bert"], kind).info.conversion_difference
        for kind in ("F16", "Q8_0")
    ]
    assert measured[0] is not None and measured[1] is not None
    assert 0 < measured[0] < measured[1] <= 5e-2


def test_a_bert_without_its_pooler_would_be_far_off(
    checkpoints: dict[str, Made], builder: Builder, tmp_path: Path
) -> None:
    """The pooler is what llama.cpp's own converter drops: without it, this check must fail."""
    import gguf

    judge = builder.judge(checkpoints["bert"], "F32")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(Path(judge.arguments["path"]).read_bytes())
    reader = gguf.GGUFReader(broken, "r+")
    pooler = next(tensor for tensor in reader.tensors if tensor.name == "cls.weight")
    pooler.data[:] = np.eye(*pooler.data.shape)
    reader.data.flush()
    ours = judge_texts(builder.workspace, broken, varied_lines()[:N_SCORED])
    assert np.abs(ours - np.array(checkpoints["bert"].probabilities)).max() > 0.05


@pytest.mark.parametrize("name", ["detoxify-six", "detoxify-sixteen"])
def test_a_checkpoint_of_detoxify_s_own_keeps_its_classes(
    name: str, checkpoints: dict[str, Made], builder: Builder
) -> None:
    """By the names that Detoxify itself gives them."""
    renamed = {
        "toxic": "toxicity",
        "severe_toxic": "severe_toxicity",
        "identity_hate": "identity_attack",
    }
    made = checkpoints[name]
    judge = builder.judge(made, "F32")
    assert judge.info.labels == tuple(renamed.get(label, label) for label in made.labels)
    assert (judge.info.primary, judge.info.activation) == ("toxicity", "sigmoid")
    ours = judge_texts(builder.workspace, Path(judge.arguments["path"]), varied_lines()[:N_SCORED])
    assert np.abs(ours - np.array(made.probabilities)).max() <= TOLERANCES["F32"]


def test_a_judge_is_found_by_its_file_and_by_its_name(
    checkpoints: dict[str, Made], builder: Builder
) -> None:
    judge = builder.judge(checkpoints["bert"], "F16")
    assert find_judge("bert-F16", builder.workspace) == judge
    assert find_judge(judge.arguments["path"], builder.workspace) == judge
    assert "bert-F16" in judge_names(builder.workspace)
    assert judge.info.id.startswith("bert-F16-")
    assert judge.info.primary == "toxic"
    assert judge.info.max_tokens == read_judge_file(Path(judge.arguments["path"])).max_tokens


def test_scores_and_cuts_are_kept(checkpoints: dict[str, Made], builder: Builder) -> None:
    judge = builder.judge(checkpoints["roberta"], "F16")
    texts = ["good morning", "word " * 3000, ""]
    judged = score_texts(builder.workspace, judge, texts)
    assert (judged.info.n_texts, judged.info.n_truncated) == (3, 1)
    for text in texts:
        assert sum(judged.score(text, label) for label in judge.info.labels) == pytest.approx(
            1, abs=2e-4
        )


def test_scoring_imports_no_pytorch(checkpoints: dict[str, Made], builder: Builder) -> None:
    """The worker itself tells what it has loaded after it has scored."""
    judge = builder.judge(checkpoints["xlm-roberta"], "F16")
    job = {"judge": "x", "kind": "gguf", "arguments": judge.arguments, "texts": ["good morning"]}
    job |= {"labels": judge.info.labels}
    script = (
        "import json, sys\n"
        "from edgeeval.judges.score import work\n"
        "work(json.loads(sys.argv[1]), lambda event: None)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(job)], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"llama_cpp", "tokenizers"} <= loaded
    assert not loaded & {"torch", "transformers", "sklearn", "detoxify", "tensorflow"}


def test_what_has_to_be_fetched_and_built_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFetched) as caught:
        find_judge("detoxify-unbiased", Workspace(tmp_path))
    assert "edgeeval fetch --judge detoxify-unbiased" in str(caught.value)
    assert "edgeeval judge build detoxify-unbiased" in str(caught.value)


def test_what_is_no_judge_s_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.gguf"
    with pytest.raises(InputError, match="no such file"):
        find_judge(str(path), Workspace(tmp_path))
    path.write_bytes(b"GGUF")
    with pytest.raises(ModelFileError, match="broken or truncated"):
        find_judge(str(path), Workspace(tmp_path))


@given(st.lists(st.integers(1, 60), max_size=700), st.integers(60, 512))
def test_batches_hold_every_text_once_and_never_too_much(lengths: list[int], n_batch: int) -> None:
    packed = list(batches(lengths, n_batch))
    assert sorted(index for batch in packed for index in batch) == list(range(len(lengths)))
    for batch in packed:
        assert sum(lengths[index] for index in batch) <= n_batch
        assert len(batch) <= 256
    in_order = [lengths[index] for batch in packed for index in batch]
    assert in_order == sorted(lengths)


@given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=20))
def test_probabilities_match_scipy(rows: list[list[float]]) -> None:
    from scipy.special import expit, softmax

    outputs = np.array(rows)
    np.testing.assert_allclose(probabilities_of(outputs, "sigmoid"), expit(outputs), atol=1e-15)
    np.testing.assert_allclose(
        probabilities_of(outputs, "softmax"), softmax(outputs, axis=1), atol=1e-15
    )
