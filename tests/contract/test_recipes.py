"""What every recipe and ladder in quant_recipes/ keeps, whoever writes the next one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import gguf
import numpy as np
import pytest
import yaml

from edgeeval.artifact.quantize import Build, planned_bytes
from edgeeval.artifact.source import find_level_files, find_model
from edgeeval.errors import NotFetched
from edgeeval.prompts import load_suite
from edgeeval.recipe import (
    QUANTIZATION_TYPES,
    ModelSource,
    Recipe,
    ladder_names,
    load_policy,
    load_recipe,
    recipe_names,
)
from edgeeval.resources import data_dir
from edgeeval.store import Workspace
from tests.conftest import Ladder

RECIPES = {name: load_recipe(name) for name in recipe_names()}
DEMO = "smollm2-135m"
_LICENCES = {"apache-2.0", "mit", "llama3.2", "gemma", "qwen-research"}
"""As the model cards write them."""
_GATED = ("meta-llama/", "google/gemma-")
_SUPERBLOCK = 256
_TYPICAL = 0.05
"""How far a level may be from a typical model's size before the recipe must say so."""


@dataclass(frozen=True)
class Shape:
    """What a model's published config.json says, and how its architecture is built of it."""

    architecture: str
    width: int
    """hidden_size"""
    feed_forward: int
    """intermediate_size"""
    n_layers: int
    n_heads: int
    n_kv_heads: int
    n_vocab: int
    head_width: int = 0
    """0: the width over the heads."""
    output: bool = False
    """Whether the checkpoint holds an output matrix beside the token embedding."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return llama.cpp's tensor names -> shapes, the row's width first."""
        tensors: dict[str, tuple[int, ...]] = {
            "token_embd.weight": (self.width, self.n_vocab),
            "output_norm.weight": (self.width,),
        }
        if self.output:
            tensors["output.weight"] = (self.width, self.n_vocab)
        for layer in range(self.n_layers):
            tensors |= {f"blk.{layer}.{name}": shape for name, shape in self._layer().items()}
        return tensors

    def _layer(self) -> dict[str, tuple[int, ...]]:
        head = self.head_width or self.width // self.n_heads
        queries, keys = self.n_heads * head, self.n_kv_heads * head
        norms = {"attn_norm": self.width, "ffn_norm": self.width}
        if self.architecture in {"qwen3", "gemma3"}:
            norms |= {"attn_q_norm": head, "attn_k_norm": head}
        if self.architecture == "gemma3":
            norms |= {"post_attention_norm": self.width, "post_ffw_norm": self.width}
        biases = {"attn_q": queries, "attn_k": keys, "attn_v": keys}
        if self.architecture == "phi3":
            matrices = {"attn_qkv": queries + 2 * keys, "ffn_up": 2 * self.feed_forward}
        else:
            matrices = biases | {"ffn_gate": self.feed_forward, "ffn_up": self.feed_forward}
        return {
            **{f"{name}.weight": (width,) for name, width in norms.items()},
            **{f"{name}.weight": (self.width, rows) for name, rows in matrices.items()},
            **({f"{n}.bias": (w,) for n, w in biases.items()} if self._has_bias else {}),
            "attn_output.weight": (queries, self.width),
            "ffn_down.weight": (self.feed_forward, self.width),
        }

    @property
    def _has_bias(self) -> bool:
        return self.architecture == "qwen2"

    @property
    def n_params(self) -> int:
        return sum(map(prod, self.tensors().values()))

    @property
    def fallback_share(self) -> float:
        """The share of the parameters in rows that K-quants cannot cut into their blocks."""
        shapes = self.tensors().values()
        fell = sum(prod(one) for one in shapes if len(one) > 1 and one[0] % _SUPERBLOCK)
        return fell / self.n_params


SHAPES = {
    "smollm2-135m": Shape("llama", 576, 1536, 30, 9, 3, 49152),
    "smollm2-135m-hf": Shape("llama", 576, 1536, 30, 9, 3, 49152),
    "smollm2-360m": Shape("llama", 960, 2560, 32, 15, 5, 49152),
    "smollm2-1.7b": Shape("llama", 2048, 8192, 24, 32, 32, 49152),
    "qwen2.5-0.5b": Shape("qwen2", 896, 4864, 24, 14, 2, 151936),
    "qwen2.5-1.5b": Shape("qwen2", 1536, 8960, 28, 12, 2, 151936),
    "qwen2.5-3b": Shape("qwen2", 2048, 11008, 36, 16, 2, 151936),
    "qwen3-0.6b": Shape("qwen3", 1024, 3072, 28, 16, 8, 151936, 128, output=True),
    "qwen3-1.7b": Shape("qwen3", 2048, 6144, 28, 16, 8, 151936, 128, output=True),
    "qwen3-4b": Shape("qwen3", 2560, 9728, 36, 32, 8, 151936, 128),
    "llama-3.2-1b": Shape("llama", 2048, 8192, 16, 32, 8, 128256),
    "llama-3.2-1b-uploaders": Shape("llama", 2048, 8192, 16, 32, 8, 128256),
    "llama-3.2-3b": Shape("llama", 3072, 8192, 28, 24, 8, 128256),
    "gemma-3-270m": Shape("gemma3", 640, 2048, 18, 4, 1, 262144, 256),
    "gemma-3-1b": Shape("gemma3", 1152, 6912, 26, 4, 1, 262144, 256),
    "gemma-3-4b": Shape("gemma3", 2560, 10240, 34, 8, 4, 262208, 256),
    "phi-4-mini": Shape("phi3", 3072, 8192, 32, 24, 8, 200064),
    "mistral-7b": Shape("llama", 4096, 14336, 32, 32, 8, 32768, output=True),
    "tinyllama-1.1b": Shape("llama", 2048, 5632, 22, 32, 4, 32000, output=True),
}
"""The published config.json of each model, without the vision encoder of Gemma 3 4B. The sums are
the totals of the published checkpoints, from 134,515,008 (SmolLM2-135M) to 7,248,023,552."""


def _text(name: str) -> str:
    return (data_dir("quant_recipes") / f"{name}.yaml").read_text(encoding="utf-8")


def _comment(name: str) -> str:
    """Return a recipe's comment, without its line breaks."""
    lines = re.findall(r"^# (.*)$", _text(name), re.MULTILINE)
    return " ".join(lines)


def _sizes(name: str, opening: str) -> dict[str, float]:
    """Return type -> bytes, of what the comment says after its opening words."""
    found = re.search(rf"{opening} ((?:\w+ [\d.]+ [MG]B(?:, )?)+)", _comment(name))
    units = {"M": 1e6, "G": 1e9}
    parts = re.findall(r"(\w+) ([\d.]+) ([MG])B", found[1]) if found else []
    return {kind: float(number) * units[unit] for kind, number, unit in parts}


def _typical_bytes(recipe: Recipe, kind: str) -> float:
    assert recipe.n_params is not None
    return recipe.n_params * QUANTIZATION_TYPES[kind].bpw / 8


def _sources(recipe: Recipe) -> list[tuple[str, str | None]]:
    """Return the repositories that a recipe names, with the revisions."""
    levels = [(level.hf, level.revision) for level in recipe.levels if level.hf]
    model = recipe.model
    return [*([(model.hf, model.revision)] if model.hf else []), *levels]


# -- recipes -------------------------------------------------------------------------------------


def test_there_are_recipes_for_the_models_that_run_on_laptops() -> None:
    assert set(RECIPES) == set(SHAPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_its_files_name_a_source_a_licence_and_a_size(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.model.hf or recipe.model.package
    assert recipe.licence in _LICENCES
    assert recipe.n_params


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_parameters_are_those_of_its_architecture(name: str) -> None:
    assert RECIPES[name].n_params == SHAPES[name].n_params


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_levels_are_known_and_given_once_and_its_suite_and_policy_exist(
    name: str,
) -> None:
    recipe = RECIPES[name]
    built = [level for level in recipe.levels if level.type is not None]
    assert all(level.type in QUANTIZATION_TYPES for level in built)
    assert not any(QUANTIZATION_TYPES[level.type or ""].note for level in built)
    labels = [level.label for level in recipe.levels]
    assert len(set(labels)) == len(labels) > 1
    assert load_suite(recipe.suite).name == recipe.suite
    assert load_policy(recipe.policy)


@pytest.mark.parametrize("name", RECIPES)
def test_a_repository_is_pinned_to_a_commit_or_the_recipe_says_when_it_is_looked_up(
    name: str,
) -> None:
    for repository, revision in _sources(RECIPES[name]):
        assert revision is not None, repository
        if not re.fullmatch(r"[0-9a-f]{40}", revision):
            assert revision == "main", repository
            assert "commit is recorded when it is fetched" in _text(name)


@pytest.mark.parametrize("name", RECIPES)
def test_a_gated_repository_is_called_so(name: str) -> None:
    gated = any(repository.startswith(_GATED) for repository, _ in _sources(RECIPES[name]))
    assert ("HF_TOKEN" in _comment(name)) == gated


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_no_address(name: str) -> None:
    assert not re.search(r"https?:|www\.", _text(name))


def test_the_demo_needs_nothing_but_its_package() -> None:
    """After `edgeeval fetch` there is no other source left that only the network has."""
    recipe = RECIPES[DEMO]
    assert recipe.model == ModelSource(package=recipe.model.package)
    assert recipe.imatrix is None
    assert all(level.file is None for level in recipe.levels)


def test_the_demo_is_found_where_its_package_is(tmp_path: Path) -> None:
    package = RECIPES[DEMO].model.package
    assert package is not None
    folder = tmp_path / "downloads" / package
    folder.mkdir(parents=True)
    (folder / "model.gguf").touch()
    assert find_model(Workspace(tmp_path), RECIPES[DEMO]).path == folder / "model.gguf"


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_not_fetched_is_refused_with_the_fetch_that_gets_it(
    name: str, tmp_path: Path
) -> None:
    recipe, workspace = RECIPES[name], Workspace(tmp_path)
    with pytest.raises(NotFetched, match="run: edgeeval fetch "):
        find_model(workspace, recipe)
    for level in recipe.levels:
        if level.hf is not None:
            with pytest.raises(NotFetched, match=re.escape(f"run: edgeeval fetch hf:{level.hf}")):
                find_level_files(workspace, level)


# -- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in RECIPES if name != DEMO])
def test_the_sizes_in_a_comment_are_what_the_table_of_types_gives(name: str) -> None:
    recipe, sizes = RECIPES[name], _sizes(name, "Sizes, about:")
    assert {recipe.reference, "Q4_K_M"} <= set(sizes)
    if recipe.model.is_checkpoint:
        assert list(sizes) == ["BF16", "Q8_0", "Q4_K_M", "Q2_K"]
    for kind, size_bytes in sizes.items():
        assert size_bytes == pytest.approx(_typical_bytes(recipe, kind), rel=0.03), kind


@pytest.mark.parametrize("name", [name for name in RECIPES if name != DEMO])
def test_a_recipe_whose_levels_are_no_typical_sizes_says_what_llama_cpp_writes(
    name: str, ladder: Ladder, tmp_path: Path
) -> None:
    """Oracle: llama.cpp's own dry run, on a file that holds the tensor table and nothing else."""
    recipe, table = RECIPES[name], _write_table(tmp_path / "table.gguf", SHAPES[name])
    source = replace(ladder.bf16, path=str(table))
    stated = _sizes(name, r"llama\.cpp writes")
    for kind in set(_sizes(name, "Sizes, about:")) & {"Q4_K_M", "Q2_K"}:
        wanted = Build(source, kind, kind, "", {})
        written = planned_bytes(ladder.workspace, ladder.engine, wanted)
        if abs(written / _typical_bytes(recipe, kind) - 1) > _TYPICAL:
            assert kind in stated
        if kind in stated:
            assert stated[kind] == pytest.approx(written, rel=0.01)
    table.unlink()  # pytest keeps folders, and not every tool knows a hole


@pytest.mark.parametrize("name", [name for name in RECIPES if name != DEMO])
def test_a_recipe_says_which_share_of_the_parameters_falls_back(name: str) -> None:
    shape = SHAPES[name]
    said = re.search(
        r"rows of (\d+) cannot .* so (\d+)% of the parameters fall back", _comment(name)
    )
    assert (said is not None) == (shape.fallback_share > 0)
    if said is not None:
        assert int(said[1]) == shape.width
        assert int(said[2]) == round(100 * shape.fallback_share)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != DEMO])
def test_the_share_of_the_vocabulary_is_right_where_a_recipe_states_it(name: str) -> None:
    shape = SHAPES[name]
    said = re.findall(r"(?:embedding|matrix)(?:, | is )(\d+)% of the parameters", _comment(name))
    share = round(100 * shape.width * shape.n_vocab / shape.n_params)
    assert {int(one) for one in said} <= {share}


def _write_table(path: Path, shape: Shape) -> Path:
    """Write a BF16 model's header and tensor table, and a hole where the weights would be."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    head = shape.head_width or shape.width // shape.n_heads
    writer.add_context_length(512)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(shape.n_vocab)
    writer.add_sliding_window(512)
    size_bytes = 0
    for name, dimensions in shape.tensors().items():
        kind = gguf.GGMLQuantizationType["F32" if len(dimensions) == 1 else "BF16"]
        n_bytes = prod(dimensions) * (4 if len(dimensions) == 1 else 2)
        rows_last = tuple(reversed(dimensions))
        writer.add_tensor_info(name, rows_last, np.dtype(np.uint16), n_bytes, raw_dtype=kind)
        size_bytes += gguf.GGUFWriter.ggml_pad(n_bytes, writer.data_alignment)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    start = gguf.GGUFWriter.ggml_pad(path.stat().st_size, writer.data_alignment)
    os.truncate(path, start + size_bytes)
    return path


# -- ladders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ladder_names())
def test_a_ladder_holds_known_levels_once_best_first_and_says_what_it_is_for(name: str) -> None:
    text = (data_dir("quant_recipes") / "ladders" / f"{name}.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    assert list(content) == ["levels"]
    levels = content["levels"]
    assert len(levels) > 1
    assert levels == [level for level in QUANTIZATION_TYPES if level in levels], "best first"
    assert text.startswith("# ")


@pytest.mark.parametrize("name", ladder_names())
def test_a_ladder_loads_into_a_recipe_and_asks_for_an_imatrix_where_its_types_do(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    content = {"name": "mine", "model": {"gguf": "m.gguf"}, "reference": "F16", "levels": name}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    imatrix = {"imatrix": {"text": str(data_dir("quant_recipes") / "calibration.txt")}}
    levels = load_recipe(str(path), imatrix).levels
    written = (data_dir("quant_recipes") / "ladders" / f"{name}.yaml").read_text(encoding="utf-8")
    assert [level.type for level in levels] == yaml.safe_load(written)["levels"]
    needs = any(QUANTIZATION_TYPES[level.type or ""].needs_imatrix for level in levels)
    assert needs == (name == "iq-imatrix")


def test_every_ladder_but_that_for_an_imatrix_fits_every_recipe() -> None:
    for name in set(ladder_names()) - {"iq-imatrix"}:
        for recipe in recipe_names():
            assert load_recipe(recipe, {"levels": name}).levels


# -- plan ----------------------------------------------------------------------------------------


_OFFLINE = """
import sys

def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        raise AssertionError(f"{event}{arguments}")

sys.addaudithook(refuse)
from edgeeval.cli import main
main()
"""
"""The command line, in a process that dies where it asks for a network."""


@pytest.mark.parametrize("name", ["smollm2-360m", "llama-3.2-1b-uploaders"])
def test_plan_prints_the_sizes_of_what_is_not_fetched_without_a_network(
    name: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _OFFLINE, "plan", name, "--workspace", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition("\n\n")[0].splitlines()
    rows = {row.split()[0]: row.split(maxsplit=3)[1:] for row in table}
    recipe = RECIPES[name]
    assert list(rows) == [recipe.reference, *(level.label for level in recipe.levels)]
    assert rows.pop(recipe.reference)[1] == "fetch"
    for level in recipe.levels:
        _, what, size = rows[level.label]
        assert what == ("build" if level.type else "fetch")
        if level.type is None:
            assert size == "unknown"
        else:
            assert _bytes_of(size) == pytest.approx(_typical_bytes(recipe, level.type), rel=0.01)
    assert f"run: edgeeval fetch hf:{recipe.model.hf}" in done.stdout


def _bytes_of(size: str) -> float:
    found = re.fullmatch(r"about ([\d.]+) ([MG])B", size)
    assert found is not None, size
    return float(found[1]) * {"M": 1e6, "G": 1e9}[found[2]]
