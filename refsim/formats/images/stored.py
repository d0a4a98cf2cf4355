"""Arrays in files, read by rows: nothing is mapped, so memory does not grow and a file that shrinks is an error.

Pages of a mapped file count as this process's memory until someone else needs them, and a mapped file that is cut
short while it is read ends the process by SIGBUS.
"""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError, FormatError
from refsim.formats.untrusted.opening import open_descriptor, shown

Array = NDArray[Any]
Indices = NDArray[np.int64]
Shape = tuple[int, ...]

DATA_SET = "data set"
"""How messages call a file of images."""

CACHE_BYTES = 32 << 20
"""Unpacked chunks that are kept: a chunk usually spans several batches."""


class Rows(Protocol):
    """What a NumPy array and an array in a file have in common."""

    @property
    def shape(self) -> Shape:
        """Of the whole array."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its elements."""

    def __len__(self) -> int:
        """Number of rows."""

    def __getitem__(self, rows: Indices, /) -> Array:
        """The rows of these numbers, (n, *shape[1:])."""


def whole(array: Rows) -> Array:
    """All of it, in memory."""
    return array if isinstance(array, np.ndarray) else array[np.arange(len(array))]


def open_to_read(path: Path, owner: object) -> int:
    """A file descriptor that is closed when `owner` is gone.

    Raises
    ------
    DataError
        Not a regular file.
    """
    try:
        fd = open_descriptor(path, what=DATA_SET)
    except FormatError as error:
        raise DataError(f"{shown(path)}: {error}") from None
    weakref.finalize(owner, os.close, fd)
    return fd


class FileArray:
    """An array (N, ...), row after row from byte `offset` of a file on."""

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: Shape, offset: int, where: str) -> None:
        self.dtype, self.shape = dtype, shape
        self._fd = open_to_read(path, self)
        self._offset, self._where = offset, where

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Indices, /) -> Array:
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        size = prod(self.shape[1:]) * self.dtype.itemsize
        raw = out.reshape(-1).view(np.uint8).data
        # One call for each run of neighbours.
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
        for first, last in pairwise([*starts, len(rows)]):
            read_at(self._fd, raw[first * size : last * size], self._offset + int(rows[first]) * size, self._where)
        return out


def read_at(fd: int, out: memoryview, offset: int, where: str) -> None:
    """Fill `out` from byte `offset` of a file on.

    Raises
    ------
    DataError
        The file ends before; `where` begins the message.
    """
    while len(out):
        n = os.preadv(fd, [out], offset)
        if n == 0:
            raise DataError(f"{where}: the file ends early; it was cut short while it was read")
        out, offset = out[n:], offset + n


@dataclass(frozen=True, eq=False)
class Chunks:
    """How HDF5 cut an array into chunks and where they lie.

    shape
        Of one chunk; those at the end of an axis stand out of the array.
    filters
        Of `FILTERS`, in the order in which they were applied.
    offsets, sizes : (number of chunks,) int64
        First byte and bytes of each stored chunk, in row-major order of the grid of chunks.
    """

    shape: Shape
    filters: tuple[str, ...]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


class ChunkedArray:
    """An array (N, ...) in chunks, as HDF5 stores it."""

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: Shape, chunks: Chunks, where: str) -> None:
        self.dtype, self.shape = dtype, shape
        self._fd = open_to_read(path, self)
        self._chunks, self._where = chunks, where
        self._grid = tuple(-(-n // c) for n, c in zip(shape, chunks.shape, strict=True))
        self._cache: OrderedDict[int, Array] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Indices, /) -> Array:
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        blocks = rows // self._chunks.shape[0]
        for block in np.unique(blocks).tolist():
            here = np.flatnonzero(blocks == block)
            inside = rows[here] - block * self._chunks.shape[0]
            for corner in product(*map(range, self._grid[1:])):
                starts = [c * n for c, n in zip(corner, self._chunks.shape[1:])]
                ends = [min(a + n, most) for a, n, most in zip(starts, self._chunks.shape[1:], self.shape[1:])]
                place: Any = (here, *(slice(a, b) for a, b in zip(starts, ends)))
                taken: Any = (inside, *(slice(0, b - a) for a, b in zip(starts, ends)))
                number = int(np.ravel_multi_index((block, *corner), self._grid))
                out[place] = self._chunk(number)[taken]
        return out

    def _chunk(self, number: int) -> Array:
        with self._lock:
            if number in self._cache:
                self._cache.move_to_end(number)
                return self._cache[number]
        chunk = self._unpacked(number)
        with self._lock:
            if number not in self._cache:
                self._cache[number] = chunk
                self._cached += chunk.nbytes
            while self._cached > CACHE_BYTES and len(self._cache) > 1:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
        return chunk

    def _unpacked(self, number: int) -> Array:
        chunks = self._chunks
        data = bytearray(int(chunks.sizes[number]))
        read_at(self._fd, memoryview(data), int(chunks.offsets[number]), self._where)
        try:
            raw = undo(data, chunks.filters, prod(chunks.shape) * self.dtype.itemsize, self.dtype.itemsize)
        except (ValueError, zlib.error) as error:
            raise DataError(f"{self._where}: damaged HDF5 file (chunk {number}: {error})") from None
        return np.frombuffer(raw, self.dtype).reshape(chunks.shape)


def undo(data: bytes | bytearray, filters: tuple[str, ...], size: int, itemsize: int) -> bytes | bytearray:
    """The `size` bytes of a chunk as they were before HDF5's filters; at no time are more than these made.

    Raises
    ------
    ValueError, zlib.error
        Data that the filters do not make of so many bytes.
    """
    for name in reversed(filters):
        match name:
            case "fletcher32":
                if len(data) < 4 or fletcher32(data[:-4]) != int.from_bytes(data[-4:], "little"):
                    raise ValueError("the stored checksum does not match")
                data = data[:-4]
            case "gzip":
                # What gzip was applied to: the chunk, with its checksum if that came before.
                most = size + 4 * ("fletcher32" in filters[: filters.index("gzip")])
                data = zlib.decompressobj().decompress(data, most + 1)
                if len(data) != most:
                    raise ValueError(f"{len(data)} bytes instead of {most}")
            case "shuffle":
                # All first bytes of the elements, then all second ones, ...; a checksum behind stays where it is.
                n = len(data) // itemsize
                planes = np.frombuffer(data, np.uint8, n * itemsize).reshape(itemsize, n)
                data = planes.T.tobytes() + bytes(data[n * itemsize :])
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes instead of {size}")
    return data


def fletcher32(data: bytes | bytearray) -> int:
    """HDF5's checksum: Fletcher's, of 16-bit numbers, the first byte the higher one."""
    if len(data) % 2:
        data = data + b"\0"
    words = np.frombuffer(data, ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64) % np.uint64(65535)
    sums = int(words.sum()), int((words * weights).sum())
    # Folding the carries makes 65535, never 0, of a multiple of 65535.
    low, high = ((each - 1) % 65535 + 1 if each else 0 for each in sums)
    return high << 16 | low
