"""Carry a reference's run to another machine in one file, and read it there.

A bundle is a tar file, not compressed: log-probabilities are noise to a compressor.

    manifest.json          what it is, and the hash of every other file
    plans/<n>.json         token plans, in order; those of the second run behind the others
    runs/<n>/              journal and arrays of the reference on that plan
    logprobs/<n>/          its log-probabilities, a file a block of windows

It comes from a stranger: only these names are unpacked, each file is held against its hash, and
nothing in it is run or unpickled.
"""

import hashlib
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from edgeeval import records
from edgeeval.errors import InputError
from edgeeval.pipeline.request import Request
from edgeeval.prompts import Suite
from edgeeval.prompts.load import Header
from edgeeval.run.foreign import Foreign, Plan
from edgeeval.run.plan import PLANNER_VERSION
from edgeeval.run.schedule import RUN_VERSION, Measurer
from edgeeval.store import Journal, Workspace, digest, read_json, sha256_of, write_json

_SCHEMA = "edgeeval/bundle@1"
_VERSIONS = {"planner": PLANNER_VERSION, "run": RUN_VERSION}
_NAME = re.compile(
    r"plans/\d{1,4}\.json|runs/\d{1,4}/journal\.jsonl"
    r"|runs/\d{1,4}/arrays/[0-9a-f]{1,64}\.npy|logprobs/\d{1,4}/[0-9]{1,8}\.npy"
)
_ARRAY = re.compile(r"[0-9a-f]{1,64}\.npy")
_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 1 << 26
_CHUNK_BYTES = 1 << 22


def write_bundle(
    target: Path,
    measurer: Measurer,
    reference: records.Artifact,
    plans: Sequence[Plan],
    second: Sequence[Plan],
) -> None:
    """Write a reference's finished run to a file.

    Args:
        target: where to; a half-written file never has this name.
        measurer: whose runs and log-probabilities.
        reference: the artifact that ran.
        plans: what it ran, log-probabilities of windows kept.
        second: its plans in blocks of another size, if it ran those.

    Raises:
        InputError: the file cannot be written.
    """
    files = list(_files(measurer, reference, [*plans, *second], len(plans)))
    engine = measurer.settings.engine
    manifest = {
        "schema": _SCHEMA,
        "versions": _VERSIONS,
        "reference": asdict(reference),
        "fingerprint": engine.fingerprint,
        "engine": f"{engine.package}, {engine.device}, {engine.features}",
        "suite": measurer.settings.suite.model_dump(),
        "seed": measurer.settings.seed,
        "headers": [
            one.prompt_set.header.model_dump(by_alias=True) for one in measurer.settings.sets
        ],
        "n_plans": len(plans),
        "files": {name: sha256_of(path) for name, path in files},
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    manifest_path = measurer.workspace.folder("bundles") / _MANIFEST
    write_json(manifest_path, manifest)
    try:
        with tarfile.open(temporary, "w") as archive:
            archive.add(manifest_path, _MANIFEST)
            for name, path in files:
                archive.add(path, name, recursive=False)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        manifest_path.unlink(missing_ok=True)


def _files(
    measurer: Measurer, reference: records.Artifact, plans: Sequence[Plan], n_first: int
) -> Iterator[tuple[str, Path]]:
    """Yield every file of a bundle: its name in there, and where it is."""
    for number, plan in enumerate(plans):
        yield f"plans/{number}.json", plan.path
        run = measurer.run_dir(reference, plan)
        yield f"runs/{number}/journal.jsonl", run / "journal.jsonl"
        for path in sorted((run / "arrays").glob("*.npy")):
            yield f"runs/{number}/arrays/{path.name}", path
        if number < n_first and plan.content["primitive"] == "windows":
            for path in sorted(measurer.logprobs_dir(reference, plan).glob("*.npy")):
                yield f"logprobs/{number}/{path.name}", path


# -- reading -------------------------------------------------------------------------------------


def foreign_of(request: Request, workspace: Workspace) -> Foreign | None:
    """Return the reference's run, where the recipe takes it from a bundle."""
    path = request.recipe.model.bundle
    return None if path is None else open_bundle(workspace, path)


def open_bundle(workspace: Workspace, path: Path) -> Foreign:
    """Return what a bundle holds; it is unpacked into the workspace once.

    Raises:
        InputError: it is no bundle, was made by another version, is damaged or hostile.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    folder = workspace.root / "bundles" / workspace.file_sha256(path)[:32]
    if not (folder / _MANIFEST).exists():
        _unpack(path, folder)
    return _read(path, folder)


def _unpack(path: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with tarfile.open(path, "r:") as archive:
            _extract(path, archive, folder)
    except (tarfile.TarError, EOFError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"{path}: not a bundle, or cut off: {error}; get it again") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _extract(path: Path, archive: tarfile.TarFile, folder: Path) -> None:
    first = archive.next()
    content = archive.extractfile(first) if first and first.name == _MANIFEST else None
    if first is None or content is None or first.size > _MAX_MANIFEST_BYTES:
        raise InputError(f"{path}: not a bundle: it does not begin with {_MANIFEST}")
    text = content.read()
    hashes = _manifest(path, text)["files"]
    seen = set()
    while (member := archive.next()) is not None:
        if not member.isreg() or member.name not in hashes or not _NAME.fullmatch(member.name):
            raise InputError(f"{path}: {member.name!r} does not belong into a bundle; refused")
        source = archive.extractfile(member)
        assert source is not None  # a regular member has content
        if _copy(source, folder / member.name) != hashes[member.name]:
            raise InputError(f"{path}: {member.name} is damaged; get the bundle again")
        seen.add(member.name)
    if missing := sorted(set(hashes) - seen):
        raise InputError(f"{path}: {missing[0]} is missing in it; get the bundle again")
    (folder / _MANIFEST).write_bytes(text)  # last: its presence means "complete"


def _copy(source: IO[bytes], target: Path) -> str:
    hasher = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        while chunk := source.read(_CHUNK_BYTES):
            hasher.update(chunk)
            out.write(chunk)
    return hasher.hexdigest()


def _manifest(path: Path, text: bytes) -> dict[str, Any]:
    import json

    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: its {_MANIFEST} is not JSON; get it again") from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != _SCHEMA:
        raise InputError(f"{path}: schema {schema!r} is not {_SCHEMA!r}")
    if manifest.get("versions") != _VERSIONS:
        raise InputError(
            f"{path}: made by an edgeeval that plans or runs otherwise (versions "
            f"{manifest.get('versions')}, here {_VERSIONS}); make it again with this one"
        )
    if not isinstance(manifest.get("files"), dict):
        raise InputError(f"{path}: its {_MANIFEST} names no files; get it again")
    return dict(manifest)


def _read(path: Path, folder: Path) -> Foreign:
    manifest = _manifest(path, (folder / _MANIFEST).read_bytes())
    try:
        reference = TypeAdapter(records.Artifact).validate_python(manifest["reference"])
        suite = Suite.model_validate(manifest["suite"])
        headers = tuple(Header.model_validate(one) for one in manifest["headers"])
        n_plans, seed = int(manifest["n_plans"]), int(manifest["seed"])
        fingerprint, engine = str(manifest["fingerprint"]), str(manifest["engine"])
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise InputError(f"{path}: {_MANIFEST}: {str(error).splitlines()[0]}") from None
    paths = [folder / "plans" / f"{number}.json" for number in range(_n_files(folder))]
    plans = [_plan(path, folder, number, one) for number, one in enumerate(paths)]
    if not len(headers) == n_plans <= len(plans):
        raise InputError(f"{path}: {len(headers)} sets, {n_plans} plans: get the bundle again")
    return Foreign(
        folder,
        reference,
        fingerprint,
        engine,
        suite,
        seed,
        headers,
        tuple(plans[:n_plans]),
        tuple(plans[n_plans:]),
    )


def _n_files(folder: Path) -> int:
    return len(list((folder / "plans").glob("*.json")))


def _plan(bundle: Path, folder: Path, number: int, path: Path) -> Plan:
    """Read a plan, and put its run where the plan's hash says."""
    content = read_json(path)
    plan = Plan(path, content, digest(content))
    for kind in ("runs", "logprobs"):
        numbered, named = folder / kind / str(number), folder / kind / plan.sha256[:32]
        if numbered.is_dir():
            numbered.rename(named)
    _require_plain_names(bundle, folder / "runs" / plan.sha256[:32])
    return plan


def _require_plain_names(bundle: Path, run: Path) -> None:
    """Refuse a journal whose array names would be read from somewhere else."""
    for line in Journal(run / "journal.jsonl").read():
        if "nll" in line and not _ARRAY.fullmatch(str(line["nll"])):
            raise InputError(f"{bundle}: {line['nll']!r} is no array of it; refused")
