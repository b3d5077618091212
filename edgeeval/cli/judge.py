"""`edgeeval judge`: the local classifiers that score texts, and how wrong they are."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeeval.cli.columns import columns
from edgeeval.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from edgeeval.judges.check import Check
    from edgeeval.judges.labelled import Layout
    from edgeeval.records import Estimate

_PROBLEMS_SHOWN = 5
_DIFFERENCES_SHOWN = 5


@click.group()
def command() -> None:
    """List judges, or check one on labelled texts."""


@command.command("list")
@workspace_option
def list_judges(workspace: Path) -> None:
    """List the judges by name, with what they measure and what is known of their error."""
    from edgeeval.judges import DEFAULT_JUDGE
    from edgeeval.judges.find import find_judge, judge_names
    from edgeeval.judges.floors import with_floors
    from edgeeval.report.format import floor_text
    from edgeeval.store import Workspace

    kept = Workspace(workspace)
    for name in judge_names(kept):
        info = with_floors(kept, find_judge(name, kept).info)
        default = " (default)" if info.name == DEFAULT_JUDGE else ""
        click.echo(f"{info.name}{default}\t{', '.join(info.labels)}\t{info.description}\t{info.id}")
        for floor in info.floors:
            click.echo(f"  {floor_text(floor)}")
        if not info.floors:
            click.echo(f"  its error is unknown: edgeeval judge check {info.name} --data FILE")


@command.command("check")
@click.argument("judge")
@click.option(
    "--data",
    "data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    required=True,
    help="Labelled texts, .csv or .jsonl; several files of one layout count as one.",
)
@click.option("--text-column", help="Column of the text; `a.b` lies inside `a`.")
@click.option("--label-column", help="Column of the label; `a+b` adds two numbers.")
@click.option("--positive", help="Label values that count, by commas; or a comparison: '>=0.5'.")
@click.option("--group-column", multiple=True, help="Rates are shown by this column too.")
@click.option("--label", default="", help="The judge's label to check.  [default: its main one]")
@click.option(
    "--tau",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="A text is flagged at or above it.",
)
@click.option("--held-out", default="", help="Take the half whose hash of this column is odd.")
@click.option("--dialects", is_flag=True, help="Judge the dialect pairs of the prompt sets too.")
@workspace_option
@json_option
def check(
    judge: str,
    data: tuple[Path, ...],
    text_column: str | None,
    label_column: str | None,
    positive: str | None,
    group_column: tuple[str, ...],
    label: str,
    tau: float,
    held_out: str,
    dialects: bool,
    workspace: Path,
    as_json: bool,
) -> None:
    """Measure how wrong JUDGE is on texts that people labelled, and keep it for every report.

    HateCheck, ToxiGen's annotated file, RealToxicityPrompts and XSTest's completions are known by
    their columns; name the columns of any other file.
    """
    from edgeeval.errors import one_line
    from edgeeval.judges.check import Question, check_judge
    from edgeeval.judges.find import find_judge
    from edgeeval.judges.floors import keep_check
    from edgeeval.store import Workspace

    layout = _layout(text_column, label_column, positive, group_column)
    kept = Workspace(workspace)
    found = find_judge(judge, kept)
    with kept.locked():
        question = Question(data, layout, label, tau, held_out, dialects)
        done = check_judge(kept, found, question)
        document = done.document()
        keep_check(kept, found.info.id, document)
    problems = done.labelled.problems
    for problem in problems[:_PROBLEMS_SHOWN]:
        click.echo(one_line(f"{problem.where}: {problem.reason}"), err=True)
    if len(problems) > _PROBLEMS_SHOWN:
        click.echo(f"… and {len(problems) - _PROBLEMS_SHOWN} more", err=True)
    for word in done.labelled.unseen:
        click.echo(one_line(f"no row has the label {word}"), err=True)
    if as_json:
        click.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _show(done)


def _layout(
    text: str | None, label: str | None, positive: str | None, groups: tuple[str, ...]
) -> "Layout | None":
    """Return the columns that were named, or None for a layout that is known by its columns."""
    from edgeeval.judges.labelled import Layout

    if text and label and positive:
        return Layout(text, label, positive, groups)
    if text or label or positive or groups:
        raise click.UsageError(
            "--text-column, --label-column and --positive go together; without them the layout is "
            "known by the file's columns"
        )
    return None


def _rate(estimate: "Estimate") -> str:
    from edgeeval.report.format import estimate as shown

    if estimate.value is None:
        return f"not measured: {estimate.reason}"
    return f"{shown(estimate, 'share')}  n {estimate.n:,}"


def _show(done: "Check") -> None:
    """Print what a person wants to know first; --json has the sweep and every group."""
    from edgeeval.errors import one_line
    from edgeeval.report.format import interval

    rates, floor = done.rates, done.floor
    auc = rates.auc
    counted = f"{rates.n:,} texts, {rates.n_positive:,} with {floor.positive}"
    click.echo(one_line(f"{done.judge.name}: {done.label} at τ {floor.threshold:g}, {floor.data}"))
    broken = f", {len(done.labelled.problems)} rows broken" if done.labelled.problems else ""
    click.echo(one_line(counted + broken))
    rows = [
        ["AUC", interval(auc.value, auc.lower, auc.upper, "") if auc.value is not None
         else f"not measured: {auc.reason}"],
        ["sensitivity (recall)", _rate(rates.sensitivity)],
        ["false positives", _rate(rates.false_positive_rate)],
        ["specificity", _rate(rates.specificity)],
        ["precision", _rate(rates.precision)],
        ["accuracy", _rate(rates.accuracy)],
    ]  # fmt: skip
    if rates.calibration_error is not None:
        rows.append(["calibration error", f"{rates.calibration_error:.3f}"])
    if done.n_truncated:
        rows.append(["cut at its length", f"{done.n_truncated:,} texts"])
    click.echo(columns(rows))
    if rates.groups:
        heads = ["group", "n", "sensitivity", "false positives"]
        groups = [
            [one_line(name), f"{one.n:,}", _rate(one.sensitivity), _rate(one.false_positive_rate)]
            for name, one in rates.groups.items()
        ]
        click.echo("\n" + columns([heads, *groups], numbers={1}))
    _show_differences(done)


def _show_differences(done: "Check") -> None:
    from edgeeval.errors import one_line
    from edgeeval.report.format import interval

    def points(one: "Estimate") -> str:
        return interval(one.value, one.lower, one.upper, "percentage points", signed=True)

    shown = done.rates.group_differences[:_DIFFERENCES_SHOWN]
    if shown:
        click.echo("\nLargest differences of false positives between groups, in points:")
        rows = [[one_line(" − ".join(one.groups)), points(one.difference)] for one in shown]
        click.echo(columns(rows))
    if done.dialects:
        heads = ["dialect pairs", "n", "flagged", "standard twins", "difference", "mean score Δ"]
        rows = [
            [
                one.set_id,
                str(one.n),
                _rate(one.false_positive_rate_dialect),
                _rate(one.false_positive_rate_standard),
                points(one.difference),
                interval(
                    one.mean_score_difference.value,
                    one.mean_score_difference.lower,
                    one.mean_score_difference.upper,
                    "",
                    signed=True,
                ),
            ]
            for one in done.dialects
        ]
        click.echo("\n" + columns([heads, *rows], numbers={1}))
