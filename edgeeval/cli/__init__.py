"""The command line: one thin file a verb. Each parses its options and calls one function.

Only click is imported before a verb is known, so `edgeeval --help` answers at once. stdout is data,
stderr is talk.
"""

import importlib
import sys
from typing import Any

import click

from edgeeval import __version__
from edgeeval.errors import EXIT_ERROR, EXIT_INTERRUPTED, EdgeevalError, explain_os_error

VERBS = {
    "eval": "Measure every level of a recipe (or of given files), compare and recommend.",
    "gate": "Say by the exit code whether a level may be shipped, for a CI job.",
    "plan": "Say what eval would fetch, build, take and show; run nothing.",
    "fetch": "Get what only the network has: models, judges, the converter. No other verb uses it.",
    "quantize": "Build a recipe's reference and levels, and say what they hold.",
    "bundle": "Run a reference here, for machines that cannot hold its model.",
    "report": "Write reports from a results.json.",
    "compare": "Put two evaluations side by side: what differs, and what is told apart.",
    "verify": "Derive a results.json again from the journals, and say what differs.",
    "inspect": "Say what GGUF files really hold, and how they differ.",
    "recipes": "List the recipes that come with edgeeval.",
    "prompts": "List prompt sets and suites, show one, or import a published data set.",
    "judge": "Build, check and list the local classifiers that score texts.",
    "doctor": "Check the installation, and give a fix with each failure.",
    "clean": "Delete what can be made again.",
    "worker": "Do one job of another edgeeval process (not for people).",
}
"""Verb -> what it does; the module has the verb's name, the command is its `command`."""


class _Verbs(click.Group):
    """Load a verb's module when the verb is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"edgeeval.cli.{cmd_name}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from edgeeval.errors import did_you_mean

            raise click.UsageError(f"no such verb {args[0]!r}{did_you_mean(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgeeval")
def edgeeval() -> None:
    """Which GGUF quantization level of a model can I ship, and what does it cost?

    \b
      edgeeval fetch smollm2-135m
      edgeeval eval smollm2-135m --suite quick
      edgeeval eval --reference F16.gguf Q8_0.gguf Q4_K_M.gguf
    """  # noqa: D301 (click wants the backspace itself)


def main() -> None:
    """Run the command line: every expected failure is one line and its exit code."""
    try:
        sys.exit(edgeeval(standalone_mode=False))
    except click.exceptions.Abort:
        _say_interrupted()
    except KeyboardInterrupt:
        _say_interrupted()
    except click.ClickException as error:
        _say_usage(error)
        sys.exit(error.exit_code)
    except EdgeevalError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(EXIT_ERROR)
    except OSError as error:
        _complain(explain_os_error(error))
        sys.exit(EXIT_ERROR)


def _complain(message: str) -> None:
    from edgeeval.errors import one_line  # names in it may come from a stranger's file

    click.echo(f"edgeeval: {one_line(message)}", err=True)


def _say_usage(error: click.ClickException) -> None:
    message = error.format_message()
    if "\n" in message:  # a verb without its arguments: the help itself
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" (see {context.command_path} --help)" if context else ""
    _complain(message.removesuffix(".") + hint)


def _say_interrupted() -> None:
    click.echo(
        "\nedgeeval: interrupted; finished blocks are kept: run the same command to go on", err=True
    )
    sys.exit(EXIT_INTERRUPTED)
