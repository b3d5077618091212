"""Check a judge on labelled texts, and on pairs of dialect and standard sentences."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeeval.errors import InputError, did_you_mean
from edgeeval.judges import Judge
from edgeeval.judges.floors import SCHEMA
from edgeeval.judges.labelled import LabelledTexts, Layout, read_labelled, title_of
from edgeeval.judges.rates import DialectPairs, Rates, measure, measure_dialect
from edgeeval.judges.score import JudgedTexts, score_texts
from edgeeval.prompts import find_sets, load_set
from edgeeval.records import JudgeFloor, JudgeInfo
from edgeeval.store import Workspace, digest, sha256_of

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Question:
    """What a judge is checked on."""

    data: tuple[Path, ...]
    layout: Layout | None = None
    """None: a published layout, known by its columns."""
    label: str = ""
    """Empty: the label that speaks for the judge."""
    threshold: float = DEFAULT_THRESHOLD
    held_out: str = ""
    """Column whose hash says which half of the rows counts; empty: all rows do."""
    dialects: bool = False
    """Whether the dialect prompt sets are judged too."""


@dataclass(frozen=True)
class Check:
    """What was found."""

    judge: JudgeInfo
    label: str
    floor: JudgeFloor
    rates: Rates
    labelled: LabelledTexts
    dialects: tuple[DialectPairs, ...]
    n_truncated: int
    """Different texts that the judge did not read to their end."""

    def document(self) -> dict[str, Any]:
        """Return it as the JSON document that is printed and kept."""
        return {
            "schema": SCHEMA,
            "judge": self.judge.name,
            "judge_id": self.judge.id,
            "floor": asdict(self.floor),
            "n_rows": self.labelled.n_rows,
            "n_broken": len(self.labelled.problems),
            "n_truncated": self.n_truncated,
            "rates": asdict(self.rates),
            "dialects": [asdict(one) for one in self.dialects],
        }


def check_judge(
    workspace: Workspace,
    judge: Judge,
    question: Question,
    progress: Callable[[str], None] = lambda line: None,
) -> Check:
    """Score labelled texts with a judge and compare.

    Raises:
        InputError: a file, a column or the label is not there, or no row can be used.
        WorkerFailed: the judge failed.
    """
    info = judge.info
    label = question.label or info.primary
    if label not in info.labels:
        raise InputError(f"{info.name} has no label {label!r}{did_you_mean(label, info.labels)}")
    labelled = read_labelled(question.data, question.layout, question.held_out)
    if not labelled.texts:
        first = f"; {labelled.problems[0].where}: {labelled.problems[0].reason}"
        raise InputError(
            f"{question.data[0]}: no row can be used{first if labelled.problems else ''}"
        )
    texts = [one.text for one in labelled.texts]
    pairs = _dialect_pairs() if question.dialects else {}
    of_pairs = [text for set_pairs in pairs.values() for pair in set_pairs for text in pair[:2]]
    judged = score_texts(workspace, judge, [*texts, *of_pairs], progress)
    rates = measure(
        [judged.score(text, label) for text in texts],
        [one.is_positive for one in labelled.texts],
        [one.groups for one in labelled.texts],
        question.threshold,
    )
    return Check(
        judge=info,
        label=label,
        floor=_floor(judge, label, question, labelled, rates),
        rates=rates,
        labelled=labelled,
        dialects=tuple(
            _of_dialect(set_id, judged, label, set_pairs, question.threshold)
            for set_id, set_pairs in pairs.items()
        ),
        n_truncated=judged.info.n_truncated,
    )


def _floor(
    judge: Judge, label: str, question: Question, labelled: LabelledTexts, rates: Rates
) -> JudgeFloor:
    names = " + ".join(path.name for path in question.data)
    if published := title_of(labelled.layout):
        names = f"{published}, {names}"
    half = f", the half of odd hashes of {question.held_out}" if question.held_out else ""
    hashes = [sha256_of(path) for path in question.data]
    known = hashes[0] if len(hashes) == 1 else digest(hashes)
    return JudgeFloor(
        label=label,
        threshold=question.threshold,
        data=names + half,
        data_sha256=digest([known, question.held_out]) if half else known,
        positive=labelled.layout.meaning,
        n=rates.n,
        n_positive=rates.n_positive,
        auc=rates.auc,
        precision=rates.precision,
        sensitivity=rates.sensitivity,
        false_positive_rate=rates.false_positive_rate,
        false_positive_rate_by_group={
            name: group.false_positive_rate
            for name, group in rates.groups.items()
            if group.false_positive_rate.value is not None
        },
        command=_command(judge.info.name, label, question, labelled.layout),
    )


def _command(name: str, label: str, question: Question, layout: Layout) -> str:
    """Return the command that measures this again, where the files are."""
    words = ["edgeeval", "judge", "check", name]
    for path in question.data:
        words += ["--data", path.name]
    words += ["--text-column", layout.text, "--label-column", layout.label]
    words += ["--positive", layout.positive]
    for group in layout.groups:
        words += ["--group-column", group]
    words += ["--label", label, "--tau", f"{question.threshold:g}"]
    if question.held_out:
        words += ["--held-out", question.held_out]
    return shlex.join(words)


_Pair = tuple[str, str, str]
"""Dialect sentence, standard twin, grammatical feature."""


def _dialect_pairs() -> dict[str, list[_Pair]]:
    """Return the pairs of the dialect prompt sets that come with edgeeval."""
    pairs: dict[str, list[_Pair]] = {}
    for path in find_sets():
        loaded = load_set(path)
        if loaded.header.kind != "dialect":
            continue
        for item in loaded.items:
            fields: Mapping[str, Any] = item.model_dump()
            pair = (fields["dialect"], fields["standard"], fields["template_id"])
            pairs.setdefault(loaded.id, []).append(pair)
    return pairs


def _of_dialect(
    set_id: str, judged: JudgedTexts, label: str, pairs: Sequence[_Pair], threshold: float
) -> DialectPairs:
    return measure_dialect(
        set_id,
        [judged.score(dialect, label) for dialect, _, _ in pairs],
        [judged.score(standard, label) for _, standard, _ in pairs],
        [feature for _, _, feature in pairs],
        threshold,
    )
