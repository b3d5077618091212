"""Which GGUF quantization level of this model can I ship, and what does it cost?

    from pathlib import Path
    import edgeeval

    request = edgeeval.Request(edgeeval.recipe_of_files("F16.gguf", ["Q4.gguf"]))
    results = edgeeval.evaluate(request, edgeeval.Workspace(Path(".edgeeval")))
    print(results.recommendation.reason)
    edgeeval.write_report(results, Path("report.html"))

The names are loaded when they are first used: importing edgeeval is cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

from edgeeval.errors import (
    EdgeevalError,
    InputError,
    NotFetched,
    ReferenceFailed,
    WorkerFailed,
    WorkspaceBusy,
)

if TYPE_CHECKING:
    from edgeeval.artifact.inspect import read_gguf
    from edgeeval.pipeline import Request, evaluate
    from edgeeval.recipe import Recipe, load_recipe, recipe_of, recipe_of_files
    from edgeeval.records import LevelResult, MetricResult, Results
    from edgeeval.report import load_results, write_report
    from edgeeval.store import Workspace

__version__ = "0.1.0"

__all__ = [
    "EdgeevalError",
    "InputError",
    "LevelResult",
    "MetricResult",
    "NotFetched",
    "Recipe",
    "ReferenceFailed",
    "Request",
    "Results",
    "WorkerFailed",
    "Workspace",
    "WorkspaceBusy",
    "__version__",
    "evaluate",
    "load_recipe",
    "load_results",
    "read_gguf",
    "recipe_of",
    "recipe_of_files",
    "write_report",
]

_HOMES = {
    "LevelResult": "edgeeval.records",
    "MetricResult": "edgeeval.records",
    "Recipe": "edgeeval.recipe",
    "Request": "edgeeval.pipeline",
    "Results": "edgeeval.records",
    "Workspace": "edgeeval.store",
    "evaluate": "edgeeval.pipeline",
    "load_recipe": "edgeeval.recipe",
    "load_results": "edgeeval.report",
    "read_gguf": "edgeeval.artifact.inspect",
    "recipe_of": "edgeeval.recipe",
    "recipe_of_files": "edgeeval.recipe",
    "write_report": "edgeeval.report",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgeeval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
