"""The package is quick to import and exports what it says."""

from __future__ import annotations

import subprocess
import sys

from edgeeval import stats


def test_exports_are_sorted_and_exist() -> None:
    assert stats.__all__ == sorted(stats.__all__)
    assert all(hasattr(stats, name) for name in stats.__all__)


def test_importing_it_does_not_import_scipy() -> None:
    """`edgeeval --help` has to answer at once."""
    program = "import sys, edgeeval.stats; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
