"""IDX files of unsigned bytes (MNIST, Fashion-MNIST), plain or gzip-compressed."""

from __future__ import annotations

import gzip
import os
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from refsim.exceptions import DataError
from refsim.formats.images.stored import DATA_SET, FileArray, Rows
from refsim.formats.untrusted.opening import ANY_SIZE, open_file
from refsim.formats.untrusted.text import clean

MAX_INFLATED = 1 << 30
GZIP = b"\x1f\x8b"


def is_idx(path: Path, head: bytes) -> bool:
    """Whether the file is an IDX file of bytes, or a gzip file named like one."""
    return head[:3] == b"\0\0\x08" or (head[:2] == GZIP and "idx" in path.name.lower())


def read_idx(path: Path, ndim: int) -> Rows:
    """An array of unsigned bytes with `ndim` axes; of a plain file the rows are read when they are asked for.

    Raises
    ------
    DataError
        Another kind of file, another number of axes, or more or fewer bytes than the header says.
    """
    where = clean(str(path), None)
    with open_file(path, what=DATA_SET, most=ANY_SIZE, error=DataError) as plain:
        stored = os.fstat(plain.fileno()).st_size
        compressed = plain.read(2) == GZIP
        plain.seek(0)
        try:
            file: Any = gzip.GzipFile(fileobj=plain) if compressed else plain
            header = file.read(4 + 4 * ndim)
            if len(header) < 4 + 4 * ndim or header[:3] != b"\0\0\x08" or header[3] != ndim:
                raise DataError(f"{where}: not an IDX file of unsigned bytes with {ndim} axes")
            shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(4, len(header), 4))
            size = prod(shape)
            if not compressed:
                _check_size(stored - len(header), size, where)
                if size == 0:
                    return np.zeros(shape, np.uint8)
                return FileArray(path, np.dtype(np.uint8), shape, len(header), where)
            # Deflate cannot shrink data by more than this; a claim beyond it need not be tried.
            if size > min(MAX_INFLATED, 1100 * stored):
                raise DataError(f"{where}: the header claims {size} bytes, more than the file can hold")
            data = file.read(size + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{where}: truncated or damaged gzip file ({clean(str(error))})") from error
    _check_size(len(data), size, where)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _check_size(actual: int, expected: int, where: str) -> None:
    if actual != expected:
        more = "more" if actual > expected else "fewer"
        raise DataError(f"{where}: {more} bytes than the {expected} its header promises")


def labels_beside(images: Path) -> Path | None:
    """The file of labels that belongs to a file of images, by the usual names."""
    name = images.name.removesuffix(".gz")
    for old, new in (("images-idx3", "labels-idx1"), ("images.idx3", "labels.idx1"), ("images", "labels")):
        if old in name:
            for candidate in (name.replace(old, new), name.replace(old, new) + ".gz"):
                if (images.parent / candidate).is_file():
                    return images.parent / candidate
    return None


def images_in(folder: Path, split: str) -> Path | None:
    """The file of test or training images in a folder, by the usual names."""
    prefix = "t10k" if split == "test" else "train"
    for stem in (f"{prefix}-images-idx3-ubyte", f"{prefix}-images.idx3-ubyte"):
        for name in (stem, f"{stem}.gz"):
            if (folder / name).is_file():
                return folder / name
    return None
