"""Compare edgeeval's importance matrix with llama.cpp's own `llama-imatrix`.

Both read the same files, text, chunks and threads, one after the other in one call, the native tool
first in even rounds and second in odd ones. The table gives each one's median wall time and peak
resident size, their ratios, and the largest relative difference of any sum of any tensor. How to
build the native tool is in perplexity.py; its target is `llama-imatrix`:

    python benchmarks/imatrix.py --tool build/bin/llama-imatrix --text wiki.test.txt \
        F16.gguf BF16.gguf Q8_0.gguf
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgeeval.artifact.imatrix_file import ImatrixData, read_imatrix

TOLERANCE = 1e-3
"""Largest relative difference of a sum."""
MAX_RATIO = 1.0
"""Of the times."""
OURS = """
import sys
from pathlib import Path
from edgeeval.artifact.imatrix import Calibration, compute_imatrix
from edgeeval.artifact.inspect import describe
from edgeeval.run.device import find_engine
from edgeeval.store import Workspace
model, text, n_chunks, n_ctx, n_threads, folder = sys.argv[1:]
workspace = Workspace(Path(folder))
engine = find_engine(workspace, device="cpu", n_threads=int(n_threads))
artifact = describe(workspace, Path(model), name="model", source="given")
calibration = Calibration(Path(text), int(n_chunks), int(n_ctx))
made = compute_imatrix(workspace, engine, artifact, calibration, lambda line: None)
print(made.path)
"""


class Cost(NamedTuple):
    """What one run took."""

    elapsed_s: float
    peak_rss_bytes: int


def run(command: list[str]) -> tuple[Cost, str]:
    """Run a command to its end; return what it took, its worker processes included."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} ended with exit code {process.returncode}: {command}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(time.perf_counter() - start, usage.ru_maxrss * unit), output


def native(options: argparse.Namespace, model: Path, folder: Path) -> tuple[Cost, ImatrixData]:
    """Run the native tool."""
    out = folder / "native.gguf"
    line = [str(options.tool), "-m", str(model), "-f", str(options.text), "-o", str(out)]
    line += ["-c", str(options.n_ctx), "--chunks", str(options.chunks), "-t", str(options.threads)]
    line += [] if options.repack else ["--no-repack"]
    line += ["--no-ppl"] if options.no_ppl else []
    cost, _ = run(line)
    return cost, read_imatrix(out)


def ours(options: argparse.Namespace, model: Path, folder: Path) -> tuple[Cost, ImatrixData]:
    """Run edgeeval in a workspace of its own: hashing the file and trying the engine count too."""
    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        arguments = [model, options.text, options.chunks, options.n_ctx, options.threads, workspace]
        cost, output = run([sys.executable, "-c", OURS, *map(str, arguments)])
        return cost, read_imatrix(Path(output.strip()))


def largest_difference(mine: ImatrixData, theirs: ImatrixData) -> float:
    """Return the largest relative difference of any sum; infinite where entries or counts differ.

    Sums that are zero in both agree.
    """
    if mine.entries.keys() != theirs.entries.keys():
        return float("inf")
    largest = 0.0
    for name, (sums, counts) in mine.entries.items():
        other = theirs.entries[name]
        if sums.shape != other.in_sum2.shape or not np.array_equal(counts, other.counts):
            return float("inf")
        exact, reference = sums.astype(np.float64), other.in_sum2.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(exact == reference, 0.0, np.abs(exact - reference) / reference)
        largest = max(largest, float(ratio.max()))
    return largest


def main() -> None:
    """Print the comparison; exit 1 if a sum is outside the tolerance or the native tool faster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", type=Path, required=True, help="llama-imatrix")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--n-ctx", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--no-ppl", action="store_true", help="no perplexity by the native tool")
    parser.add_argument(
        "--repack", action="store_true", help="leave the native tool's extra buffer types on"
    )
    options = parser.parse_args()
    columns = ["model", "native", "ours", "ratio", "tokens/s, native", "tokens/s, ours"]
    columns += ["largest difference", "peak RSS, native", "peak RSS, ours", "ratio"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    n_tokens, outside = options.chunks * options.n_ctx, []
    for model in options.models:
        costs: dict[str, list[Cost]] = {"native": [], "ours": []}
        data: dict[str, ImatrixData] = {}
        for round_ in range(options.rounds):
            pair = [("native", native), ("ours", ours)]
            for who, make in pair if round_ % 2 == 0 else pair[::-1]:
                with tempfile.TemporaryDirectory() as folder:
                    cost, data[who] = make(options, model, Path(folder))
                costs[who].append(cost)
        theirs_s, ours_s = (
            statistics.median(cost.elapsed_s for cost in costs[who]) for who in ("native", "ours")
        )
        theirs_mib, ours_mib = (
            max(cost.peak_rss_bytes for cost in costs[who]) / 2**20 for who in ("native", "ours")
        )
        difference = largest_difference(data["ours"], data["native"])
        print(
            f"| {model.stem} | {theirs_s:.1f} s | {ours_s:.1f} s | {ours_s / theirs_s:.2f} "
            f"| {n_tokens / theirs_s:.0f} | {n_tokens / ours_s:.0f} | {difference:.1e} "
            f"| {theirs_mib:.0f} MiB | {ours_mib:.0f} MiB | {ours_mib / theirs_mib:.2f} |",
            flush=True,
        )
        if difference > TOLERANCE or ours_s / theirs_s > MAX_RATIO:
            outside.append(model.stem)
    if outside:
        raise SystemExit(f"outside the tolerance: {', '.join(outside)}")


if __name__ == "__main__":
    main()
