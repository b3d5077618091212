"""Get files of a Hub repository into the shared cache, each checked, and find them again offline.

A fetched request (repository, revision, patterns) has a record in the workspace, written when every
file is there and has the hash that the Hub states. `find_repo` reads that record and never the
network; the files themselves are in the Hugging Face cache, where other programs find them too.
"""

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeeval.artifact.hub_cache import Shelf, bring, remember_branch, require_space
from edgeeval.artifact.hub_client import RepoKind, connect, is_offline, list_repo, place_of
from edgeeval.errors import InputError, NotFetched
from edgeeval.run.schedule import Progress
from edgeeval.store import Workspace, digest, read_json, sha256_of, write_json

MODEL_WEIGHTS = ("model.safetensors", "model*-?????-of-?????.safetensors")
"""One of these a model folder must hold: weights that are data and nothing else."""
MODEL_FILES = (
    "config.json",
    *MODEL_WEIGHTS,
    "model.safetensors.index.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
)
"""What llama.cpp's converter reads of a model folder: no pickles, no code, no second copy of the
weights. A model need not have them all."""
JUDGE_FILES = (
    "config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "sentencepiece.bpe.model",
)
"""What a judge is made of. Its pickle comes only where there is no safetensors, and is read without
running it. A classifier need not have them all."""

_RECORD_VERSION = 1
_NAMES_SHOWN = 10
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w.+-]*(/[\w+-][\w.+-]*)*", re.ASCII)
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})(?P<end>\.gguf|\.safetensors)")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class RepoFile:
    """One fetched file."""

    name: str
    """Relative to the repository."""
    path: Path
    """In the cache's snapshot folder, under its own name: shards find each other by their names."""
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class RepoFiles:
    """What one request for a repository's files brought."""

    repo: str
    revision: str
    """As asked for."""
    commit: str
    folder: Path
    """The snapshot: the files under the names that they have in the repository."""
    files: tuple[RepoFile, ...]
    """By name."""
    licence: str | None
    """As the model card says."""


def fetch_repo(
    workspace: Workspace,
    repo: str,
    *,
    revision: str | None,
    patterns: Sequence[str],
    progress: Progress,
    kind: RepoKind = "models",
) -> RepoFiles:
    """Download the files of a repository that match a pattern, check them, record them.

    A branch is looked up anew each time; what did not change is not downloaded again. Whatever
    stops a download, the next call goes on with it.

    Args:
        workspace: keeps the record.
        repo: owner/name.
        revision: branch, tag or commit; None is `main`.
        patterns: shell patterns on the whole name (`*Q4_K_M*.gguf`, or MODEL_FILES); a file needs
            to match one, and each has to match a file (those of MODEL_FILES need not).
        progress: told how far each file is.
        kind: what it is a repository of.

    Raises:
        InputError: there is no such repository, revision or file, it needs a licence or a token,
            the disk cannot hold it, or a name in it leads elsewhere.
        NotFetched: HF_HUB_OFFLINE forbids getting what is not there.
        EdgeevalError: the Hub cannot be reached, or a file is not what the Hub says it is.
    """
    asked = _asked(repo, revision)
    offline = is_offline()
    with suppress(NotFetched):
        kept = find_repo(workspace, repo, revision=revision, patterns=patterns, kind=kind)
        if offline or kept.commit == asked:
            return kept
    if offline:
        raise NotFetched(
            f"{repo}@{asked}: not all of it is here, and HF_HUB_OFFLINE forbids getting it; "
            "unset that and run again"
        )
    hub = connect(progress)
    listing = list_repo(hub, repo, asked, kind)
    by_name = {file.name: file for file in listing.files}
    wanted = [by_name[name] for name in choose_files(repo, by_name, patterns)]
    shelf = Shelf(hub, repo, listing.commit, kind)
    require_space(shelf, wanted)
    files = []
    for file in wanted:
        path = bring(shelf, workspace, file)
        sha256 = file.sha256 or sha256_of(path)
        files.append(RepoFile(file.name, path, file.size_bytes, sha256))
    remember_branch(shelf, asked)
    found = RepoFiles(
        repo, asked, listing.commit, shelf.snapshot, tuple(files), licence=listing.licence
    )
    _write_record(_record_path(workspace, place_of(repo, kind), asked, patterns), found, patterns)
    return found


def find_repo(
    workspace: Workspace,
    repo: str,
    *,
    revision: str | None,
    patterns: Sequence[str],
    named: str = "RECIPE",
    kind: RepoKind = "models",
) -> RepoFiles:
    """Return what an earlier `fetch_repo` of the same request brought; never uses the network.

    Args:
        workspace: keeps the record.
        repo: as in `fetch_repo`, like the next two.
        revision: likewise.
        patterns: likewise.
        named: what `edgeeval fetch` is to be called with, for the message.
        kind: as in `fetch_repo`.

    Raises:
        NotFetched: it was not fetched yet, or a file has gone or has another size since.
        InputError: the repository's or the revision's name is malformed.
    """
    asked = _asked(repo, revision)
    path = _record_path(workspace, place_of(repo, kind), asked, patterns)
    way = f"run: edgeeval fetch {named}"
    if not path.exists():
        raise NotFetched(f"{repo}@{asked} is not in {workspace.root} yet; {way}")
    found = read_json(path)
    files = tuple(RepoFile(**one | {"path": Path(one["path"])}) for one in found["files"])
    for file in files:
        if not file.path.is_file():
            raise NotFetched(f"{file.path}: is gone since it was fetched; {way}")
        if file.path.stat().st_size != file.size_bytes:
            raise NotFetched(f"{file.path}: has another size than when it was fetched; {way}")
    return RepoFiles(
        repo, asked, found["commit"], Path(found["folder"]), files, licence=found["licence"]
    )


def _asked(repo: str, revision: str | None) -> str:
    """Check the names that a person gave; they become parts of addresses and of paths."""
    if not _REPO.fullmatch(repo) or re.search(r"--|\.\.|\.git$", repo):
        raise InputError(f"{repo!r} names no Hub repository: it is owner/name")
    asked = "main" if revision is None else revision
    if not _REVISION.fullmatch(asked) or ".." in asked:
        raise InputError(f"{repo}: {asked!r} is no branch, tag or commit")
    return asked


def _record_path(workspace: Workspace, place: str, asked: str, patterns: Sequence[str]) -> Path:
    """Return a request's record: readable by name, told apart by the hash."""
    request = digest([_RECORD_VERSION, place, asked, sorted(patterns)])[:12]
    name = f"{place}@{asked}".replace("/", "--")
    return workspace.root / "downloads" / "hub" / f"{name}.{request}.json"


def _write_record(path: Path, found: RepoFiles, patterns: Sequence[str]) -> None:
    """Write down what came; last, when all of it is there."""
    document = asdict(found) | {"folder": str(found.folder), "patterns": sorted(patterns)}
    document["files"] = [one | {"path": str(one["path"])} for one in document["files"]]
    write_json(path, document)


# -- which files ---------------------------------------------------------------------------------


def choose_files(repo: str, names: Iterable[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the names that match a pattern, every shard of a split file with them, sorted.

    Raises:
        InputError: a pattern matches nothing, the weights are pickles, a shard is missing, or a
            chosen name would lead out of the repository's folder.
    """
    known, chosen = sorted(names), set[str]()
    for pattern in patterns:
        found = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
        if not found and pattern not in {*MODEL_FILES, *JUDGE_FILES}:
            raise InputError(f"{repo}: no file matches {pattern!r}; {_nearest(pattern, known)}")
        chosen.update(found)
    if set(MODEL_FILES) <= set(patterns):
        _require_model(repo, known, chosen)
    if set(patterns) == set(JUDGE_FILES):
        _require_classifier(repo, known, chosen)
    if not chosen:
        raise InputError(f"{repo}: no file was asked for")
    for name in chosen:
        _require_inside(repo, name)
    return complete_splits(repo, chosen, known)


def complete_splits(repo: str, chosen: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """Add the other shards of every split file (`-00001-of-0000N`) that a name belongs to, sorted.

    Raises:
        InputError: the repository lacks one of them.
    """
    there, complete = set(known), set(chosen)
    shards = [shard for name in complete if (shard := _SHARD.fullmatch(name))]
    for stem, count, end in sorted({(one["stem"], one["count"], one["end"]) for one in shards}):
        parts = [f"{stem}-{at:05d}-of-{count}{end}" for at in range(1, int(count) + 1)]
        if lacking := [name for name in parts if name not in there]:
            raise InputError(
                f"{repo}: {stem}{end} comes in {int(count)} parts, of which the repository lacks "
                f"{_shown(lacking)}; choose another file"
            )
        complete.update(parts)
    return tuple(sorted(complete))


def _nearest(pattern: str, known: Sequence[str]) -> str:
    """Name what there is instead, the most similar first."""
    kind = Path(pattern).suffix
    alike = [name for name in known if name.endswith(kind)] or list(known)
    word = re.sub(r"[*?\[\]]+", "", pattern).casefold()

    def likeness(name: str) -> float:
        return difflib.SequenceMatcher(None, word, name.casefold(), autojunk=False).ratio()

    return f"it has {_shown(sorted(alike, key=likeness, reverse=True))}" if alike else "it is empty"


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _require_model(repo: str, known: Sequence[str], chosen: set[str]) -> None:
    """Refuse what no converter could use, before gigabytes of it come."""
    weighty = [one for pattern in MODEL_WEIGHTS for one in fnmatch.filter(chosen, pattern)]
    pickles = [one for pattern in _PICKLES for one in fnmatch.filter(known, pattern)]
    if not weighty and pickles:
        raise InputError(
            f"{repo}: its weights are pickles ({_shown(pickles)}), which can run code and are "
            "refused; choose a revision or a repository with safetensors, or GGUF files"
        )
    for lacking, there in (("safetensors", weighty), ("config.json", "config.json" in chosen)):
        if not there:
            raise InputError(
                f"{repo}: is no model folder, it has no {lacking}; {_nearest(lacking, known)}"
            )


def _require_classifier(repo: str, known: Sequence[str], chosen: set[str]) -> None:
    """Leave out the second copy of the weights; refuse what no judge can be made of."""
    if "model.safetensors" in chosen:
        chosen.discard("pytorch_model.bin")
    elif "pytorch_model.bin" not in chosen:
        raise InputError(
            f"{repo}: has no model.safetensors and no pytorch_model.bin; "
            f"{_nearest('model.safetensors', known)}"
        )
    if "config.json" not in chosen:
        raise InputError(f"{repo}: has no config.json; {_nearest('config.json', known)}")


def _require_inside(repo: str, name: str) -> None:
    """Refuse a name that is not a plain relative path: the Hub's answer is a stranger's."""
    odd = any(
        ord(letter) < 32 or letter == "\\" or "\ud800" <= letter <= "\udfff" for letter in name
    )
    if odd or any(part in ("", ".", "..") for part in name.split("/")):
        raise InputError(f"{repo}: the file name {name!r} leads out of its folder; refused")
