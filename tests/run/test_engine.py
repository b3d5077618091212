"""The three primitives against a plain decode: one sequence, one token after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax as scipy_log_softmax

from edgeeval._llama import Context, Model, Row
from edgeeval.prompts.items import ChoiceItem, OpenItem
from edgeeval.prompts.load import find_sets, load_set
from edgeeval.run.engine import generate, score_options, score_windows
from edgeeval.run.plan import _common_prefix
from tests.conftest import Ladder

N_ITEMS = 6
SETTINGS = {"samples": 2, "max_tokens": 16, "temperature": 1.0, "top_p": 0.9}


@pytest.fixture(scope="module")
def f32(ladder: Ladder) -> Iterator[Model]:
    model = Model(Path(ladder.f32.path), use_extra_bufts=ladder.engine.use_extra_bufts)
    yield model
    model.close()


@pytest.fixture(scope="module")
def q8_0(ladder: Ladder) -> Iterator[Model]:
    model = Model(Path(ladder.q8_0.path), use_extra_bufts=ladder.engine.use_extra_bufts)
    yield model
    model.close()


def a_context(
    model: Model, *, n_seq_max: int, kv_unified: bool = True, n_ctx: int = 2048
) -> Context:
    return Context(
        model,
        n_ctx=n_ctx,
        n_batch=2048,
        n_ubatch=512,
        n_seq_max=n_seq_max,
        n_threads=2,
        kv_unified=kv_unified,
        kv_type="f32",
        flash_attention=False,
    )


class Plain:
    """The oracle: decodes one token at a time in one sequence, normalizes with scipy in float64."""

    def __init__(self, model: Model) -> None:
        self._context = a_context(model, n_seq_max=1, kv_unified=False, n_ctx=512)

    def log_probabilities(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the next-token log-probabilities behind each token, (tokens, vocabulary)."""
        self._context.clear()
        rows = [
            self._context.decode([Row(token, position, (0,), True)])[0].astype(np.float64)
            for position, token in enumerate(tokens)
        ]
        return scipy_log_softmax(np.array(rows), axis=1)

    def log_likelihood(self, prefix: Sequence[int], option: Sequence[int]) -> float:
        table = self.log_probabilities([*prefix, *option])
        return float(sum(table[len(prefix) - 1 + i, token] for i, token in enumerate(option)))


def choice_items(model: Model, n_items: int) -> list[dict[str, Any]]:
    tasks = load_set(next(path for path in find_sets() if path.stem == "tasks-own"))
    items = []
    for item in tasks.items[:: len(tasks.items) // n_items][:n_items]:
        assert isinstance(item, ChoiceItem)
        joint = [
            model.vocabulary.tokenize(
                f"Question: {item.question}\nAnswer: {option}",
                add_special=False,
                parse_special=False,
            )
            for option in item.options
        ]
        prefix = _common_prefix(joint)
        items.append(
            {"prefix": joint[0][:prefix], "options": [tokens[prefix:] for tokens in joint]}
        )
    return items


def open_items(model: Model, n_items: int) -> list[dict[str, Any]]:
    prompts = load_set(next(path for path in find_sets() if path.stem == "open-neutral"))
    items = []
    for item in prompts.items[:n_items]:
        assert isinstance(item, OpenItem)
        tokens = model.vocabulary.tokenize(item.prompt, add_special=False, parse_special=False)
        items.append({"id": item.id, "prompt": tokens})
    return items


def batched_options(
    model: Model, items: list[dict[str, Any]], *, shared: bool
) -> list[list[float]]:
    context = a_context(
        model,
        n_seq_max=32,
        kv_unified=shared,
        n_ctx=2048 if shared else 32 * 256,
    )
    found = []
    for start in range(0, len(items), 8):
        found += score_options(context, items[start : start + 8], shared=shared)
    context.close()
    return found


def test_option_log_likelihoods_equal_a_plain_decode_on_f32(f32: Model) -> None:
    items = choice_items(f32, N_ITEMS)
    plain = Plain(f32)
    expected = [
        [plain.log_likelihood(item["prefix"], option) for option in item["options"]]
        for item in items
    ]
    found = batched_options(f32, items, shared=True)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)
        assert np.argmax(ours) == np.argmax(theirs)


def test_options_without_shared_prefixes_agree_with_shared_ones(f32: Model) -> None:
    items = choice_items(f32, 4)
    shared = batched_options(f32, items, shared=True)
    apart = batched_options(f32, items, shared=False)
    for ours, theirs in zip(apart, shared, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)


def test_greedy_text_equals_a_plain_token_by_token_decode_on_f32(f32: Model) -> None:
    items = open_items(f32, 3)
    context = a_context(f32, n_seq_max=9)
    found = generate(context, f32, items, SETTINGS, seed=1, shared=True)
    context.close()
    plain = a_context(f32, n_seq_max=1, kv_unified=False, n_ctx=512)
    for item, texts in zip(items, found, strict=True):
        plain.clear()
        for position, token in enumerate(item["prompt"]):
            logits = plain.decode([Row(token, position, (0,), True)])
        expected: list[int] = []
        while len(expected) < SETTINGS["max_tokens"]:
            token = int(logits[0].argmax())
            if f32.vocabulary.is_end(token):
                break
            expected.append(token)
            logits = plain.decode([Row(token, len(item["prompt"]) + len(expected) - 1, (0,), True)])
        assert texts[0]["sample"] == -1
        assert texts[0]["tokens"] == expected
        assert texts[0]["text"] == f32.vocabulary.text(expected)


def test_window_scores_equal_a_plain_decode_on_f32(f32: Model) -> None:
    text = " ".join(["The lighthouse keeper wrote one line a day, and the sea took the rest."] * 20)
    tokens = f32.vocabulary.tokenize(text, add_special=False, parse_special=False)
    windows = [{"tokens": tokens[i : i + 64], "first": 32} for i in (0, 64, 128)]
    context = a_context(f32, n_seq_max=3, kv_unified=False, n_ctx=3 * 256)
    found = score_windows(context, windows, n_threads=2).nll
    context.close()
    plain = Plain(f32)
    for window, nll in zip(windows, found.reshape(3, 31), strict=True):
        table = plain.log_probabilities(window["tokens"][:-1])
        expected = [-table[i, window["tokens"][i + 1]] for i in range(32, 63)]
        assert nll == pytest.approx(expected, abs=1e-3)


def test_a_table_of_log_probabilities_has_no_divergence_from_itself(
    f32: Model, tmp_path: Path
) -> None:
    tokens = f32.vocabulary.tokenize("one two three " * 40, add_special=False, parse_special=False)
    windows = [{"tokens": tokens[:64], "first": 32}]
    context = a_context(f32, n_seq_max=1, kv_unified=False, n_ctx=256)
    kept = tmp_path / "0.npy"
    score_windows(context, windows, n_threads=2, write=kept)
    again = score_windows(context, windows, n_threads=1, read=kept).divergence
    context.close()
    assert again is not None
    kld, same_top, dp = again
    assert np.abs(kld).max() <= 1e-6
    assert same_top.all()
    assert not dp.any()


def test_a_block_does_not_depend_on_the_block_before_it(q8_0: Model) -> None:
    items = choice_items(q8_0, 16)
    context = a_context(q8_0, n_seq_max=32)
    score_options(context, items[:8], shared=True)
    after_another = score_options(context, items[8:], shared=True)
    context.close()
    fresh = a_context(q8_0, n_seq_max=32)
    alone = score_options(fresh, items[8:], shared=True)
    fresh.close()
    assert after_another == alone


def test_sampled_texts_repeat_to_the_token_and_differ_between_samples_and_seeds(
    q8_0: Model,
) -> None:
    items = open_items(q8_0, 4)

    def sampled(seed: int) -> list[list[list[int]]]:
        context = a_context(q8_0, n_seq_max=12)
        texts = generate(context, q8_0, items, SETTINGS, seed=seed, shared=True)
        context.close()
        return [[text["tokens"] for text in own[1:]] for own in texts]

    first = sampled(seed=1)
    assert first == sampled(seed=1)
    assert first != sampled(seed=2)
    assert all(one != other for one, other in first)


def test_a_text_ends_at_the_chat_end_token_or_at_its_length(f32: Model) -> None:
    vocabulary = f32.vocabulary
    prompt = vocabulary.tokenize(
        "<|im_start|>user\nSay only the word yes.<|im_end|>\n<|im_start|>assistant\n",
        add_special=False,
        parse_special=True,
    )
    context = a_context(f32, n_seq_max=1)
    settings = SETTINGS | {"samples": 0, "max_tokens": 48}
    [[text]] = generate(
        context, f32, [{"id": "a", "prompt": prompt}], settings, seed=1, shared=True
    )
    context.close()
    end = vocabulary.special_tokens()["<|im_end|>"]
    assert vocabulary.is_end(end)
    assert end not in text["tokens"]
    assert text["finish"] == ("length" if len(text["tokens"]) == 48 else "end")
    assert "<|im_end|>" not in text["text"]
