"""A bundle written by hand, of three small sets: what a stranger's file is a change of."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeeval.run.plan import PLANNER_VERSION
from edgeeval.run.schedule import RUN_VERSION
from edgeeval.store import digest

N_VOCAB = 5
NLL = "ab" * 16 + ".npy"

REFERENCE = {
    "name": "F16",
    "path": "/their/F16.gguf",
    "sha256": "1" * 64,
    "size_bytes": 1000,
    "architecture": "llama",
    "label": "F16",
    "n_params": 500,
    "bpw": 16.0,
    "type_shares": {"F16": 1.0},
    "fallback_share": 0.0,
    "fallback_types": {},
    "weights_sha256": "2" * 64,
    "vocabulary_sha256": "3" * 64,
    "tokenizer_sha256": "4" * 64,
    "chat_template_sha256": "",
    "imatrix": "",
    "source": "given",
    "provenance": {"how": "given", "source": "/their/F16.gguf"},
}


def npy(array: np.ndarray[Any, Any], *, allow_pickle: bool = False) -> bytes:
    """Return an array as a .npy file."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


def a_header(set_id: str, kind: str) -> dict[str, Any]:
    return {
        "schema": "edgeeval/prompt-set@1",
        "id": set_id,
        "version": 1,
        "kind": kind,
        "pool": set_id,
        "licence": "CC-BY-4.0",
        "authors": "me",
        "format": "plain",
        "suites": {"quick": 2},
        "source": "written by hand",
        "limits": "none",
    }


def a_plan(set_id: str, kind: str, primitive: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    common = {"template_id": "t", "groups": {}}
    context = {"n_ctx": 256, "n_batch": 2048, "n_seq_max": 4, "kv_unified": False}
    return {
        "schema": "edgeeval/plan@1",
        "planner_version": PLANNER_VERSION,
        "set_id": set_id,
        "set_sha256": "5" * 64,
        "kind": kind,
        "pool": set_id,
        "primitive": primitive,
        "chat": False,
        "template_problem": "",
        "vocabulary_sha256": "3" * 64,
        "n_vocab": N_VOCAB,
        "context": context | {"kv_type": "f16", "flash_attention": True},
        "shared_prefixes": True,
        "generation": {"samples": 1, "max_tokens": 3, "temperature": 1.0, "top_p": 0.9},
        "blocks": [{"id": "0", "items": [common | item for item in items]}],
        "excluded": [],
    }


def some_plans() -> list[dict[str, Any]]:
    windows = [{"id": f"w{n}", "tokens": [1, 2, 3, n], "first": 1, "n_bytes": 9} for n in (0, 4)]
    choice = {"id": "q", "prefix": [1, 2], "options": [[3], [4, 0]], "n_bytes": [1, 2], "answer": 0}
    counts = {"n_cells": 5, "n_sequences": 2, "n_longest": 4}
    prompt = {"id": "p", "prompt": [1, 2]}
    return [
        a_plan("mine-text", "text", "windows", windows),
        a_plan("mine-choice", "choice", "options", [choice | counts]),
        a_plan("mine-open", "open", "generate", [prompt | counts]),
        a_plan("mine-open", "answers", "answers", [{"id": "p", "tokens": [1, 2, 1], "first": 1}]),
    ]


def some_journals() -> list[list[dict[str, Any]]]:
    greedy, sampled = (
        {"sample": n, "tokens": [1, 2], "text": "ab", "finish": "length"} for n in (-1, 0)
    )
    items: list[list[dict[str, Any]]] = [
        [{"id": "w0"}, {"id": "w4"}],
        [{"id": "q", "log_likelihoods": [-1.0, -2.5]}],
        [{"id": "p", "texts": [greedy, sampled]}],
        [{"id": "p"}],
    ]
    lines = [{"block": "0", "items": one, "elapsed_s": 0.1, "native_s": 0.1} for one in items]
    lines[0]["nll"] = lines[3]["nll"] = NLL
    return [[line] for line in lines]


def some_files(
    plans: list[dict[str, Any]] | None = None,
    journals: list[list[dict[str, Any]]] | None = None,
    **arrays: bytes,
) -> dict[str, bytes]:
    """Return a bundle's files, less the manifest; arrays: nll and logprobs."""
    files = {}
    for number, plan in enumerate(plans or some_plans()):
        files[f"plans/{number}.json"] = json.dumps(plan).encode()
    for number, lines in enumerate(journals or some_journals()):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        files[f"runs/{number}/journal.jsonl"] = text.encode()
    files[f"runs/0/arrays/{NLL}"] = arrays.get("nll", npy(np.ones(4, np.float32)))
    table = npy(np.full((4, N_VOCAB), -1.6, np.float32))
    files["logprobs/0/0.npy"] = arrays.get("logprobs", table)
    files[f"runs/3/arrays/{NLL}"] = npy(np.ones(1, np.float32))
    files["logprobs/3/0.npy"] = npy(np.full((1, N_VOCAB), -1.6, np.float32))
    return files


def a_manifest(files: Mapping[str, bytes], /, **changes: Any) -> dict[str, Any]:
    kinds = {"mine-text": "text", "mine-choice": "choice", "mine-open": "open"}
    manifest = {
        "schema": "edgeeval/bundle@1",
        "versions": {"planner": PLANNER_VERSION, "run": RUN_VERSION},
        "reference": REFERENCE,
        "fingerprint": "6" * 64,
        "engine": "llama-cpp-python 0, cpu, CPU : NEON = 1",
        "suite": {
            "name": "quick",
            "n_ctx": 32,
            "max_tokens": 3,
            "samples": 1,
            "answer_tokens": 1,
            "cost_repeats": 1,
            "second_plan": False,
            "require": ["lm.kld_mean"],
            "margins": {},
        },
        "seed": 7,
        "limit": None,
        "headers": [a_header(*pair) for pair in kinds.items()],
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    } | changes
    return manifest | {"sha256": digest(manifest)}


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of an archive; fields are those of a TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def write(
    path: Path,
    files: Mapping[str, bytes] | None = None,
    *more: tuple[tarfile.TarInfo, bytes],
    manifest: bytes | None = None,
) -> Path:
    """Write a bundle: its manifest says what is in `files`, whatever else is there."""
    files = some_files() if files is None else files
    text = json.dumps(a_manifest(files)).encode() if manifest is None else manifest
    members = [member("manifest.json", text), *(member(*pair) for pair in files.items()), *more]
    return write_tar(path, *members)


def repack(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a bundle again, with one change made to each of its plans, all hashes right."""
    with tarfile.open(source) as archive:
        files = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore
    manifest = json.loads(files.pop("manifest.json"))
    del manifest["sha256"], manifest["files"]
    for name in files:
        if name.startswith("plans/"):
            plan = json.loads(files[name])
            change(plan)
            files[name] = json.dumps(plan).encode()
    return write(target, files, manifest=json.dumps(a_manifest(files, **manifest)).encode())
