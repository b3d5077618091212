"""Whatever a person mistypes: exit code 2, one line on stderr, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from edgeeval.run.selftest import write_micro_model


def _edgeeval(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeeval", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": "", "EDGEEVAL_WORKSPACE": str(folder / "ws"), "HOME": str(folder)},
    )


def _refusal(folder: Path, *arguments: str) -> str:
    """Return the one line that a refused command says."""
    done = _edgeeval(folder, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("edgeeval: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("edgeeval: ").rstrip()


def _write_f32(path: Path, name: str = "", architecture: str = "llama") -> Path:
    writer = GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_tensor("token_embd.weight", np.ones((4, 256), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of every sort that cannot be used."""
    folder = tmp_path_factory.mktemp("files")
    _write_f32(folder / "f32.gguf")
    write_micro_model(folder / "quantized.gguf")
    whole = (folder / "quantized.gguf").read_bytes()
    (folder / "truncated.gguf").write_bytes(whole[: len(whole) // 2])
    (folder / "page.gguf").write_text("<!DOCTYPE html>\n<title>Not found</title>")
    (folder / "broken.jsonl").write_text("{\n")
    (folder / "broken.yaml").write_text("name: a\nname: b\n")
    (folder / "misspelt.yaml").write_text("name: a\nmodel: {gguf: a.gguf}\nreferense: BF16\n")
    (folder / "empty.txt").write_text("")
    (folder / "results.json").write_text("{}")
    recipe = {"name": "own", "model": {"gguf": "gone.gguf"}, "reference": "F16", "levels": ["Q8_0"]}
    (folder / "gone.yaml").write_text(json.dumps(recipe))
    package = {"package": "llm-nobody==1.0"}
    (folder / "own.yaml").write_text(json.dumps(recipe | {"model": package}))
    own = recipe | {"model": {"gguf": "f32.gguf"}}
    (folder / "sound.yaml").write_text(json.dumps(own))
    (folder / "metric.yaml").write_text(json.dumps(own | {"require": {"lm.kld_meen": {"max": 1}}}))
    (folder / "bare.yaml").write_text(json.dumps(own | {"require": {"cost.bpw": {"margin": 1}}}))
    return folder


# -- refused before anything is started ----------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("evall", "no such verb 'evall' (did you mean 'eval'?)"),
        ("eval", "give one RECIPE or MODEL, or --reference FILE"),
        ("eval one two", "give one RECIPE or MODEL, or --reference FILE"),
        ("eval smollm2-153m", "no shipped recipe (did you mean 'smollm2-135m'?)"),
        ("eval missing.yaml", "missing.yaml: cannot be read: No such file or directory"),
        ("eval broken.yaml", "broken.yaml:2: key 'name' is given twice"),
        ("eval smollm2-135m --suite quik", "suite 'quik' is unknown (did you mean 'quick'?)"),
        ("eval smollm2-135m --policy strickt", "policy 'strickt' is unknown (did you mean 'st"),
        ("eval smollm2-135m --policy no.yaml", "no.yaml: cannot be read"),
        ("eval smollm2-135m --only nonsense", "--only nonsense: no such metric (known: "),
        ("eval smollm2-135m --only lm.kld_meen", "no such metric (did you mean 'lm.kld_mean'?)"),
        (
            "eval smollm2-135m --only bias",
            "suite quick has no items for bias; give another --suite",
        ),
        ("eval smollm2-135m --output broken.yaml/x", "x: cannot be made: Not a directory"),
        ("eval misspelt.yaml", "referense: unknown key (did you mean 'reference'?)"),
        ("eval smollm2-135m --judge detoxifi", "judge 'detoxifi' is unknown"),
        ("eval smollm2-135m --judge detoxify-unbiased", "run: edgeeval fetch --judge detoxify-unb"),
        ("eval smollm2-135m --judge gone.gguf", "judge gone.gguf: no such file"),
        ("fetch --judge detoxify-unbiassed", "(did you mean 'detoxify-unbiased'?)"),
        ("judge build detoxify-unbiased", "run: edgeeval fetch --judge detoxify-unbiased"),
        ("judge build nowhere", "nowhere: no such folder, and no judge of that name"),
        ("judge build . --type Q4_0", "'--type': 'Q4_0' is not one of"),
        ("eval smollm2-135m --windows 4", "--windows belongs to --text"),
        ("eval smollm2-135m --text missing.txt", "missing.txt: cannot be read: No such file"),
        ("eval smollm2-135m --text empty.txt", "empty.txt: empty; give a text"),
        ("eval smollm2-135m --prompts missing.jsonl", "missing.jsonl: cannot be read"),
        ("eval smollm2-135m --prompts broken.jsonl", "broken.jsonl:1: not JSON"),
        ("eval smollm2-135m --device gpu", "'--device': 'gpu' is not one of"),
        ("eval smollm2-135m --threads 0", "'--threads': 0 is not in the range"),
        ("eval smollm2-135m --bogus", "--bogus"),
        ("eval metric.yaml", "'lm.kld_meen' is no metric (did you mean 'lm.kld_mean'?)"),
        ("eval bare.yaml", "has no difference from the reference; give max or min"),
        ("eval --reference f32.gguf", "--reference: give the levels' GGUF files behind it"),
        ("eval --reference f32.gguf q.gguf --levels Q8_0", "--levels belongs to a recipe"),
        ("eval --reference f32.gguf q.gguf --imatrix shipped", "--imatrix: nothing is quantized"),
        ("fetch nobody", "no shipped recipe"),
        ("fetch gone.yaml", "gone.gguf: no such file"),
        ("inspect missing.gguf", "missing.gguf: cannot be read: No such file or directory"),
        ("inspect page.gguf", "page.gguf: not a GGUF file (it begins with b'<!DO')"),
        ("inspect truncated.gguf", "truncated.gguf: broken or truncated GGUF file: it ends inside"),
        ("inspect f32.gguf truncated.gguf --json", "truncated.gguf: broken or truncated"),
        ("inspect", "Missing argument 'FILES...'"),
        ("prompts show open-gruops", "prompt set 'open-gruops' is unknown (did you mean 'open-gro"),
        ("prompts show missing.jsonl", "missing.jsonl: cannot be read: No such file"),
        ("prompts shwo", "No such command 'shwo'"),
        ("report missing.json", "missing.json: cannot be read: No such file"),
        ("report results.json", "results.json: schema: None is not 'edgeeval/results@1'"),
        ("report results.json -o out.md -o out.pdf", "out.pdf: no report format has the suffix"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_runs(
    files: Path, line: str, message: str
) -> None:
    assert message in _refusal(files, *line.split())
    assert not (files / "ws" / "selftest").exists(), "the engine was started"


def test_a_usage_error_names_the_help_that_answers_it(files: Path) -> None:
    assert _refusal(files, "eval", "x", "--bogus").endswith("eval --help)")


def test_a_verb_without_arguments_shows_its_help(files: Path) -> None:
    done = _edgeeval(files)
    assert "Verbs:" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# -- refused when the artifacts are looked at ----------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("eval smollm2-135m", "run: edgeeval fetch smollm2-135m"),
        ("eval own.yaml", "run: edgeeval fetch RECIPE (this recipe's file)"),
        ("quantize smollm2-135m", "run: edgeeval fetch smollm2-135m"),
        ("eval sound.yaml --levels Q8", "--levels Q8: not in the recipe (did you mean 'Q8_0'?)"),
        ("eval gone.yaml", "gone.gguf: no such file"),
        ("eval --reference missing.gguf f32.gguf", "missing.gguf: no such file"),
        ("eval --reference page.gguf f32.gguf", "page.gguf: not a GGUF file"),
        ("eval --reference truncated.gguf f32.gguf", "truncated.gguf: broken or truncated"),
        ("eval --reference f32.gguf missing.gguf", "missing.gguf: no such file"),
        ("eval --reference quantized.gguf f32.gguf", "the reference is quantized (Q8_0, "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    files: Path, tmp_path: Path, line: str, message: str
) -> None:
    verb, *rest = line.split()
    found = _refusal(files, verb, *rest, "--quiet", "--workspace", str(tmp_path / "ws"))
    assert message in found


def test_a_files_own_text_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """What llama.cpp says of a file holds the file's own words."""
    _write_f32(tmp_path / "odd.gguf", architecture="\x1b]0;owned\x07")
    done = _edgeeval(tmp_path, "quantize", "odd.gguf", "--levels", "Q8_0")
    assert done.returncode == 4
    assert "Q8_0: lost: odd.gguf to Q8_0: failed to quantize: unknown model" in done.stderr
    assert done.stderr.replace("\n", "").isprintable()


def test_a_quantized_reference_is_told_the_way_out(files: Path, tmp_path: Path) -> None:
    arguments = ["eval", "--reference", "quantized.gguf", "f32.gguf", "--quiet"]
    message = _refusal(files, *arguments, "--workspace", str(tmp_path))
    assert "give the F16, BF16 or F32 file; or pass --quantized-reference" in message
    assert "or --reference-type BF16 to dequantize it" in message


# -- foreign texts -------------------------------------------------------------------------------


def test_a_strangers_file_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    path = _write_f32(tmp_path / "f32.gguf", name="nice\x1b[2J\nlabel  Q8_0\u202e")
    done = _edgeeval(tmp_path, "inspect", str(path))
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "nice [2J label Q8_0" in done.stdout
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text('"evil\\e[2J\\nkey": 1\n')
    assert "\x1b" not in _refusal(tmp_path, "eval", "recipe.yaml")
