"""What the controls are tried on, and what a check says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from edgeeval.compare import MetricEvidence, collect
from edgeeval.judges.score import JudgedTexts
from edgeeval.scores import scorer
from edgeeval.scores.measured import Measured, SetRun
from edgeeval.scores.table import ScoreTable

Outcome = Literal["holds", "differs", "cannot be shown"]


class Check(NamedTuple):
    """A small named check and what came of it."""

    name: str
    outcome: Outcome
    said: str
    """What was looked at; what differs; why it cannot be shown."""


class Differs(Exception):
    """A control does not hold; its message says what differs."""


class TooFew(Exception):
    """The run has too few items for a control."""


@dataclass(frozen=True)
class Bench:
    """What the controls are tried on."""

    scorers: tuple[str, ...]
    reference: Measured
    levels: tuple[Measured, ...]
    judged: JudgedTexts | None
    """One judge's scores: what the formulas make of them is the same with any."""

    @property
    def known(self) -> set[str]:
        """Return the ids of the metrics that are measured."""
        return {metric for name in self.scorers for metric in _ids(name)}

    def runs(self, kind: str) -> list[SetRun]:
        """Return the reference's runs on prompt sets of a kind that a scorer reads."""
        is_read = any(kind in scorer(name).KINDS for name in self.scorers)
        return [run for run in self.reference.of_kind(kind) if run.items] if is_read else []

    def score(
        self,
        level: Iterable[SetRun],
        reference: Iterable[SetRun],
        only: Iterable[str] | None = None,
        judged: JudgedTexts | None = None,
    ) -> dict[str, MetricEvidence]:
        """Score and compare runs as an evaluation does; groups are left out, to save time."""
        wanted = None if only is None else set(only)
        own, base = (
            Measured(self.reference.artifact, tuple(runs), None) for runs in (level, reference)
        )

        def tables(of: Measured) -> list[ScoreTable]:
            return [
                _without_groups(table)
                for name in self.scorers
                if wanted is None or wanted & _ids(name)
                for table in scorer(name).score(of, base, judged or self.judged)
                if wanted is None or table.metric.id in wanted
            ]

        return collect(tables(own), tables(base))


def _ids(scorer_name: str) -> set[str]:
    return {metric.id for metric in scorer(scorer_name).METRICS}


def _without_groups(table: ScoreTable) -> ScoreTable:
    if table.metric.group_by:
        return table
    return replace(table, scores=tuple(replace(one, groups={}) for one in table.scores))


def tried(name: str, control: Callable[[], str]) -> Check:
    """Run a control; whatever goes wrong in it is a finding."""
    try:
        return Check(name, "holds", control())
    except TooFew as error:
        return Check(name, "cannot be shown", str(error))
    except Differs as error:
        return Check(name, "differs", str(error))
    except Exception as error:  # a scorer that breaks on a planted answer is what this looks for
        return Check(name, "differs", f"{type(error).__name__}: {error}")
