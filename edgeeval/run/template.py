"""Put messages into a model's chat template without trusting the template or the messages.

The template comes with the model file: it runs in Jinja's sandbox, with a fixed date. A message is
never read for special tokens, so an item that contains `<|im_end|>` cannot end its own turn: the
template is rendered with marks in the messages' places, and only what stands between the marks is
searched for special tokens.
"""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import jinja2
import jinja2.sandbox

from edgeeval.errors import ModelFileError

if TYPE_CHECKING:
    from edgeeval._llama import Vocabulary

_FIXED_DATE = datetime(2025, 1, 1, tzinfo=UTC)
"""Templates may print today's date; a run must not depend on it."""
_TIME_LIMIT_S = 5


class Segment(NamedTuple):
    """A piece of a prompt."""

    text: str
    trusted: bool
    """Whether special tokens are read in it: the template's text yes, an item's text never."""


@contextmanager
def _time_limit() -> Iterator[None]:
    """Stop a template that loops without end. Works in a process's main thread, as a worker's."""

    def stop(_signal: int, _frame: object) -> None:
        raise jinja2.TemplateError(f"it runs for more than {_TIME_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_TIME_LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


class ChatTemplate:
    """A compiled chat template."""

    def __init__(self, source: str, vocabulary: "Vocabulary", where: str) -> None:
        """Compile a template.

        Raises:
            ModelFileError: the template is not valid Jinja.
        """
        self._where = where
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _FIXED_DATE.strftime
        self._bos = vocabulary.token_text(vocabulary.bos)
        self._eos = vocabulary.token_text(vocabulary.eos)
        try:
            self._template = environment.from_string(source)
        except Exception as error:  # Jinja's own, or Python's: too many loops or brackets nested
            raise ModelFileError(f"{where}: its chat template is broken: {error}") from None

    def render(self, messages: list[tuple[str, str]], *, generation_prompt: bool) -> list[Segment]:
        """Return the conversation as pieces of template text and of message text.

        Some templates (Gemma's) refuse a system message; it then opens the user's first one.

        Args:
            messages: (role, content) in order.
            generation_prompt: end with the opening of the assistant's turn.

        Raises:
            ModelFileError: the template fails on these messages, drops one, or does not end.
        """
        try:
            return self._render(messages, generation_prompt)
        except ModelFileError:
            if len(messages) < 2 or messages[0][0] != "system":
                raise
        role, content = messages[1]
        folded = [(role, f"{messages[0][1]}\n\n{content}"), *messages[2:]]
        return self._render(folded, generation_prompt)

    def _render(self, messages: list[tuple[str, str]], generation_prompt: bool) -> list[Segment]:
        marks = [f"\ue000{index}\ue001" for index in range(len(messages))]
        turns = [
            {"role": role, "content": mark} for (role, _), mark in zip(messages, marks, strict=True)
        ]
        try:
            with _time_limit():
                text = self._template.render(
                    messages=turns,
                    add_generation_prompt=generation_prompt,
                    bos_token=self._bos,
                    eos_token=self._eos,
                    enable_thinking=False,
                )
        except Exception as error:  # a template may raise anything; it is not ours
            raise ModelFileError(f"{self._where}: its chat template fails: {error}") from None
        if any(mark not in text for mark in marks):
            raise ModelFileError(f"{self._where}: its chat template drops a message")
        segments = []
        contents = {mark: content for mark, (_, content) in zip(marks, messages, strict=True)}
        for part in re.split(f"({'|'.join(marks)})", text):
            if part in contents:
                segments.append(Segment(contents[part].strip(), trusted=False))
            elif part:
                segments.append(Segment(part, trusted=True))
        return segments


def encode(vocabulary: "Vocabulary", special: dict[str, int], segments: list[Segment]) -> list[int]:
    """Return the token ids of a prompt, with one BOS where the model wants one.

    Text between two special tokens is tokenized in one piece, template and message together, as the
    model saw it in training.
    """
    words = sorted((word for word in special if word), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, words)) or r"(?!)")
    tokens: list[int] = []
    plain = ""

    def flush() -> None:
        nonlocal plain
        if plain:
            tokens.extend(vocabulary.tokenize(plain, add_special=False, parse_special=False))
            plain = ""

    for segment in segments:
        if not segment.trusted:
            plain += segment.text
            continue
        end = 0
        for match in pattern.finditer(segment.text):
            plain += segment.text[end : match.start()]
            flush()
            tokens.append(special[match.group()])
            end = match.end()
        plain += segment.text[end:]
    flush()
    if vocabulary.add_bos and tokens[:1] != [vocabulary.bos]:
        tokens.insert(0, vocabulary.bos)
    return tokens
