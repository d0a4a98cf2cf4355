"""The command line: one module per command, imported only when that command is asked for."""

from refsim.cli.main import main
from refsim.cli.process import start

__all__ = ["main", "start"]
