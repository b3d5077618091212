"""Compare `edgeeval eval --text` with llama.cpp's own `llama-perplexity --kl-divergence`.

Both read the same files, text, window and window count, one after the other in one call; the table
gives both numbers and their ratio, and what each took. The native tool comes from the source
archive of llama-cpp-python, so that both run the same llama.cpp commit:

    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36
    tar xf llama_cpp_python-0.3.36.tar.gz
    cmake -S llama_cpp_python-0.3.36/vendor/llama.cpp -B build -DLLAMA_CURL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF
    cmake --build build --target llama-perplexity -j
    python benchmarks/perplexity.py --tool build/bin/llama-perplexity --text wiki.test.txt \
        --reference BF16.gguf Q8_0.gguf Q4_K_M.gguf Q2_K.gguf
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

TOLERANCE = {"ppl": 0.01, "kld_mean": 0.01}
"""Relative."""
SAME_TOP_TOLERANCE = 0.003
"""Absolute: 0.3 points."""


class Numbers(NamedTuple):
    """What both programs give for a level."""

    ppl: float
    kld_mean: float
    same_top: float


def native(tool: Path, model: Path, base: Path, arguments: list[str]) -> Numbers:
    """Run the native tool on a level and read its closing table."""
    line = [str(tool), "-m", str(model), "--kl-divergence-base", str(base), "--kl-divergence"]
    done = subprocess.run([*line, *arguments], capture_output=True, text=True, check=True)
    text = done.stdout + done.stderr

    def found(pattern: str) -> float:
        match = re.search(pattern + r"\s*:\s+([0-9.]+)", text)
        if match is None:
            raise SystemExit(f"{tool}: no line like {pattern!r} in its output")
        return float(match.group(1))

    return Numbers(found(r"Mean PPL\(Q\)"), found(r"Mean\s+KLD"), found(r"Same top p") / 100)


def ours(options: argparse.Namespace, workspace: str) -> dict[str, Numbers]:
    """Run edgeeval on the same files and read its results."""
    line = [sys.executable, "-m", "edgeeval", "eval", "--reference", str(options.reference)]
    line += [*map(str, options.levels), "--text", str(options.text), "--n-ctx", str(options.n_ctx)]
    line += ["--windows", str(options.windows), "--only", "lm", "--json", "--quiet"]
    line += ["--threads", str(options.threads), "--workspace", workspace]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    results = json.loads(done.stdout)
    return {
        level["name"]: Numbers(
            *(level["metrics"][key]["value"] for key in ("lm.ppl", "lm.kld_mean", "lm.same_top"))
        )
        for level in results["levels"]
    }


def arguments_of(options: argparse.Namespace) -> list[str]:
    """Return the native tool's options for the same layout."""
    line = ["-f", str(options.text), "-c", str(options.n_ctx), "--chunks", str(options.windows)]
    line += ["-t", str(options.threads)]
    return line if options.repack else [*line, "--no-repack"]


def agrees(mine: Numbers, theirs: Numbers) -> bool:
    """Tell whether a level's numbers agree within the tolerances."""
    return (
        abs(mine.ppl / theirs.ppl - 1) <= TOLERANCE["ppl"]
        and abs(mine.kld_mean / theirs.kld_mean - 1) <= TOLERANCE["kld_mean"]
        and abs(mine.same_top - theirs.same_top) <= SAME_TOP_TOLERANCE
    )


def main() -> None:
    """Print the comparison; exit 1 if a number is outside its tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", type=Path, required=True, help="llama-perplexity")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("levels", type=Path, nargs="+")
    parser.add_argument("--n-ctx", type=int, default=512)
    parser.add_argument("--windows", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--repack", action="store_true", help="leave the native tool's extra buffer types on"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        base = Path(folder) / "base.kld"
        line = [str(options.tool), "-m", str(options.reference), "--kl-divergence-base", str(base)]
        subprocess.run([*line, *arguments_of(options)], capture_output=True, check=True)
        theirs = {
            path.stem: native(options.tool, path, base, arguments_of(options))
            for path in options.levels
        }
        native_s = time.perf_counter() - start
        start = time.perf_counter()
        mine = ours(options, f"{folder}/workspace")
        our_s = time.perf_counter() - start
    pair = ("native", "ours", "ratio")
    columns = [f"{metric}, {who}" for metric in ("PPL", "mean KLD", "same top") for who in pair]
    print("| level | " + " | ".join(columns[:-1]) + " |")
    print("|---" * 9 + "|")
    for name, other in theirs.items():
        own = mine[name]
        print(
            f"| {name} | {other.ppl:.4f} | {own.ppl:.4f} | {own.ppl / other.ppl:.4f} "
            f"| {other.kld_mean:.6f} | {own.kld_mean:.6f} | {own.kld_mean / other.kld_mean:.4f} "
            f"| {other.same_top:.2%} | {own.same_top:.2%} |"
        )
    print(f"\nelapsed: native {native_s:.1f} s, ours {our_s:.1f} s, ratio {our_s / native_s:.2f}")
    outside = [name for name in theirs if not agrees(mine[name], theirs[name])]
    if outside:
        raise SystemExit(f"outside the tolerance: {', '.join(outside)}")


if __name__ == "__main__":
    main()
