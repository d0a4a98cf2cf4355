"""The command line: one module per command, imported only when that command is asked for."""

from refsim.cli.main import main

__all__ = ["main"]
