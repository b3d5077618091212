"""Read prompts/catalogue.yaml: what is known of each published data set."""

from functools import cache
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, ValidationError

from edgeeval.errors import InputError
from edgeeval.prompts.items import Strict, Text
from edgeeval.prompts.load import explain
from edgeeval.resources import data_dir
from edgeeval.yamlfile import read_yaml

_REPOSITORY = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
_COMMIT = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
_PIN = Annotated[str, Field(pattern=r"^[0-9a-f]{40}( [1-9][0-9]*)?$")]


class GitFile(NamedTuple):
    """A file in a git repository, known by its contents."""

    name: str
    """Relative to the repository."""
    blob: str
    """Git's id of the contents."""
    size_bytes: int | None
    """None where it is not known."""


def _inside(name: str) -> str:
    """Refuse a name that is no plain relative path: it becomes one in the workspace."""
    if "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError("is no relative path")
    return name


class Archive(Strict):
    """What is to be taken out of a tar archive."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the archive."""
    members: tuple[Text, ...] = Field(min_length=1)
    """Patterns of names in it."""


class OnHub(Strict):
    """Where a model Hub has a data set in files that its importer reads."""

    repository: Annotated[str, Field(pattern=rf"^hub:{_REPOSITORY}$")]
    revision: _COMMIT
    files: tuple[Text, ...]
    """Patterns of names; or the one archive that holds them."""
    archive: Archive | None = None

    @property
    def name(self) -> str:
        """Owner and name of the repository."""
        return self.repository.removeprefix("hub:")


class OnGitHub(Strict):
    """Where GitHub has a data set, with the id of each file's contents."""

    repository: Annotated[str, Field(pattern=rf"^github:{_REPOSITORY}$")]
    revision: _COMMIT
    files: dict[Annotated[Text, AfterValidator(_inside)], _PIN] = Field(min_length=1)

    @property
    def name(self) -> str:
        """Owner and name of the repository."""
        return self.repository.removeprefix("github:")

    @property
    def pinned(self) -> tuple[GitFile, ...]:
        """The files with their ids and sizes."""
        pins = ((name, *pin.partition(" ")[::2]) for name, pin in self.files.items())
        return tuple(GitFile(name, blob, int(size) if size else None) for name, blob, size in pins)


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
    fetch: OnHub | OnGitHub | None = None


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
