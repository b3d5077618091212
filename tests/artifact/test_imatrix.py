"""Importance matrices: the right sums, the native tool's sums, and no half of one, ever."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from edgeeval._llama import Model
from edgeeval.artifact import imatrix as module
from edgeeval.artifact.imatrix import Calibration, Imatrix, compute_imatrix, read_chunks
from edgeeval.artifact.imatrix_file import ImatrixData, read_imatrix
from edgeeval.artifact.inspect import describe
from edgeeval.errors import InputError, WorkerFailed
from edgeeval.records import Artifact
from edgeeval.run.device import Engine
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace, sha256_of
from tests.artifact.moe import (
    BOS,
    FIRST_BYTE,
    N_USED,
    UNREACHED,
    WIDTH,
    inputs_by_brute_force,
    write_moe,
)
from tests.conftest import Ladder
from tests.native import native_tool, run_native

_STORY = (
    "Whoever keeps bees learns to wait. On cold mornings the hive hums like a kettle far away; "
    "by noon the landing board is as busy as a harbour, {} loads of pollen before the bell. "
)
Compute = Callable[..., Imatrix]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "bees.txt"
    path.write_text("\n".join(_STORY.format(day) for day in range(60)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def fresh(tmp_path: Path, ladder: Ladder) -> Workspace:
    """A workspace without matrices that knows the hashes of the model files."""
    workspace = Workspace(tmp_path / "workspace")
    known = (ladder.workspace.root / "hashes.jsonl").read_bytes()
    (workspace.folder() / "hashes.jsonl").write_bytes(known)
    return workspace


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moe(tmp_path_factory.mktemp("moe") / "moe.gguf").path


def a_moe_artifact(workspace: Workspace, path: Path) -> Artifact:
    return describe(workspace, path, name="moe", source="given")


def imatrix_of(
    workspace: Workspace,
    engine: Engine,
    model: Artifact,
    text: Path,
    *,
    n_chunks: int | None = None,
    n_ctx: int = 512,
    progress: Progress,
) -> Imatrix:
    calibration = Calibration(text, n_chunks, n_ctx)
    return compute_imatrix(workspace, engine, model, calibration, progress)


def quietly(line: str) -> None:
    del line


def letters(n: int) -> str:
    """A text of so many letters; each is one token of the byte vocabulary."""
    generator = np.random.default_rng(9)
    return bytes(generator.integers(ord("a"), ord("z") + 1, n, np.uint8)).decode("ascii")


def native(model: str, text: Path, engine: Engine, out: Path, *options: object) -> ImatrixData:
    """Compute with llama.cpp's own tool."""
    line = ["-m", model, "-f", text, "-o", out, "-t", engine.n_threads, "--no-ppl", *options]
    line += [] if engine.use_extra_bufts else ["--no-repack"]
    run_native(native_tool("llama-imatrix"), *line)
    return read_imatrix(out)


def agrees(mine: ImatrixData, theirs: ImatrixData, *, tolerance: float) -> None:
    assert list(mine.entries) == list(theirs.entries)
    for name, (sums, counts) in theirs.entries.items():
        np.testing.assert_array_equal(mine.entries[name].counts, counts, name)
        np.testing.assert_allclose(mine.entries[name].in_sum2, sums, tolerance, err_msg=name)
    assert (mine.chunk_count, mine.chunk_size) == (theirs.chunk_count, theirs.chunk_size)


# -- the numbers -----------------------------------------------------------------------------------


def test_the_first_layers_input_is_the_normed_embedding(
    ladder: Ladder, fresh: Workspace, text: Path
) -> None:
    """Oracle: numpy. Embedding rows of the tokens, RMS norm, squares summed over two chunks."""
    made = imatrix_of(
        fresh, ladder.engine, ladder.bf16, text, n_chunks=2, n_ctx=64, progress=quietly
    )
    tokens = Model(Path(ladder.bf16.path), vocab_only=True).vocabulary.tokenize(
        text.read_text(encoding="utf-8"), add_special=True, parse_special=False
    )[: 2 * 64]
    reader = GGUFReader(ladder.bf16.path)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    table = tensors["token_embd.weight"]
    rows = dequantize(table.data[tokens], table.tensor_type).astype(np.float64)
    eps = reader.fields["llama.attention.layer_norm_rms_epsilon"].contents()
    scale = np.sqrt((rows**2).mean(axis=1, keepdims=True) + eps)
    expected = ((rows / scale * tensors["blk.0.attn_norm.weight"].data) ** 2).sum(axis=0)
    entries = read_imatrix(made.path).entries
    for name in ("attn_q", "attn_k", "attn_v"):
        in_sum2, counts = entries[f"blk.0.{name}.weight"]
        np.testing.assert_allclose(in_sum2, expected, rtol=2e-5)
        assert counts.tolist() == [128]
    assert len(entries) == made.n_entries == 7 * 30
    assert (made.dataset, made.n_chunks, made.n_ctx) == ("bees.txt", 2, 64)
    assert (made.text_sha256, made.sha256) == (sha256_of(text), sha256_of(made.path))


def test_each_expert_sums_the_tokens_that_are_sent_to_it(
    ladder: Ladder, tmp_path: Path, fresh: Workspace
) -> None:
    """Oracle: brute force, in float64, of a whole two-layer model (tests/artifact/moe.py)."""
    model = write_moe(tmp_path / "moe.gguf")
    content = letters(3 * 40 + 7)
    source = tmp_path / "letters.txt"
    source.write_text(content + "\n", encoding="ascii")
    made = imatrix_of(
        fresh,
        ladder.engine,
        a_moe_artifact(fresh, model.path),
        source,
        n_chunks=None,
        n_ctx=40,
        progress=quietly,
    )
    ids = [BOS, *(FIRST_BYTE + ord(letter) for letter in content)]
    chunks = [[BOS, *ids[start + 1 : start + 40]] for start in (0, 40, 80)]
    expected = inputs_by_brute_force(model, list(itertools.chain(*chunks)))
    found = read_imatrix(made.path).entries
    assert set(found) == set(expected) | {"blk.0.attn_output.weight", "blk.1.attn_output.weight"}
    for name, matrices in expected.items():
        assert found[name].counts.tolist() == [count for _, count in matrices], name
        sums = found[name].in_sum2.reshape(len(matrices), WIDTH)
        np.testing.assert_allclose(sums, [one for one, _ in matrices], rtol=1e-4, err_msg=name)
    assert found["blk.1.ffn_up_exps.weight"].counts[UNREACHED] == 0
    assert made.n_chunks == 3


def test_the_sums_are_those_of_the_native_tool(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, text: Path
) -> None:
    """Oracle: llama-imatrix. Its float32 sums drift by 1e-5; the inputs are equal to the bit."""
    options = ("-c", 64, "--chunks", 34)  # a group of chunks, and one that is not full
    theirs = native(ladder.q8_0.path, text, ladder.engine, tmp_path / "native.gguf", *options)
    made = imatrix_of(
        fresh, ladder.engine, ladder.q8_0, text, n_chunks=34, n_ctx=64, progress=quietly
    )
    agrees(read_imatrix(made.path), theirs, tolerance=1e-4)


@pytest.mark.parametrize(
    ("n_ctx", "n_chunks"),
    [
        (96, 30),
        (512, 3),  # the last batch has six rows, which do not count
        (600, 4),  # does not divide a batch
        (2500, 2),  # longer than a batch: one chunk at a time
    ],
)
def test_chunks_are_laid_out_as_the_native_tool_does(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, moe: Path, n_ctx: int, n_chunks: int
) -> None:
    """Oracle: llama-imatrix, on a mixture of experts."""
    source = tmp_path / "letters.txt"
    source.write_text(letters(5000), encoding="ascii")
    options = ("-c", n_ctx, "--chunks", n_chunks)
    theirs = native(str(moe), source, ladder.engine, tmp_path / "native.gguf", *options)
    model = a_moe_artifact(fresh, moe)
    made = imatrix_of(
        fresh, ladder.engine, model, source, n_chunks=n_chunks, n_ctx=n_ctx, progress=quietly
    )
    agrees(read_imatrix(made.path), theirs, tolerance=1e-4)
    assert min(theirs.entries["blk.0.ffn_up_exps.weight"].counts) == 0


def test_rows_of_a_batch_too_small_to_count_are_left_out(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, moe: Path
) -> None:
    """By hand: 3 chunks side by side in batches of 512 are 170 tokens each, three times, and then
    2 each: 6 rows, fewer than 16. Experts count them all the same.
    """
    source = tmp_path / "letters.txt"
    source.write_text(letters(2000), encoding="ascii")
    model = a_moe_artifact(fresh, moe)
    made = imatrix_of(fresh, ladder.engine, model, source, n_chunks=3, n_ctx=512, progress=quietly)
    entries = read_imatrix(made.path).entries
    assert entries["blk.1.attn_q.weight"].counts.tolist() == [3 * 512 - 6]
    assert entries["blk.1.ffn_down_exps.weight"].counts.sum() == N_USED * 3 * 512
    assert made.n_chunks == 2  # as llama.cpp counts them


def test_bytes_that_are_not_utf8_are_tokenized_as_the_native_tool_does(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, moe: Path
) -> None:
    """Oracle: llama-imatrix."""
    source = tmp_path / "latin.txt"
    source.write_bytes(b"caf\xe9 \xff\xfe \x00 " + letters(300).encode() + b"\xc3\n\n")
    theirs = native(str(moe), source, ladder.engine, tmp_path / "native.gguf", "-c", 32)
    model = a_moe_artifact(fresh, moe)
    made = imatrix_of(
        fresh, ladder.engine, model, source, n_chunks=None, n_ctx=32, progress=quietly
    )
    agrees(read_imatrix(made.path), theirs, tolerance=1e-4)


def test_the_native_tools_read_the_file(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, moe: Path
) -> None:
    """llama-imatrix merges it with nothing and writes the same; llama-quantize counts it."""
    source = tmp_path / "letters.txt"
    source.write_text(letters(1000), encoding="ascii")
    made = imatrix_of(
        fresh,
        ladder.engine,
        a_moe_artifact(fresh, moe),
        source,
        n_chunks=None,
        n_ctx=100,
        progress=quietly,
    )
    again = tmp_path / "again.gguf"
    line = ("-m", moe, "--in-file", made.path, "-o", again, "-c", 100)
    run_native(native_tool("llama-imatrix"), *line)
    assert again.read_bytes() == made.path.read_bytes()
    line = ("--imatrix", made.path, moe, tmp_path / "out.gguf", "Q2_K", 1)
    printed = run_native(native_tool("llama-quantize"), *line)
    assert f"loaded {made.n_entries} importance matrix entries" in printed
    assert "computed on 10 chunks" in printed


# -- interruption ----------------------------------------------------------------------------------


@pytest.fixture
def compute(ladder: Ladder, moe: Path, tmp_path: Path) -> Compute:
    """Return a function that computes a matrix of 25 groups of chunks in a given workspace."""
    source = tmp_path / "letters.txt"
    source.write_text(letters(25 * 2048), encoding="ascii")

    def run(workspace: Workspace, progress: Callable[[str], None]) -> Imatrix:
        model = a_moe_artifact(workspace, moe)
        return imatrix_of(
            workspace, ladder.engine, model, source, n_chunks=None, n_ctx=256, progress=progress
        )

    return run


def kill_worker() -> None:
    [worker] = psutil.Process().children()
    os.kill(worker.pid, signal.SIGKILL)


def test_a_killed_worker_is_resumed_and_leaves_no_trace_in_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compute: Compute
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_S", 0.0)
    whole = compute(Workspace(tmp_path / "whole"), quietly)
    killed = Workspace(tmp_path / "killed")
    folder = killed.folder("imatrix")
    starts = []
    for n_lines in (3, 5):
        lines: list[str] = []

        def kill_after(line: str, lines: list[str] = lines, n_lines: int = n_lines) -> None:
            lines.append(line)
            if len(lines) == n_lines:
                kill_worker()

        with pytest.raises(WorkerFailed, match="killed by SIGKILL"):
            compute(killed, kill_after)
        starts.append(int(lines[0].split()[2]))
        assert not list(folder.glob("*.gguf"))
        assert list(folder.glob("*.part"))
    lines = []
    resumed = compute(killed, lines.append)
    starts.append(int(lines[0].split()[2]))
    assert starts[0] == 8
    assert starts[0] + 2 * 8 <= starts[1]
    assert starts[1] + 4 * 8 <= starts[2]
    assert lines[-1] == "moe: imatrix: 200 of 200 chunks"
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert [path.name for path in folder.iterdir()] == [resumed.path.name]


def test_a_checkpoint_that_is_of_no_use_costs_nothing_but_time(
    tmp_path: Path, compute: Compute
) -> None:
    whole = compute(Workspace(tmp_path / "whole"), quietly)
    other = Workspace(tmp_path / "other")
    part = other.folder("imatrix") / f"{whole.path.stem}.part"
    part.write_bytes(whole.path.read_bytes()[:5000])
    part.with_suffix(".tmp").write_bytes(b"half a file")
    assert compute(other, quietly).path.read_bytes() == whole.path.read_bytes()
    assert not part.exists()
    assert not part.with_suffix(".tmp").exists()


def test_what_was_computed_is_not_computed_again(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, moe: Path
) -> None:
    source = tmp_path / "letters.txt"
    source.write_text(letters(500), encoding="ascii")
    model = a_moe_artifact(fresh, moe)
    lines: list[str] = []

    def computed(engine: Engine = ladder.engine, **options: Any) -> Imatrix:
        options = {"n_chunks": None, "n_ctx": 32, **options}
        return imatrix_of(fresh, engine, model, source, progress=lines.append, **options)

    first = computed()
    assert lines == ["moe: imatrix: 15 of 15 chunks"]
    assert computed() == first
    assert computed(replace(ladder.engine, n_threads=1)) == first  # changes no digit
    assert len(lines) == 1
    paths = {
        first.path,
        computed(n_ctx=64).path,
        computed(n_chunks=2).path,
        computed(replace(ladder.engine, package="another")).path,
        computed(replace(ladder.engine, libraries_sha256="another")).path,
    }
    source.write_text(letters(501), encoding="ascii")
    assert len(paths | {computed().path}) == 6


# -- bad input -------------------------------------------------------------------------------------


def test_more_chunks_than_the_text_has_are_all_that_it_has(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, moe: Path
) -> None:
    source = tmp_path / "letters.txt"
    source.write_text(letters(500), encoding="ascii")
    model = a_moe_artifact(fresh, moe)
    made = [
        imatrix_of(
            fresh, ladder.engine, model, source, n_chunks=n_chunks, n_ctx=32, progress=quietly
        )
        for n_chunks in (1000, None)
    ]
    assert made[0].n_chunks == made[1].n_chunks == 15
    assert made[0].sha256 == made[1].sha256


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"abc" * 20, {}, r"text\.txt: 61 tokens; an imatrix takes at least two chunks of 32"),
        (b"", {}, r"text\.txt: 1 tokens; an imatrix takes at least two chunks of 32"),
        (None, {}, r"text\.txt: cannot be read: No such file or directory$"),
        (b"abc" * 99, {"n_chunks": 0}, "imatrix: 0 chunks of 32 tokens: give at least one chunk"),
        (b"abc" * 99, {"n_ctx": 15}, "at least 16 tokens a chunk"),
    ],
)
def test_a_text_or_a_number_of_no_use_is_refused_in_one_line(
    ladder: Ladder,
    fresh: Workspace,
    tmp_path: Path,
    moe: Path,
    content: bytes | None,
    options: dict[str, int],
    message: str,
) -> None:
    source = tmp_path / "text.txt"
    if content is not None:
        source.write_bytes(content)
    model = a_moe_artifact(fresh, moe)
    options = {"n_chunks": 1, "n_ctx": 32, **options}
    with pytest.raises(InputError, match=message) as caught:
        imatrix_of(fresh, ladder.engine, model, source, progress=quietly, **options)
    assert "\n" not in str(caught.value)
    assert not list(fresh.folder("imatrix").iterdir())


def test_a_folder_or_a_text_that_changed_after_it_was_hashed_is_refused(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, moe: Path
) -> None:
    model = a_moe_artifact(fresh, moe)
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        imatrix_of(fresh, ladder.engine, model, tmp_path, n_chunks=1, progress=quietly)
    source = tmp_path / "text.txt"
    source.write_bytes(b"abc" * 99)
    vocabulary = Model(moe, vocab_only=True).vocabulary
    with pytest.raises(InputError, match="changed meanwhile"):
        read_chunks(vocabulary, source, sha256="0" * 64, n_chunks=1, n_ctx=32)


def test_a_model_whose_numbers_are_not_finite_gives_no_matrix(
    ladder: Ladder, fresh: Workspace, tmp_path: Path, moe: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    content = bytearray(moe.read_bytes())
    tensors = {tensor.name: tensor for tensor in GGUFReader(moe).tensors}
    start = int(tensors["blk.1.attn_norm.weight"].data_offset)
    content[start : start + 4] = np.float32(np.nan).tobytes()
    damaged.write_bytes(content)
    source = tmp_path / "letters.txt"
    source.write_text(letters(500), encoding="ascii")
    with pytest.raises(WorkerFailed, match=r"^blk\.1\.attn_q\.weight: its input is not finite"):
        imatrix_of(
            fresh,
            ladder.engine,
            a_moe_artifact(fresh, damaged),
            source,
            n_chunks=None,
            n_ctx=32,
            progress=quietly,
        )
    assert not list(fresh.folder("imatrix").iterdir())
