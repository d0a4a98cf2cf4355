"""Images in an HDF5 file, read by rows; a data set larger than memory is no problem.

HDF5 itself meets the file only in a short-lived child, which says where the data lies (`layout.py`): a damaged image
file can crash libhdf5 as a damaged weight file can. The bytes are then read here, without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from refsim.exceptions import DataError, FormatError
from refsim.formats.images.npz import MAX_ARRAY
from refsim.formats.images.stored import ChunkedArray, Chunks, FileArray, Rows, whole
from refsim.formats.untrusted.content import Array
from refsim.formats.untrusted.limits import FILTERS, MAX_CHUNK_BYTES
from refsim.formats.untrusted.reader import ask_child, placed_arrays
from refsim.formats.untrusted.text import clean

_MOST = 1 << 62
"""Any size: the file is read by rows."""


class HDF5Images:
    """The datasets at the top of a file; links to other files and data outside this one are not followed.

    Raises
    ------
    DataError
        A file that HDF5 cannot read, or can be crashed by.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._where = path, clean(str(path), None)
        try:
            self._datasets: Mapping[str, Rows | str] = ask_child(
                path, "layout", self._parsed, what="data set", most=_MOST
            )
        except FormatError as error:
            raise DataError(f"{self._where}: damaged HDF5 file ({error})") from None

    @property
    def names(self) -> list[str]:
        """The names of the datasets."""
        return list(self._datasets)

    def array(self, name: str) -> Rows:
        """A dataset, of which rows are read when asked for.

        Raises
        ------
        DataError
            It is stored in a way that is not read.
        """
        found = self._datasets[name]
        if isinstance(found, str):
            raise DataError(f"{self._named(name)}: {clean(found, None)}")
        return found

    def read(self, name: str) -> Array:
        """A whole dataset."""
        array = self.array(name)
        if prod(array.shape) * array.dtype.itemsize > MAX_ARRAY:
            raise DataError(f"{self._named(name)}: larger than {MAX_ARRAY >> 30} GiB")
        return whole(array)

    def _named(self, name: str) -> str:
        return f"{self._where}:{clean(name)}"

    def _parsed(self, output: int, index: dict[str, Any]) -> dict[str, Rows | str]:
        """The datasets, or why they are not read, from the child's answer, which may be anything."""
        entries = index["datasets"]
        places = {
            (name, key): entry[key] for name, entry in entries.items() for key in ("data", "index") if key in entry
        }
        arrays = placed_arrays(output, places)
        return {
            name: str(entry["refused"]) if "refused" in entry else self._dataset(name, entry, arrays)
            for name, entry in entries.items()
        }

    def _dataset(self, name: str, entry: dict[str, Any], arrays: Mapping[tuple[str, str], Array]) -> Rows:
        if "data" in entry:
            return arrays[name, "data"]
        dtype, shape = np.dtype(entry["dtype"]), tuple(map(int, entry["shape"]))
        if dtype.kind not in "iufS" or min(shape, default=1) < 1:
            raise ValueError("not an array of plain elements")
        if "offset" in entry:
            return FileArray(self._path, dtype, shape, int(entry["offset"]), self._named(name))
        chunk, filters, (offsets, sizes) = (
            tuple(map(int, entry["chunk"])),
            tuple(entry["filters"]),
            arrays[name, "index"],
        )
        if min(chunk) < 1 or prod(chunk) * dtype.itemsize > MAX_CHUNK_BYTES or max(sizes) > 2 * MAX_CHUNK_BYTES:
            raise ValueError("impossible chunks")
        unknown = [each for each in filters if each not in FILTERS]
        if unknown:
            raise ValueError("unknown filters")
        chunks = Chunks(chunk, filters, offsets, sizes)
        return ChunkedArray(self._path, dtype, shape, chunks, self._named(name))
