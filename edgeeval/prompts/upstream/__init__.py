"""Published data sets in their own formats -> prompt sets. One file a format; the table names them.

A loader is a function `read(path) -> Imported` without side effects: it reads the authors' files by
the authors' field names, and reports every row that it cannot use. What is known of a data set
(licence, repository, authors) is in prompts/catalogue.yaml.
"""

import importlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from edgeeval.errors import InputError, PromptSetError, did_you_mean, one_line
from edgeeval.prompts.items import Item
from edgeeval.prompts.load import SCHEMA, WHOLE_FILE, Header, explain
from edgeeval.prompts.upstream.catalogue import catalogue
from edgeeval.prompts.upstream.reading import Imported, Problem
from edgeeval.store import replace_durably

IMPORTERS = {
    "mmlu": "edgeeval.prompts.upstream.mmlu:read",
    "arc": "edgeeval.prompts.upstream.arc:read",
    "hellaswag": "edgeeval.prompts.upstream.hellaswag:read",
    "winogrande": "edgeeval.prompts.upstream.winogrande:read",
    "truthfulqa:mc1": "edgeeval.prompts.upstream.truthfulqa:read_mc1",
    "truthfulqa:mc2": "edgeeval.prompts.upstream.truthfulqa:read_mc2",
    "wikitext": "edgeeval.prompts.upstream.wikitext:read",
    "plain-text": "edgeeval.prompts.upstream.plain_text:read",
    "realtoxicityprompts": "edgeeval.prompts.upstream.realtoxicityprompts:read",
    "toxigen": "edgeeval.prompts.upstream.toxigen:read",
    "bold": "edgeeval.prompts.upstream.bold:read",
    "advpromptset": "edgeeval.prompts.upstream.advpromptset:read",
    "holisticbias": "edgeeval.prompts.upstream.holistic_bias:read",
    "holisticbiasr": "edgeeval.prompts.upstream.holistic_bias:read_robbie",
    "regard": "edgeeval.prompts.upstream.regard:read",
    "bbq": "edgeeval.prompts.upstream.bbq:read",
    "unqover:gender": "edgeeval.prompts.upstream.unqover:read_gender",
    "unqover:country": "edgeeval.prompts.upstream.unqover:read_country",
    "unqover:ethnicity": "edgeeval.prompts.upstream.unqover:read_ethnicity",
    "unqover:religion": "edgeeval.prompts.upstream.unqover:read_religion",
    "crows-pairs": "edgeeval.prompts.upstream.crows_pairs:read",
    "stereoset": "edgeeval.prompts.upstream.stereoset:read",
    "winobias": "edgeeval.prompts.upstream.winobias:read",
    "parallel-dialect": "edgeeval.prompts.upstream.parallel_dialect:read",
    "twitteraae:aa": "edgeeval.prompts.upstream.twitter_aae:read_aa",
    "twitteraae:white": "edgeeval.prompts.upstream.twitter_aae:read_white",
    "xstest": "edgeeval.prompts.upstream.xstest:read",
    "advbench": "edgeeval.prompts.upstream.advbench:read",
    "harmbench": "edgeeval.prompts.upstream.harmbench:read",
    "strongreject": "edgeeval.prompts.upstream.strongreject:read",
}
"""Name -> "module:function". What stands before a colon is the name in the catalogue."""

_SEED = 0


@dataclass(frozen=True)
class ImportedSet:
    """A prompt set that is ready to be written."""

    header: Header
    items: Sequence[Item]
    problems: tuple[Problem, ...]
    n_rows: int
    """Rows of the files, broken ones included."""
    n_found: int
    """Items in them, of which `items` may be a sample."""


def importer(name: str) -> Callable[[Path], Imported]:
    """Return the loader of a data set.

    Raises:
        InputError: no data set has that name.
    """
    if name not in IMPORTERS:
        raise InputError(f"data set {name!r} is unknown{did_you_mean(name, IMPORTERS)}")
    module, function = IMPORTERS[name].split(":")
    return cast(Callable[[Path], Imported], getattr(importlib.import_module(module), function))


def import_set(
    name: str, path: Path, *, set_id: str | None = None, limit: int | None = None
) -> ImportedSet:
    """Read a data set from where a person has it.

    Args:
        name: of the table above.
        path: the authors' file, or the folder that holds them.
        set_id: id of the prompt set; without it the name. Two sets of one evaluation need two ids.
        limit: take so many items, drawn at random and always the same.

    Raises:
        InputError: the name is unknown.
        PromptSetError: the files cannot be read, are others than they should be, or hold no item.
    """
    try:
        imported = importer(name)(path)
    except PromptSetError as error:  # it may quote the file
        raise PromptSetError(one_line(str(error))) from None
    if not imported.items:
        why = f"; the first: {': '.join(imported.problems[0])}" if imported.problems else ""
        raise PromptSetError(f"{path}: no item in it, {len(imported.problems)} problems{why}")
    n_found = len(imported.items)
    items = imported.items if limit is None else _sample(imported.items, limit)
    header = _header(name, path, imported, set_id, len(items))
    return ImportedSet(header, items, imported.problems, imported.n_rows, n_found)


def _sample(items: Sequence[Item], n_items: int) -> Sequence[Item]:
    if n_items >= len(items):
        return items
    chosen = random.Random(_SEED).sample(range(len(items)), n_items)
    return [items[index] for index in sorted(chosen)]


def _header(name: str, path: Path, imported: Imported, set_id: str | None, n_items: int) -> Header:
    entry = catalogue()[name.partition(":")[0]]
    set_id = set_id or name.replace(":", "-")
    source = (
        f"{entry.title}; {entry.citation}. Repository {entry.repository}, revision "
        f"{entry.revision}; imported as {name} from {path.name or path.resolve().name}."
    )
    limits = entry.limits
    if n_items < len(imported.items):
        limits += f" A sample of {n_items} of {len(imported.items)} items, drawn with seed {_SEED}."
    if imported.problems:
        limits += f" {len(imported.problems)} problems were reported when it was imported."
    try:
        return Header(
            schema=SCHEMA,
            id=set_id,
            version=1,
            kind=imported.kind,
            pool=set_id,
            licence=entry.licence,
            authors=entry.authors,
            format=imported.format,
            suites={"quick": 0, "standard": WHOLE_FILE, "full": WHOLE_FILE},
            source=source,
            limits=limits,
        )
    except ValidationError as error:
        raise InputError(f"--id {set_id!r}: {explain(error)}") from None


def write_set(path: Path, made: ImportedSet) -> None:
    """Write a prompt set's file, whole or not at all.

    Raises:
        InputError: it cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            for line in lines_of(made):
                file.write(line + "\n")
        replace_durably(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def lines_of(made: ImportedSet) -> Iterator[str]:
    """Yield the lines of a prompt set's file."""
    yield made.header.model_dump_json(by_alias=True)
    for item in made.items:
        yield item.model_dump_json(exclude_defaults=True)
