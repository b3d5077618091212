"""`edgeeval worker`: do one job. Started by other edgeeval processes."""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("job", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--events-fd", type=int, required=True, help="Descriptor for JSON events.")
def command(job: Path, events_fd: int) -> None:
    """Do the JOB (a JSON file) and report events, one JSON object a line."""
    from edgeeval.run.worker import serve

    sys.exit(serve(job, events_fd))
