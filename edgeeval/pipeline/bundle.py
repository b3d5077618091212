"""Carry a reference's run to another machine in one file, and read it there.

A bundle is a tar file, not compressed: log-probabilities are noise to a compressor.

    manifest.json          what it is, its own hash and that of every other file
    plans/<n>.json         token plans, in order: of the sets, of the answers that are read, and
                           of the second run
    runs/<n>/              journal and arrays of the reference on that plan
    logprobs/<n>/          its log-probabilities, a file a block of windows or answers

It comes from a stranger: only these names are unpacked, each file is held against its hash, what
stands in them is checked (bundle_content.py), and nothing in it is run or unpickled.
"""

import hashlib
import itertools
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from edgeeval import records
from edgeeval.errors import InputError
from edgeeval.pipeline.bundle_content import check_plan, check_run
from edgeeval.pipeline.request import Request
from edgeeval.prompts import Suite
from edgeeval.prompts.load import Header
from edgeeval.run.answers import KIND
from edgeeval.run.foreign import Foreign, Plan
from edgeeval.run.plan import PLANNER_VERSION
from edgeeval.run.schedule import RUN_VERSION, Measurer
from edgeeval.store import (
    Workspace,
    digest,
    replace_durably,
    require_space,
    sha256_of,
    write_atomic,
    write_json,
)

_SCHEMA = "edgeeval/bundle@1"
_VERSIONS = {"planner": PLANNER_VERSION, "run": RUN_VERSION}
_NAME = re.compile(
    r"plans/\d{1,4}\.json|runs/\d{1,4}/journal\.jsonl"
    r"|runs/\d{1,4}/arrays/[0-9a-f]{1,64}\.npy|logprobs/\d{1,4}/[0-9]{1,8}\.npy"
)
_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 1 << 26
_CHUNK_BYTES = 1 << 22


def write_bundle(
    target: Path,
    measurer: Measurer,
    reference: records.Artifact,
    plans: Sequence[Plan],
    answers: Sequence[Plan],
    second: Sequence[Plan],
    limit: int | None,
) -> None:
    """Write a reference's finished run to a file.

    Args:
        target: where to; a half-written file never has this name.
        measurer: whose runs and log-probabilities.
        reference: the artifact that ran.
        plans: what it ran, log-probabilities of windows kept.
        answers: plans that have its answers read, log-probabilities kept.
        second: its plans in blocks of another size, if it ran those.
        limit: items a set that it was limited to.

    Raises:
        InputError: the disk cannot hold it.
    """
    compared = [*plans, *answers]
    files = list(_files(measurer, reference, [*compared, *second], len(compared)))
    engine = measurer.settings.engine
    manifest = {
        "schema": _SCHEMA,
        "versions": _VERSIONS,
        "reference": asdict(reference),
        "fingerprint": engine.fingerprint,
        "engine": f"{engine.package}, {engine.device}, {engine.features}",
        "suite": measurer.settings.suite.model_dump(),
        "seed": measurer.settings.seed,
        "limit": limit,
        "headers": [
            one.prompt_set.header.model_dump(by_alias=True) for one in measurer.settings.sets
        ],
        "files": {name: sha256_of(path) for name, path in files},
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    require_space(target.parent, sum(path.stat().st_size for _, path in files), str(target))
    temporary = target.with_name(f".{target.name}.tmp")
    manifest_path = measurer.workspace.folder("bundles") / _MANIFEST
    write_json(manifest_path, manifest | {"sha256": digest(manifest)})
    try:
        with tarfile.open(temporary, "w") as archive:
            for name, path in [(_MANIFEST, manifest_path), *files]:
                archive.add(path, name, recursive=False, filter=_anonymous)
        replace_durably(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
        manifest_path.unlink(missing_ok=True)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who made it and when: the same run gives the same file."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime, member.mode = 0, 0o644
    return member


def _files(
    measurer: Measurer, reference: records.Artifact, plans: Sequence[Plan], n_compared: int
) -> Iterator[tuple[str, Path]]:
    """Yield every file of a bundle: its name in there, and where it is."""
    for number, plan in enumerate(plans):
        yield f"plans/{number}.json", plan.path
        run = measurer.run_dir(reference, plan)
        yield f"runs/{number}/journal.jsonl", run / "journal.jsonl"
        for path in sorted((run / "arrays").glob("*.npy")):
            yield f"runs/{number}/arrays/{path.name}", path
        if number < n_compared and plan.diverges:
            for path in sorted(measurer.logprobs_dir(reference, plan).glob("*.npy")):
                yield f"logprobs/{number}/{path.name}", path


# -- reading -------------------------------------------------------------------------------------


def foreign_of(request: Request, workspace: Workspace) -> Foreign | None:
    """Return the reference's run, where the recipe takes it from a bundle.

    Raises:
        InputError: as `open_bundle`.
    """
    path = request.recipe.model.bundle
    return None if path is None else open_bundle(workspace, path)


def open_bundle(workspace: Workspace, path: Path) -> Foreign:
    """Return what a bundle holds; it is unpacked into the workspace once.

    Raises:
        InputError: it is no bundle, was made by another version, is damaged or hostile.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    folder = workspace.folder("bundles") / workspace.file_sha256(path)[:32]
    if not (folder / _MANIFEST).exists():
        require_space(folder.parent, path.stat().st_size, f"{path}: unpacking it")
        _unpack(path, folder)
    return _read(path, folder, _manifest(path, (folder / _MANIFEST).read_bytes()))


def _unpack(path: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with tarfile.open(path, "r:") as archive:
            text = _extract(path, archive, folder)
        _settle(path, folder, _manifest(path, text))
        write_atomic(folder / _MANIFEST, text)  # last: its presence means "complete"
    except (tarfile.TarError, EOFError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"{path}: not a bundle, or cut off: {error}; get it again") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _extract(path: Path, archive: tarfile.TarFile, folder: Path) -> bytes:
    """Unpack every file that the manifest names; return the manifest."""
    first = archive.next()
    if first is None or first.name != _MANIFEST or not _is_plain(first):
        raise InputError(f"{path}: not a bundle: it does not begin with {_MANIFEST}")
    if first.size > _MAX_MANIFEST_BYTES:
        raise InputError(f"{path}: its {_MANIFEST} has {first.size >> 20} MiB; refused")
    text = _content(archive, first).read()
    hashes = _manifest(path, text)["files"]
    seen = set()
    while (member := archive.next()) is not None:
        if not _is_plain(member) or member.name not in hashes or not _NAME.fullmatch(member.name):
            raise InputError(f"{path}: {member.name!r} does not belong into a bundle; refused")
        if _copy(_content(archive, member), folder / member.name) != hashes[member.name]:
            raise InputError(f"{path}: {member.name} is damaged; get the bundle again")
        seen.add(member.name)
    if missing := sorted(set(hashes) - seen):
        raise InputError(f"{path}: {missing[0]} is missing in it; get the bundle again")
    return text


def _is_plain(member: tarfile.TarInfo) -> bool:
    """Tell whether a member is a file with all its bytes: no link, no device, no hole."""
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    assert content is not None  # a plain file has content
    return content


def _copy(source: IO[bytes], target: Path) -> str:
    hasher = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        while chunk := source.read(_CHUNK_BYTES):
            hasher.update(chunk)
            out.write(chunk)
    return hasher.hexdigest()


def _manifest(path: Path, text: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: its {_MANIFEST} is not JSON; get it again") from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != _SCHEMA:
        raise InputError(
            f"{path}: schema {schema!r} is not {_SCHEMA!r}; make it again with this edgeeval"
        )
    if manifest.get("versions") != _VERSIONS:
        raise InputError(
            f"{path}: made by an edgeeval that plans or runs otherwise (versions "
            f"{manifest.get('versions')}, here {_VERSIONS}); make it again with this one"
        )
    if manifest.pop("sha256", None) != digest(manifest):
        raise InputError(f"{path}: its {_MANIFEST} is damaged; get the bundle again")
    if not isinstance(manifest.get("files"), dict):
        raise InputError(f"{path}: its {_MANIFEST} names no files; get it again")
    return dict(manifest)


def _settle(path: Path, folder: Path, manifest: dict[str, Any]) -> None:
    """Check what was unpacked, and put each run where its plan's hash says."""
    foreign = _read(path, folder, manifest)
    compared = [*foreign.plans, *foreign.answers]
    for number, plan in enumerate([*compared, *foreign.second]):
        run, logprobs = (folder / kind / str(number) for kind in ("runs", "logprobs"))
        is_compared = number < len(compared) and plan.diverges
        try:
            check_run(plan.content, run, logprobs if is_compared else None)
        except InputError as error:
            raise InputError(f"{path}: {error}; refused") from None
        run.rename(foreign.run_dir(plan))
        if is_compared:
            logprobs.rename(foreign.logprobs_dir(plan))


def _read(path: Path, folder: Path, manifest: dict[str, Any]) -> Foreign:
    try:
        reference = TypeAdapter(records.Artifact).validate_python(manifest["reference"])
        foreign = Foreign(
            folder,
            replace(reference, path=str(path)),
            str(manifest["fingerprint"]),
            str(manifest["engine"]),
            Suite.model_validate(manifest["suite"]),
            int(manifest["seed"]),
            None if manifest["limit"] is None else int(manifest["limit"]),
            tuple(Header.model_validate(one) for one in manifest["headers"]),
            plans=(),
            second=(),
        )
    except ValidationError as invalid:
        problem = invalid.errors()[0]
        where = ".".join(map(str, (invalid.title, *problem["loc"])))
        raise InputError(
            f"{path}: its {_MANIFEST}: {where}: {problem['msg']}; another edgeeval may "
            "have made it: make the bundle again with this one"
        ) from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: its {_MANIFEST}: {reason}; get it again") from None
    n_plans = len(list((folder / "plans").glob("*.json")))
    plans = [_plan(path, folder / "plans" / f"{number}.json") for number in range(n_plans)]
    first, rest = plans[: len(foreign.headers)], plans[len(foreign.headers) :]
    answers = list(itertools.takewhile(lambda plan: plan.content["kind"] == KIND, rest))
    second = rest[len(answers) :]
    sets = [(header.id, header.kind) for header in foreign.headers]
    named = [(plan.content["set_id"], plan.content["kind"]) for plan in first]
    if not sets or sets != named or len({plan.sha256 for plan in plans}) < len(plans):
        raise InputError(f"{path}: its plans are not those of its prompt sets; refused")
    return replace(foreign, plans=tuple(first), answers=tuple(answers), second=tuple(second))


def _plan(bundle: Path, path: Path) -> Plan:
    try:
        content = check_plan(path)
    except InputError as error:
        raise InputError(f"{bundle}: {error}; refused") from None
    return Plan(path, content, digest(content))
