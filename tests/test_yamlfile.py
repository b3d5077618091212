"""One way to read YAML: a mapping comes back, or one line that names file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeeval.errors import InputError, RecipeError
from edgeeval.yamlfile import read_yaml


def _write(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def _refusal(folder: Path, text: str | bytes) -> str:
    path = _write(folder, text)
    with pytest.raises(RecipeError) as raised:
        read_yaml(path, RecipeError)
    message = str(raised.value)
    assert message.startswith(f"{path}")
    assert len(message.splitlines()) == 1
    return message.removeprefix(str(path))


def test_a_mapping_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path, "name: größer\nlevels: [Q8_0, {type: Q4_K_M}]\n")
    assert read_yaml(path, InputError) == {"name": "größer", "levels": ["Q8_0", {"type": "Q4_K_M"}]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: a\nsuite: quick\nname: b\n", 3),
        ("model:\n  gguf: a\n  gguf: b\n", 3),
        ("levels: [{type: F16, type: F32}]\n", 1),
    ],
)
def test_a_key_given_twice_is_refused_at_any_depth(tmp_path: Path, text: str, line: int) -> None:
    message = _refusal(tmp_path, text)
    assert message.startswith(f":{line}: key ")
    assert message.endswith("is given twice")


@pytest.mark.parametrize("text", ["1: a\n", "[a, b]: c\n", "{}: c\n", "on: a\n", "null: a\n"])
def test_a_key_that_is_not_a_text_is_refused(tmp_path: Path, text: str) -> None:
    assert "not a text" in _refusal(tmp_path, text)


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    assert _refusal(tmp_path, "name: a\nlevels: [Q8_0\n").startswith(":3: ")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just a text", "# only a comment\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "must be a mapping" in _refusal(tmp_path, text)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    assert "not UTF-8" in _refusal(tmp_path, "name: größer\n".encode("latin-1"))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"missing\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "missing.yaml", RecipeError)
    with pytest.raises(RecipeError, match=r"cannot be read: Is a directory"):
        read_yaml(tmp_path, RecipeError)


@pytest.mark.parametrize(
    "value",
    [
        "2001-13-45",  # a date that no calendar has
        "2001-01-01T00:00:00+99:00",
        "0x_",  # a number without digits
        "9" * 5000,  # more digits than Python turns into a number
        "!!int ''",
        "!!bool perhaps",
        "!!timestamp tomorrow",
        "!!binary 'ü'",
        "!!python/object/apply:os.system [id]",
        "[" * 1000,
        "&a [*a]",
        "*nobody",
    ],
)
def test_a_value_that_python_cannot_hold_is_refused_with_its_file(
    tmp_path: Path, value: str
) -> None:
    path = _write(tmp_path, f"name: {value}\n")
    try:
        read_yaml(path, RecipeError)
    except RecipeError as error:
        assert str(error).startswith(str(path))


_WORDS = ["name", "&a", "*a", "!!int", "!!set", "!!omap", "!!bool", "!!timestamp", "!!float", "<<"]
_VALUES = ["0x_", "1e9", "2001-13-45", ".nan", '"\\ud800"']
_SIGNS = [": ", ", ", "- ", "\n", "\n  ", " ", "\t", "\n---\n", *"[]{}'\"#%~=@`|>?-"]
_YAMLISH = st.lists(st.sampled_from([*_WORDS, *_VALUES, *_SIGNS]), max_size=25).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40) | _YAMLISH)
@example(b"\xef\xbb\xbfname: a")
@example("? [a, b]\n: c")
@example("a: !!int ''")
@example("{" * 1000)
def test_no_file_raises_anything_but_the_wanted_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    path = _write(tmp_path_factory.mktemp("yaml"), data)
    try:
        value = read_yaml(path, RecipeError)
    except RecipeError as error:
        assert str(error).startswith(str(path))
    else:
        assert isinstance(value, dict)
