"""README stays true: its tree, its tables, its links."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeeval.cli.prompts import command as prompts

_CHECKOUT = Path(__file__).parent.parent
README = (_CHECKOUT / "README.md").read_text(encoding="utf-8")


def _between(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", README, re.DOTALL)
    assert found is not None, mark
    return found.group(1)


def _tree() -> list[Path]:
    block = README.split("## The tree", 1)[1].split("```", 2)[1]
    paths: list[Path] = []
    for line in block.strip().splitlines():
        name = line.split()[0]
        inside = line.startswith("  ")
        parent = next(p for p in reversed(paths) if p.parent == Path()) if inside else Path()
        paths.append(parent / name)
    return paths


def test_the_tree_names_what_is_there_and_leaves_out_no_module() -> None:
    named = _tree()
    assert all((_CHECKOUT / path).exists() for path in named)
    package = _CHECKOUT / "edgeeval"
    there = {
        path.name
        for path in package.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__.py", "__main__.py"} == {
        path.name for path in named if path.parent.name == "edgeeval"
    }


def test_the_table_of_prompt_sets_is_the_one_that_the_command_prints() -> None:
    printed = CliRunner().invoke(prompts, ["list", "--markdown"], catch_exceptions=False).stdout
    assert _between("prompts").strip() == printed.strip()


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https?:)([^)]+)\)", README))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (_CHECKOUT / target).exists(), target


_EXAMPLES = re.findall(
    r"<!-- example -->\n```python\n(.*?)```\n\n```\n(.*?)```\n<!-- /example -->", README, re.DOTALL
)


def test_the_scorers_that_stand_alone_have_examples() -> None:
    assert len(_EXAMPLES) == README.count("<!-- example -->") == 2


@pytest.mark.parametrize(("code", "printed"), _EXAMPLES)
def test_an_example_prints_what_stands_below_it(
    code: str, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_CHECKOUT)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "README.md", "exec"), {})
    assert out.getvalue() == printed
