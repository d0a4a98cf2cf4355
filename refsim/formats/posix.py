"""What refsim needs of the operating system, said in one line where it is not there."""

from __future__ import annotations

import importlib

from refsim.exceptions import RefsimError

MODULES = ("fcntl", "resource")
"""Of the standard library, and not on every platform: locks on files, and limits of a process."""


def require_posix() -> None:
    """Check that this is a system on which refsim can run.

    Raises
    ------
    RefsimError
        It is not.
    """
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            raise RefsimError(
                f"refsim needs a POSIX system (Linux, macOS): it locks files, and reads foreign ones in a process with "
                f"limits, but this Python has no {name}; on Windows use WSL"
            ) from None
