"""The one place where files of strangers are opened: regular ones, within a limit, without waiting for anyone.

A named pipe waits for a writer, `/dev/zero` never ends, and a file of 10 GB where a line is expected eats the machine;
a path can lead to any of them, through a link or in a directory that was unpacked. `tests/test_opening.py` looks for
`open` and its kin elsewhere.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from typing import TypeVar

from refsim.exceptions import FormatError
from refsim.formats.untrusted.text import clean

Path = str | os.PathLike[str]
E = TypeVar("E", bound=FormatError)

ANY_SIZE = 1 << 62
"""For files that are read by rows, in bounded memory."""


def open_descriptor(path: Path, *, what: str, most: int = ANY_SIZE, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file of at most `most` bytes.

    Parameters
    ----------
    what
        How to call such a file.
    flags
        As for `os.open`.

    Raises
    ------
    FormatError
        No such file, another kind of file, or a larger one; without the file's name.
    """
    try:
        # Without O_NONBLOCK the opening of a FIFO waits for a writer, for ever.
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    try:
        _check(os.fstat(fd), what, most)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_at(descriptor: int) -> BufferedReader:
    """The file of a descriptor, open to read."""
    return os.fdopen(descriptor, "rb")


def open_file(path: Path, *, what: str, most: int, error: type[E] = FormatError) -> BufferedReader:  # type: ignore[assignment]
    """A regular file of at most `most` bytes, open to read.

    Parameters
    ----------
    what
        How to call such a file.
    error
        The class of the errors.

    Raises
    ------
    FormatError
        As `open_descriptor`, or `error`; the message begins with the file's name.
    """
    try:
        return open_at(open_descriptor(path, what=what, most=most))
    except FormatError as refused:
        raise error(f"{shown(path)}: {refused}") from None


def read_text(path: Path, *, what: str, most: int) -> str:
    """The text of a file in UTF-8, a byte order mark at its beginning left out.

    Raises
    ------
    FormatError
        As `open_file`; not a text in UTF-8.
    """
    with open_file(path, what=what, most=most) as file:
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise FormatError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise FormatError(f"{shown(path)}: grew to more than {most} bytes while it was read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError(f"{shown(path)}: is not a text file (UTF-8)") from None


def require_regular(path: Path, *, what: str, most: int = ANY_SIZE) -> None:
    """Check a file that a library is going to open by its name.

    Raises
    ------
    FormatError
        As `open_file`.
    """
    try:
        _check(os.stat(path), what, most)
    except FormatError as refused:
        raise FormatError(f"{shown(path)}: {refused}") from None
    except (OSError, ValueError) as error:
        raise FormatError(f"{shown(path)}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def shown(path: Path) -> str:
    """A file's name as it is shown."""
    return clean(os.fsdecode(path), None)


def _check(status: os.stat_result, what: str, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise FormatError(f"is {kind}, not a {what}")
    if status.st_size > most:
        raise FormatError(f"has {status.st_size} bytes, {what}s of at most {most} bytes are read")
