"""`edgeeval bundle`: a reference's run, for machines that cannot hold its model."""

from pathlib import Path
from typing import Any

import click

from edgeeval.cli.options import (
    device_option,
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
from edgeeval.errors import InputError


@click.command()
@targets_argument
@with_options(*MEASURE_OPTIONS, *BUILD_OPTIONS)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write: NAME.bundle",
)
@threads_option
@device_option
@workspace_option
@quiet_option
def command(**options: Any) -> None:
    """Run the reference of RECIPE or MODEL here, and write what another machine needs of it.

    There, its levels are compared with it: edgeeval eval --reference NAME.bundle Q4_K_M.gguf
    """
    from edgeeval.pipeline import bundle
    from edgeeval.recipe import BUNDLE_SUFFIX
    from edgeeval.store import Workspace

    output = options["output"]
    if output.suffix != BUNDLE_SUFFIX:
        raise InputError(f"--output {output}: name it {output.stem}{BUNDLE_SUFFIX}")
    workspace = Workspace(options["workspace"])
    bundle(request_from(options), workspace, output, talker(options["quiet"]))
    click.echo(output)
