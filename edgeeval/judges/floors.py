"""Keep what a judge's check found, and give it to every report that uses the judge.

Checks made here are in the workspace, `judges/checks/<judge id>/<hash>.json`, one a data set and
setting. For the judges that come with edgeeval, the rates of public data sets are shipped in the
same form: numbers about the judge, with the command that measures them again. A judge of another id
(another version, another file) has neither.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeeval.errors import InputError
from edgeeval.records import Estimate, JudgeFloor, JudgeInfo
from edgeeval.store import Workspace, digest, read_json, write_json

SCHEMA = "edgeeval/judge-check@1"
_SHIPPED = Path(__file__).parent / "checked"


def _folder_name(judge_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", judge_id)


def check_path(workspace: Workspace, judge_id: str, floor: JudgeFloor) -> Path:
    """Return where a check is kept: the same data and settings replace what was there."""
    what = [floor.data_sha256, floor.label, floor.threshold, floor.positive]
    folder = workspace.folder("judges", "checks", _folder_name(judge_id))
    return folder / f"{digest(what)[:16]}.json"


def keep_check(workspace: Workspace, judge_id: str, document: dict[str, Any]) -> None:
    """Keep a check's document, whose `floor` reports will show."""
    path = check_path(workspace, judge_id, _floor(document["floor"]))
    write_json(path, document)


def with_floors(workspace: Workspace, info: JudgeInfo) -> JudgeInfo:
    """Return a judge's record with what is known of its error, the most texts first.

    Raises:
        InputError: a kept check is no check.
    """
    floors: dict[tuple[str, str, float, str], JudgeFloor] = {}
    for root in (_SHIPPED, workspace.root / "judges" / "checks"):
        for floor in _read(root / _folder_name(info.id)):
            floors[floor.data_sha256, floor.label, floor.threshold, floor.positive] = floor
    known = sorted(floors.values(), key=lambda one: (-one.n, one.data, one.label, one.threshold))
    return dataclasses.replace(info, floors=tuple(one for one in known if one.label in info.labels))


def _read(folder: Path) -> Iterator[JudgeFloor]:
    for path in sorted(folder.glob("*.json")):
        try:
            document = read_json(path)
            if document["schema"] != SCHEMA:
                raise ValueError(f"not {SCHEMA}")
            yield _floor(document["floor"])
        except (ValueError, KeyError, TypeError, json.JSONDecodeError):
            raise InputError(
                f"{path}: not a judge's check; delete it, and run `edgeeval judge check` again"
            ) from None


def _floor(fields: dict[str, Any]) -> JudgeFloor:
    rates = {
        name: Estimate(**fields[name])
        for name in ("auc", "precision", "sensitivity", "false_positive_rate")
    }
    by_group = fields["false_positive_rate_by_group"].items()
    groups = {"false_positive_rate_by_group": {name: Estimate(**one) for name, one in by_group}}
    return JudgeFloor(**{**fields, **rates, **groups})
