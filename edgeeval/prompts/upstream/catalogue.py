"""Read prompts/catalogue.yaml: what is known of each published data set."""

from functools import cache

from pydantic import ValidationError

from edgeeval.errors import InputError
from edgeeval.prompts.items import Strict, Text
from edgeeval.prompts.load import explain
from edgeeval.resources import data_dir
from edgeeval.yamlfile import read_yaml


class OnHub(Strict):
    """Where a model Hub has a data set in files that its importer reads."""

    repository: Text
    revision: Text
    files: tuple[Text, ...]


class Entry(Strict):
    """One data set; the file says what each key means."""

    title: Text
    repository: Text
    revision: Text
    licence: Text
    gating: Text
    files: tuple[Text, ...]
    authors: Text
    citation: Text
    limits: Text
    fetch: OnHub | None = None


@cache
def catalogue() -> dict[str, Entry]:
    """Return the data sets by name.

    Raises:
        InputError: the file is broken; names the entry.
    """
    path = data_dir("prompts") / "catalogue.yaml"
    found = {}
    for name, value in read_yaml(path, InputError).items():
        try:
            found[name] = Entry.model_validate(value)
        except ValidationError as error:
            raise InputError(f"{path}: {name}: {explain(error)}") from None
    return found
