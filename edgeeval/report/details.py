"""Say everything that an evaluation holds, for the reader who doubts the summary.

Like `view`, plain texts without markup.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from edgeeval.records import (
    Delta,
    Environment,
    Estimate,
    JudgeInfo,
    LevelResult,
    MetricResult,
    Results,
)
from edgeeval.report import format as fmt
from edgeeval.report.view import (
    all_levels,
    change_text,
    delta_unit,
    estimate_text,
    metrics_by_key,
    split_key,
)

_DIMENSIONS = {
    "lm": "Language modelling",
    "tasks": "Tasks",
    "harm": "Harm in continuations",
    "bias": "Bias",
    "dialect": "Dialects",
    "refusal": "Refusals",
    "align": "Same text as the reference",
    "coherence": "Coherence",
    "cost": "Cost",
}
_BETTER = {
    "higher": "higher is better",
    "lower": "lower is better",
    "zero": "should stay as it is",
    "max": "lower is better",
    "min": "higher is better",
}


class MetricRow(NamedTuple):
    """One metric of one level."""

    level: str
    value: str
    delta: str
    n: str
    verdict: str
    remark: str


class GroupTable(NamedTuple):
    """A metric by set, by group and by threshold."""

    levels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Set, group or threshold, and one text a level."""


class MetricBlock(NamedTuple):
    """One metric over all levels."""

    key: str
    title: str
    about: str
    """Unit, direction and how its intervals were made."""
    rows: tuple[MetricRow, ...]
    groups: GroupTable | None


class Dimension(NamedTuple):
    """All metrics whose id begins alike."""

    id: str
    title: str
    blocks: tuple[MetricBlock, ...]

    @property
    def has_deltas(self) -> bool:
        """Whether any metric compares itself with the reference."""
        return any(row.delta != fmt.MISSING for block in self.blocks for row in block.rows)

    @property
    def has_verdicts(self) -> bool:
        """Whether anything here was required."""
        return any(row.verdict for block in self.blocks for row in block.rows)


def dimensions(results: Results) -> list[Dimension]:
    """Return everything that was measured, dimension by dimension."""
    levels = all_levels(results)
    keys: dict[str, list[str]] = {}
    for key in metrics_by_key(levels):
        keys.setdefault(split_key(key).id.split(".")[0], []).append(key)
    known = [name for name in _DIMENSIONS if name in keys]
    order = known + [name for name in keys if name not in _DIMENSIONS]
    return [
        Dimension(
            name, _DIMENSIONS.get(name, name), tuple(_block(levels, key) for key in keys[name])
        )
        for name in order
    ]


def _block(levels: Iterable[LevelResult], key: str) -> MetricBlock:
    having = [(level.name, level.metrics[key]) for level in levels if key in level.metrics]
    metrics = [metric for _, metric in having]
    # A required metric that was not measured somewhere has no unit there.
    first = next((metric for metric in metrics if metric.unit), metrics[0])
    rows = tuple(_row(*one) for one in having)
    return MetricBlock(key, first.title, _about(first, metrics), rows, _group_table(having))


def _about(first: MetricResult, metrics: Iterable[MetricResult]) -> str:
    parts = [", ".join(part for part in (first.unit, _BETTER[first.direction]) if part)]
    parts.append(_methods("intervals", (metric.estimate for metric in metrics)))
    differences = _methods("difference", (m.delta for m in metrics if m.delta is not None))
    if differences:
        unit = {fmt.LOG_RATIO: "natural logarithm of the ratio"}.get(
            delta_unit(first), delta_unit(first)
        )
        parts.append(f"{differences}, {unit}")
    return "; ".join(part for part in parts if part)


def _methods(what: str, numbers: Iterable[Estimate | Delta]) -> str:
    names = dict.fromkeys(number.method for number in numbers if number.value is not None)
    return f"{what}: {' or '.join(names)}" if names else ""


def _row(level: str, metric: MetricResult) -> MetricRow:
    return MetricRow(
        level=level,
        value=estimate_text(metric),
        delta=fmt.delta(metric.delta, delta_unit(metric)),
        n=fmt.count(metric.estimate.n),
        verdict=metric.verdict or "",
        remark="; ".join(_remarks(metric)),
    )


def _remarks(metric: MetricResult) -> Iterator[str]:
    said = [metric.estimate.reason, *metric.notes]
    if metric.delta is not None:
        said.append(metric.delta.reason)
    if metric.floor is not None:
        said.append(f"noise floor {fmt.quantity(metric.floor, metric.unit)}")
    yield from dict.fromkeys(_shortened(text) for text in said if text)


_LONGEST_REMARK = 600


def _shortened(text: str) -> str:
    """Cut a list of many flipped items; the document beside the report has it all."""
    if len(text) <= _LONGEST_REMARK:
        return text
    return f"{text[:_LONGEST_REMARK].rpartition(', ')[0]} … (all of them in results.json)"


def _group_table(having: list[tuple[str, MetricResult]]) -> GroupTable | None:
    texts: dict[str, dict[str, str]] = {}
    for level, metric in having:
        for name, part in metric.by_set.items():
            texts.setdefault(f"set {name}", {})[level] = fmt.estimate(part, metric.unit)
        for name, part in metric.by_group.items():
            text = _part_text(metric, part, metric.delta_by_group.get(name))
            texts.setdefault(name, {})[level] = text
        for name, part in metric.by_threshold.items():
            text = _part_text(metric, part, metric.delta_by_threshold.get(name))
            texts.setdefault(f"threshold {name}", {})[level] = text
    if not texts:
        return None
    levels = tuple(level for level, _ in having)
    return GroupTable(
        levels,
        tuple(
            (name, tuple(row.get(level, fmt.MISSING) for level in levels))
            for name, row in texts.items()
        ),
    )


def _part_text(metric: MetricResult, part: Estimate, delta: Delta | None) -> str:
    if part.lower is None and part.upper is None and part.reason:
        return f"not measured ({part.reason})"
    text = fmt.estimate(part, metric.unit)
    change = change_text(delta, delta_unit(metric))
    return text if change == fmt.MISSING else f"{text} (Δ {change})"


Facts = list[tuple[str, str]]
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Headings and rows."""


def artifacts(results: Results) -> Table:
    """Return the files: what they say they are, what their tensors are."""
    rows: list[tuple[str, ...]] = []
    for level in all_levels(results):
        file = level.artifact
        if file is None:
            continue
        rows.append(
            (
                level.name,
                file.label,
                fmt.quantity(file.size_bytes, "bytes"),
                f"{file.bpw:.2f}",
                _shares(file.type_shares),
                _shares(file.fallback_types) or fmt.MISSING,
                file.source,
                file.sha256,
            )
        )
    heads = ("level", "label", "size", "bpw", "tensor types", "fell back to", "source", "sha256")
    return heads, rows


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{kind} {fmt.quantity(share, 'share')}" for kind, share in shares.items())


def prompt_sets(results: Results) -> Table:
    """Return the prompt sets with what their licences ask to be named, and their limits."""
    rows: list[tuple[str, ...]] = [
        (
            f"{one.id} v{one.version}",
            one.kind,
            fmt.count(one.n_items),
            fmt.count(one.n_tokens),
            one.licence,
            one.authors,
            one.limits,
            one.sha256[:12],
        )
        for one in results.prompt_sets
    ]
    heads = ("prompt set", "kind", "items", "tokens", "licence", "authors", "limits", "sha256")
    return heads, rows


def judges(results: Results) -> Table:
    """Return the judges whose scores are in the results."""
    rows: list[tuple[str, ...]] = [
        (
            one.name,
            one.description,
            ", ".join(one.labels),
            one.problem or fmt.count(one.n_texts),
            _cut(one),
            _errors(one),
            one.id,
        )
        for one in results.judges
    ]
    heads = ("judge", "what it is", "labels", "texts scored", "longer than it reads")
    return (*heads, "how wrong it is", "id"), rows


def _errors(judge: JudgeInfo) -> str:
    """Return what is known of a judge's error; a number without it looks better than it is."""
    known = [fmt.floor_text(floor) for floor in judge.floors]
    if not known:
        known.append(f"unknown: edgeeval judge check {judge.name} --data FILE")
    if judge.conversion_difference is not None:
        known.append(f"converted to within {judge.conversion_difference:.2g} of the original")
    return "; ".join(known)


def _cut(judge: JudgeInfo) -> str:
    """Say how many texts a judge read without their end."""
    if judge.max_tokens is None or not judge.n_texts:
        return fmt.MISSING
    share = fmt.quantity(judge.n_truncated / judge.n_texts, "share")
    return f"{fmt.count(judge.n_truncated)} ({share}) of over {judge.max_tokens} tokens"


def environment(results: Results) -> Facts:
    """Return what computed the numbers."""
    made = results.environment
    return [
        ("edgeeval", made.edgeeval),
        ("engine", made.engine),
        ("engine features", made.engine_features),
        ("engine libraries, sha256", made.engine_libraries_sha256),
        ("extra buffer types", "on" if made.engine_extra_bufts else "off: they die here"),
        ("device", made.device),
        ("threads", str(made.n_threads)),
        ("batches", _batches(made)),
        ("CPU", made.cpu),
        ("platform", made.platform),
        ("Python", made.python),
        ("seed", str(results.seed)),
    ]


def _batches(made: Environment) -> str:
    """Return in what pieces was decoded: it changes how numbers round."""
    largest = max(made.n_batch.values(), default=0)
    return (
        f"n_ubatch {made.n_ubatch}, n_batch up to {largest}; blocks of at most "
        f"{made.block_tokens} tokens, {made.block_sequences} sequences, {made.block_items} items"
    )


def timings(results: Results) -> Facts:
    """Return where the time went."""
    spent = results.timings
    facts = [
        ("made at", spent.created_at),
        ("computing", fmt.duration(spent.elapsed_s)),
        ("of it inside llama.cpp", fmt.duration(spent.native_s)),
    ]
    if spent.native_share is not None:
        facts.append(("share inside llama.cpp", fmt.quantity(spent.native_share, "share")))
    return facts


METHOD_NOTE = (
    "Every level is compared with the reference item by item, so that what both get wrong cancels "
    "out. Brackets hold 95 % intervals, unadjusted.",
    "A requirement is tested both ways. Pass: the data rule out that the level is worse than the "
    "limit (Holm's correction over levels, one-sided 5 %). Fail: the data rule out that it is "
    "within the limit (Holm's correction over all requirements of all levels). Inconclusive: the "
    "sample is too small to tell. Not measured is never a pass.",
    "The recommended level is the smallest file that passes every requirement. Results by group "
    "are exploratory: nothing was corrected for looking at many groups.",
    "fell back: the share of the parameters that the quantizer stored in another type than the "
    "file's label says, because their rows do not fit the label's blocks.",
)
"""How to read the numbers, a paragraph each."""
