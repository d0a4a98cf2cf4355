"""Opening what a stranger calls a file."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from refsim.exceptions import FormatError
from refsim.formats.untrusted.text import clean


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file to read.

    Raises
    ------
    FormatError
        It is none, or cannot be opened.
    """
    try:
        # Without O_NONBLOCK opening a named pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FormatError(f"{clean(str(path), None)}: cannot be opened: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FormatError(f"{clean(str(path), None)}: not a regular file")
    return os.fdopen(descriptor, "rb")
