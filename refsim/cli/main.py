"""Entry point: finds the command, and turns every error into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys

import click

from refsim.cli.hints import unknown_command
from refsim.exceptions import RefsimError
from refsim.formats.posix import require_posix
from refsim.formats.untrusted.text import clean

COMMANDS = {
    "run": "Simulate: accuracy at every t <= T, SOPs and energy.",
    "merge": "Add up the parts of a run (run --shard).",
    "errors": "Where the error comes from: clipping, quantization, unevenness, per layer.",
    "report": "Everything about one network, as one page to look at.",
    "plot": "One figure, as a paper prints it.",
    "compare": "Conversion methods side by side: method x T, extra steps charged.",
    "info": "What a weight file holds.",
    "convert": "Checkpoint to weight file.",
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

    click.echo("\n".join(Versions.here().lines()))
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
    """Run the command line and exit with the status of docs and `refsim.exceptions`."""
    try:
        require_posix()
        cli.main(args=argv, prog_name="refsim", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        _fail("interrupted", 130)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RefsimError as error:
        _fail(": ".join([*getattr(error, "__notes__", ()), str(error)]), error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone (`refsim ... | head`); closing quietly is what it expects.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except MemoryError:
        _fail("out of memory; a smaller --batch needs less", 1)
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {error.strerror or error}", 1)


def _fail(message: str, code: int) -> None:
    click.echo(f"refsim: {message}", err=True)
    sys.exit(code)
