"""Run the command line in this process: hundreds of calls take seconds."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

from edgeeval.cli import main


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """Return the JSON document that it printed; NaN is no JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out, parse_constant=_refuse)

    def refusal(self) -> str:
        """Return the one line that it refused with."""
        assert self.code == 2, (self.code, self.err)
        assert self.out == ""
        assert self.err.startswith("edgeeval: ")
        assert self.err.endswith("\n")
        line = self.err.removesuffix("\n")
        assert line.isprintable(), line
        return line.removeprefix("edgeeval: ")


def edgeeval(*arguments: object) -> Ran:
    """Run `edgeeval` with these arguments as its entry point does."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["edgeeval", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _exit() as code,
    ):
        main()
    return Ran(code[0], out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _exit() -> Iterator[list[int]]:
    """Catch the exit; a traceback would pass."""
    code: list[int] = []
    try:
        yield code
    except SystemExit as error:
        assert error.code is None or isinstance(error.code, int), error.code
        code.append(error.code or 0)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
