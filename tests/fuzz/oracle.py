"""What a reader may do with bytes, and what not."""

from __future__ import annotations

import faulthandler
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refsim.exceptions import RefsimError

Read = Callable[[Path], Any]


class Finding(AssertionError):
    """A reader did something else than its two duties."""


def outcome(read: Read, path: Path) -> str:
    """Let a reader have the file: "valid", or the line it was refused with.

    Raises
    ------
    Finding
        Another exception or a warning; a message of several lines or with characters a terminal would obey.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except RefsimError as error:
        line = ": ".join([*getattr(error, "__notes__", ()), str(error)])
        if not line or not line.isprintable() or len(line) > 2000:
            raise Finding(f"the message is not one clean line: {line[:2000]!r}") from error
        return line
    except Exception as error:
        raise Finding(f"{type(error).__name__}: {error}") from error
    return "valid"


def contained(read: Read) -> Read:
    """A reader whose work refsim leaves to a child process, so that a signal may end it: tried in a fork first."""

    def guarded(path: Path) -> Any:
        pid = os.fork()
        if pid == 0:
            # That of pytest would print a traceback among the dots.
            faulthandler.disable()
            try:
                read(path)
            except BaseException:
                os._exit(1)
            os._exit(0)
        if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
            read(path)

    return guarded
