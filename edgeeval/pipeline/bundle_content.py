"""Check what stands in a bundle before anything of it is used: it comes from a stranger.

The hashes in its manifest find what was damaged on the way, not what was written on purpose. So
what is decoded, indexed or averaged later is checked here, once, while the bundle is unpacked.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from edgeeval.errors import InputError
from edgeeval.run.worker import logprob_file
from edgeeval.store import Journal

_MAX_CELLS = 1 << 20
_MAX_SEQUENCES = 1 << 10

_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_Count = Annotated[int, Field(ge=1, le=_MAX_CELLS)]
_Tokens = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Array = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}\.npy$")]


class _Part(BaseModel):
    """Other keys may stand beside these: kinds of items have some of their own."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)


class _Item(_Part):
    id: _Text
    template_id: _Text
    groups: dict[str, str]


class _Window(_Item):
    tokens: _Tokens
    first: int = Field(ge=0)
    n_bytes: _Count

    @property
    def n_scored(self) -> int:
        return len(self.tokens) - 1 - self.first

    def all_tokens(self) -> Iterator[int]:
        yield from self.tokens

    def n_sequences_of(self, samples: int) -> int:
        return 1


class _Options(_Item):
    prefix: _Tokens
    options: list[_Tokens] = Field(min_length=1)
    n_bytes: list[_Count]

    def all_tokens(self) -> Iterator[int]:
        yield from self.prefix
        for option in self.options:
            yield from option

    def n_sequences_of(self, samples: int) -> int:
        return len(self.options)


class _Prompt(_Item):
    prompt: _Tokens

    def all_tokens(self) -> Iterator[int]:
        yield from self.prompt

    def n_sequences_of(self, samples: int) -> int:
        return 1 + samples


class _Context(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    n_ctx: _Count
    n_batch: _Count
    n_seq_max: Annotated[int, Field(ge=1, le=_MAX_SEQUENCES)]
    kv_unified: bool
    kv_type: Literal["f16", "f32"]
    flash_attention: bool


class _Generation(_Part):
    samples: Annotated[int, Field(ge=0, lt=_MAX_SEQUENCES)]
    max_tokens: _Count
    temperature: Annotated[float, Field(gt=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]


class _Excluded(_Part):
    item: str
    reason: str


_AnyItem = TypeVar("_AnyItem", _Window, _Options, _Prompt)
_Result = TypeVar("_Result", bound="_Scored")


class _Block(_Part, Generic[_AnyItem]):
    id: Annotated[str, Field(pattern=r"^[0-9]{1,8}$")]
    items: list[_AnyItem] = Field(min_length=1)


class _Plan(_Part, Generic[_AnyItem]):
    schema_: Literal["edgeeval/plan@1"] = Field(alias="schema")
    set_id: _Text
    set_sha256: _Text
    kind: _Text
    pool: _Text
    primitive: Literal["windows", "options", "generate"]
    template_problem: str
    vocabulary_sha256: _Text
    n_vocab: Annotated[int, Field(ge=1, le=1 << 24)]
    context: _Context
    shared_prefixes: bool
    generation: _Generation
    blocks: list[_Block[_AnyItem]] = Field(min_length=1)
    excluded: list[_Excluded]

    @property
    def items(self) -> list[_AnyItem]:
        return [item for block in self.blocks for item in block.items]

    @model_validator(mode="after")
    def _sound(self) -> "_Plan[_AnyItem]":
        for ids in ([block.id for block in self.blocks], [item.id for item in self.items]):
            name, count = Counter(ids).most_common(1)[0]
            if count > 1:
                raise ValueError(f"{name!r} is there twice")
        if max(token for item in self.items for token in item.all_tokens()) >= self.n_vocab:
            raise ValueError(f"a token is not one of {self.n_vocab}")
        for block in self.blocks:
            n = sum(item.n_sequences_of(self.generation.samples) for item in block.items)
            if n > self.context.n_seq_max:
                raise ValueError(
                    f"block {block.id}: {n} sequences in a context of {self.context.n_seq_max}"
                )
            _require_even(block)
        return self


def _require_even(block: _Block[Any]) -> None:
    """Refuse windows of unequal lengths, and options whose bytes were not all counted."""
    windows = [item for item in block.items if isinstance(item, _Window)]
    if len({(len(one.tokens), one.first) for one in windows}) > 1 or any(
        one.n_scored < 1 for one in windows
    ):
        raise ValueError(f"block {block.id}: its windows are not of one shape")
    for item in block.items:
        if isinstance(item, _Options) and len(item.n_bytes) != len(item.options):
            raise ValueError(f"{item.id}: {len(item.options)} options, {len(item.n_bytes)} sizes")


class _Scored(_Part):
    id: str


class _Chosen(_Scored):
    log_likelihoods: list[float]


class _Writing(_Part):
    sample: int
    tokens: list[int]
    text: str
    finish: Literal["end", "length"]


class _Written(_Scored):
    texts: list[_Writing]


class _Line(_Part, Generic[_Result]):
    block: str
    items: list[_Result]


class _WindowsLine(_Line[_Scored]):
    nll: _Array


_PLANS: dict[str, TypeAdapter[Any]] = {
    "windows": TypeAdapter(_Plan[_Window]),
    "options": TypeAdapter(_Plan[_Options]),
    "generate": TypeAdapter(_Plan[_Prompt]),
}
_LINES: dict[str, TypeAdapter[Any]] = {
    "windows": TypeAdapter(_WindowsLine),
    "options": TypeAdapter(_Line[_Chosen]),
    "generate": TypeAdapter(_Line[_Written]),
}


def check_plan(path: Path) -> dict[str, Any]:
    """Return a plan's content, checked.

    Raises:
        InputError: it is none; names the file, not the bundle.
    """
    where = f"plans/{path.name}"
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{where}: not there, or not JSON") from None
    primitive = content.get("primitive") if isinstance(content, dict) else None
    if primitive not in _PLANS:
        raise InputError(f"{where}: {primitive!r} is nothing that can be run")
    _validate(_PLANS[primitive], content, where)
    return dict(content)


def check_run(plan: Mapping[str, Any], run: Path, logprobs: Path | None) -> None:
    """Hold a run against its plan: every block, every item, every number.

    Args:
        plan: checked.
        run: its folder.
        logprobs: where its log-probabilities must be; None where levels are not compared on them.

    Raises:
        InputError: something is missing or makes no sense; names the file, not the bundle.
    """
    where = f"runs/{run.name}"
    try:
        found = Journal(run / "journal.jsonl").read()
    except InputError:
        raise InputError(f"{where}/journal.jsonl: not JSON") from None
    adapter = _LINES[plan["primitive"]]
    lines = {line.block: line for line in (_validate(adapter, one, where) for one in found)}
    blocks = {block["id"]: block["items"] for block in plan["blocks"]}
    if len(found) != len(lines) or lines.keys() != blocks.keys():
        raise InputError(f"{where}: its blocks are not those of its plan")
    for block_id, items in blocks.items():
        line, here = lines[block_id], f"{where}: block {block_id}"
        if [one.id for one in line.items] != [item["id"] for item in items]:
            raise InputError(f"{here}: its items are not those of its plan")
        if isinstance(line, _WindowsLine):
            shape = (len(items), len(items[0]["tokens"]) - 1 - items[0]["first"])
            _check_array(run / "arrays" / line.nll, shape, here)
            if logprobs is not None:
                table = (shape[0] * shape[1], plan["n_vocab"])
                _check_array(logprob_file(logprobs, block_id), table, here)
        elif not all(_is_whole(plan, *pair) for pair in zip(items, line.items, strict=True)):
            raise InputError(f"{here}: an item lacks results")


def _is_whole(plan: Mapping[str, Any], item: Mapping[str, Any], result: Any) -> bool:
    if isinstance(result, _Chosen):
        return len(result.log_likelihoods) == len(item["options"])
    return [text.sample for text in result.texts] == list(range(-1, plan["generation"]["samples"]))


def _check_array(path: Path, shape: tuple[int, int], where: str) -> None:
    """Refuse what is no array of finite numbers; a mapped file is never unpickled."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError):
        raise InputError(f"{where}: {path.name} is not there, or no array of numbers") from None
    if array.dtype != np.float32 or array.shape != shape:
        raise InputError(f"{where}: {path.name} does not hold {shape[0]} times {shape[1]} numbers")
    if not all(np.isfinite(row).all() for row in array):  # a row at a time: it may be large
        raise InputError(f"{where}: {path.name}: a number is not finite")


def _validate(adapter: TypeAdapter[Any], value: Any, where: str) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {key}: {message}" if key else f"{where}: {message}") from None
