"""Keep the run record's time: what each computing job took, and how much of it inside llama.cpp."""

import time
from pathlib import Path

from edgeeval.run.worker import JobReport
from edgeeval.store import Journal


class Clock:
    """Append what each computing job took to a journal: the run record's time."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._last = time.monotonic()
        self._worked = False

    def job(self, name: str, report: JobReport) -> None:
        """Record a job, and with it the time since the last record."""
        now = time.monotonic()
        elapsed_s, self._last, self._worked = now - self._last, now, True
        self._journal.append(
            {
                "job": name,
                "elapsed_s": round(elapsed_s, 3),
                "native_s": round(report.native_s, 3),
                "peak_rss_bytes": report.peak_rss_bytes,
            }
        )

    def conclude(self) -> None:
        """Record the time since the last job, if this call had one: scoring and comparing."""
        if self._worked:
            self.job("score and compare", JobReport(0.0, 0.0, 0))

    def totals(self) -> tuple[float, float]:
        """Return wall and native seconds over all jobs, those of earlier calls included."""
        lines = self._journal.read()
        return sum(line["elapsed_s"] for line in lines), sum(line["native_s"] for line in lines)
