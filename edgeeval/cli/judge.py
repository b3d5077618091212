"""`edgeeval judge`: the local classifiers that score texts."""

import click


@click.group()
def command() -> None:
    """List judges."""


@command.command("list")
def list_judges() -> None:
    """List the judges by name, with what they measure."""
    from edgeeval.judges import DEFAULT_JUDGE, JUDGES, refusal
    from edgeeval.judges.score import describe_judge

    for name in JUDGES:
        info = describe_judge(name)
        default = " (default)" if name == DEFAULT_JUDGE else ""
        click.echo(f"{name}{default}\t{', '.join(info.labels)}\t{info.description}\t{info.id}")
    rules = refusal.describe()  # brought by its scorer; --judge does not change it
    click.echo(f"{rules.name}\t{', '.join(rules.labels)}\t{rules.description}\t{rules.id}")
