"""Decode blocks: the three primitives that every scorer is built on.

    windows    log-probability of each token of a text; divergence from the reference's distribution
    options    log-likelihood of each continuation of a prompt
    generate   greedy and sampled texts

All three put several sequences into one batch and decode a shared prefix once. Each block starts
from cleared memory, so that where a run was interrupted leaves no trace in any number. Runs in a
worker process; see `worker.py` for what goes in and comes out.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgeeval._llama import Context, Model, Row, native_time
from edgeeval.errors import ModelFileError, WorkerFailed
from edgeeval.run.arrays import save_array, write_array
from edgeeval.run.numerics import (
    Floats,
    divergence,
    log_softmax,
    sample,
    token_log_probabilities,
)
from edgeeval.run.worker import Emit, logprob_file
from edgeeval.store import read_json

_GREEDY = -1
"""Sample number of the greedy text."""


def _require_finite(values: npt.NDArray[Any] | np.floating[Any]) -> None:
    if not np.isfinite(values).all():
        raise WorkerFailed("the model's logits are not finite: its file is damaged")


class WindowScores(NamedTuple):
    """What a block of windows gives."""

    nll: Floats
    """Negative log-likelihood in nats, shape (windows, scored tokens)."""
    divergence: Floats | None
    """KLD, same-top and Δp, shape (3, windows, scored tokens); None without a reference."""


def score_windows(
    context: Context,
    items: Sequence[dict[str, Any]],
    *,
    n_threads: int,
    write: Path | None = None,
    read: Path | None = None,
) -> WindowScores:
    """Score the second half of each window, as llama.cpp's perplexity tool does.

    Args:
        context: one sequence a window.
        items: windows of a plan: `tokens`, and `first`: its successor is the first scored token.
        n_threads: threads for the arithmetic on logits.
        write: file that keeps the log-probabilities, (windows * scored, vocabulary) float32.
        read: such a file of the reference, to diverge from.
    """
    context.clear()
    rows, targets = [], []
    for sequence, item in enumerate(items):
        tokens, first = item["tokens"], item["first"]
        targets += tokens[first + 1 :]
        for position, token in enumerate(tokens):
            scored = first <= position < len(tokens) - 1
            rows.append(Row(token, position, (sequence,), scored))
    wanted = np.array(targets, np.int64)
    log_probabilities = log_softmax(context.decode(rows), n_threads)
    shape = (len(items), -1)
    nll = -log_probabilities[np.arange(len(wanted)), wanted].reshape(shape)
    if write is not None:
        write_array(write, log_probabilities)
    if read is None:
        return WindowScores(nll, None)
    reference = np.load(read, mmap_mode="r")
    compared = divergence(reference, log_probabilities, wanted, n_threads)
    return WindowScores(nll, np.stack([part.reshape(shape) for part in compared]))


def score_options(
    context: Context, items: Sequence[dict[str, Any]], *, shared: bool
) -> list[list[float]]:
    """Return the log-likelihood in nats of each option of each item.

    Args:
        context: a sequence for each option of each item.
        items: `prefix` (token ids) and `options` (token ids behind it).
        shared: decode a prefix once for all of its options (needs `kv_unified`).
    """
    context.clear()
    rows: list[Row] = []
    targets: list[int] = []
    owners: list[list[tuple[int, int]]] = []  # scored row -> the (item, option) it belongs to
    sequence = 0
    for index, item in enumerate(items):
        prefix, options = item["prefix"], item["options"]
        sequences = tuple(range(sequence, sequence + len(options)))
        sequence += len(options)
        groups = [sequences] if shared else [(one,) for one in sequences]
        for group in groups:
            for position, token in enumerate(prefix):
                rows.append(Row(token, position, group, position == len(prefix) - 1))
            owners.append([(index, one - sequences[0]) for one in group])
            for one in group:
                option = options[one - sequences[0]]
                for offset, token in enumerate(option[:-1]):
                    rows.append(Row(token, len(prefix) + offset, (one,), True))
                    owners.append([(index, one - sequences[0])])
    logits = context.decode(rows)
    totals = [[0.0] * len(item["options"]) for item in items]
    step = [[0] * len(item["options"]) for item in items]
    sources: list[int] = []
    credited: list[tuple[int, int]] = []
    for row, owned in enumerate(owners):
        for index, option in owned:
            sources.append(row)
            credited.append((index, option))
            targets.append(items[index]["options"][option][step[index][option]])
            step[index][option] += 1
    values = token_log_probabilities(logits[sources], np.array(targets, np.int64))
    _require_finite(values)
    for (index, option), value in zip(credited, values, strict=True):
        totals[index][option] += float(value)
    return totals


class _Text:
    """One text while it grows."""

    def __init__(self, item: dict[str, Any], number: int, sequence: int, seed: int) -> None:
        self.item = item
        self.number = number
        self.sequence = sequence
        self.stream = f"{seed}/{item['id']}/{number}/".encode()
        self.tokens: list[int] = []
        self.finish: str | None = None

    def choose(self, logits: Floats, settings: dict[str, Any]) -> int:
        _require_finite(logits.max())
        if self.number == _GREEDY:
            return int(logits.argmax())
        return sample(
            logits,
            top_p=settings["top_p"],
            temperature=settings["temperature"],
            stream=self.stream,
            step=len(self.tokens),
        )

    def next_row(self) -> Row:
        position = len(self.item["prompt"]) + len(self.tokens) - 1
        return Row(self.tokens[-1], position, (self.sequence,), True)


def generate(
    context: Context,
    model: Model,
    items: Sequence[dict[str, Any]],
    settings: dict[str, Any],
    *,
    seed: int,
    shared: bool,
) -> list[list[dict[str, Any]]]:
    """Continue each prompt greedily and by coupled sampling.

    Args:
        context: `1 + samples` sequences for each item.
        model: gives the tokens that end a text.
        items: `prompt` (token ids).
        settings: `samples`, `max_tokens`, `temperature`, `top_p`.
        seed: part of the noise, see `numerics.gumbel`.
        shared: decode a prompt once for all of its texts.

    Returns:
        For each item, the greedy text first: `{sample, tokens, text, finish}`; `finish` is "end"
        or "length".
    """
    context.clear()
    numbers = [_GREEDY, *range(settings["samples"])]
    texts = [
        _Text(item, number, place * len(numbers) + offset, seed)
        for place, item in enumerate(items)
        for offset, number in enumerate(numbers)
    ]
    rows: list[Row] = []
    waiting: list[list[_Text]] = []  # scored row -> the texts that choose from it
    for place, item in enumerate(items):
        own = texts[place * len(numbers) : (place + 1) * len(numbers)]
        for group in [own] if shared else [[text] for text in own]:
            sequences = tuple(text.sequence for text in group)
            last = len(item["prompt"]) - 1
            for position, token in enumerate(item["prompt"]):
                rows.append(Row(token, position, sequences, position == last))
            waiting.append(group)
    while waiting:
        logits = context.decode(rows)
        for row, group in zip(logits, waiting, strict=True):
            for text in group:
                token = text.choose(row, settings)
                if model.vocabulary.is_end(token):
                    text.finish = "end"
                    continue
                text.tokens.append(token)
                if len(text.tokens) == settings["max_tokens"]:
                    text.finish = "length"
        growing = [text for text in texts if text.finish is None]
        rows = [text.next_row() for text in growing]
        waiting = [[text] for text in growing]
    return [
        [
            {
                "sample": text.number,
                "tokens": text.tokens,
                "text": model.vocabulary.text(text.tokens),
                "finish": text.finish,
            }
            for text in texts[place * len(numbers) : (place + 1) * len(numbers)]
        ]
        for place in range(len(items))
    ]


class _Runner:
    """One loaded artifact working through the blocks of a job."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.model = Model(
            Path(job["model"]), device=job["device"], use_extra_bufts=job["use_extra_bufts"]
        )
        self._vocabulary_sha256 = self.model.vocabulary.digest()
        self._context: Context | None = None
        self._shape: dict[str, Any] | None = None

    def _context_for(self, plan: dict[str, Any]) -> Context:
        if plan["vocabulary_sha256"] != self._vocabulary_sha256:
            raise ModelFileError(
                f"{self.model.path}: its vocabulary differs from the reference's, so its tokens "
                "mean something else; compare it with a reference of its own"
            )
        if self._context is None or self._shape != plan["context"]:
            if self._context is not None:
                self._context.close()
            self._shape = plan["context"]
            self._context = Context(
                self.model,
                **self._shape,
                n_ubatch=self.job["n_ubatch"],
                n_threads=self.job["n_threads"],
            )
        return self._context

    def block(
        self, plan: dict[str, Any], block: dict[str, Any], run: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the journal lines of a block: the run's, and the divergence's if there is one."""
        context = self._context_for(plan)
        items, shared = block["items"], plan["shared_prefixes"]
        if plan["primitive"] == "windows":
            return self._windows(context, block, run)
        if plan["primitive"] == "options":
            totals = score_options(context, items, shared=shared)
            lines = [
                {"id": item["id"], "log_likelihoods": values}
                for item, values in zip(items, totals, strict=True)
            ]
        else:
            texts = generate(
                context,
                self.model,
                items,
                plan["generation"],
                seed=self.job["seed"],
                shared=shared,
            )
            lines = [
                {"id": item["id"], "texts": values}
                for item, values in zip(items, texts, strict=True)
            ]
        return {"block": block["id"], "items": lines}, None

    def _windows(
        self, context: Context, block: dict[str, Any], run: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        is_cached = block["id"] in run["cached_blocks"]
        kept = logprob_file(Path(run["logprobs"]), block["id"]) if is_cached else None
        write, read = (kept, None) if run["writes_logprobs"] else (None, kept)
        scores = score_windows(
            context, block["items"], n_threads=self.job["n_threads"], write=write, read=read
        )
        _require_finite(scores.nll)
        ids = [{"id": item["id"]} for item in block["items"]]
        arrays = Path(run["arrays"])
        line = {"block": block["id"], "items": ids, "nll": save_array(arrays, scores.nll)}
        if scores.divergence is None:
            return line, None
        name = save_array(Path(run["divergence_arrays"]), scores.divergence)
        return line, {"block": block["id"], "items": ids, "divergence": name}


def work(job: dict[str, Any], emit: Emit) -> None:
    """Decode the blocks that a job names, run by run; one event a finished block."""
    runner = _Runner(job)
    for run in job["runs"]:
        plan = read_json(Path(run["plan"]))
        wanted = set(run["blocks"])
        for block in plan["blocks"]:
            if block["id"] not in wanted:
                continue
            start, native_start = time.perf_counter(), native_time.elapsed_s
            line, diverged = runner.block(plan, block, run)
            line["elapsed_s"] = round(time.perf_counter() - start, 4)
            line["native_s"] = round(native_time.elapsed_s - native_start, 4)
            emit({"event": "block", "run": run["run"], "line": line, "divergence": diverged})
