"""Read one prompt set: JSONL, the header first, then one item a line.

Every rule that an item must keep is in its schema below, and a broken line is named with file and
line: an item that is skipped in silence would leave a mean over fewer items than the report says.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgeeval.errors import PromptSetError, did_you_mean
from edgeeval.resources import data_dir
from edgeeval.store import digest

SCHEMA: Final = "edgeeval/prompt-set@1"
WHOLE_FILE = -1
"""A suite size that takes every item."""

_Id = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\s/#]+$")]
_Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Header(_Strict):
    """First line of a prompt set."""

    schema_: Literal["edgeeval/prompt-set@1"] = Field(alias="schema")
    id: _Id
    version: int = Field(ge=1)
    kind: Literal["text", "choice", "open", "dialect", "refusal", "bbq", "unqover", "pairs"]
    """What the items are, and with it the primitive that runs them."""
    pool: _Id
    """Only sets of one pool are averaged together."""
    licence: _Text
    authors: _Text
    format: Literal["plain", "chat", "auto"]
    """Whether items are put into the reference's chat template; auto: where it has one."""
    suites: dict[str, Annotated[int, Field(ge=WHOLE_FILE)]]
    """Items (text: windows) that each suite takes, from the front of the stratified order; -1 for
    all of them, 0 for none."""
    source: _Text
    limits: _Text
    """What the set cannot show."""


class _Item(_Strict):
    id: _Id
    template_id: _Id
    """Items of one template are not independent: intervals treat them as one cluster."""
    groups: dict[str, str]


class Message(_Strict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: _Text


class TextItem(_Item):
    """A passage for perplexity and divergence: running text or a conversation."""

    text: _Text | None = None
    messages: tuple[Message, ...] = ()

    @model_validator(mode="after")
    def _one_form(self) -> "TextItem":
        if (self.text is None) == (not self.messages):
            raise ValueError("give either text or messages")
        return self


class ChoiceItem(_Item):
    """A question with options, one of them right."""

    question: _Text
    options: tuple[_Text, ...] = Field(min_length=2, max_length=16)
    answer: int = Field(ge=0)
    """Index of the right option, from 0."""

    @model_validator(mode="after")
    def _sound(self) -> "ChoiceItem":
        if self.answer >= len(self.options):
            raise ValueError(f"answer {self.answer} names none of {len(self.options)} options")
        if len(set(self.options)) < len(self.options):
            raise ValueError("two options are the same")
        return self


class OpenItem(_Item):
    """A text to be continued."""

    prompt: _Text


class DialectItem(_Item):
    """One meaning in a variety of English and in the standard, one grammatical feature apart.

    Both are scored as running text: a model's dialect gap is how much worse it predicts the first.
    """

    dialect: _Text
    standard: _Text
    feature_source: _Text
    """What describes the feature in this variety: an eWAVE feature number, a grammar, a paper."""

    @model_validator(mode="after")
    def _differ(self) -> "DialectItem":
        if self.dialect == self.standard:
            raise ValueError("dialect and standard are the same sentence")
        return self


class RefusalItem(_Item):
    """A request that should be refused (unsafe), or one that only looks like it."""

    prompt: _Text
    unsafe: bool


class BbqItem(_Item):
    """A question about two people, one of a stereotyped group, that the context may not settle.

    As in BBQ, the target is the answer that the stereotype gives, whatever the context says.
    """

    context: _Text
    question: _Text
    options: tuple[_Text, _Text, _Text]
    """Two people and, in words that differ from item to item, that it cannot be known."""
    answer: int = Field(ge=0, le=2)
    """Index of the right option: of the unknown one where the context is ambiguous."""
    unknown: int = Field(ge=0, le=2)
    """Index of the option that says it cannot be known."""
    target: int = Field(ge=0, le=2)
    """Index of the biased answer: the stereotyped person in a negative question, the other one in
    a non-negative one."""
    condition: Literal["ambiguous", "disambiguated"]
    polarity: Literal["negative", "non_negative"]
    aligned: bool | None
    """Whether the right answer is the target; null where the context is ambiguous."""
    wording: Literal["label", "name"]
    """What tells the groups: a word for them, or proper names as proxies. Never tabled together."""
    source: _Text
    """The stereotype that the template rests on, with a publication about it where one is known."""

    @model_validator(mode="after")
    def _sound(self) -> "BbqItem":
        if len(set(self.options)) < len(self.options):
            raise ValueError("two options are the same")
        if self.target == self.unknown:
            raise ValueError(f"target {self.target} is the unknown option; it must be a person")
        is_ambiguous = self.condition == "ambiguous"
        if (self.answer == self.unknown) != is_ambiguous:
            right = "the unknown option" if is_ambiguous else "a person"
            raise ValueError(f"the answer to an item that is {self.condition} must be {right}")
        aligned = None if is_ambiguous else self.answer == self.target
        if self.aligned is not aligned:
            raise ValueError(f"aligned must be {json.dumps(aligned)} by condition and answer")
        return self


class UnqoverItem(_Item):
    """Two subjects in a context that says nothing of the attribute which the questions ask for."""

    context: _Text
    """With the placeholders {x1} and {x2}, neither of them at the start of a sentence."""
    questions: tuple[_Text, _Text]
    """About the attribute, and about its negation."""
    subjects: tuple[_Text, _Text]
    """What {x1} and {x2} stand for, and the two answers; both orders are asked."""
    attribute: _Id

    @model_validator(mode="after")
    def _sound(self) -> "UnqoverItem":
        if any(self.context.count(place) != 1 for place in ("{x1}", "{x2}")):
            raise ValueError("context: give {x1} and {x2} once each")
        for name, texts in (("questions", self.questions), ("subjects", self.subjects)):
            if texts[0] == texts[1]:
                raise ValueError(f"the two {name} are the same")
        return self


class PairItem(_Item):
    """Two sentences that differ in one place, one of them nearer to the stereotype."""

    more: _Text
    """The more stereotyped sentence."""
    less: _Text
    direction: Literal["group", "attribute"]
    """Which word differs: that for the group, or that for what is said of it."""

    @model_validator(mode="after")
    def _sound(self) -> "PairItem":
        if self.more == self.less:
            raise ValueError("more and less are the same")
        return self


Item = (
    TextItem | ChoiceItem | OpenItem | DialectItem | RefusalItem | BbqItem | UnqoverItem | PairItem
)
_ITEMS: dict[str, type[Item]] = {
    "text": TextItem,
    "choice": ChoiceItem,
    "open": OpenItem,
    "dialect": DialectItem,
    "refusal": RefusalItem,
    "bbq": BbqItem,
    "unqover": UnqoverItem,
    "pairs": PairItem,
}


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


def _explain(error: ValidationError) -> str:
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
        raise PromptSetError(f"{path}:{number}: header: {_explain(error)}{hint}") from None


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
            item = _ITEMS[header.kind].model_validate(value)
        except ValidationError as error:
            raise PromptSetError(f"{path}:{number}: {_explain(error)}") from None
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
