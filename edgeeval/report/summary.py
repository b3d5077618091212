"""Make the table that every reader looks at first: one row a level, the reference first."""

import re
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from edgeeval.records import LevelResult, MetricResult, Results
from edgeeval.report import format as fmt
from edgeeval.report.view import (
    KeyParts,
    all_levels,
    change_text,
    delta_unit,
    estimate_text,
    level_verdict,
    metrics_by_key,
    split_key,
    value_text,
)

FELL_BACK = "fell back"
"""Title of the column of fallback shares."""


class Cell(NamedTuple):
    """A text in a table, with the verdict of the requirement that rests on it."""

    text: str
    verdict: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The text for a narrow column: interval or change below its number."""
        return tuple(re.split(r" (?=[\[(])", self.text, maxsplit=1))


class Column(NamedTuple):
    """A column of the summary."""

    title: str
    cells: tuple[Cell, ...]
    """One a row."""
    rank: int
    """Importance: where room is short, the largest rank goes first."""
    note: str = ""
    """What the numbers depend on, as a sentence: the judge, the prompt set."""


class Row(NamedTuple):
    """What is said of a level outside the columns of numbers."""

    name: str
    verdict: str
    is_recommended: bool
    is_reference: bool


class Summary(NamedTuple):
    """One row a level, reference first."""

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]


Show = Callable[[MetricResult], str]


def _value_and_change(metric: MetricResult) -> str:
    change = change_text(metric.delta, delta_unit(metric))
    return value_text(metric) if change == fmt.MISSING else f"{value_text(metric)} ({change})"


class _Wanted(NamedTuple):
    """A metric that has a column of its own in the summary."""

    title: str
    ids: str
    """Pattern of the whole id; with several matches, the first that is required or there."""
    rank: int
    show: Show


_WANTED = (
    _Wanted("mean KLD", r"lm\.kld_mean", 1, estimate_text),
    _Wanted("PPL ratio", r"lm\.ppl_ratio", 6, value_text),
    _Wanted("same top", r"lm\.same_top", 9, value_text),
    _Wanted("accuracy (Δ)", r"tasks\.(accuracy|accuracy_norm|mc2)", 2, _value_and_change),
    _Wanted("flips", r"tasks\.flips", 5, value_text),
    _Wanted("harm", r"harm\.tf(_\d+)?", 4, value_text),
    _Wanted("tokens/s", r"cost\.decode_tps", 3, value_text),
)
_SHORT = {
    "bias.bbq.s_amb": "bias amb.",
    "bias.bbq.s_dis_bal": "bias dis.",
    "refusal.unsafe": "refused unsafe",
    "refusal.over": "refused safe",
}
"""What heads a column that is there because a policy requires it, where the title is long."""
_SIZE_RANK, _FALLBACK_RANK, _BPW_RANK, _REQUIRED_RANK = 0, 7, 8, 5


def summary(results: Results) -> Summary:
    """Return the table that every reader looks at first.

    A column without any number is left out. A required metric that has no column of its own gets
    one: a verdict must not rest on something that the summary hides.
    """
    levels = all_levels(results)
    recommended = results.recommendation.level
    rows = tuple(
        Row(
            level.name,
            level_verdict(results, level),
            is_recommended=index > 0 and level.name == recommended,
            is_reference=index == 0,
        )
        for index, level in enumerate(levels)
    )
    chosen = _chosen_metrics(levels)
    columns = [*_artifact_columns(levels), *(_metric_column(levels, *one) for one in chosen)]
    shown = tuple(c for c in columns if any(cell.text != fmt.MISSING for cell in c.cells))
    return Summary(rows, shown)


def _artifact_columns(levels: Iterable[LevelResult]) -> list[Column]:
    files = [level.artifact for level in levels]
    sizes = ["" if f is None else fmt.quantity(f.size_bytes, "bytes") for f in files]
    bits = ["" if f is None else f"{f.bpw:.2f}" for f in files]
    shares = [
        "" if f is None or not f.fallback_share else fmt.quantity(f.fallback_share, "share")
        for f in files
    ]
    named = (("size", sizes, _SIZE_RANK), ("bpw", bits, _BPW_RANK))
    return [
        Column(title, tuple(Cell(text or fmt.MISSING) for text in texts), rank)
        for title, texts, rank in (*named, (FELL_BACK, shares, _FALLBACK_RANK))
    ]


def _chosen_metrics(levels: Iterable[LevelResult]) -> list[tuple[_Wanted, str]]:
    """Return what the summary shows: column -> metric key."""
    metrics = metrics_by_key(levels)
    required = [key for key, found in metrics.items() if any(m.requirement for m in found)]
    chosen = []
    for wanted in _WANTED:
        keys = [key for key in metrics if re.fullmatch(wanted.ids, split_key(key).id)]
        keys.sort(key=lambda key: key not in required)
        if keys:
            chosen.append((wanted, keys[0]))
    shown = {key for _, key in chosen}
    for key in required:
        if key not in shown:
            # Several sets have one metric each: their names are what tells the columns apart.
            taken = {wanted.title for wanted, _ in chosen}
            name = split_key(key).set
            title = name if name and name not in taken else _free_title(metrics[key][0], taken)
            chosen.append((_Wanted(title, "", _REQUIRED_RANK, value_text), key))
    return chosen


def _free_title(metric: MetricResult, taken: Collection[str]) -> str:
    """Return a column's title: by its label where a judge has several, numbered if it is taken."""
    parts = split_key(metric.key)
    label = parts.judge.partition(":")[2]
    title = label or _SHORT.get(parts.id) or fmt.shorten(metric.title, 32)
    same = (title, *(f"{title} {number}" for number in range(2, 100)))
    return next(one for one in same if one not in taken)


def _metric_column(levels: Iterable[LevelResult], wanted: _Wanted, key: str) -> Column:
    found = [level.metrics.get(key) for level in levels]
    cells = tuple(
        Cell(fmt.MISSING) if one is None else Cell(wanted.show(one), one.verdict or "")
        for one in found
    )
    meant = next((one.title for one in found if one is not None), "")
    return Column(wanted.title, cells, wanted.rank, _note(wanted.title, meant, split_key(key)))


def _note(title: str, meant: str, parts: KeyParts) -> str:
    """Return what a column's title leaves out."""
    name = title.split(" (", maxsplit=1)[0]
    details = []
    if title in (parts.set, _SHORT.get(parts.id)):
        details.append(meant.removesuffix(f", {parts.set}"))
    if parts.judge:
        details.append(f"as {parts.judge} judges")
    if parts.set and parts.set != title:
        details.append(f"on {parts.set} (other sets are not pooled with it)")
    if "Δ" in title:
        details.append("Δ in percentage points against the reference")
    if not details:
        return ""
    said = f"{name}: {', '.join(details)}"
    return f"{said}." if title == parts.set else fmt.sentence(said)
