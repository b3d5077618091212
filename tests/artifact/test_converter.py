"""The converter is found or named as missing, and what it prints is understood."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from edgeeval.artifact.converter import (
    ENGINE,
    Converter,
    explain_failure,
    fetched_folder,
    find_converter,
    known_architectures,
    launch,
    marker,
    parse_architectures,
)
from edgeeval.errors import InputError, NotFetched, WorkerFailed
from edgeeval.store import Workspace, write_json

PYTHON = Path(sys.executable)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def fetched(workspace: Workspace) -> Path:
    """A finished build as `fetch --converter` leaves it, with our own interpreter."""
    folder = fetched_folder(workspace)
    tree(folder / "llama.cpp")
    (folder / "environment" / "bin").mkdir(parents=True)
    (folder / "environment" / "bin" / "python").symlink_to(PYTHON)
    write_json(folder / "converter.json", marker())
    return folder


def tree(folder: Path, script: str = "") -> Path:
    """Write a llama.cpp tree with a converter of its own."""
    for name in ("convert_hf_to_gguf.py", "conversion/base.py", "gguf-py/gguf/constants.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(script, encoding="utf-8")
    return folder


def test_what_was_fetched_is_found_and_named(workspace: Workspace, fetched: Path) -> None:
    found = find_converter(workspace)
    assert found.script == fetched / "llama.cpp" / "convert_hf_to_gguf.py"
    assert found.python == fetched / "environment" / "bin" / "python"
    assert found.version == f"{ENGINE} {version(ENGINE)}"
    assert found.id == f"{found.version} ({found.sha256[:16]})"


def test_without_it_the_fetch_is_named(workspace: Workspace, tmp_path: Path) -> None:
    checkout = tree(tmp_path / "llama.cpp")
    for given in ((None, None), (checkout, None), (None, PYTHON)):
        with pytest.raises(NotFetched, match="run: edgeeval fetch --converter"):
            find_converter(workspace, *given)
    assert find_converter(workspace, checkout, PYTHON).python == PYTHON


def test_a_build_that_was_interrupted_does_not_count(workspace: Workspace, fetched: Path) -> None:
    (fetched / "converter.json").unlink()
    with pytest.raises(NotFetched):
        find_converter(workspace)


def test_a_build_with_other_pins_does_not_count(workspace: Workspace, fetched: Path) -> None:
    write_json(fetched / "converter.json", {"requirements": "0" * 64})
    with pytest.raises(NotFetched):
        find_converter(workspace)


def test_a_build_whose_interpreter_was_uninstalled_does_not_count(
    workspace: Workspace, fetched: Path
) -> None:
    python = fetched / "environment" / "bin" / "python"
    python.unlink()
    python.symlink_to(fetched / "gone")
    with pytest.raises(NotFetched):
        find_converter(workspace)


def test_what_a_person_names_must_be_there(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name the top of a llama"):
        find_converter(workspace, tmp_path)
    with pytest.raises(InputError, match="no such Python interpreter"):
        find_converter(workspace, None, tmp_path / "python")


def test_the_id_changes_with_the_program_and_with_the_packages(
    workspace: Workspace, fetched: Path
) -> None:
    before = find_converter(workspace).sha256
    assert find_converter(workspace).sha256 == before
    (fetched / "llama.cpp" / "README.md").write_text("words", encoding="utf-8")
    assert find_converter(workspace).sha256 == before
    (fetched / "llama.cpp" / "conversion" / "new.py").write_text("", encoding="utf-8")
    with_module = find_converter(workspace).sha256
    packages = fetched / "environment" / "lib" / "python3.11" / "site-packages"
    (packages / "torch-2.13.0.dist-info").mkdir(parents=True)
    with_torch = find_converter(workspace).sha256
    (packages / "torch-2.13.0.dist-info").rename(packages / "torch-2.14.0.dist-info")
    assert len({before, with_module, with_torch, find_converter(workspace).sha256}) == 4


def test_a_checkout_is_named_by_its_commit(workspace: Workspace, tmp_path: Path) -> None:
    checkout = tree(tmp_path / "llama.cpp")
    assert find_converter(workspace, checkout, PYTHON).version == "llama.cpp of no known commit"
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *command], check=True)
    shown = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout
    assert find_converter(workspace, checkout, PYTHON).version == f"llama.cpp {shown[:12]}"


PRINTED = """\
Supported models:
TEXT models:
  - AfmoeForCausalLM
  - modeling_grove_moe.GroveMoeForCausalLM
MMPROJ models:
  - Gemma3ForConditionalGeneration
"""
"""As llama.cpp's converter prints it; older ones log it with a prefix."""


@pytest.mark.parametrize("prefix", ["", "ERROR:hf-to-gguf:"])
def test_the_text_architectures_are_told_from_the_others(prefix: str) -> None:
    printed = [prefix + line for line in PRINTED.splitlines()]
    assert parse_architectures(printed) == [
        "AfmoeForCausalLM",
        "modeling_grove_moe.GroveMoeForCausalLM",
    ]


UNKNOWN_TOKENIZER = """\
WARNING:hf-to-gguf:** WARNING: The BPE pre-tokenizer was not recognized!
WARNING:hf-to-gguf:**          There are 2 possible reasons for this:
WARNING:hf-to-gguf:** chkhsh:  b7321d50a9b410c7d3fa2a0645160ecbcada2c08ae8bbad1238f0ab3747d7511
FileNotFoundError: Cannot find Llama BPE tokenizer

During handling of the above exception, another exception occurred:

  File "conversion/base.py", line 1953, in get_vocab_base_pre
    raise NotImplementedError("BPE pre-tokenizer was not recognized - update get_vocab_base_pre()")
NotImplementedError: BPE pre-tokenizer was not recognized - update get_vocab_base_pre()
"""
ASSERTION = """\
FileNotFoundError: Cannot find Llama BPE tokenizer
Traceback (most recent call last):
  File "conversion/base.py", line 1588, in get_vocab_base
    assert max(tokenizer.vocab.values()) < vocab_size
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
AssertionError
"""
QUANTIZED = """\
INFO:hf-to-gguf:Exporting model...
  File "conversion/base.py", line 580, in dequant_model
    raise NotImplementedError(f"Quant method is not yet supported: {quant_method!r}")
NotImplementedError: Quant method is not yet supported: 'awq'
"""
OWN_CODE = """\
WARNING:hf-to-gguf:Trying to load config.json instead
  File "converter_launch.py", line 31, in without_trust
    raise ValueError(OWN_CODE)
ValueError: the model needs Python code of its own, which is not run
"""
FULL = """\
Writing:  40%|####      | 108M/269M [00:00<00:00, 500Mbyte/s]
  File "gguf_writer.py", line 489, in write_tensors_to_file
    tensor.tofile(fout)
OSError: [Errno 28] No space left on device
"""
NO_PACKAGE = """\
    import torch
ModuleNotFoundError: No module named 'torch'
"""
UNMAPPED = """\
ValueError: Can not map tensor 'model.layers.0.mlp.xx_proj.weight'
"""
SAID = "ERROR:hf-to-gguf:--mtp and --dspark are mutually exclusive\n"


@pytest.mark.parametrize(
    ("printed", "status", "reason", "is_input"),
    [
        (
            UNKNOWN_TOKENIZER,
            1,
            "it does not know the model's pre-tokenizer (hash "
            "b7321d50a9b410c7d3fa2a0645160ecbcada2c08ae8bbad1238f0ab3747d7511); a newer llama.cpp "
            "checkout may: --converter PATH",
            True,
        ),
        (
            ASSERTION,
            1,
            "AssertionError: assert max(tokenizer.vocab.values()) < vocab_size",
            False,
        ),
        (
            QUANTIZED,
            1,
            "not implemented: Quant method is not yet supported: 'awq' (--converter may name a "
            "newer one)",
            True,
        ),
        (OWN_CODE, 1, "the model needs Python code of its own, which is not run", True),
        (FULL, 1, "the disk is full", False),
        (NO_PACKAGE, 1, "ModuleNotFoundError: No module named 'torch'", False),
        (
            UNMAPPED,
            1,
            "ValueError: Can not map tensor 'model.layers.0.mlp.xx_proj.weight'",
            False,
        ),
        (
            "RuntimeError: INTERNAL: could not parse ModelProto from x/tokenizer.model",
            1,
            "RuntimeError: INTERNAL: could not parse ModelProto from x/tokenizer.model",
            True,
        ),
        (
            "RecursionError: maximum recursion depth",
            1,
            "RecursionError: maximum recursion depth",
            True,
        ),
        (SAID, 1, "ERROR:hf-to-gguf:--mtp and --dspark are mutually exclusive", False),
        ("", 1, "it ended with exit code 1", False),
        ("INFO:hf-to-gguf:Set model", -9, "it was killed by SIGKILL: out of memory?", False),
    ],
)
def test_what_a_converter_printed_is_explained_in_one_line(
    printed: str, status: int, reason: str, is_input: bool
) -> None:
    """The texts are what llama.cpp's converter printed, cut."""
    assert explain_failure(printed.splitlines(), status) == (reason, is_input)


def test_a_models_own_text_cannot_write_to_the_terminal() -> None:
    failure = explain_failure([f"ValueError: \x1b[2J\x07{'x' * 1000}"], 1)
    assert failure.reason.isprintable()
    assert len(failure.reason) < 400


def test_a_converter_that_does_not_run_says_why_and_keeps_its_log(
    workspace: Workspace, tmp_path: Path
) -> None:
    checkout = tree(tmp_path / "llama.cpp")
    (checkout / "environment" / "bin").mkdir(parents=True)
    bare = checkout / "environment" / "bin" / "python"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", bare.parent.parent], check=True)
    found = find_converter(workspace, checkout, bare)
    with pytest.raises(WorkerFailed, match="No module named 'transformers'; its log: ") as failed:
        known_architectures(workspace, found)
    assert Path(str(failed.value).rsplit("its log: ", 1)[1]).is_file()


def test_the_converter_answers_what_it_knows_and_is_asked_once(
    workspace: Workspace, converter: Converter
) -> None:
    """Oracle: the table in the converter's own source."""
    names = known_architectures(workspace, converter)
    source = (converter.script.parent / "conversion" / "__init__.py").read_text(encoding="utf-8")
    table = source.split("TEXT_MODEL_MAP: dict[str, str] = {")[1].split("}")[0]
    assert sorted(names) == sorted(line.split('"')[1] for line in table.splitlines() if '"' in line)
    gone = Converter(Path("gone"), Path("gone"), converter.version, converter.sha256)
    assert known_architectures(workspace, gone) == names
    assert not list((workspace.root / "log").iterdir())


_LOADS_WITH_TRUST = """
import sys
from transformers import AutoTokenizer
AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)
"""


def test_a_models_own_code_is_never_run_even_where_the_converter_trusts_it(
    converter: Converter, tmp_path: Path
) -> None:
    """The same script, started by itself, does run it: the danger is real."""
    ran, model = tmp_path / "ran", tmp_path / "model"
    model.mkdir()
    evil = f"from pathlib import Path\nPath({str(ran)!r}).touch()\nclass Evil: pass\n"
    (model / "evil.py").write_text(evil, encoding="utf-8")
    write_json(model / "config.json", {"model_type": "llama"})
    auto_map = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    write_json(model / "tokenizer_config.json", {"tokenizer_class": "Evil", "auto_map": auto_map})
    script = tmp_path / "load.py"
    script.write_text(_LOADS_WITH_TRUST, encoding="utf-8")
    loading = Converter(script, converter.python, "", "")
    printed: list[str] = []
    status = launch(loading, [str(model)], log_path=tmp_path / "log", on_line=printed.append)
    assert not ran.exists()
    assert explain_failure(printed, status).reason == (
        "the model needs Python code of its own, which is not run"
    )
    home = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    alone = [str(converter.python), "-I", str(script), str(model)]
    subprocess.run(alone, env=home, capture_output=True, check=False)
    assert ran.exists()


def test_the_converter_cannot_reach_the_network(converter: Converter, tmp_path: Path) -> None:
    script = tmp_path / "connect.py"
    script.write_text("import socket; socket.create_connection(('127.0.0.1', 9))", encoding="utf-8")
    printed: list[str] = []
    connecting = Converter(script, converter.python, "", "")
    assert launch(connecting, [], log_path=tmp_path / "log", on_line=printed.append) != 0
    assert printed[-2].startswith("PermissionError: the converter wanted the network")
