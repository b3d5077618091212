"""One line a number, for a spreadsheet or a data frame.

A level's own value has neither group, set nor threshold; then come its sets, its groups and what it
would be at other thresholds. What every reader
must know first stands in lines of the key "watermark"; a lost level is a line without a key.
"""

import csv
import io
from collections.abc import Iterator

from edgeeval.records import Delta, Estimate, LevelResult, MetricResult, Results
from edgeeval.report.view import all_levels, split_key

COLUMNS = (
    *("level", "key", "group", "set", "threshold", "value", "lower", "upper", "n", "method"),
    *("delta", "delta_lower", "delta_upper", "p_pass", "p_fail", "verdict", "reason"),
)

Row = dict[str, str | float | int | None]


def write(results: Results) -> str:
    """Return the lines; numbers in full precision, an undefined one empty."""
    file = io.StringIO()
    lines = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
    lines.writeheader()
    for row in _rows(results):
        lines.writerow({name: _safe(value) for name, value in row.items()})
    return file.getvalue()


def _safe(value: str | float | int | None) -> str | float | int | None:
    """Disarm a text that a spreadsheet would run as a formula; numbers may begin with a minus."""
    if isinstance(value, str) and (value[:1] in ("\t", "\r", "\n") or _is_formula(value)):
        return f"'{value}"
    return value


def _is_formula(text: str) -> bool:
    return text.lstrip()[:1] in tuple("=+-@＝＋－＠")


def _rows(results: Results) -> Iterator[Row]:
    for text in results.watermarks:
        yield {"key": "watermark", "reason": text}
    for level in all_levels(results):
        if level.status != "measured":
            yield {"level": level.name, "verdict": level.status, "reason": level.reason}
        for metric in level.metrics.values():
            yield from _metric_rows(level, metric)


def _metric_rows(level: LevelResult, metric: MetricResult) -> Iterator[Row]:
    own: Row = {"level": level.name, "key": metric.key, "set": split_key(metric.key).set}
    verdict: Row = {
        "p_pass": metric.p_pass,
        "p_fail": metric.p_fail,
        "verdict": metric.verdict,
        "reason": metric.reason,
    }
    yield own | _estimate(metric.estimate) | _delta(metric.delta) | verdict
    for name, part in metric.by_set.items():
        yield own | {"set": name, "reason": part.reason} | _estimate(part)
    for name, part in metric.by_group.items():
        difference = _delta(metric.delta_by_group.get(name))
        yield own | {"group": name, "reason": part.reason} | _estimate(part) | difference
    for name, part in metric.by_threshold.items():
        difference = _delta(metric.delta_by_threshold.get(name))
        yield own | {"threshold": name, "reason": part.reason} | _estimate(part) | difference


def _estimate(number: Estimate) -> Row:
    return {
        "value": number.value,
        "lower": number.lower,
        "upper": number.upper,
        "n": number.n,
        "method": number.method,
    }


def _delta(number: Delta | None) -> Row:
    if number is None:
        return {}
    return {
        "delta": number.value,
        "delta_lower": number.lower,
        "delta_upper": number.upper,
    }
