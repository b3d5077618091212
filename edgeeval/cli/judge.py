"""`edgeeval judge`: the local classifiers that score texts, and how wrong they are."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeeval.cli.options import json_option, quiet_option, talker, words, workspace_option

if TYPE_CHECKING:
    from edgeeval.judges.labelled import Layout

_PROBLEMS_SHOWN = 5


@click.group()
def command() -> None:
    """Build and list the local classifiers that score texts, or check one on labelled texts."""


@command.command("list")
@workspace_option
def list_judges(workspace: Path) -> None:
    """List the judges by name, with what they measure and what is known of their error."""
    from edgeeval.judges import DEFAULT_JUDGE
    from edgeeval.judges.find import find_judge, judge_names
    from edgeeval.judges.floors import with_floors
    from edgeeval.report.format import floor_text
    from edgeeval.store import Workspace

    kept = Workspace(workspace)
    for name in judge_names(kept):
        info = with_floors(kept, find_judge(name, kept).info)
        default = " (default)" if info.name == DEFAULT_JUDGE else ""
        click.echo(f"{info.name}{default}\t{', '.join(info.labels)}\t{info.description}\t{info.id}")
        for floor in info.floors:
            click.echo(f"  {floor_text(floor)}")
        if not info.floors:
            click.echo(f"  its error is unknown: edgeeval judge check {info.name} --data FILE")


@command.command("check")
@click.argument("judge")
@click.option(
    "--data",
    "data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    required=True,
    help="Labelled texts, .csv or .jsonl; several files of one layout count as one.",
)
@click.option("--text-column", help="Column of the text; `a.b` lies inside `a`.")
@click.option("--label-column", help="Column of the label; `a+b` adds two numbers.")
@click.option("--positive", help="Label values that count, by commas; or a comparison: '>=0.5'.")
@click.option("--group-column", multiple=True, help="Rates are shown by this column too.")
@click.option("--label", default="", help="The judge's label to check.  [default: its main one]")
@click.option(
    "--tau",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="A text is flagged at or above it.",
)
@click.option("--held-out", default="", help="Take the half whose hash of this column is odd.")
@click.option("--dialects", is_flag=True, help="Judge the dialect pairs of the prompt sets too.")
@workspace_option
@quiet_option
@json_option
def check(
    judge: str,
    data: tuple[Path, ...],
    text_column: str | None,
    label_column: str | None,
    positive: str | None,
    group_column: tuple[str, ...],
    label: str,
    tau: float,
    held_out: str,
    dialects: bool,
    workspace: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure how wrong JUDGE is on texts that people labelled, and keep it for every report.

    HateCheck, ToxiGen's annotated file, RealToxicityPrompts and XSTest's completions are known by
    their columns; name the columns of any other file.
    """
    from edgeeval.cli.judge_view import show
    from edgeeval.errors import one_line
    from edgeeval.judges.check import Question, check_judge
    from edgeeval.judges.find import find_judge
    from edgeeval.judges.floors import keep_check
    from edgeeval.store import Workspace

    layout = _layout(text_column, label_column, positive, group_column)
    kept = Workspace(workspace)
    found = find_judge(judge, kept)
    with kept.locked():
        question = Question(data, layout, label, tau, held_out, dialects)
        done = check_judge(kept, found, question, talker(quiet))
        document = done.document()
        keep_check(kept, found.info.id, document)
    problems = done.labelled.problems
    for problem in problems[:_PROBLEMS_SHOWN]:
        click.echo(one_line(f"{problem.where}: {problem.reason}"), err=True)
    if len(problems) > _PROBLEMS_SHOWN:
        click.echo(f"… and {len(problems) - _PROBLEMS_SHOWN} more", err=True)
    for word in done.labelled.unseen:
        click.echo(one_line(f"no row has the label {word}"), err=True)
    if as_json:
        click.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        show(done)


def _layout(
    text: str | None, label: str | None, positive: str | None, groups: tuple[str, ...]
) -> "Layout | None":
    """Return the columns that were named, or None for a layout that is known by its columns."""
    from edgeeval.judges.labelled import Layout

    if text and label and positive:
        return Layout(text, label, positive, groups)
    if text or label or positive or groups:
        raise click.UsageError(
            "--text-column, --label-column and --positive go together; without them the layout is "
            "known by the file's columns"
        )
    return None


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
