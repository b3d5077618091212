"""`edgeeval quantize`: build a ladder's files."""

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
from edgeeval.cli.targets import BUILD_OPTIONS, request_from, targets_argument, with_options
from edgeeval.errors import EXIT_INCOMPLETE, InputError

if TYPE_CHECKING:
    from edgeeval.pipeline import Built


@click.command()
@targets_argument
@with_options(*BUILD_OPTIONS)
@threads_option
@device_option
@workspace_option
@json_option
@quiet_option
def command(**options: Any) -> None:
    """Build the reference and the levels of RECIPE, or of MODEL; print a line a file.

    MODEL stands for a recipe: a Hugging Face folder, a GGUF file, hf:owner/name, or
    hf:owner/name:FILE.gguf; --levels says what to build of it, q2-q8 by default.
    """
    from edgeeval.pipeline import build_ladder
    from edgeeval.store import Workspace

    if options["keep"] == "none":
        raise InputError("--keep none: nothing would be left; give levels, or all")
    request = request_from(options)
    built = build_ladder(request, Workspace(options["workspace"]), talker(options["quiet"]))
    if options["as_json"]:
        click.echo(json.dumps(asdict(built), indent=1))
    else:
        _print(built)
    for name, reason in built.lost.items():
        click.echo(f"edgeeval: {name}: {reason}", err=True)
    if built.lost:
        raise SystemExit(EXIT_INCOMPLETE)


def _print(built: "Built") -> None:
    for artifact in (built.reference, *built.levels):
        twin = next(
            (
                other.name
                for other in built.levels
                if other.weights_sha256 == artifact.weights_sha256 and other is not artifact
            ),
            "",
        )
        click.echo(
            f"{artifact.name}\t{artifact.size_bytes}\t{artifact.bpw:.2f} bpw\t"
            f"{artifact.fallback_share:.0%} fell back\t{artifact.path}"
            + (f"\tsame weights as {twin}" if twin else "")
        )
