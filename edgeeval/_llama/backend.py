"""Load llama.cpp, keep what it complains of, and say which build it is."""

import functools
import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp
from llama_cpp import _ggml
from llama_cpp import llama_cpp as _native

# The binding's decorators erase its types; one untyped name keeps the rest of this package typed.
lib: Any = _native

_LOG_LEVEL_ERROR = 4


class _NativeTime:
    """Seconds spent inside llama.cpp by this process, for the run record."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.elapsed_s += time.perf_counter() - start


native_time = _NativeTime()
_messages: list[tuple[int, str]] = []
"""Level and text of what llama.cpp said since `clear_messages`."""


def clear_messages() -> None:
    """Forget what llama.cpp said so far; call it before what may fail."""
    _messages.clear()


@functools.cache
def _log_callback() -> Any:
    """Keep llama.cpp's log: its error lines are the only explanation it gives."""

    def keep(level: int, text: bytes, _user_data: object) -> None:
        _messages.append((level, text.decode("utf-8", "replace").strip()))

    return lib.llama_log_callback(keep)


@functools.cache
def start_backend() -> None:
    """Load llama.cpp once, with its log going here."""
    lib.llama_log_set(_log_callback(), None)
    lib.llama_backend_init()


def ggml() -> Any:
    """Return ggml's own functions, undeclared, for code that reads tensors in an eval callback."""
    start_backend()
    return _ggml.libggml


def last_error(otherwise: str) -> str:
    """Return llama.cpp's most telling error line: the first one says the cause."""
    errors = [text for level, text in _messages if level == _LOG_LEVEL_ERROR]
    lines = [line for text in errors for line in text.splitlines() if re.search(r"\w", line)]
    return lines[0].split(": ", 1)[-1].strip() if lines else otherwise


def find_message(pattern: str) -> re.Match[str] | None:
    """Return the last message in which a regular expression is found."""
    found = (re.search(pattern, text) for _, text in reversed(_messages))
    return next((match for match in found if match), None)


class EngineBuild(NamedTuple):
    """What the installed llama.cpp is: two builds that differ here may round differently."""

    package: str
    """llama-cpp-python's version, which fixes the llama.cpp commit."""
    version: str
    """llama.cpp's own version string."""
    features: str
    """Compile flags and CPU features, as llama.cpp prints them."""
    libraries_sha256: str
    """Hash over the shared libraries, 16 hex digits: a rebuild with other flags changes it."""
    gpu_offload: bool


@functools.cache
def engine_build() -> EngineBuild:
    """Identify the installed engine."""
    start_backend()
    hasher = hashlib.sha256()
    folder = Path(llama_cpp.__file__).parent / "lib"
    for library in sorted(path for path in folder.iterdir() if path.is_file()):
        if library.suffix in {".so", ".dylib", ".dll"}:
            hasher.update(library.read_bytes())
    return EngineBuild(
        package=f"llama-cpp-python {llama_cpp.__version__}",
        version=lib.llama_version().decode(),
        features=lib.llama_print_system_info().decode().strip(" |"),
        libraries_sha256=hasher.hexdigest()[:16],
        gpu_offload=bool(lib.llama_supports_gpu_offload()),
    )
