"""One writer for a run directory, or any number of readers; the kernel lets go of the lock when a process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from refsim.exceptions import FormatError, RefsimError, UsageError
from refsim.formats.untrusted.opening import open_descriptor, shown

NAME = "lock"


class Lock:
    """Held from construction until `release`.

    Raises
    ------
    UsageError
        Another process holds it.
    FormatError
        What is there is no lock.
    RefsimError
        The file system has no locks.
    """

    def __init__(self, directory: Path, *, exclusive: bool) -> None:
        # NFS wants a descriptor open for writing for an exclusive lock, read-only media cannot give one.
        flags = os.O_RDWR | os.O_CREAT if exclusive else os.O_RDONLY
        self._fd = -1
        if not exclusive and not os.path.lexists(directory / NAME):
            # A copied run.db has no lock beside it, and no writer either.
            return
        try:
            fd = open_descriptor(directory / NAME, what="lock", flags=flags)
        except FormatError as error:
            raise FormatError(f"{shown(directory / NAME)}: {error}") from None
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise UsageError(f"{directory}: another run is writing to it") from None
        except OSError as error:
            os.close(fd)
            raise RefsimError(
                f"{directory}: its file system has no locks ({error.strerror}); choose another place"
            ) from None
        self._fd = fd

    def release(self) -> None:
        """Let others in; the file stays, since removing it would let two processes lock two files of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
