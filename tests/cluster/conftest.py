"""The command line and the small weight file, as for the tests of the command line."""

from tests.cli.conftest import refsim, weights

__all__ = ["refsim", "weights"]
