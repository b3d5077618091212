"""`edgeeval judge`: the local classifiers that score texts."""

from pathlib import Path

import click

from edgeeval.cli.options import quiet_option, talker, words, workspace_option


@click.group()
def command() -> None:
    """Build and list the local classifiers that score texts."""


@command.command("list")
@workspace_option
def list_judges(workspace: Path) -> None:
    """List the judges by name, with what they measure."""
    from edgeeval.errors import InputError
    from edgeeval.judges import DEFAULT_JUDGE, refusal
    from edgeeval.judges.find import find_judge, judge_names
    from edgeeval.store import Workspace

    kept = Workspace(workspace)
    infos = []
    for name in judge_names(kept):
        try:
            infos.append(find_judge(name, kept).info)
        except InputError as error:  # one broken file does not hide the others
            click.echo(f"edgeeval: {error}", err=True)
    infos.append(refusal.describe())  # brought by its scorer; --judge does not change it
    for info in infos:
        default = " (default)" if info.name == DEFAULT_JUDGE else ""
        click.echo(f"{info.name}{default}\t{', '.join(info.labels)}\t{info.description}\t{info.id}")


@command.command("build")
@click.argument("source", metavar="NAME|FOLDER")
@click.option(
    "--type",
    "file_type",
    type=click.Choice(["F32", "F16", "Q8_0"]),
    default="F16",
    show_default=True,
    help="How the weights are stored.",
)
@click.option("--labels", help="A,B,…: what its outputs are, in order, where its files do not say.")
@click.option("--activation", type=click.Choice(["sigmoid", "softmax"]), help="Likewise.")
@click.option("--primary", help="The label that speaks for the judge where one number is wanted.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there, not into the workspace; --judge takes the file.",
)
@workspace_option
@quiet_option
def build(
    source: str,
    file_type: str,
    labels: str | None,
    activation: str | None,
    primary: str | None,
    output: Path | None,
    workspace: Path,
    quiet: bool,
) -> None:
    """Make a judge of a classifier: of one that was fetched by NAME, or of a FOLDER.

    FOLDER holds config.json, a tokenizer and model.safetensors, pytorch_model.bin or Detoxify's own
    .ckpt, of a BERT, RoBERTa or XLM-RoBERTa. The judge is held against PyTorch before it is kept.
    """
    from edgeeval.judges.build import build_judge, comparison, find_source
    from edgeeval.judges.checkpoint import Wishes
    from edgeeval.judges.gguf_file import read_judge_file
    from edgeeval.store import Workspace

    kept = Workspace(workspace)
    with kept.locked():
        wishes = Wishes(words(labels), activation, primary)
        judge = build_judge(
            kept,
            find_source(kept, source, wishes),
            file_type=file_type,
            target=output,
            progress=talker(quiet),
        )
    path = Path(judge.arguments["path"])
    click.echo(f"{judge.info.name}\t{', '.join(judge.info.labels)}\t{path}")
    click.echo(comparison(read_judge_file(path)), err=True)
