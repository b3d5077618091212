"""`edgeeval prompts`: what the questions are."""

from pathlib import Path

import click

from edgeeval.cli.columns import columns


@click.group()
def command() -> None:
    """List prompt sets and suites, or show one."""


@command.command("list")
@click.option("--markdown", is_flag=True, help="As README's table.")
def list_sets(markdown: bool) -> None:
    """List the sets with their sizes in each suite, then what a suite spends on an item."""
    from edgeeval.prompts import find_sets, load_set, load_suite, suite_names

    suites = suite_names()
    rows = [["set", "kind", "items", *suites, "licence"]]
    for path in find_sets():
        loaded = load_set(path)
        sizes = [str(loaded.header.suites.get(suite, 0)) for suite in suites]
        rows.append(
            [loaded.id, loaded.header.kind, str(len(loaded.items)), *sizes, loaded.header.licence]
        )
    costs = [["suite", "tokens a window", "samples (k)", "tokens a text", "cost repeats"]]
    for name in suites:
        suite = load_suite(name)
        spent = (suite.n_ctx, suite.samples, suite.max_tokens, suite.cost_repeats)
        costs.append([name, *map(str, spent)])
    for table in (rows, costs):
        click.echo(_markdown(table) if markdown else columns(table) + "\n")


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines) + "\n"


@command.command("show")
@click.argument("name")
@click.option("--items", type=click.IntRange(0), default=3, show_default=True, help="Items shown.")
def show(name: str, items: int) -> None:
    """Show the header and the first items of a set, by id or by path."""
    from edgeeval.errors import InputError, did_you_mean
    from edgeeval.prompts import find_sets, load_set

    paths = {path.stem: path for path in find_sets()}
    path = Path(name) if Path(name).suffix else paths.get(name)
    if path is None:
        raise InputError(f"prompt set {name!r} is unknown{did_you_mean(name, paths)}")
    loaded = load_set(path)
    click.echo(loaded.header.model_dump_json(by_alias=True, indent=1))
    for item in loaded.items[:items]:
        click.echo(item.model_dump_json(indent=1))
