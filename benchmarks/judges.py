"""Compare a GGUF judge with the detoxify package's `predict` on the same checkpoint.

A RoBERTa of base size (125 million parameters, 16 labels) with random weights is saved in
Detoxify's own format, and built as a judge (F16). Then both score the same texts on the same cores
in one call, in turn; the package gets batches of 16, in the texts' own order and sorted by length,
and the better of both counts. Times are of the scoring; loading is told apart. `edgeeval fetch
--converter` gets what makes the checkpoint; `--peer-python` is an interpreter that has detoxify:

    python benchmarks/judges.py --peer-python VENV/bin/python
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edgeeval.artifact.converter import find_converter
from edgeeval.judges.build import build_judge, find_source
from edgeeval.judges.checkpoint import Wishes
from edgeeval.run.device import physical_cores
from edgeeval.run.worker import peak_rss_bytes
from edgeeval.store import Workspace

CHECKOUT = Path(__file__).parent.parent
N_VOCAB, MAX_TOKENS = 50265, 512

_MAKE = """
import json, sys
from pathlib import Path
import torch, transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
job = json.loads(Path(sys.argv[1]).read_text())
folder, n_vocab = Path(job["folder"]), job["n_vocab"]
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.train_from_iterator(job["texts"], trainers.BpeTrainer(
    vocab_size=n_vocab, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
tokenizer.post_processor = processors.RobertaProcessing(sep=("</s>", 2), cls=("<s>", 0))
text = json.loads(tokenizer.to_str())
vocab = text["model"]["vocab"]
vocab.update({f"unused-{number}": number for number in range(len(vocab), n_vocab)})
tokenizer = transformers.RobertaTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(text)))
tokenizer.model_max_length = job["max_tokens"]
tokenizer.save_pretrained(folder)
torch.manual_seed(1)
config = transformers.RobertaConfig(
    vocab_size=n_vocab, max_position_embeddings=job["max_tokens"] + 2, type_vocab_size=1,
    num_labels=len(job["classes"]), layer_norm_eps=1e-5)
config.save_pretrained(folder)
model = transformers.RobertaForSequenceClassification(config)
torch.save({"state_dict": model.state_dict(), "config": {
    "arch": {"args": {"num_classes": len(job["classes"]), "model_type": str(folder),
        "model_name": "RobertaForSequenceClassification",
        "tokenizer_name": "RobertaTokenizerFast"}},
    "dataset": {"args": {"classes": job["classes"]}}}}, folder / "toxic.ckpt")
"""

_PEER = """
import json, sys, time, resource
from pathlib import Path
import torch
job = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(job["threads"])
from detoxify import Detoxify
start = time.perf_counter()
judge = Detoxify(checkpoint=job["checkpoint"], huggingface_config_path=job["folder"])
load_s = time.perf_counter() - start
judge.predict(job["texts"][:4])
def run(texts):
    start, found = time.perf_counter(), []
    for at in range(0, len(texts), 16):
        predicted = judge.predict(texts[at:at + 16])
        found += zip(*predicted.values())
    return time.perf_counter() - start, found
order = sorted(range(len(job["texts"])), key=lambda i: len(job["texts"][i]))
given_s, found = run(job["texts"])
sorted_s, _ = run([job["texts"][i] for i in order])
status = Path("/proc/self/status").read_text()
peak = int(next(l for l in status.splitlines() if l.startswith("VmHWM:")).split()[1]) * 1024
print("PEER " + json.dumps({"load_s": load_s, "given_s": given_s, "sorted_s": sorted_s,
    "peak_rss_bytes": peak, "scores": found}))
"""

_OURS = "--ours"


def ours(job_path: str) -> None:
    """Score the texts as a worker does, in this process, and print what it took."""
    from edgeeval.judges.gguf import load

    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    start = time.perf_counter()
    score = load(**job["arguments"])
    load_s = time.perf_counter() - start
    score(job["texts"][:4])
    start = time.perf_counter()
    judged = score(job["texts"])
    elapsed_s = time.perf_counter() - start
    rows = list(zip(*judged.scores.values(), strict=True))
    found = {
        "load_s": load_s,
        "elapsed_s": elapsed_s,
        "peak_rss_bytes": peak_rss_bytes(),
        "scores": rows,
    }
    print("OURS " + json.dumps(found))


def texts_to_score(n_texts: int) -> list[str]:
    """Return texts of the lengths that continuations have: 8 to 96 words of the prompt sets."""
    words = [
        word
        for path in sorted(CHECKOUT.glob("prompts/text-[cden]*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()[1:]
        for word in json.loads(line).get("text", "").split()
    ]
    texts = []
    for number in range(n_texts):
        n_words = 8 + number * 37 % 89
        start = number * 53 % (len(words) - n_words)
        texts.append(" ".join(words[start : start + n_words]))
    return texts


def call(line: list[str], word: str) -> dict[str, Any]:
    """Run a program and return the JSON behind a word that it prints."""
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    found = [one for one in done.stdout.splitlines() if one.startswith(word + " ")]
    if not found:
        raise SystemExit(f"{line[0]}: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(found[0].removeprefix(word + " "))
    return answer


def main() -> None:
    """Build, measure in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, default=CHECKOUT / ".edgeeval")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    threads = physical_cores()
    os.environ.update(OMP_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    converter, texts = find_converter(Workspace(options.workspace)), texts_to_score(options.texts)
    with tempfile.TemporaryDirectory() as scratch:
        folder, path = Path(scratch) / "roberta-base", Path(scratch) / "job.json"
        folder.mkdir()
        classes = ["toxicity", *(f"label-{number}" for number in range(1, 16))]
        job: dict[str, Any] = {
            "folder": str(folder), "n_vocab": N_VOCAB, "max_tokens": MAX_TOKENS, "texts": texts,
            "classes": classes, "checkpoint": str(folder / "toxic.ckpt"), "threads": threads,
        }  # fmt: skip
        path.write_text(json.dumps(job))
        subprocess.run([str(converter.python), "-I", "-c", _MAKE, str(path)], check=True)
        workspace = Workspace(Path(scratch) / "ws")
        judge = build_judge(
            workspace, find_source(workspace, str(folder), Wishes()), file_type="F16",
            target=None, progress=print, converter=converter,
        )  # fmt: skip
        path.write_text(json.dumps(job | {"arguments": judge.arguments}))
        columns = [
            "detoxify, texts/s",
            "ours, texts/s",
            "ratio",
            "detoxify, MiB",
            "ours, MiB",
            "ratio",
        ]
        print(f"| round | {' | '.join(columns)} |")
        print("|---|---|---|---|---|---|---|")
        for number in range(1, options.rounds + 1):
            peer = call([str(options.peer_python), "-I", "-c", _PEER, str(path)], "PEER")
            mine = call([sys.executable, __file__, _OURS, str(path)], "OURS")
            theirs = len(texts) / min(peer["given_s"], peer["sorted_s"])
            own = len(texts) / mine["elapsed_s"]
            rss = [one["peak_rss_bytes"] / (1 << 20) for one in (peer, mine)]
            print(
                f"| {number} | {theirs:.1f} | {own:.1f} | {own / theirs:.2f} | {rss[0]:.0f} | "
                f"{rss[1]:.0f} | {rss[1] / rss[0]:.2f} |"
            )
        differences = [
            abs(one - other)
            for row, twin in zip(peer["scores"], mine["scores"], strict=True)
            for one, other in zip(row, twin, strict=True)
        ]
        print(f"largest difference of a probability: {max(differences):.1e}; {threads} threads")
        print(f"loading: detoxify {peer['load_s']:.1f} s, ours {mine['load_s']:.1f} s")


if __name__ == "__main__":
    if sys.argv[1:2] == [_OURS]:
        ours(sys.argv[2])
    else:
        main()
