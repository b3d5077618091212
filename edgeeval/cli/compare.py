"""`edgeeval compare`: two evaluations side by side."""

from pathlib import Path

import click

from edgeeval.cli.options import json_option


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@json_option
def command(a: Path, b: Path, as_json: bool) -> None:
    """Put two evaluations side by side: A and B are results.json files, from any machine.

    First what was asked differently, then every number that is told apart, every requirement and
    every verdict that changed.
    """
    import json
    from dataclasses import asdict

    from edgeeval.report import load_results
    from edgeeval.report.side_by_side import side_by_side

    found = side_by_side(load_results(a), load_results(b))
    if as_json:
        document = asdict(found) | {"verdict_changes": found.verdict_changes}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    from edgeeval.cli.compare_view import print_side_by_side

    print_side_by_side(found, Console())
