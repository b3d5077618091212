"""`edgeeval report`: write reports from stored results."""

from pathlib import Path

import click


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; its ending chooses the format. Without it, the table is printed.",
)
def command(results: Path, outputs: tuple[Path, ...]) -> None:
    """Write reports from RESULTS (a results.json): -o x.html, x.md, x.json, x.csv, junit.xml."""
    from edgeeval.report import load_results, write_report, writer

    for path in outputs:
        writer(path)  # a mistyped ending is refused before anything is written
    loaded = load_results(results)
    for path in outputs:
        write_report(loaded, path)
        click.echo(path)
    if not outputs:
        from rich.console import Console

        from edgeeval.report.table import print_summary

        print_summary(loaded, Console())
