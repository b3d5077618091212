"""Read catalogue.yaml: the classifiers that edgeeval knows by name."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edgeeval.errors import InputError
from edgeeval.yamlfile import read_yaml

_PATH = Path(__file__).with_name("catalogue.yaml")


class Entry(BaseModel):
    """One classifier; the file says what each key means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hf: str
    """owner/name on the Hub."""
    description: str
    activation: Literal["sigmoid", "softmax"] | None = None
    labels: tuple[str, ...] = ()
    revision: str | None = None


@cache
def catalogue() -> dict[str, Entry]:
    """Return the classifiers by name.

    Raises:
        InputError: the file is broken; names the entry.
    """
    found = {}
    for name, value in read_yaml(_PATH, InputError).items():
        try:
            found[name] = Entry.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{_PATH}: {name}.{where}: {first['msg']}") from None
    return found
