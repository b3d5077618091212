"""Read one prompt set: JSONL, the header first, then one item a line.

Every rule that an item must keep is in its schema (items.py), and a broken line is named with file
and line: an item that is skipped in silence would leave a mean over fewer items than the report
says.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from edgeeval.errors import PromptSetError, did_you_mean
from edgeeval.prompts.items import ITEMS, Identifier, Item, Kind, Strict, Text, TextItem
from edgeeval.resources import data_dir
from edgeeval.store import digest

SCHEMA: Final = "edgeeval/prompt-set@1"
WHOLE_FILE = -1
"""A suite size that takes every item."""


class Header(Strict):
    """First line of a prompt set."""

    schema_: Literal["edgeeval/prompt-set@1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    kind: Kind
    """What the items are, and with it the primitive that runs them."""
    pool: Identifier
    """Only sets of one pool are averaged together."""
    licence: Text
    authors: Text
    format: Literal["plain", "chat", "auto"]
    """Whether items are put into the reference's chat template; auto: where it has one."""
    suites: dict[str, Annotated[int, Field(ge=WHOLE_FILE)]]
    """Items (text: windows) that each suite takes, from the front of the stratified order; -1 for
    all of them, 0 for none."""
    source: Text
    limits: Text
    """What the set cannot show."""


@dataclass(frozen=True)
class PromptSet:
    """A header and its items, in file order."""

    header: Header
    items: tuple[Item, ...]

    @property
    def id(self) -> str:
        """The set's id."""
        return self.header.id

    @cached_property
    def sha256(self) -> str:
        """Hash of header and items: part of every run's id. Suite sizes are not part of it."""
        header = self.header.model_dump(by_alias=True, exclude={"suites"})
        return digest([header, [item.model_dump() for item in self.items]])

    def stratified(self) -> list[Item]:
        """Return the items in turns over their groups, so that any first n of them is balanced."""
        strata: dict[str, list[Item]] = defaultdict(list)
        for item in self.items:
            strata[digest(item.groups)].append(item)
        queues = list(strata.values())
        longest = max(map(len, queues))
        return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def explain(error: ValidationError) -> str:
    """Say in one line what the first broken rule is, and for which key."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _parse_line(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "a number too long, or nested too deeply")
        raise PromptSetError(f"{path}:{number}: not JSON ({reason}); mend the line") from None
    if not isinstance(value, dict):
        raise PromptSetError(f"{path}:{number}: not a JSON object; mend the line")
    return value


def _parse_header(path: Path, number: int, value: dict[str, Any]) -> Header:
    try:
        return Header.model_validate(value)
    except ValidationError as error:
        hint = ""
        first = error.errors()[0]
        if first["type"] == "extra_forbidden":
            known = [field.alias or name for name, field in Header.model_fields.items()]
            hint = did_you_mean(str(first["loc"][0]), known)
        raise PromptSetError(f"{path}:{number}: header: {explain(error)}{hint}") from None


def load_set(path: Path) -> PromptSet:
    """Read a prompt set from a JSONL file.

    Raises:
        PromptSetError: the file is unreadable, a line is broken, ids repeat, or no item is left;
            the message names file and line.
    """
    try:
        lines = path.read_bytes().decode().split("\n")  # JSON may hold other line separators
    except OSError as error:
        raise PromptSetError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = 1 + error.object.count(b"\n", 0, error.start)
        raise PromptSetError(f"{path}:{number}: not UTF-8; save the file as UTF-8") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise PromptSetError(f"{path}: empty; line 1 must be the header ({SCHEMA})")
    number, line = numbered[0]
    header = _parse_header(path, number, _parse_line(path, number, line))
    seen: dict[str, int] = {}
    items: list[Item] = []
    for number, line in numbered[1:]:
        value = _parse_line(path, number, line)
        try:
            item = ITEMS[header.kind].model_validate(value)
        except ValidationError as error:
            raise PromptSetError(f"{path}:{number}: {explain(error)}") from None
        if item.id in seen:
            raise PromptSetError(
                f"{path}:{number}: id {item.id!r} was used on line {seen[item.id]}; ids are unique"
            )
        seen[item.id] = number
        items.append(item)
    if not items:
        raise PromptSetError(f"{path}: no items after the header")
    return PromptSet(header, tuple(items))


def text_file_set(path: Path, n_windows: int | None) -> PromptSet:
    """Make a prompt set of a plain text file, laid out as llama-perplexity lays it out.

    That tool strips one trailing newline and nothing else.

    Raises:
        PromptSetError: the file cannot be read or is empty.
    """
    try:
        text = path.read_bytes().decode("utf-8", "replace").removesuffix("\n")
    except OSError as error:
        raise PromptSetError(f"{path}: cannot be read: {error.strerror}") from None
    if not text:
        raise PromptSetError(f"{path}: empty; give a text to measure perplexity on")
    set_id = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.name)[:200]
    header = Header(
        schema=SCHEMA,
        id=set_id,
        version=1,
        kind="text",
        pool=set_id,
        licence="unknown",
        authors="unknown",
        format="plain",
        suites=dict.fromkeys(("quick", "standard", "full"), n_windows or WHOLE_FILE),
        source=f"the file {path.name}",
        limits="a text given by the person who ran this",
    )
    return PromptSet(header, (TextItem(id=set_id, template_id=set_id, groups={}, text=text),))


def find_sets() -> Sequence[Path]:
    """Return the files of the project's own prompt sets, sorted by name."""
    return sorted(data_dir("prompts").glob("*.jsonl"))
