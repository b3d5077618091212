"""What a verb works on: a recipe, what stands for one, or files; shared by every verb that asks."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeeval.cli.options import words
from edgeeval.errors import InputError

if TYPE_CHECKING:
    from edgeeval.pipeline import Request
    from edgeeval.recipe import Recipe

_FILE = click.Path(path_type=Path)
_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

BUILD_OPTIONS: list[_Decorator] = [
    click.option(
        "--levels", help="What to build (types, q2-q8, FILE.gguf); of a recipe, only these."
    ),
    click.option("--imatrix", help="Calibration text, `shipped`, or an imatrix file."),
    click.option(
        "--reference-type",
        type=click.Choice(["BF16", "F16", "F32"]),
        help="Unquantized type of the reference.  [default: the recipe's, or BF16]",
    ),
    click.option(
        "--quantized-reference", is_flag=True, help="Accept a reference that is quantized itself."
    ),
    click.option(
        "--converter",
        type=_FILE,
        envvar="EDGEEVAL_CONVERTER",
        help="A llama.cpp checkout whose converter to use.",
    ),
    click.option(
        "--converter-python",
        type=_FILE,
        envvar="EDGEEVAL_CONVERTER_PYTHON",
        help="The interpreter that runs it.",
    ),
    click.option(
        "--keep",
        type=click.Choice(["none", "levels", "all"]),
        default="all",
        show_default=True,
        help="Which built files stay: all; the levels; none.",
    ),
]

MEASURE_OPTIONS: list[_Decorator] = [
    click.option("--reference", help="Unquantized GGUF file; FILES are the levels."),
    click.option(
        "--max-level-files",
        type=click.IntRange(1),
        help="Level files on the disk at one time; with --keep none.",
    ),
    click.option("--suite", help="quick, standard or full.  [default: the recipe's, or quick]"),
    click.option("--policy", help="strict, balanced, lenient, or a YAML file."),
    click.option("--only", help="Only these metrics, by prefix: lm,tasks.accuracy"),
    click.option("--text", type=_FILE, help="Own text for lm.*, laid out as llama-perplexity."),
    click.option("--n-ctx", type=click.IntRange(32), help="Tokens a text window."),
    click.option("--windows", type=click.IntRange(1), help="Windows of --text.  [default: all]"),
    click.option("--prompts", type=_FILE, multiple=True, help="Own prompt set (JSONL)."),
    click.option(
        "--limit", type=click.IntRange(1), help="Items a set, for a trial; marks every output."
    ),
    click.option("--seed", type=int, default=1, show_default=True, help="Seed of sampled texts."),
    click.option(
        "--judge",
        "judges",
        multiple=True,
        help="Judge of harm.*, by name or file; several may be given.  [default: the recipe's]",
    ),
    click.option(
        "--cache-bytes",
        type=click.IntRange(1),
        default=4 << 30,
        show_default=True,
        help="Disk for the reference's log-probabilities.",
    ),
]

targets_argument = click.argument("targets", nargs=-1, metavar="RECIPE | MODEL | FILES...")


def with_options(*options: _Decorator) -> _Decorator:
    """Return a decorator that adds options, in the order given."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def recipe_from(options: dict[str, Any]) -> "Recipe":
    """Return the recipe that a verb's arguments name or stand for.

    Raises:
        InputError: they name none.
    """
    from edgeeval.recipe import recipe_of, recipe_of_files

    targets = options["targets"]
    changes = {
        "imatrix": options["imatrix"],
        "reference_type": options["reference_type"],
        "quantized_reference": options["quantized_reference"],
    }
    if options.get("reference") is not None:
        if not targets:
            raise InputError("--reference: give the levels' GGUF files behind it")
        if options["levels"]:
            raise InputError("--levels belongs to a recipe; with --reference just give the files")
        return recipe_of_files(options["reference"], targets, **changes)
    if len(targets) != 1:
        raise InputError(
            "give one RECIPE or MODEL, or --reference FILE with the levels' GGUF files"
        )
    return recipe_of(targets[0], levels=words(options["levels"]), **changes)


def request_from(options: dict[str, Any]) -> "Request":
    """Return what a verb's arguments and options ask for.

    Raises:
        InputError: they do not fit together.
    """
    from edgeeval.pipeline import Request
    from edgeeval.recipe import is_recipe

    if options.get("windows") and not options.get("text"):
        raise InputError("--windows belongs to --text; a suite's own windows are in its sets")
    recipe = recipe_from(options)
    same_names = (
        "suite policy text n_ctx windows prompts limit seed device judges cache_bytes keep "
        "max_level_files converter converter_python fresh"
    )
    given = {key: options[key] for key in same_names.split() if key in options}
    chosen = options.get("reference") is None and is_recipe(options["targets"][0])
    return Request(
        recipe,
        levels=words(options["levels"]) if chosen else (),
        only=words(options.get("only")),
        n_threads=options["threads"],
        **given,
    )
