"""The results document on disk: what every other report can be made from again."""

import json
import math
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from edgeeval.errors import InputError
from edgeeval.records import RESULTS_SCHEMA, Results

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def write(results: Results) -> str:
    """Return the document: fields in the order of the records, NaN refused."""
    return json.dumps(asdict(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@cache
def _adapter() -> "TypeAdapter[Results]":
    from pydantic import TypeAdapter

    return TypeAdapter(Results)


def read(path: Path) -> Results:
    """Read a results document and check it: people edit, merge and download them.

    Raises:
        InputError: the file cannot be read, is not JSON, has another schema, or a key is missing or
            of another type; names file and key.
    """
    from pydantic import ValidationError

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    _check_schema(path, data)
    try:
        return _adapter().validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {key}: {first['msg']}") from None


def _check_schema(path: Path, data: bytes) -> None:
    """Look at the schema first: of another document, a missing key is not what is wrong."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not a JSON number")

    def finite(text: str) -> float:
        """Refuse 1e999, which is JSON and no number that a verdict may rest on."""
        value = float(text)
        return value if math.isfinite(value) else refuse(text)

    def whole(text: str) -> int:
        finite(text)  # where a float is expected, an integer beyond floats becomes infinite
        return int(text)

    try:
        document = json.loads(data, parse_constant=refuse, parse_float=finite, parse_int=whole)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != RESULTS_SCHEMA:
        raise InputError(
            f"{path}: schema: {schema!r} is not {RESULTS_SCHEMA!r}; give the results.json that "
            "`edgeeval eval` wrote"
        )
