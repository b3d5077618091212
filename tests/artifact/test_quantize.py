"""A level is what llama.cpp's own quantizer makes of it, and every name of it is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeeval._llama import Mixture, file_types, quantize, quantized_bytes
from edgeeval.artifact.inspect import describe, read_gguf
from edgeeval.artifact.quantize import Build, build, known, level_build, target_path
from edgeeval.errors import InputError, WorkerFailed
from edgeeval.recipe import QUANTIZATION_TYPES, Level
from edgeeval.recipe.types import READ_ONLY_TYPES
from edgeeval.records import Artifact
from edgeeval.run.device import Engine, find_engine
from edgeeval.store import Workspace
from tests.artifact.wide_model import LAYERS, WIDTH, write_wide_model
from tests.native import native_tool, run_native


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wide_model(tmp_path_factory.mktemp("wide") / "F32.gguf")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def engine(workspace: Workspace) -> Engine:
    return find_engine(workspace, device="cpu", n_threads=2)


@pytest.fixture(scope="module")
def source(workspace: Workspace, wide: Path) -> Artifact:
    return describe(workspace, wide, name="F32", source="given")


Make = Callable[..., Artifact]


@pytest.fixture(scope="module")
def make(workspace: Workspace, engine: Engine, source: Artifact) -> Make:
    def made(level: Level | str, of: Artifact = source) -> Artifact:
        wanted = Level(type=level) if isinstance(level, str) else level
        return build(workspace, engine, level_build(of, wanted, None), lambda line: None)

    return made


# -- the names -----------------------------------------------------------------------------------


def test_every_type_of_the_engines_enum_is_known_and_no_other() -> None:
    """Oracle: llama_ftype of the installed engine."""
    assert set(file_types()) == set(QUANTIZATION_TYPES) | set(READ_ONLY_TYPES)


@pytest.mark.parametrize("kind", sorted(QUANTIZATION_TYPES))
def test_exactly_the_types_that_are_said_to_need_an_imatrix_are_refused_without_one(
    wide: Path, tmp_path: Path, kind: str
) -> None:
    """Oracle: llama.cpp's quantizer, on a model where no row falls back."""
    if QUANTIZATION_TYPES[kind].needs_imatrix:
        with pytest.raises(WorkerFailed, match="importance matrix"):
            quantize(wide, tmp_path / "out.gguf", file_type=kind, n_threads=2)
        return
    quantize(wide, tmp_path / "out.gguf", file_type=kind, n_threads=2)
    info = read_gguf(tmp_path / "out.gguf")
    assert info.label == kind
    assert info.shares(fallback_only=True) == {}


@pytest.mark.parametrize("kind", sorted(READ_ONLY_TYPES))
def test_the_types_that_are_said_to_be_read_only_are_refused(
    wide: Path, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(WorkerFailed, match="invalid output file type"):
        quantize(wide, tmp_path / "out.gguf", file_type=kind, n_threads=2)


def test_mxfp4_turns_a_dense_model_into_q8_0_as_its_note_says(make: Make) -> None:
    made = make("MXFP4_MOE")
    assert set(made.type_shares) == {"Q8_0", "F32"}
    assert "Q8_0" in QUANTIZATION_TYPES["MXFP4_MOE"].note


# -- mixes ---------------------------------------------------------------------------------------


def _types(artifact: Artifact) -> dict[str, str]:
    return {tensor.name: tensor.type for tensor in read_gguf(Path(artifact.path)).tensors}


def test_a_mix_gives_each_tensor_the_type_that_was_asked_for(make: Make) -> None:
    made = make(
        Level(
            type="Q3_K_M",
            name="mix",
            tensors={r"blk\.[01]\.attn_v": "Q6_K", "attn_v": "Q5_K", "output": "Q4_K"},
        )
    )
    types = _types(made)
    assert types["blk.0.attn_v.weight"] == types["blk.1.attn_v.weight"] == "Q6_K"
    assert {types[f"blk.{layer}.attn_v.weight"] for layer in range(2, LAYERS)} == {"Q5_K"}
    assert types["output.weight"] == "Q4_K"
    assert types["blk.0.ffn_up.weight"] == "Q3_K"
    assert made.provenance.options == r"blk\.[01]\.attn_v=Q6_K, attn_v=Q5_K, output=Q4_K"
    assert made.name == "mix"


def test_token_embeddings_and_output_have_keys_of_their_own(make: Make) -> None:
    level = Level(type="Q4_K_M", name="e", tensors={"token_embd": "Q8_0", "output": "BF16"})
    types = _types(make(level))
    assert types["token_embd.weight"] == "Q8_0"
    assert types["output.weight"] == "BF16"


def test_pure_and_leave_output_tensor_are_llama_quantizes(make: Make) -> None:
    pure = _types(make(Level(type="Q4_K_M", name="pure", pure=True)))
    assert {kind for name, kind in pure.items() if "norm" not in name} == {"Q4_K"}
    kept = _types(make(Level(type="Q4_K_M", name="kept", leave_output_tensor=True)))
    assert kept["output.weight"] == "F32"
    assert make("Q4_K_M").sha256 != make(Level(type="Q4_K_M", name="kept", pure=True)).sha256


def test_an_override_that_no_tensor_answers_to_is_refused(make: Make) -> None:
    """llama.cpp would ignore it in silence."""
    with pytest.raises(InputError, match=r"attn_w.*in no tensor's name"):
        make(Level(type="Q4_K_M", name="typo", tensors={"attn_w": "Q8_0"}))


def test_what_a_mix_asked_for_did_not_fall_back(ladder: Any) -> None:
    """SmolLM2's rows of 576 cannot be Q4_K; its attn_v were to be Q8_0, the others fell back."""
    wanted = level_build(
        ladder.bf16, Level(type="Q4_K_M", name="mix", tensors={"attn_v": "Q8_0"}), None
    )
    mix = build(ladder.workspace, ladder.engine, wanted, lambda line: None)
    info = read_gguf(Path(mix.path))
    attn_v = sum(one.n_params for one in info.tensors if "attn_v" in one.name)
    without = sum(info.shares(fallback_only=True).values())
    assert mix.fallback_share == pytest.approx(without - attn_v / info.n_params, abs=1e-6)


# -- sizes, records ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M", "IQ4_XS", "Q2_K", "F16"])
def test_the_dry_run_tells_the_size(wide: Path, make: Make, kind: str) -> None:
    """Oracle: the file. The header is not part of it."""
    planned = quantized_bytes(wide, file_type=kind)
    tensors = sum(one.size_bytes for one in read_gguf(Path(make(kind).path)).tensors)
    assert planned == pytest.approx(tensors, abs=16_000)


def test_a_record_outlives_its_file_and_names_what_made_it(
    workspace: Workspace, engine: Engine, source: Artifact
) -> None:
    wanted = level_build(source, Level(type="Q5_0"), None)
    assert known(workspace, engine, wanted) is None
    made = build(workspace, engine, wanted, lambda line: None)
    assert made.provenance.how == "quantized"
    assert made.provenance.source_sha256 == source.sha256
    assert engine.libraries_sha256 in made.provenance.engine
    Path(made.path).unlink()
    assert known(workspace, engine, wanted) == made
    again = build(workspace, engine, wanted, lambda line: None)
    assert again == made


def test_other_options_are_another_file(
    workspace: Workspace, engine: Engine, source: Artifact
) -> None:
    plain = level_build(source, Level(type="Q4_K_M"), None)
    mixed = level_build(source, Level(type="Q4_K_M", name="m", tensors={"attn_v": "Q8_0"}), None)
    paths = {target_path(workspace, engine, one) for one in (plain, mixed)}
    assert len(paths) == 2


def test_a_failed_build_leaves_no_file(
    workspace: Workspace, engine: Engine, source: Artifact
) -> None:
    wanted = Build(source, "IQ1_S", "IQ1_S", "quantized from F32", {})
    with pytest.raises(WorkerFailed, match="importance matrix"):
        build(workspace, engine, wanted, lambda line: None)
    target = target_path(workspace, engine, wanted)
    assert not list(target.parent.glob(f"{target.stem}*"))


# -- the same bytes as the native tool -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M", "Q3_K_S", "IQ4_XS", "Q5_1", "TQ2_0", "BF16"])
def test_a_file_is_the_native_tools_to_the_byte(
    wide: Path, make: Make, tmp_path: Path, kind: str
) -> None:
    """Oracle: llama-quantize of the engine's commit."""
    run_native(native_tool("llama-quantize"), wide, tmp_path / "native.gguf", kind, 2)
    assert Path(make(kind).path).read_bytes() == (tmp_path / "native.gguf").read_bytes()


def test_a_mix_is_the_native_tools_to_the_byte(wide: Path, make: Make, tmp_path: Path) -> None:
    """Oracle: llama-quantize of the engine's commit."""
    options = ["--tensor-type", "attn_v=q6_k", "--tensor-type", r"blk\.0\.ffn=q8_0"]
    options += ["--token-embedding-type", "q5_0", "--output-tensor-type", "q4_1"]
    native = tmp_path / "native.gguf"
    run_native(native_tool("llama-quantize"), *options, wide, native, "Q3_K_M", 2)
    tensors = {"attn_v": "Q6_K", r"blk\.0\.ffn": "Q8_0", "token_embd": "Q5_0", "output": "Q4_1"}
    made = make(Level(type="Q3_K_M", name="mix", tensors=tensors))
    assert Path(made.path).read_bytes() == native.read_bytes()


def test_the_real_models_levels_are_the_native_tools_to_the_byte(
    ladder: Any, tmp_path: Path
) -> None:
    """Oracle: llama-quantize of the engine's commit, on SmolLM2."""
    native = tmp_path / "native.gguf"
    run_native(native_tool("llama-quantize"), ladder.bf16.path, native, "Q2_K", 2)
    assert Path(ladder.q2_k.path).read_bytes() == native.read_bytes()


def test_widths_are_what_the_tests_above_rest_on(wide: Path) -> None:
    assert all(one.shape[0] % WIDTH == 0 for one in read_gguf(wide).tensors)
    assert Mixture() == Mixture(patterns={})
