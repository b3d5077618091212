"""llama.cpp's own tools, built from the engine's very commit: oracles."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_BUILT = Path(__file__).parent.parent / ".edgeeval" / "native" / "bin"


def native_tool(name: str) -> Path:
    """Return a native tool's path; skip the test where it was not built.

    EDGEEVAL_NATIVE names another folder to look in.
    """
    tool = Path(os.environ.get("EDGEEVAL_NATIVE", _BUILT)) / name
    if not tool.is_file():
        pytest.skip(f"{tool} is not there; `make oracles` builds it")
    return tool


def run_native(tool: Path, *arguments: object) -> str:
    """Run a native tool to its end and return what it printed."""
    done = subprocess.run(
        [str(tool), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-2000:]
    return output
