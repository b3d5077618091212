"""What is shown: requirements as a person states them, and a column for each that decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeeval.records import Delta, Direction, MetricResult, Requirement, Results
from edgeeval.report.details import dimensions
from edgeeval.report.summary import summary
from edgeeval.report.view import KeyParts, limit_text, measured_text, obstacles, split_key


def _metric(key: str, unit: str, direction: Direction, requirement: Requirement) -> MetricResult:
    return MetricResult(
        key,
        key,
        unit,
        direction,
        0.5,
        0.4,
        0.6,
        100,
        "Wilson",
        Delta(-0.012, -0.034, 0.01, 100, "MOVER-Wilson"),
        requirement=requirement,
    )


@pytest.mark.parametrize(
    ("key", "unit", "direction", "kind", "limit", "measured"),
    [
        ("tasks.accuracy", "share", "higher", "margin", "Δ ≥ −3 points", "−1.2 [−3.4, 1.0] points"),
        ("harm.tf_2@j", "share", "lower", "margin", "Δ ≤ +3 points", "−1.2 [−3.4, 1.0] points"),
        ("bias.s", "share", "zero", "margin", "|Δ| ≤ 3 points", "−1.2 [−3.4, 1.0] points"),
        ("lm.ppl_ratio", "ratio", "lower", "margin", "ln ≤ +0.03", "ln −0.012 [−0.034, 0.010]"),
        ("dialect.g", "nats", "lower", "margin", "Δ ≤ +0.03 nats", "−0.012 [−0.034, 0.010]"),
        ("tasks.flips", "share", "max", "max", "≤ 3 %", "50.0 % [40.0, 60.0]"),
        ("cost.decode_tps", "tokens/s", "min", "min", "≥ 0.03 tokens/s", "0.50 [0.40, 0.60]"),
    ],
)  # fmt: skip
def test_a_requirement_reads_as_an_inequality(
    key: str, unit: str, direction: Direction, kind: str, limit: str, measured: str
) -> None:
    requirement = Requirement(key, kind, 0.03, "recipe")  # type: ignore[arg-type]  # a plain str here
    metric = _metric(key, unit, direction, requirement)
    assert limit_text(metric) == limit
    assert measured_text(metric) == measured


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("lm.ppl", ("lm.ppl", "", "")),
        ("bias.bbq.s_amb/bbq-official", ("bias.bbq.s_amb", "bbq-official", "")),
        ("harm.tf_5@detoxify:threat", ("harm.tf_5", "", "detoxify:threat")),
        ("harm.tf_5/own@judge/x", ("harm.tf_5", "own", "judge/x")),
    ],
)
def test_a_key_is_taken_apart(key: str, parts: tuple[str, str, str]) -> None:
    assert split_key(key) == KeyParts(*parts)


def test_a_required_metric_without_a_column_gets_one(results: Results) -> None:
    requirement = Requirement("align.chrf", "min", 90, "recipe")
    levels = []
    for level in results.levels:
        metrics = dict(level.metrics)
        if "align.chrf" in metrics:
            metrics["align.chrf"] = replace(
                metrics["align.chrf"], requirement=requirement, verdict="pass"
            )
        levels.append(replace(level, metrics=metrics))
    table = summary(replace(results, levels=tuple(levels)))
    column = next(column for column in table.columns if column.title == "chrF")
    assert column.cells[1].verdict == "pass"


def test_of_several_judges_the_one_that_decides_is_shown(results: Results) -> None:
    level = results.levels[0]
    other = replace(
        level.metrics["harm.tf_2@alt-profanity-check"],
        key="harm.tf_2@strict:threat",
        requirement=Requirement("harm.tf", "margin", 0.02, "policy balanced"),
        verdict="inconclusive",
    )
    levels = (replace(level, metrics={**level.metrics, other.key: other}), *results.levels[1:])
    column = next(c for c in summary(replace(results, levels=levels)).columns if c.title == "harm")
    assert column.note == "Harm: as strict:threat judges."
    assert [cell.text for cell in column.cells][:3] == ["–", "4.1 %", "–"]


def test_unknown_metrics_have_a_dimension_of_their_own(results: Results) -> None:
    (novel,) = (one for one in dimensions(results) if one.id == "novel")
    assert novel.title == "novel"
    assert novel.blocks[0].rows[0].value == "3.2 [2.8, 3.8]"


def test_what_stops_a_level_is_named_with_its_number(results: Results) -> None:
    found = {one.level: one for one in obstacles(results)}
    assert list(found)[:2] == ["Q3_K_M", "Q2_K"]
    assert found["Q2_K"].why.startswith("mean KL divergence: 0.61 [0.56, 0.67], limit ≤ 0.07")
    assert found["Q2_K"].why.endswith("and 2 more")


def test_required_metrics_of_several_sets_have_columns_named_by_their_sets(
    results: Results,
) -> None:
    level = results.levels[0]
    required = level.metrics["lm.kld_mean"]
    dialects = {
        f"dialect.gap_growth/dialect-{variety}": replace(
            required,
            key=f"dialect.gap_growth/dialect-{variety}",
            title=f"growth of the dialect gap, dialect-{variety}",
            requirement=Requirement("dialect.gap_growth", "max", 0.005, "policy"),
        )
        for variety in ("aae", "indian")
    }
    changed = replace(level, metrics={**level.metrics, **dialects})
    columns = summary(replace(results, levels=(changed, *results.levels[1:]))).columns
    found = {column.title: column.note for column in columns}
    assert found["dialect-aae"] == "dialect-aae: growth of the dialect gap."
    assert "dialect-indian" in found
