"""A model that went through a Hugging Face folder is the model that it was."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gguf import GGUFReader

from edgeeval._llama import Context, Model, Row
from edgeeval.artifact.convert import convert
from edgeeval.artifact.converter import Converter, known_architectures
from edgeeval.errors import InputError, ModelFileError, WorkerFailed
from edgeeval.records import Artifact
from edgeeval.store import Workspace, sha256_of
from tests.conftest import Ladder
from tests.hf_folder import write_hf_folder, write_json, write_tiny_folder

NO_CONVERTER = Converter(Path("nowhere"), Path("nowhere"), "none", "0" * 64)
"""Cannot be started: who refuses before that did not need it."""


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, request: Any) -> Workspace:
    """A workspace where the converter has already been asked what it knows."""
    workspace = Workspace(tmp_path_factory.mktemp("conversions"))
    known_architectures(workspace, request.getfixturevalue("converter"))
    return workspace


@pytest.fixture(scope="session")
def tiny(ladder: Ladder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder that can be converted."""
    return write_tiny_folder(Path(ladder.bf16.path), tmp_path_factory.mktemp("hf") / "tiny")


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(tiny, tmp_path / "tiny"))


def edit(path: Path, **changes: Any) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})


Tensors = dict[str, tuple[str, list[int], bytes]]


def contents_of(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Return a file's tensors, and of its metadata what the model is (not who made it)."""
    reader = GGUFReader(path)
    tensors = {
        tensor.name: (tensor.tensor_type.name, tensor.shape.tolist(), tensor.data.tobytes())
        for tensor in reader.tensors
    }
    kept = ("llama.", "tokenizer.", "general.architecture", "general.file_type")
    fields = {
        name: field.contents() for name, field in reader.fields.items() if name.startswith(kept)
    }
    return tensors, fields


TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "  leading, trailing \t\n\n  and  inner   spaces  \n",
    "In 1984 he paid $1,234,567.89 — 3 33 333 3333 times.",
    "Grüße aus Zürich, naïve café; 你好，世界 مرحبا नमस्ते 🚀👩‍👩‍👧‍👦",
    "def f(x):\n\treturn {'a': x**2, \"b\": [i for i in range(10)]}  # I'm we'll you've",
    "<|im_start|>user\nHello<|im_end|>\n<|endoftext|>",
    "\u200b\ufeff\u0000\u00a0e\u0301",
    "",
]


def logits_of(model: Model, tokens: list[int]) -> npt.NDArray[np.float32]:
    context = Context(
        model,
        n_ctx=256,
        n_batch=256,
        n_ubatch=256,
        n_seq_max=1,
        n_threads=1,
        kv_unified=True,
        kv_type="f32",
        flash_attention=False,
    )
    rows = [Row(token, position, (0,), True) for position, token in enumerate(tokens)]
    logits = context.decode(rows).copy()
    context.close()
    return logits


def check_same_model(converted: Path, original: Artifact, ladder: Ladder) -> None:
    """Tensors bit for bit, metadata, tokenization and logits."""
    tensors, found = contents_of(converted)
    original_tensors, expected = contents_of(Path(original.path))
    assert tensors == original_tensors
    assert {name: found.get(name) for name in expected} == expected
    assert set(found) - set(expected) <= {
        "llama.attention.key_length",  # newer converters write these out; both are 64 anyway
        "llama.attention.value_length",
    }
    extra = ladder.engine.use_extra_bufts
    one = Model(converted, use_extra_bufts=extra)
    other = Model(Path(original.path), use_extra_bufts=extra)
    assert one.chat_template == other.chat_template
    assert one.vocabulary.digest() == other.vocabulary.digest()
    for text in TEXTS:
        for special in (False, True):
            tokens = one.vocabulary.tokenize(text, add_special=True, parse_special=special)
            assert tokens == other.vocabulary.tokenize(
                text, add_special=True, parse_special=special
            )
    tokens = one.vocabulary.tokenize(" ".join(TEXTS), add_special=True, parse_special=True)
    assert len(tokens) > 100
    np.testing.assert_array_equal(logits_of(one, tokens), logits_of(other, tokens))
    one.close()
    other.close()


def test_the_model_survives_its_folder_at_bf16(
    ladder: Ladder, workspace: Workspace, converter: Converter, tmp_path: Path
) -> None:
    """Oracle: the file that the folder was written from, by code that is not the converter's."""
    folder = write_hf_folder(Path(ladder.bf16.path), tmp_path / "SmolLM2-135M")
    told: list[str] = []
    path = convert(workspace, converter, folder, out_type="auto", progress=told.append)
    check_same_model(path, ladder.bf16, ladder)
    assert told[0] == "SmolLM2-135M: converting 272 tensors to BF16"
    assert told[-1] == "SmolLM2-135M: 272 tensors, 100 % written"
    assert len(told) <= 6
    assert list((workspace.root / "log").iterdir()) == []
    told.clear()
    assert convert(workspace, converter, folder, out_type="BF16", progress=told.append) == path
    assert told == []  # it is there


def test_the_model_survives_its_shards_at_f32(
    ladder: Ladder, workspace: Workspace, converter: Converter, tmp_path: Path
) -> None:
    """Oracle: the file itself; at BF16, llama.cpp's own quantizer."""
    folder = write_hf_folder(Path(ladder.f32.path), tmp_path / "SmolLM2-135M", n_shards=3)
    assert len(list(folder.glob("*.safetensors"))) == 3
    path = convert(workspace, converter, folder, out_type="auto", progress=lambda line: None)
    check_same_model(path, ladder.f32, ladder)
    rounded = convert(workspace, converter, folder, out_type="BF16", progress=lambda line: None)
    assert contents_of(rounded)[0] == contents_of(Path(ladder.bf16.path))[0]


def test_a_file_belongs_to_the_content_the_name_and_the_type(
    copy: Path, workspace: Workspace, converter: Converter, tmp_path: Path
) -> None:
    def made(folder: Path, out_type: str = "F16") -> Path:
        return convert(workspace, converter, folder, out_type=out_type, progress=print)

    first = made(copy)
    sha256 = sha256_of(first)
    first.unlink()
    assert (made(copy), sha256_of(first)) == (first, sha256)
    elsewhere = shutil.copytree(copy, tmp_path / "elsewhere" / "tiny")
    assert made(Path(elsewhere)) == first
    (copy / "picture.png").write_bytes(b"x")
    assert made(copy) == first
    edit(copy / "config.json", max_position_embeddings=64)
    changed = made(copy)
    assert changed != first
    assert made(copy, "F32") not in (first, changed)


def test_a_snapshot_of_the_cache_is_named_after_its_repository(
    copy: Path, workspace: Workspace, converter: Converter, tmp_path: Path
) -> None:
    snapshot = tmp_path / "hub" / "models--owner--Kleines Mödell 2B" / "snapshots" / ("a1" * 20)
    snapshot.parent.mkdir(parents=True)
    copy.rename(snapshot)
    path = convert(workspace, converter, snapshot, out_type="F16", progress=print)
    fields = {name: field.contents() for name, field in GGUFReader(path).fields.items()}
    assert fields["general.name"] == "Kleines Mödell 2B"
    assert not any("a1a1" in str(value) for value in fields.values())


_KILLED = """
import sys
from pathlib import Path
from edgeeval.artifact.convert import convert
from edgeeval.artifact.converter import Converter
from edgeeval.store import Workspace
root, folder, script, python, sha256 = sys.argv[1:]
converter = Converter(Path(script), Path(python), "", sha256)
convert(Workspace(Path(root)), converter, Path(folder), out_type="F32", progress=print)
"""


def test_a_conversion_that_is_killed_leaves_nothing_that_looks_finished(
    tiny: Path, converter: Converter, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    known_architectures(workspace, converter)
    arguments = [str(converter.script), str(converter.python), converter.sha256]
    command = [sys.executable, "-u", "-c", _KILLED, str(tmp_path), str(tiny), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "tiny: converting 11 tensors to F32\n"
        process.send_signal(signal.SIGKILL)
    assert not list((tmp_path / "artifacts").glob("*.gguf"))
    path = convert(workspace, converter, tiny, out_type="F32", progress=print)
    assert path.is_file()
    assert [file.name for file in (tmp_path / "artifacts").iterdir()] == [path.name]


def _lower_case(folder: Path) -> None:
    edit(folder / "tokenizer.json", normalizer={"type": "Lowercase"})


def _quantize(folder: Path) -> None:
    edit(folder / "config.json", quantization_config={"quant_method": "awq"})


def _rename_a_tensor(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b"mlp.up_proj", b"mlp.xx_proj"))


def _too_few_tokens(folder: Path) -> None:
    edit(folder / "config.json", vocab_size=100)


@pytest.mark.parametrize(
    ("spoil", "error", "reason"),
    [
        (_lower_case, InputError, r"pre-tokenizer \(hash [0-9a-f]{64}\); a newer llama\.cpp"),
        (_quantize, InputError, "not implemented: Quant method is not yet supported: 'awq'"),
        (_rename_a_tensor, WorkerFailed, "Can not map tensor 'model.layers.0.mlp.xx_proj.weight'"),
        (_too_few_tokens, WorkerFailed, "AssertionError: assert max"),
    ],
)
def test_what_the_converter_refuses_is_explained_and_leaves_its_log(
    copy: Path,
    workspace: Workspace,
    converter: Converter,
    spoil: Callable[[Path], None],
    error: type[Exception],
    reason: str,
) -> None:
    spoil(copy)
    before = set((workspace.root / "artifacts").glob("*"))
    with pytest.raises(error, match=reason) as failed:
        convert(workspace, converter, copy, out_type="F16", progress=print)
    text = str(failed.value)
    assert "\n" not in text
    assert text.startswith(f"{copy}: llama.cpp's converter: ")
    log = Path(text.rsplit("; its log: ", 1)[1])
    assert "Traceback" in log.read_text(encoding="utf-8")
    log.unlink()
    assert set((workspace.root / "artifacts").glob("*")) == before


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LlamaForCausalLN", r" \(did you mean 'LlamaForCausalLM'\?\)"),
        ("\x1b[2J", ""),
    ],
)
def test_an_unknown_architecture_is_refused_without_starting_the_converter(
    copy: Path, tmp_path: Path, name: str, hint: str
) -> None:
    answered = tmp_path / "converter" / "architectures" / f"{NO_CONVERTER.sha256[:32]}.json"
    answered.parent.mkdir(parents=True)
    write_json(answered, ["LlamaForCausalLM", "Qwen2ForCausalLM"])
    edit(copy / "config.json", architectures=[name])
    with pytest.raises(InputError, match=rf"does not know the architecture '.*'{hint}; ") as no:
        convert(Workspace(tmp_path), NO_CONVERTER, copy, out_type="F16", progress=print)
    assert str(no.value).isprintable()


def test_an_unknown_type_is_refused_with_the_nearest(copy: Path, tmp_path: Path) -> None:
    for word, hint in [("bf16", "did you mean 'BF16'"), ("Q4_K_M", "known: BF16, F16, F32, auto")]:
        with pytest.raises(InputError, match=hint):
            convert(Workspace(tmp_path), NO_CONVERTER, copy, out_type=word, progress=print)


def test_a_folder_of_pickles_is_refused_without_starting_the_converter(
    copy: Path, tmp_path: Path
) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelFileError, match="its weights are pickles"):
        convert(Workspace(tmp_path), NO_CONVERTER, copy, out_type="auto", progress=print)


def test_a_disk_that_cannot_hold_it_is_refused_before_anything(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeeval.artifact.convert._MARGIN_BYTES", 1 << 62)
    with pytest.raises(InputError, match=r"tiny as F16: needs .* MiB of disk"):
        convert(Workspace(tmp_path), NO_CONVERTER, copy, out_type="auto", progress=print)
