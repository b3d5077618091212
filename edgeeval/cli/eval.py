"""`edgeeval eval`: the whole flow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeeval.cli.options import (
    device_option,
    json_option,
    quiet_option,
    talker,
    threads_option,
    words,
    workspace_option,
)
from edgeeval.errors import EXIT_INCOMPLETE, InputError

if TYPE_CHECKING:
    from edgeeval.pipeline import Request
    from edgeeval.records import Results

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("targets", nargs=-1, metavar="RECIPE | FILES...")
@click.option("--reference", type=_FILE, help="Unquantized GGUF file; FILES are the levels.")
@click.option("--quantized-reference", is_flag=True, help="Accept a quantized --reference.")
@click.option("--suite", help="quick, standard or full.  [default: the recipe's, or quick]")
@click.option("--policy", help="strict, balanced, lenient, or a YAML file.")
@click.option("--levels", help="Only these of the recipe's levels: Q8_0,Q4_K_M")
@click.option("--only", help="Only these metrics, by prefix: lm,tasks.accuracy")
@click.option("--text", type=_FILE, help="Own text for lm.*, laid out as llama-perplexity does.")
@click.option("--n-ctx", type=click.IntRange(32), help="Tokens a text window.")
@click.option("--windows", type=click.IntRange(1), help="Windows of --text.  [default: all]")
@click.option("--prompts", type=_FILE, multiple=True, help="Own prompt set (JSONL).")
@click.option(
    "--limit", type=click.IntRange(1), help="Items a set, for a trial; marks every output."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of sampled texts.")
@click.option("--judge", help="Judge of harm.*.")
@click.option(
    "--cache-bytes",
    type=click.IntRange(1),
    default=4 << 30,
    show_default=True,
    help="Disk for the reference's log-probabilities.",
)
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Reports go here.")
@click.option("--fresh", is_flag=True, help="Measure again what is in the workspace.")
@threads_option
@device_option
@workspace_option
@json_option
@quiet_option
def command(**options: Any) -> None:
    """Measure every level of RECIPE (a name or a YAML file), or of FILES against --reference.

    Goes on where an earlier call was stopped. Exit code 0: every level was measured; 4: a level was
    lost; 1: the reference could not be measured; 2: bad input.
    """
    from edgeeval.pipeline import evaluate, results_dir
    from edgeeval.report import write_report
    from edgeeval.store import Workspace

    workspace = Workspace(options["workspace"])
    request = _request(options)
    results = evaluate(request, workspace, talker(options["quiet"]))
    folder = options["output"] or results_dir(request, workspace)
    paths = [folder / name for name in ("report.html", "report.md", "results.json")]
    for path in paths:
        write_report(results, path)
    _print(results, paths, options["as_json"], options["quiet"])
    if any(level.status == "lost" for level in results.levels):
        raise SystemExit(EXIT_INCOMPLETE)


def _request(options: dict[str, Any]) -> "Request":
    from edgeeval.pipeline import Request
    from edgeeval.recipe import load_recipe

    targets, reference = options["targets"], options["reference"]
    shared = {
        "suite": options["suite"],
        "policy": options["policy"],
        "only": words(options["only"]),
        "text": options["text"],
        "n_ctx": options["n_ctx"],
        "windows": options["windows"],
        "prompts": options["prompts"],
        "limit": options["limit"],
        "seed": options["seed"],
        "n_threads": options["threads"],
        "device": options["device"],
        "judge": options["judge"],
        "cache_bytes": options["cache_bytes"],
        "fresh": options["fresh"],
    }
    if options["windows"] and not options["text"]:
        raise InputError("--windows belongs to --text; a suite's own windows are in its sets")
    if reference is not None:
        if not targets:
            raise InputError("--reference: give the levels' GGUF files behind it")
        if options["levels"]:
            raise InputError("--levels belongs to a recipe; with --reference just give the files")
        return Request(
            name=reference.stem,
            reference=reference,
            files=tuple(Path(target) for target in targets),
            allow_quantized_reference=options["quantized_reference"],
            **shared,
        )
    if len(targets) != 1:
        raise InputError("give one RECIPE, or --reference FILE with the levels' GGUF files")
    recipe = load_recipe(targets[0])
    return Request(name=recipe.name, recipe=recipe, levels=words(options["levels"]), **shared)


def _print(results: "Results", paths: list[Path], as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(paths[-1].read_text(encoding="utf-8"), nl=False)
        return
    from rich.console import Console

    from edgeeval.report.table import print_summary

    if not quiet:
        click.echo(err=True)
    print_summary(results, Console())
    for path in paths:
        click.echo(path)
