"""Read prompts/suites.yaml: what a suite spends on each item and what it may decide."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgeeval.errors import InputError, did_you_mean
from edgeeval.prompts.load import PromptSet, find_sets, load_set
from edgeeval.resources import data_dir
from edgeeval.yamlfile import read_yaml


class Suite(BaseModel):
    """A named choice of sizes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    n_ctx: int = Field(ge=32)
    """Tokens in a text window; the second half is scored."""
    max_tokens: int = Field(ge=1)
    """Length of a generated text, in tokens."""
    samples: int = Field(ge=0)
    """Sampled continuations of an open prompt."""
    answer_tokens: int = Field(ge=0)
    """Tokens of each of the reference's greedy texts that every level reads, for divergence on the
    prompts of safety and of groups; 0 for none."""
    cost_repeats: int = Field(ge=1)
    second_plan: bool
    """Whether the reference also runs in blocks of another size."""
    require: Literal["all"] | tuple[str, ...]
    margins: dict[str, str]
    """Metric -> policy whose margin replaces the chosen one's."""


@cache
def _suites() -> dict[str, Suite]:
    path = data_dir("prompts") / "suites.yaml"
    return {
        name: Suite.model_validate({"name": name, **value})
        for name, value in read_yaml(path, InputError).items()
    }


def suite_names() -> list[str]:
    """Return the suites' names, smallest first."""
    return list(_suites())


def load_suite(name: str) -> Suite:
    """Return a suite by name.

    Raises:
        InputError: no suite has that name.
    """
    if name not in _suites():
        raise InputError(f"suite {name!r} is unknown{did_you_mean(name, _suites())}")
    return _suites()[name]


def suite_sets(suite: Suite) -> list[tuple[PromptSet, Path, int]]:
    """Return the sets whose headers name the suite: set, file, number of items it takes."""
    chosen = []
    for path in find_sets():
        prompt_set = load_set(path)
        size = prompt_set.header.suites.get(suite.name, 0)
        if size:
            chosen.append((prompt_set, path, size))
    return chosen
