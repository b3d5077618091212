"""What a program may import, what it costs to ask for help, and that everything says what it is."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgeeval
from edgeeval.cli import VERBS

_PACKAGE = Path(edgeeval.__file__).parent
_CHECKOUT = _PACKAGE.parent
_MODULES = sorted(_PACKAGE.rglob("*.py"))
_HEAVY = {"numpy", "scipy", "llama_cpp", "pydantic", "gguf", "jinja2", "yaml", "rich", "psutil"}
_HEAVY |= {"sklearn", "profanity_check", "rapidfuzz", "sacrebleu", "matplotlib", "huggingface_hub"}


def _module_name(path: Path) -> str:
    name = ".".join(path.relative_to(_CHECKOUT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _imported_by(*arguments: str) -> set[str]:
    """Return the top-level packages that a command line imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=_CHECKOUT,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


# -- names ---------------------------------------------------------------------------------------


def test_all_is_sorted_and_every_name_can_be_imported() -> None:
    assert edgeeval.__all__ == sorted(edgeeval.__all__)
    assert len(edgeeval.__all__) == len(set(edgeeval.__all__))
    for name in edgeeval.__all__:
        assert getattr(edgeeval, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'evalaute'"):
        edgeeval.evalaute  # type: ignore[attr-defined]  # noqa: B018 - misspelt on purpose


def test_every_input_error_can_be_caught_as_one() -> None:
    assert issubclass(edgeeval.NotFetched, edgeeval.InputError)
    assert issubclass(edgeeval.InputError, edgeeval.EdgeevalError)
    assert edgeeval.EdgeevalError.exit_code == 1


def _constants_then_classes(word: str) -> tuple[int, str]:
    return 0 if word.isupper() else 1 if word[0].isupper() else 2, word


@pytest.mark.parametrize(
    "name", [_module_name(path) for path in _MODULES if "__all__" in path.read_text()]
)
def test_every_all_is_sorted_and_true(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__, key=_constants_then_classes)
    assert [word for word in module.__all__ if not hasattr(module, word)] == []


# -- cheap to start ------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    """`edgeeval --help` has to answer at once: of what is installed it imports click alone."""
    imported = _imported_by("-m", "edgeeval", "--help")
    assert "click" in imported
    assert imported & _HEAVY == set()


def test_importing_the_package_imports_nothing_heavy() -> None:
    imported = _imported_by("-c", "import edgeeval")
    assert "edgeeval" in imported
    assert imported & (_HEAVY | {"click"}) == set()


# -- said ----------------------------------------------------------------------------------------


def _without_docstring(tree: ast.Module) -> list[str]:
    """Return the public functions and classes of a module that do not say what they are."""
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]


@pytest.mark.parametrize("path", _MODULES, ids=_module_name)
def test_every_public_function_and_class_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert _without_docstring(tree) == []


def test_every_verb_has_a_module_and_help_of_its_own() -> None:
    for verb in VERBS:
        command = importlib.import_module(f"edgeeval.cli.{verb}").command
        assert command.help, verb
        for option in command.params:
            assert option.param_type_name == "argument" or option.help, f"{verb} {option.name}"


def test_the_readme_shows_every_verb_that_is_for_people() -> None:
    text = (_CHECKOUT / "README.md").read_text(encoding="utf-8")
    for verb, meaning in VERBS.items():
        if "not for people" not in meaning:
            assert re.search(rf"\bedgeeval {verb}\b", text), verb


def test_the_readme_names_no_verb_that_is_not_there() -> None:
    text = (_CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`edgeeval ([a-z]+)", text)) <= set(VERBS)
