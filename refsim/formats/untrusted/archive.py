"""Zip archives of strangers, whose directories of members can claim as much memory as the file is long."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import IO

MAX_DIRECTORY_BYTES = 4 << 20
"""Of the list of members: some 40,000 of them."""

ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError, OverflowError, RuntimeError,
    ValueError,
)  # fmt: skip
"""What the standard library raises for damaged archives: found by changing bytes, documented nowhere."""

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """The archive in an open file; its members are stored or deflated, as NumPy and PyTorch write them.

    The decoders of bzip2 and LZMA take as much memory as their input asks for.

    Raises
    ------
    One of `ZIP_ERRORS`
        Not an archive, too many members, or members compressed in another way.
    """
    guarded = _Guarded(file)
    archive = zipfile.ZipFile(guarded)
    guarded.most = None
    for info in archive.infolist():
        if info.compress_type not in _COMPRESSIONS:
            raise zipfile.BadZipFile(f"member compressed by method {info.compress_type}; deflate is read")
    return archive


class _Guarded:
    """A file of which at most `most` bytes are read at a time (None: any number)."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close
        self.most: int | None = MAX_DIRECTORY_BYTES

    def read(self, size: int = -1) -> bytes:
        """As the file itself."""
        if self.most is not None and size > self.most:
            raise zipfile.BadZipFile(f"the list of members has {size} bytes, at most {self.most} are read")
        return self._file.read(size)
