"""Compare edgeeval's quantizer worker with llama.cpp's own `llama-quantize`.

Both write the same levels of the same file (with the same imatrix, if one is given), in turn, in
one call; the table gives the time and the largest resident size of each, and whether the files are
equal (the key that names the imatrix file aside). `make oracles` builds the tool:

    python benchmarks/quantize.py --tool .edgeeval/native/bin/llama-quantize --source BF16.gguf
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from edgeeval.artifact.header import read_header
from edgeeval.run.worker import run_job
from edgeeval.store import Workspace

_IMATRIX_FILE = "quantize.imatrix.file"


class Cost(NamedTuple):
    """What one file took."""

    elapsed_s: float
    peak_rss_bytes: int


def native(options: argparse.Namespace, level: str, target: Path) -> Cost:
    """Run the native tool."""
    imatrix = ["--imatrix", str(options.imatrix)] if options.imatrix else []
    line = [str(options.tool), "--allow-requantize", *imatrix, str(options.source), str(target)]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*line, level, str(options.threads)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{options.tool}: failed on {level}")
    return Cost(time.perf_counter() - start, usage.ru_maxrss * 1024)


def ours(options: argparse.Namespace, level: str, target: Path, workspace: Workspace) -> Cost:
    """Run edgeeval's worker, its process and its imports included."""
    job = {
        "name": level,
        "source": str(options.source),
        "target": str(target),
        "file_type": level,
        "n_threads": options.threads,
        "mixture": {},
        "imatrix": str(options.imatrix) if options.imatrix else None,
        "dry_run": False,
    }
    report = run_job(workspace, "quantize", job)
    return Cost(report.elapsed_s, report.peak_rss_bytes)


def equal(one: Path, other: Path) -> bool:
    """Tell whether two files hold the same, the imatrix file's name aside."""
    headers = [read_header(path) for path in (one, other)]
    for header in headers:
        header.fields.pop(_IMATRIX_FILE, None)
    data = [
        path.read_bytes()[header.data_start :]
        for path, header in zip((one, other), headers, strict=True)
    ]
    tables = [
        [(entry.name, entry.kind, entry.shape, entry.start - header.data_start)
         for entry in header.tensors]
        for header in headers
    ]  # fmt: skip
    return headers[0].fields == headers[1].fields and tables[0] == tables[1] and data[0] == data[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--imatrix", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--levels", nargs="+", default=["Q8_0", "Q6_K", "Q4_K_M", "Q2_K"])
    options = parser.parse_args()
    print("| level | native, s | ours, s | ratio | native, MB | ours, MB | more, MB | equal |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = Workspace(folder / "workspace")
        for level in options.levels:
            theirs = native(options, level, folder / "native.gguf")
            mine = ours(options, level, folder / "ours.gguf", workspace)
            more = (mine.peak_rss_bytes - theirs.peak_rss_bytes) / 1e6
            same = equal(folder / "native.gguf", folder / "ours.gguf")
            print(
                f"| {level} | {theirs.elapsed_s:.2f} | {mine.elapsed_s:.2f} "
                f"| {mine.elapsed_s / theirs.elapsed_s:.2f} | {theirs.peak_rss_bytes / 1e6:.0f} "
                f"| {mine.peak_rss_bytes / 1e6:.0f} | {more:+.0f} | {'yes' if same else 'NO'} |"
            )
            if not same:
                raise SystemExit(f"{level}: the files differ")


if __name__ == "__main__":
    main()
