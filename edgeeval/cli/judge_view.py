"""What `edgeeval judge check` found, for people; `--json` has the sweep and all pairs of groups."""

import click

from edgeeval.cli.columns import columns
from edgeeval.errors import one_line
from edgeeval.judges.check import Check
from edgeeval.records import Estimate
from edgeeval.report import format as fmt

_DIFFERENCES_SHOWN = 5


def _rate(estimate: Estimate) -> str:

    if estimate.value is None:
        return f"not measured: {estimate.reason}"
    return f"{fmt.estimate(estimate, 'share')}  n {estimate.n:,}"


def show(done: Check) -> None:
    """Print what a person wants to know first; --json has the sweep and every group."""
    rates, floor = done.rates, done.floor
    auc = rates.auc
    counted = f"{rates.n:,} texts, {rates.n_positive:,} with {floor.positive}"
    click.echo(one_line(f"{done.judge.name}: {done.label} at τ {floor.threshold:g}, {floor.data}"))
    broken = f", {len(done.labelled.problems)} rows broken" if done.labelled.problems else ""
    click.echo(one_line(counted + broken))
    rows = [
        ["AUC", fmt.interval(auc.value, auc.lower, auc.upper, "") if auc.value is not None
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


def _show_differences(done: Check) -> None:

    def points(one: Estimate) -> str:
        return fmt.interval(one.value, one.lower, one.upper, "percentage points", signed=True)

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
                fmt.interval(
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
