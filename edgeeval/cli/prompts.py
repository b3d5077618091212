"""`edgeeval prompts`: what the questions are."""

from pathlib import Path

import click

from edgeeval.cli.columns import columns


@click.group()
def command() -> None:
    """List prompt sets and suites, show one, or import a published data set."""


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
    head = ["tokens a window", "samples (k)", "tokens a text", "of them read", "cost repeats"]
    costs = [["suite", *head]]
    for name in suites:
        suite = load_suite(name)
        spent = (
            suite.n_ctx,
            suite.samples,
            suite.max_tokens,
            suite.answer_tokens,
            suite.cost_repeats,
        )
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


_PROBLEMS_SHOWN = 5


@command.command("import")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write (.jsonl). Without it, the prompt set is printed.",
)
@click.option("--id", "set_id", help="Id of the prompt set.  [default: NAME]")
@click.option("--limit", type=click.IntRange(1), help="Draw so many of the items, always the same.")
@click.option("--strict", is_flag=True, help="Exit 2 and write nothing if a row is broken.")
def import_data_set(
    name: str, path: Path, output: Path | None, set_id: str | None, limit: int | None, strict: bool
) -> None:
    """Make a prompt set of a published data set NAME, from the file or folder PATH.

    `edgeeval eval … --prompts OUT.jsonl` takes the file. Rows that cannot be used are counted and
    shown; `edgeeval prompts catalogue` lists the names.
    """
    from edgeeval.errors import PromptSetError, one_line
    from edgeeval.prompts.upstream import import_set, lines_of, write_set

    made = import_set(name, path, set_id=set_id, limit=limit)
    for problem in made.problems[:_PROBLEMS_SHOWN]:
        click.echo(one_line(f"{problem.where}: {problem.reason}"), err=True)
    if len(made.problems) > _PROBLEMS_SHOWN:
        click.echo(f"… and {len(made.problems) - _PROBLEMS_SHOWN} more", err=True)
    if made.problems and strict:
        raise PromptSetError(f"{path}: {len(made.problems)} problems; nothing written")
    if output is None:
        for line in lines_of(made):
            click.echo(line)
    else:
        write_set(output, made)
    drawn = f", {len(made.items)} of them drawn" if len(made.items) < made.n_found else ""
    click.echo(
        f"{made.header.id}: {made.n_found} items of {made.n_rows} rows, "
        f"{len(made.problems)} problems{drawn}; --prompts takes them",
        err=True,
    )


@command.command("catalogue")
@click.argument("name", required=False)
def show_catalogue(name: str | None) -> None:
    """List the data sets that can be imported, or say all that is known of NAME."""
    from edgeeval.errors import InputError, did_you_mean
    from edgeeval.prompts.upstream import IMPORTERS
    from edgeeval.prompts.upstream.catalogue import catalogue

    entries = {one: catalogue()[one.partition(":")[0]] for one in IMPORTERS}
    if name is None:
        rows = [[one, entry.licence, ", ".join(entry.files)] for one, entry in entries.items()]
        click.echo(columns([["name", "licence", "files"], *rows]), nl=False)
    elif name in entries:
        click.echo(entries[name].model_dump_json(indent=1))
    else:
        raise InputError(f"data set {name!r} is unknown{did_you_mean(name, entries)}")
