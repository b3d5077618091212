"""Read a YAML file into a mapping: the one way that recipes, policies and suites are read."""

from pathlib import Path
from typing import Any

import yaml

from edgeeval.errors import InputError


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (YAML would keep the last one in silence)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is not a text; put it in quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, error_type: type[InputError]) -> dict[str, Any]:
    """Read a mapping from a YAML file.

    Raises:
        InputError: of the given type; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise error_type(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise error_type(f"{path}: not UTF-8") from None
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise error_type(f"{path}{line}: {problem}") from None
    except Exception as error:  # PyYAML lets int(), date() and endless nesting raise what they like
        raise error_type(f"{path}: a value cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise error_type(f"{path}: must be a mapping of keys to values")
    return value
