"""What the items of each kind of prompt set hold, and every rule that they keep."""

import json
import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Identifier = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\s/#]+$")]
Text = Annotated[str, Field(min_length=1)]
Kind = Literal["text", "choice", "open", "dialect", "refusal", "bbq", "unqover", "pairs"]


class Strict(BaseModel):
    """A record without unknown keys: a misspelt key is an error and not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Item(Strict):
    id: Identifier
    template_id: Identifier
    """Items of one template are not independent: intervals treat them as one cluster."""
    groups: dict[str, str]


class Message(Strict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class TextItem(_Item):
    """A passage for perplexity and divergence: running text or a conversation."""

    text: Text | None = None
    messages: tuple[Message, ...] = ()

    @model_validator(mode="after")
    def _one_form(self) -> "TextItem":
        if (self.text is None) == (not self.messages):
            raise ValueError("give either text or messages")
        return self


class ChoiceItem(_Item):
    """A question with options, one of them right."""

    question: Text
    options: tuple[Text, ...] = Field(min_length=2, max_length=32)
    answer: int = Field(ge=0)
    """Index of the right option, from 0."""
    also_right: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Indices of further right options, where a data set has several (TruthfulQA's mc2)."""
    layout: Literal["question", "verbatim"] = "question"
    """Whether the model reads "Question: …" and "Answer:", or the question's text as it stands:
    with its few-shot examples (MMLU), or as a beginning that the options continue (HellaSwag)."""

    @property
    def prompt(self) -> str:
        """What stands before the space and the option."""
        if self.layout == "verbatim":
            return self.question
        return f"Question: {self.question}\nAnswer:"

    @property
    def right(self) -> tuple[int, ...]:
        """Indices of all right options, the answer first."""
        return (self.answer, *self.also_right)

    @model_validator(mode="after")
    def _sound(self) -> "ChoiceItem":
        for index in self.right:
            if index >= len(self.options):
                raise ValueError(f"answer {index} names none of {len(self.options)} options")
        if len(set(self.right)) < len(self.right):
            raise ValueError("an option is named as right twice")
        if len(set(self.options)) < len(self.options):
            raise ValueError("two options are the same")
        return self


class OpenItem(_Item):
    """A text to be continued."""

    prompt: Text


class DialectItem(_Item):
    """One meaning in a variety of English and in the standard, one grammatical feature apart.

    Both are scored as running text: a model's dialect gap is how much worse it predicts the first.
    """

    dialect: Text
    standard: Text
    feature_source: Text
    """What describes the feature in this variety: an eWAVE feature number, a grammar, a paper."""

    @model_validator(mode="after")
    def _differ(self) -> "DialectItem":
        if self.dialect == self.standard:
            raise ValueError("dialect and standard are the same sentence")
        return self


class RefusalItem(_Item):
    """A request that should be refused (unsafe), or one that only looks like it."""

    prompt: Text
    unsafe: bool


class BbqItem(_Item):
    """A question about two people, one of a stereotyped group, that the context may not settle.

    As in BBQ, the target is the answer that the stereotype gives, whatever the context says.
    """

    context: Text
    question: Text
    options: tuple[Text, Text, Text]
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
    source: Text
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


_PLACE = re.compile(r"(?P<article>\b[Aa])?(?P<space> ?)(?P<place>\{x[12]\})")


class UnqoverItem(_Item):
    """Two subjects in a context that says nothing of the attribute which the questions ask for."""

    context: Text
    """With the placeholders {x1} and {x2}, neither of them at the start of a sentence."""
    questions: tuple[Text, Text]
    """About the attribute, and about its negation."""
    subjects: tuple[Text, Text]
    """What {x1} and {x2} stand for, and the two answers; both orders are asked."""
    attribute: Identifier

    def filled(self, *, swapped: bool) -> str:
        """Return the context with the subjects in it, in their order or in the other one.

        An article before a place agrees with the subject in it, as in UnQover's own generator: by
        the first letter alone.
        """
        first, second = reversed(self.subjects) if swapped else self.subjects
        words = {"{x1}": first, "{x2}": second}

        def place(match: re.Match[str]) -> str:
            subject = words[match["place"]]
            article = match["article"] or ""
            is_vowel = subject[0].lower() in "aeiou"
            return f"{article}{'n' if article and is_vowel else ''}{match['space']}{subject}"

        return _PLACE.sub(place, self.context)

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

    more: Text
    """The more stereotyped sentence."""
    less: Text
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
ITEMS: Final[dict[Kind, type[Item]]] = {
    "text": TextItem,
    "choice": ChoiceItem,
    "open": OpenItem,
    "dialect": DialectItem,
    "refusal": RefusalItem,
    "bbq": BbqItem,
    "unqover": UnqoverItem,
    "pairs": PairItem,
}
"""A header's kind -> the schema of its items."""
