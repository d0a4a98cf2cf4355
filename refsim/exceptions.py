"""The errors refsim raises; each says where, what was found, what was expected and what to do.

Every class derives from `RefsimError` and from the builtin it refines. `exit_code` is the status with
which the command line ends.
"""


class RefsimError(Exception):
    """Base of all errors that refsim raises on purpose."""

    exit_code = 1


class UsageError(RefsimError, ValueError):
    """An option or argument that cannot be used."""

    exit_code = 2


class NetworkError(RefsimError, ValueError):
    """A network description that does not fit together or is outside what refsim simulates."""

    exit_code = 3


class FormatError(RefsimError, ValueError):
    """A file that is corrupt, foreign or of an unsupported kind."""

    exit_code = 3


class DataError(FormatError):
    """Images or labels that cannot be used with the network."""


class InterruptedRunError(RefsimError):
    """The person at the keyboard stopped the run; what was finished is kept where there is a run directory."""

    exit_code = 130


class CheckFailedError(RefsimError, AssertionError):
    """A check the user asked for (`verify`, `--min-accuracy`) did not hold."""

    exit_code = 4
