"""What a person types instead of a recipe means one recipe, or is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeeval.errors import InputError, RecipeError
from edgeeval.recipe import AS_GIVEN, is_recipe, load_recipe, recipe_of, recipe_of_files
from edgeeval.resources import data_dir

Q2_TO_Q8 = ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a checkpoint's folder, beside nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "SmolLM2-135M").mkdir()
    return tmp_path


def source(target: str, **options: Any) -> dict[str, Any]:
    """Return what a target's model is, less what is not given."""
    return recipe_of(target, **options).model.model_dump(mode="json", exclude_none=True)


# -- the model -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "model", "name", "reference"),
    [
        ("model-F16.gguf", {"gguf": "model-F16.gguf"}, "model-F16", AS_GIVEN),
        ("/models/a b.gguf", {"gguf": "/models/a b.gguf"}, "a-b", AS_GIVEN),
        ("./SmolLM2-135M", {"folder": "SmolLM2-135M"}, "SmolLM2-135M", "BF16"),
        ("SmolLM2-135M/", {"folder": "SmolLM2-135M"}, "SmolLM2-135M", "BF16"),
        ("hf:owner/name", {"hf": "owner/name"}, "name", "BF16"),
        ("hf:owner/name@v1", {"hf": "owner/name", "revision": "v1"}, "name", "BF16"),
        (
            "hf:owner/name:*F16*.gguf",
            {"hf": "owner/name", "file": "*F16*.gguf"},
            "name",
            AS_GIVEN,
        ),
        ("hf:owner/name:*F16*", {"hf": "owner/name", "file": "*F16*"}, "name", AS_GIVEN),
        (
            "hf:owner/name@refs/pr/3:sub/F16.gguf",
            {"hf": "owner/name", "revision": "refs/pr/3", "file": "sub/F16.gguf"},
            "name",
            AS_GIVEN,
        ),
    ],
)
def test_a_model_stands_for_a_recipe(
    here: Path, target: str, model: dict[str, str], name: str, reference: str
) -> None:
    recipe = recipe_of(target)
    assert not is_recipe(target)
    assert source(target) == model
    assert (recipe.name, recipe.reference, recipe.suite) == (name, reference, "quick")
    assert [level.label for level in recipe.levels] == Q2_TO_Q8


def test_the_folder_that_one_works_in_has_its_own_name(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here / "SmolLM2-135M")
    recipe = recipe_of(".")
    assert (recipe.name, recipe.model.folder) == ("SmolLM2-135M", Path())


def test_a_shipped_recipe_is_meant_even_beside_a_folder_of_its_name(here: Path) -> None:
    """`--output smollm2-135m` makes such a folder; ./smollm2-135m is the folder itself."""
    (here / "smollm2-135m").mkdir()
    assert recipe_of("smollm2-135m") == load_recipe("smollm2-135m")
    assert source("./smollm2-135m") == {"folder": "smollm2-135m"}


def test_a_recipe_file_is_read_with_its_own_levels(here: Path) -> None:
    (here / "mine.yaml").write_text(
        "name: mine\nmodel: {gguf: a.gguf}\nreference: F16\nlevels: [Q8_0, Q4_0]\n"
    )
    assert is_recipe("mine.yaml")
    assert recipe_of("mine.yaml") == load_recipe("mine.yaml")
    assert [level.label for level in recipe_of("mine.yaml").levels] == ["Q8_0", "Q4_0"]


# -- options -------------------------------------------------------------------------------------


def test_options_replace_what_a_recipe_says(here: Path) -> None:
    (here / "bees.txt").write_text("bees")
    recipe = recipe_of(
        "smollm2-135m", imatrix="bees.txt", reference_type="F32", quantized_reference=True
    )
    assert recipe.imatrix is not None
    assert recipe.imatrix.text == here / "bees.txt"  # not beside the shipped recipe
    assert (recipe.reference, recipe.quantized_reference) == ("F32", True)
    assert recipe.levels == load_recipe("smollm2-135m").levels


@pytest.mark.parametrize("suffix", [".gguf", ".dat"])
def test_an_imatrix_file_is_known_by_its_suffix(here: Path, suffix: str) -> None:
    imatrix = recipe_of("a.gguf", levels=["IQ2_M"], imatrix=f"made{suffix}").imatrix
    assert imatrix is not None
    assert (imatrix.file, imatrix.text) == (here / f"made{suffix}", None)


def test_the_shipped_calibration_text_is_named_by_a_word(here: Path) -> None:
    imatrix = recipe_of("a.gguf", imatrix="shipped").imatrix
    assert imatrix is not None
    assert imatrix.text is not None
    assert imatrix.text == data_dir("quant_recipes") / "calibration.txt"
    assert imatrix.text.is_file()


def test_levels_are_types_presets_files_and_files_of_repositories(here: Path) -> None:
    recipe = recipe_of(
        "F16.gguf", levels=["legacy", "Q6_K", "sub/mine.gguf", "hf:o/n@v2:*Q4_K_M*.gguf"]
    )
    assert [level.type for level in recipe.levels[:6]] == [
        *("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"),
        "Q6_K",
    ]
    file, hub = recipe.levels[6:]
    assert (file.file, file.hf) == ("sub/mine.gguf", None)
    assert (hub.hf, hub.revision, hub.file) == ("o/n", "v2", "*Q4_K_M*.gguf")


def test_a_reference_type_makes_the_reference_of_a_file(here: Path) -> None:
    assert recipe_of("q8.gguf", reference_type="BF16").reference == "BF16"


# -- files beside a reference --------------------------------------------------------------------


def test_files_are_compared_with_a_reference_taken_as_it_is(here: Path) -> None:
    recipe = recipe_of_files("models/F16.gguf", ["a/x.gguf", "b/x.gguf", "hf:o/n:Q4.gguf"])
    assert (recipe.name, recipe.reference, recipe.quantized_reference) == ("F16", AS_GIVEN, False)
    assert recipe.model.gguf == Path("models/F16.gguf")
    assert [level.file for level in recipe.levels] == ["a/x.gguf", "b/x.gguf", "Q4.gguf"]


def test_a_bundle_is_a_reference_with_its_models_name(here: Path) -> None:
    recipe = recipe_of_files("down/big-F16.bundle", ["a.gguf"])
    assert (recipe.name, recipe.reference) == ("big-F16", AS_GIVEN)
    assert recipe.model.bundle == Path("down/big-F16.bundle")


def test_a_file_of_a_repository_can_be_the_reference(here: Path) -> None:
    recipe = recipe_of_files("hf:owner/name:*F16*", ["a.gguf"])
    assert (recipe.model.hf, recipe.model.file) == ("owner/name", "*F16*")


def test_the_same_options_hold_beside_a_reference(here: Path) -> None:
    """What a refusal advises (--reference-type, --imatrix) must be heard."""
    recipe = recipe_of_files(
        "Q8_0.gguf",
        ["IQ2_M"],
        imatrix="shipped",
        reference_type="BF16",
        quantized_reference=True,
    )
    assert (recipe.reference, recipe.quantized_reference) == ("BF16", True)
    assert recipe.imatrix is not None


# -- several uploaders ---------------------------------------------------------------------------


def test_two_uploaders_may_have_named_their_files_alike(here: Path) -> None:
    """Their files name the levels, and get numbers when they are found."""
    recipe = recipe_of("F16.gguf", levels=["hf:a/x:*Q4_K_M*.gguf", "hf:b/y:*Q4_K_M*.gguf"])
    assert [level.hf for level in recipe.levels] == ["a/x", "b/y"]


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "levels", "message"),
    [
        ("smollm2-135", [], r"no shipped recipe \(did you mean 'smollm2-135m'\?\)"),
        ("hf:", [], "hf:: write hf:owner/name, hf:owner/name@revision or …:FILE.gguf"),
        ("hf:owner", [], "hf:owner: model.hf: "),
        ("hf:../up", [], r"hf:\.\./up: model.hf: "),
        ("hf:owner/name@", [], "write hf:owner/name"),
        ("hf:owner/name@../x", [], "model.revision: "),
        ("hf:owner/name:../x.gguf", [], r"model: file: '../x.gguf' leaves the repository"),
        ("hf:owner/name:/etc/x.gguf", [], "leaves the repository"),
        ("a.gguf", ["hf:o/n"], r"hf:o/n: name the file: hf:o/n:\*Q4_K_M\*.gguf"),
        ("a.gguf", ["Q4_KM"], r"levels.0: 'Q4_KM' is no quantization type \(did you mean"),
        (
            "a.gguf",
            ["IQ2_M"],
            r"IQ2_M needs an imatrix; .*\(imatrix: {text: calibration.txt}\)",
        ),
        ("a.gguf", ["Q8_0", "q2-q8"], "levels.1: 'Q8_0' is given twice"),
        ("a.gguf", ["x/b.gguf", "y/b.gguf"], "levels.1: 'b' is given twice"),
        ("a.bundle", [], "a.bundle: a bundle is a reference: --reference a.bundle LEVEL.gguf"),
    ],
)
def test_a_wrong_target_is_refused_in_one_line(
    here: Path, target: str, levels: list[str], message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as raised:
        recipe_of(target, levels=levels)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("reference", ["hf:owner/name", "./SmolLM2-135M"])
def test_what_must_be_converted_is_no_reference_for_files(here: Path, reference: str) -> None:
    with pytest.raises(RecipeError, match="give a GGUF file or a bundle"):
        recipe_of_files(reference, ["a.gguf"])


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        (["Q8_0"], {}, "levels: with a bundle give files"),
        (["a.gguf"], {"reference_type": "F16"}, "reference: of a bundle it is 'as given'"),
    ],
)
def test_nothing_is_built_of_a_bundle(
    here: Path, levels: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of_files("a.bundle", levels, **options)


@given(st.text(max_size=30), st.lists(st.text(max_size=12), max_size=2))
@example("hf:a/b:\n", [])
@example("\x00", [])
@example(".gguf", ["\ud800.gguf"])
@example("hf:o/n:" + "*" * 300, ["hf:@:"])
def test_no_target_raises_anything_but_an_input_error(target: str, levels: list[str]) -> None:
    for make in (
        lambda: recipe_of(target, levels=levels),
        lambda: recipe_of_files(target, levels or ["a.gguf"]),
    ):
        try:
            make()
        except InputError as error:
            assert str(error)
