"""Find the data files that belong to the project: prompts/ and quant_recipes/.

In a checkout they stand at the top level, where a person edits them; in an installed wheel they are
carried inside the package. This is the only module that knows both places.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def data_dir(name: str) -> Path:
    """Return the folder `name` ("prompts" or "quant_recipes").

    Raises:
        FileNotFoundError: neither the wheel nor the checkout has it: a broken installation.
    """
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{name}/: not found beside or inside {_PACKAGE}; reinstall edgeeval")
