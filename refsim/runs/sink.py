"""A file for the HDF5 library that never fails: an error is kept until the library can be left in good order.

On a full disk libhdf5 fails to write what it must write to close, prints its stack of errors or ends the process with
SIGSEGV. So it writes through an object of Python. After the first error that object takes what comes into memory, the
caller asks it for the error between two batches, and the file is closed as if all were well, and thrown away.
"""

from __future__ import annotations

import os
from io import BufferedRandom

_BLOCK = 1 << 12


class Sink:
    """What h5py asks of a file object, over `file`."""

    def __init__(self, file: BufferedRandom) -> None:
        self._fd = file.fileno()
        self._at = self._size = 0
        self._late: dict[int, bytearray] = {}
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the first error of writing, if there was one."""
        if self.error is not None:
            raise self.error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The byte that is next."""
        return self._at

    def write(self, data: memoryview) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.error is None:
            try:
                done += os.pwrite(self._fd, view[done:], self._at + done)
            except OSError as error:
                self.error = error
        if done < len(view):
            self._keep(view[done:], self._at + done)
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def readinto(self, out: memoryview) -> int:
        """Fill `out`; behind the end there are zeros."""
        view = memoryview(out).cast("B")
        data = os.pread(self._fd, len(view), self._at)
        view[:] = data.ljust(len(view), b"\0")
        for block in range(self._at // _BLOCK, (self._at + len(view) - 1) // _BLOCK + 1 if self._late else 0):
            if block in self._late:
                start, end = max(block * _BLOCK, self._at), min((block + 1) * _BLOCK, self._at + len(view))
                kept = self._late[block][start - block * _BLOCK : end - block * _BLOCK]
                view[start - self._at : end - self._at] = kept
        self._at += len(view)
        return len(view)

    def read(self, n: int) -> bytes:
        """The next n bytes; having this is how h5py tells a file from a name."""
        out = bytearray(n)
        self.readinto(memoryview(out))
        return bytes(out)

    def truncate(self, size: int) -> int:
        """Set the length."""
        if self.error is None:
            try:
                os.ftruncate(self._fd, size)
            except OSError as error:
                self.error = error
        self._size = size
        return size

    def flush(self) -> None:
        """Nothing is kept back."""

    def _keep(self, data: memoryview, at: int) -> None:
        """Keep in memory what the disk did not take, by blocks that begin as the disk has them."""
        while len(data):
            block, start = divmod(at, _BLOCK)
            if block not in self._late:
                self._late[block] = bytearray(os.pread(self._fd, _BLOCK, block * _BLOCK).ljust(_BLOCK, b"\0"))
            n = min(len(data), _BLOCK - start)
            self._late[block][start : start + n] = data[:n]
            data, at = data[n:], at + n
