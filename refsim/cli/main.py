"""Entry point: finds the command, and ends every failure in one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys

import click

from refsim.cli.failures import DEBUG, explain, noted_warnings, show_traceback
from refsim.cli.hints import unknown_command
from refsim.cli.printing import note, show
from refsim.exceptions import UsageError
from refsim.formats.posix import require_posix
from refsim.formats.untrusted.text import clean

COMMANDS = {
    "run": "Simulate: accuracy at every t <= T, SOPs and energy.",
    "merge": "Add up the parts of a run (run --shard).",
    "errors": "Where the error comes from: clipping, quantization, unevenness, per layer.",
    "report": "Everything about one network, as one page to look at.",
    "plot": "One figure, as a paper prints it.",
    "compare": "Conversion methods side by side: method x T, extra steps charged.",
    "trace": "One neuron's life: who spiked into it, potential, decision, margin, step by step.",
    "diff": "Where two networks, two runs, or refsim and another tool part, and why.",
    "info": "What a weight file holds.",
    "convert": "Checkpoint to weight file.",
    "export": "For other tools: golden vectors for test benches, NIR.",
    "verify": "Check a weight file: checksum, golden replay, engine == specification.",
    "train": "QCFS / NQ training with PyTorch (extra: train).",
}
"""Every command with its line in `refsim --help`; command NAME is the object NAME in refsim/cli/NAME.py."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command runs, so that --help stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"refsim.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            raise unknown_command(clean(name, 40), COMMANDS, ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def show_version(context: click.Context, option: click.Parameter, value: bool) -> None:
    """What a report of a bug should name."""
    if not value or context.resilient_parsing:
        return
    from refsim.reports.versions import Versions

    show(*Versions.here().lines())
    context.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "REFSIM", "max_content_width": 110},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=show_version,
    help="Versions of refsim, its libraries and the processor, and stop.",
)
def cli() -> None:
    """refsim: what a converted spiking network does, exactly; what it costs; where its error comes from."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the status of docs and `refsim.exceptions`.

    Whatever happens, the person sees one line. With REFSIM_DEBUG=1 the traceback comes before it.
    """
    with noted_warnings():
        try:
            require_posix()
            _refuse_nul(sys.argv[1:] if argv is None else argv)
            cli.main(args=argv, prog_name="refsim", standalone_mode=False)
            sys.stdout.flush()
        except click.exceptions.Exit as stop:
            sys.exit(stop.exit_code)
        except BrokenPipeError:
            # The reader of our output has gone (`refsim ... | head`); closing quietly is what it expects.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get(DEBUG):
                show_traceback(error)
            message, code = explain(error)
            note(f"refsim: {message}")
            sys.exit(code)


def _refuse_nul(arguments: list[str]) -> None:
    """No file, and nothing else, has a name with NUL in it; what is asked about one raises what it likes."""
    for each in arguments:
        if "\0" in each:
            raise UsageError(f"an argument holds the character NUL: {each}")
