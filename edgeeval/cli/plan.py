"""`edgeeval plan`: what an evaluation would take, and what it could show."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edgeeval.cli.options import (
    device_option,
    json_option,
    quiet_option,
    talker,
    threads_option,
    workspace_option,
)
from edgeeval.cli.targets import (
    BUILD_OPTIONS,
    MEASURE_OPTIONS,
    request_from,
    targets_argument,
    with_options,
)

if TYPE_CHECKING:
    from edgeeval.pipeline.forecast import Forecast


@click.command()
@targets_argument
@with_options(*MEASURE_OPTIONS, *BUILD_OPTIONS)
@threads_option
@device_option
@workspace_option
@json_option
@quiet_option
def command(**options: Any) -> None:
    """Say what `eval` with the same arguments would fetch, build, take and show; run nothing.

    A few seconds of decoding tell how fast this machine is. Exit code 2 when disk or memory cannot
    hold the evaluation.
    """
    from edgeeval.pipeline.forecast import forecast
    from edgeeval.store import Workspace

    request = request_from(options)
    found = forecast(request, Workspace(options["workspace"]), talker(options["quiet"]))
    if options["as_json"]:
        click.echo(json.dumps(asdict(found), indent=1))
    else:
        _print(found)
    found.require_room()


def _size(n_bytes: int | None, *, is_estimate: bool = False) -> str:
    from edgeeval.report.format import quantity

    if n_bytes is None:
        return "unknown"
    return ("about " if is_estimate else "") + quantity(n_bytes, "bytes")


def _print(found: "Forecast") -> None:
    from edgeeval.errors import one_line

    for file in found.files:
        size = _size(file.size_bytes, is_estimate=file.is_estimate)
        click.echo(f"{one_line(file.name):<24} {file.what:<11} {size}")
    click.echo(
        f"\ndisk    {_size(found.disk_needed_bytes)} to write, {_size(found.disk_free_bytes)} free"
    )
    memory = _size(found.memory_needed_bytes, is_estimate=True)
    click.echo(f"memory  {memory} needed, {_size(found.memory_bytes)} there")
    if found.elapsed_s is not None:
        click.echo(
            f"time    about {_duration(found.elapsed_s)}, judges included "
            f"({found.prefill_tps:,.0f} tokens/s read, "
            f"{found.decode_tps:,.0f} written in batches); "
            f"{found.blocks_done} of {found.blocks} blocks are there"
        )
    if found.sets:
        click.echo(f"\n{'set':<24} {'items':>6} {'read':>9} {'written':>9}  tokens an artifact")
        for one in found.sets:
            click.echo(
                f"{one_line(one.id):<24} {one.n_items:>6,} {one.prefill_tokens:>9,} "
                f"{one.generated_tokens:>9,}"
            )
    _print_power(found)
    for note in found.notes:
        click.echo(f"! {one_line(note)}")


def _duration(elapsed_s: float) -> str:
    minutes = elapsed_s / 60
    if minutes < 1.5:
        return f"{elapsed_s:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _print_power(found: "Forecast") -> None:
    """Print what the sample can show: the smallest limit that an ordinary level keeps (δ80)."""
    if not found.power:
        return
    bases = sorted({one.basis for one in found.power if one.basis})
    click.echo(
        f"\nwhat the sample can show (δ80; expected changes: {', '.join(bases) or 'unknown'})"
    )
    width = max(len(one.metric) for one in found.power)
    for one in found.power:
        shown = "unknown" if one.delta80 is None else f"{one.delta80:.3g}"
        word = {True: "would pass", False: "may stay open", None: "unknown"}[one.is_enough]
        click.echo(
            f"{one.level:<24} {one.metric:<{width}} {one.kind} {one.limit:g}: δ80 {shown} "
            f"with {one.n:,}: {word}"
        )
    if any(one.delta80 is None for one in found.power):
        click.echo(
            "! unknown: how much such a level usually changes there has not been measured. An "
            "evaluation of the same recipe in this workspace tells it; --limit 200 does for a plan."
        )
