"""The command line in this process: what a person sees, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from edgeeval.cli import main


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def refusal(self) -> str:
        """The one line of a command that was refused as bad input."""
        assert self.code == 2, self.stderr
        assert self.stderr.startswith("edgeeval: ")
        assert self.stderr.count("\n") == 1, self.stderr
        return self.stderr.removeprefix("edgeeval: ").rstrip()


Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs `edgeeval` with these arguments."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["edgeeval", *map(str, arguments)])
        with pytest.raises(SystemExit) as raised:
            main()
        code = raised.value.code
        out, err = capsys.readouterr()
        return Done(code if isinstance(code, int) else 0, out, err)

    return run
