"""Cut a prompt set into blocks of token ids, once, with the reference's tokenizer and template.

Every artifact decodes the same ids in the same blocks, so that the reference and each level meet
the same batch mates, and a resumed run computes what an uninterrupted one would have. Runs in a
worker process: vocabulary and chat template are untrusted, and native code reads them.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgeeval.errors import InputError, ModelFileError, PromptSetError
from edgeeval.prompts.items import Item, OpenItem, RefusalItem, TextItem
from edgeeval.prompts.load import WHOLE_FILE, PromptSet, load_set, text_file_set
from edgeeval.run.questions import Question, questions_of
from edgeeval.run.template import ChatTemplate, Segment, encode
from edgeeval.run.worker import Emit
from edgeeval.store import write_json

PLANNER_VERSION = 3
"""Raise it when the same inputs give other blocks: every run id changes with it."""

BLOCK_TOKENS = 2048
"""Tokens that a block decodes in one batch at most."""
BLOCK_SEQUENCES = 32
"""Sequences decoded together: 345-400 tokens/s against 101-148 one at a time (2 cores, 135M)."""
BLOCK_ITEMS = 8
"""Multiple-choice items a block; a second plan takes another number to show the numerical floor."""
SECOND_PLAN_ITEMS = 5
_CELLS_STEP = 256
_MAX_CONTEXT = 4096
TEMPERATURE = 1.0
TOP_P = 0.9


def _common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest common token prefix that leaves each sequence a token to score."""
    shortest = min(map(len, sequences))
    shared = 0
    while shared < shortest and len({tuple(s[shared : shared + 1]) for s in sequences}) == 1:
        shared += 1
    return min(shared, shortest - 1)


_AS_LLAMA_PERPLEXITY = {"kv_type": "f16", "flash_attention": True}
"""Windows: llama.cpp's defaults, so that lm.* are the numbers of its own perplexity tool."""
_PRECISE = {"kv_type": "f32", "flash_attention": False}
"""Options and texts: with float32 cells and no flash attention a batch equals a plain decode to
1e-5 nats (F32 weights), where the defaults differ by up to 8e-3, enough to turn near-ties. It costs
a fifth of the time."""


def _packed_context(blocks: list[list[dict[str, Any]]], *, shared: bool) -> dict[str, Any]:
    """Return a context that holds every block of options or texts."""
    cells = max(sum(item["n_cells"] for item in block) for block in blocks)
    sequences = max(sum(item["n_sequences"] for item in block) for block in blocks)
    longest = max(item["n_longest"] for item in itertools.chain.from_iterable(blocks))
    if not shared:  # every sequence has cells of its own, all of one length
        cells = sequences * _padded(longest)
    return {
        "n_ctx": _padded(cells),
        "n_batch": max(BLOCK_TOKENS, cells),
        "n_seq_max": sequences,
        "kv_unified": shared,
        **_PRECISE,
    }


def _padded(n_cells: int) -> int:
    return math.ceil(n_cells / _CELLS_STEP) * _CELLS_STEP


def _pack(items: Iterable[dict[str, Any]], max_items: int) -> list[list[dict[str, Any]]]:
    """Fill blocks in order, up to a number of items, tokens and sequences."""
    blocks: list[list[dict[str, Any]]] = []
    tokens = sequences = 0
    for item in items:
        fits = (
            blocks
            and len(blocks[-1]) < max_items
            and tokens + item["n_cells"] <= BLOCK_TOKENS
            and sequences + item["n_sequences"] <= BLOCK_SEQUENCES
        )
        if not fits:
            blocks.append([])
            tokens = sequences = 0
        blocks[-1].append(item)
        tokens += item["n_cells"]
        sequences += item["n_sequences"]
    return blocks


class _Planner:
    """What every kind of item needs: the tokenizer, the template, the limits."""

    def __init__(self, job: dict[str, Any]) -> None:
        from edgeeval._llama import Model  # here: only a worker may load native code

        self.model = Model(Path(job["model"]), vocab_only=True)
        self.vocabulary = self.model.vocabulary
        self.vocabulary_sha256 = self.vocabulary.digest()
        self.special = self.vocabulary.special_tokens()
        self.suite: dict[str, Any] = job["suite"]
        self.second: bool = job["second"]
        self.size = WHOLE_FILE
        self.shared = not self.model.is_recurrent
        self.max_context = min(self.model.n_ctx_train or _MAX_CONTEXT, _MAX_CONTEXT)
        self.template = self._usable_template(job["model"])
        self.excluded: list[dict[str, str]] = []

    def _usable_template(self, where: str) -> ChatTemplate | None:
        """Return the chat template if it takes a plain question; the plan says why it does not."""
        self.template_problem = ""
        source = self.model.chat_template
        if not source:
            return None
        try:
            template = ChatTemplate(source, self.vocabulary, where)
            template.render([("user", "Hello")], generation_prompt=True)
        except ModelFileError as error:
            self.template_problem = str(error)
            return None
        return template

    def plan(self, prompt_set: PromptSet, size: int) -> dict[str, Any]:
        """Return the plan of one prompt set."""
        self.size, self.excluded = size, []
        primitive, make = _PRIMITIVES[prompt_set.header.kind]
        blocks, context = make(self, prompt_set)
        return {
            "schema": "edgeeval/plan@1",
            "planner_version": PLANNER_VERSION,
            "set_id": prompt_set.id,
            "set_sha256": prompt_set.sha256,
            "kind": prompt_set.header.kind,
            "pool": prompt_set.header.pool,
            "primitive": primitive,
            "chat": self.uses_chat(prompt_set.header.format),
            "template_problem": self.template_problem,
            "vocabulary_sha256": self.vocabulary_sha256,
            "n_vocab": self.vocabulary.n_tokens,
            "context": context,
            "shared_prefixes": self.shared,
            "generation": {
                "samples": self._samples(prompt_set),
                "max_tokens": self.suite["max_tokens"],
                "temperature": TEMPERATURE,
                "top_p": TOP_P,
            },
            "blocks": [{"id": str(index), "items": items} for index, items in enumerate(blocks)],
            "excluded": self.excluded,
        }

    def uses_chat(self, wanted: str) -> bool:
        return wanted != "plain" and self.template is not None

    def prompt_segments(self, prompt: str, wanted: str) -> list[Segment]:
        if self.template is not None and self.uses_chat(wanted):
            return self.template.render([("user", prompt)], generation_prompt=True)
        return [Segment(prompt, trusted=False)]

    def encode(self, segments: list[Segment]) -> list[int]:
        return encode(self.vocabulary, self.special, segments)

    def exclude(self, item_id: str, n_tokens: int) -> None:
        self.excluded.append(
            {"item": item_id, "reason": f"{n_tokens} tokens; the context holds {self.max_context}"}
        )

    # -- windows ---------------------------------------------------------------------------------

    def windows(self, prompt_set: PromptSet) -> tuple[list[list[dict[str, Any]]], dict[str, Any]]:
        n_ctx = self.suite["n_ctx"]
        if n_ctx > (self.model.n_ctx_train or n_ctx):
            raise InputError(
                f"--n-ctx {n_ctx}: the model was trained for {self.model.n_ctx_train} tokens"
            )
        tokens = self._running_text(prompt_set)
        available = len(tokens) // n_ctx
        if available == 0:
            raise PromptSetError(
                f"{prompt_set.id}: {len(tokens)} tokens are less than one window of {n_ctx}; "
                "give a longer text or a smaller --n-ctx"
            )
        count = available if self.size == WHOLE_FILE else min(self.size, available)
        groups = {
            name: value
            for name, value in prompt_set.items[0].groups.items()
            if all(item.groups.get(name) == value for item in prompt_set.items)
        }
        items = [self._window(prompt_set.id, index, tokens, groups) for index in range(count)]
        together = max(1, BLOCK_TOKENS // n_ctx)
        blocks = [items[start : start + together] for start in range(0, count, together)]
        sequences = max(map(len, blocks))
        context = {
            "n_ctx": sequences * n_ctx,  # split evenly between the sequences
            "n_batch": max(BLOCK_TOKENS, n_ctx),
            "n_seq_max": sequences,
            "kv_unified": False,
            **_AS_LLAMA_PERPLEXITY,
        }
        return blocks, context

    def _running_text(self, prompt_set: PromptSet) -> list[int]:
        texts = [item for item in prompt_set.items if isinstance(item, TextItem)]
        if prompt_set.header.format == "plain" or not self.uses_chat(prompt_set.header.format):
            joined = "\n\n".join(
                item.text
                if item.text is not None
                else "\n".join(f"{turn.role}: {turn.content}" for turn in item.messages)
                for item in texts
            )
            return self.vocabulary.tokenize(joined, add_special=True, parse_special=False)
        assert self.template is not None  # uses_chat() said so
        tokens: list[int] = []
        for item in texts:
            turns: list[tuple[str, str]] = [(turn.role, turn.content) for turn in item.messages]
            turns = turns or [("user", item.text or "")]
            try:
                tokens += self.encode(self.template.render(turns, generation_prompt=False))
            except ModelFileError as error:
                self.excluded.append({"item": item.id, "reason": str(error)})
        return tokens

    def _window(
        self, set_id: str, index: int, tokens: list[int], groups: dict[str, str]
    ) -> dict[str, Any]:
        n_ctx = self.suite["n_ctx"]
        window = tokens[index * n_ctx : (index + 1) * n_ctx]
        first = n_ctx // 2
        scored = window[first + 1 :]
        if self.vocabulary.add_bos:
            window[0] = self.vocabulary.bos
        return {
            "id": f"{set_id}/w{index}",
            "template_id": f"{set_id}/w{index}",
            "groups": groups,
            "tokens": window,
            "first": first,
            "n_bytes": sum(len(self.vocabulary.piece(token)) for token in scored),
        }

    # -- options ---------------------------------------------------------------------------------

    def options(self, prompt_set: PromptSet) -> tuple[list[list[dict[str, Any]]], dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for item in self._chosen(prompt_set):
            asked = [
                self._question(item, question, prompt_set.header.format)
                for question in questions_of(item)
            ]
            longest = max(question["n_longest"] for question in asked)
            if longest > self.max_context:
                self.exclude(item.id, longest)
                continue
            items += asked
        self._require_items(prompt_set, items)
        blocks = _pack(items, SECOND_PLAN_ITEMS if self.second else BLOCK_ITEMS)
        return blocks, _packed_context(blocks, shared=self.shared)

    def _question(self, item: Item, question: Question, wanted: str) -> dict[str, Any]:
        """Return a planned question: the prefix that its options share, and the rest of each."""
        joint = self._joint(question, wanted)
        prefix = max(1, _common_prefix(joint)) if question.prompt else 1
        rest = [tokens[prefix:] for tokens in joint]
        return {
            "id": f"{item.id}/{question.part}" if question.part else item.id,
            "template_id": item.template_id,
            "groups": item.groups,
            **({"item": item.id} if question.part else {}),
            **question.fields,
            "prefix": joint[0][:prefix],
            "options": rest,
            "n_bytes": [
                sum(len(self.vocabulary.piece(token)) for token in tokens) for tokens in rest
            ],
            "n_cells": prefix + sum(map(len, rest)),
            "n_sequences": len(joint),
            "n_longest": max(map(len, joint)),
        }

    def _joint(self, question: Question, wanted: str) -> list[list[int]]:
        """Return the tokens of a question with each of its options behind it.

        A whole text is scored from its first token on, behind the BOS; where the model wants none
        behind a line break, as the beginning of a line.
        """
        if question.prompt:
            prompt = self.prompt_segments(question.prompt, wanted)
            return [
                self.encode([*prompt, Segment(option, trusted=False)])
                for option in question.options
            ]
        texts = [self.encode([Segment(option, trusted=False)]) for option in question.options]
        if self.vocabulary.add_bos:
            return texts
        line_break = self.encode([Segment("\n", trusted=False)])[-1]
        return [[line_break, *text] for text in texts]

    # -- generate --------------------------------------------------------------------------------

    def generate(self, prompt_set: PromptSet) -> tuple[list[list[dict[str, Any]]], dict[str, Any]]:
        n_sequences = 1 + self._samples(prompt_set)
        items = []
        for item in self._chosen(prompt_set):
            assert isinstance(item, OpenItem | RefusalItem)  # the set's kind says so
            tokens = self.encode(self.prompt_segments(item.prompt, prompt_set.header.format))
            longest = len(tokens) + self.suite["max_tokens"]
            if longest > self.max_context:
                self.exclude(item.id, longest)
                continue
            items.append(
                {
                    "id": item.id,
                    "template_id": item.template_id,
                    "groups": item.groups,
                    **({"unsafe": item.unsafe} if isinstance(item, RefusalItem) else {}),
                    "prompt": tokens,
                    "n_cells": len(tokens) + n_sequences * self.suite["max_tokens"],
                    "n_sequences": n_sequences,
                    "n_longest": longest,
                }
            )
        self._require_items(prompt_set, items)
        together = max(1, BLOCK_SEQUENCES // n_sequences)
        blocks = _pack(items, max(1, together // 2) if self.second else together)
        return blocks, _packed_context(blocks, shared=self.shared)

    def _samples(self, prompt_set: PromptSet) -> int:
        """Return the sampled continuations of an item: whether a request is refused needs none."""
        return 0 if prompt_set.header.kind == "refusal" else int(self.suite["samples"])

    def _chosen(self, prompt_set: PromptSet) -> list[Item]:
        ordered = prompt_set.stratified()
        return ordered if self.size == WHOLE_FILE else ordered[: self.size]

    def _require_items(self, prompt_set: PromptSet, items: list[dict[str, Any]]) -> None:
        if not items:
            raise PromptSetError(f"{prompt_set.id}: no item fits the model's context")


_PRIMITIVES = {
    "text": ("windows", _Planner.windows),
    "choice": ("options", _Planner.options),
    "bbq": ("options", _Planner.options),
    "unqover": ("options", _Planner.options),
    "pairs": ("options", _Planner.options),
    "dialect": ("options", _Planner.options),
    "open": ("generate", _Planner.generate),
    "refusal": ("generate", _Planner.generate),
}


def work(job: dict[str, Any], emit: Emit) -> None:
    """Plan the prompt sets of a job and write the plan files that it names."""
    planner = _Planner(job)
    for wanted in job["sets"]:
        path = Path(wanted["set"])
        prompt_set = text_file_set(path, None) if wanted["plain_text"] else load_set(path)
        plan = planner.plan(prompt_set, wanted["size"])
        write_json(Path(wanted["out"]), plan)
        emit({"event": "plan", "set": prompt_set.id, "n_blocks": len(plan["blocks"])})
