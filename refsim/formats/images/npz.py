"""Arrays from .npz and .npy files, with every claim of a header checked before memory is spent on it."""

from __future__ import annotations

import ast
import os
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError, FormatError
from refsim.formats.images.stored import DATA_SET, FileArray, Rows
from refsim.formats.untrusted.archive import ZIP_ERRORS, open_zip
from refsim.formats.untrusted.opening import ANY_SIZE, open_file
from refsim.formats.untrusted.text import clean

Array = NDArray[Any]

MAX_ARRAY = 1 << 30
"""Bytes of an array that has to be read into memory; a .npy file or HDF5 may be larger."""

_MAX_HEADER = 10_000


class Npz:
    """The arrays of an .npz file, read one at a time."""

    def __init__(self, path: Path) -> None:
        self._where = clean(str(path), None)
        self._path = path
        try:
            with self._opened() as file, open_zip(file) as archive:
                self._members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        except FormatError:
            raise
        except ZIP_ERRORS as error:
            raise DataError(f"{self._where}: damaged .npz file ({clean(str(error))})") from error

    @property
    def names(self) -> list[str]:
        """The names of the arrays."""
        return list(self._members)

    def read(self, name: str) -> Array:
        """Read one array.

        Raises
        ------
        DataError
            An array of objects, a header that does not fit the member's size, a damaged or too large member.
        """
        where = f"{self._where}:{clean(name, 60)}"
        info = self._members[name]
        if info.file_size > MAX_ARRAY or info.flag_bits & 1:
            raise DataError(
                f"{where}: larger than {MAX_ARRAY >> 30} GiB or encrypted; store the images as .npy or HDF5"
            )
        try:
            with self._opened() as opened, open_zip(opened) as archive, archive.open(info) as file:
                shape, fortran, dtype = _header(file, where)
                left = info.file_size - file.tell()
                if prod(shape) * dtype.itemsize != left:
                    raise DataError(f"{where}: {left} bytes do not fit the shape {shape} of {dtype} in its header")
                data = file.read(left)
        except FormatError:
            raise
        except ZIP_ERRORS as error:
            raise DataError(f"{where}: damaged .npz file ({clean(str(error))})") from error
        if len(data) != left:
            raise DataError(f"{where}: damaged .npz file (member ends early)")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")

    def _opened(self) -> BufferedReader:
        return open_file(self._path, what=DATA_SET, most=ANY_SIZE, error=DataError)


def open_npy(path: Path) -> Rows:
    """Open a .npy file; only the images that are asked for are read.

    Raises
    ------
    DataError
        An array of objects, a header that does not fit the file's size, or columns first in a large file.
    """
    where = clean(str(path), None)
    with open_file(path, what=DATA_SET, most=ANY_SIZE, error=DataError) as file:
        shape, fortran, dtype = _header(file, where)
        start = file.tell()
        left = os.fstat(file.fileno()).st_size - start
        if prod(shape) * dtype.itemsize != left:
            raise DataError(f"{where}: {left} bytes do not fit the shape {shape} of {dtype} in its header")
        if fortran and left > MAX_ARRAY:
            raise DataError(f"{where}: stored column by column; numpy.ascontiguousarray makes rows of it")
        if fortran or left == 0 or not shape:
            return np.frombuffer(file.read(left), dtype, prod(shape)).reshape(shape, order="F" if fortran else "C")
    return FileArray(path, dtype, shape, start, where)


def _header(file: Any, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of a .npy file; NumPy's own reader falls back on guesses, with a warning, for damaged ones."""
    start = file.read(10)
    wide = start[6:8] == b"\x02\x00"
    length = int.from_bytes(start[8:10] + (file.read(2) if wide else b""), "little")
    try:
        if start[:6] != b"\x93NUMPY" or not (wide or start[6:8] == b"\x01\x00") or length > _MAX_HEADER:
            raise ValueError("signature")
        header = ast.literal_eval(file.read(length).decode("latin-1"))
        shape, fortran, description = header["shape"], header["fortran_order"], header["descr"]
        dtype = np.dtype(description)
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("shape")
    except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError) as error:
        raise DataError(f"{where}: not an array of NumPy's format (damaged header)") from error
    if dtype.hasobject or dtype.kind not in "buif":
        raise DataError(f"{where}: holds {clean(str(dtype), 60)}, not numbers; refsim loads no pickled objects")
    return shape, fortran is True, dtype
