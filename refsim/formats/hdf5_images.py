"""Images in an HDF5 file, read by rows; a data set larger than memory is no problem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.errors import DataError
from refsim.formats.image_sources import Indices, image_kind
from refsim.formats.text import clean

# Before the import: an HDF5 plugin is a shared library that runs code. "::" switches the search off.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"

import h5py

Array = NDArray[Any]


class HDF5Images:
    """The datasets at the top of a file; links to other files and data outside this one are not followed."""

    def __init__(self, path: Path) -> None:
        self._where = clean(str(path), None)
        with _damage_named(self._where):
            self._file = h5py.File(path, "r")
            hard = [name for name in self._file if isinstance(self._file.get(name, getlink=True), h5py.HardLink)]
            self.names = [name for name in hard if isinstance(self._file[name], h5py.Dataset)]

    def source(self, name: str) -> HDF5Source:
        """Images that are read when asked for."""
        return HDF5Source(self._inside(name), f"{self._where}:{clean(name)}")

    def read(self, name: str) -> Array:
        """A whole dataset."""
        with _damage_named(self._where):
            return np.asarray(self._inside(name))

    def _inside(self, name: str) -> Any:
        with _damage_named(self._where):
            dataset = self._file[name]
            outside = dataset.is_virtual or dataset.external
        if outside:
            raise DataError(f"{self._where}:{clean(name)}: data in other files is not followed")
        return dataset


class HDF5Source:
    """Images in one dataset."""

    def __init__(self, dataset: Any, where: str) -> None:
        self.shape, self.is_raw = image_kind(dataset.dtype, dataset.shape, where)
        self._dataset = dataset
        self._where = where

    def __len__(self) -> int:
        return int(self._dataset.shape[0])

    def __getitem__(self, indices: Indices, /) -> Array:
        # HDF5 selects rows in increasing order and each once.
        rows, places = np.unique(indices, return_inverse=True)
        if not len(rows):
            return np.zeros((0, *self.shape), np.uint8 if self.is_raw else np.float64)
        try:
            if rows[-1] - rows[0] + 1 == len(rows):
                found = self._dataset[int(rows[0]) : int(rows[-1]) + 1]
            else:
                found = self._dataset[rows]
        except (OSError, RuntimeError) as error:
            raise DataError(f"{self._where}: damaged file (images {rows[0]} to {rows[-1]} cannot be read)") from error
        images: Array = np.asarray(found)[places].reshape(len(indices), *self.shape)
        return images if self.is_raw else images.astype(np.float64)


@contextmanager
def _damage_named(where: str) -> Iterator[None]:
    """Turn what libhdf5 raises into one line."""
    try:
        yield
    except DataError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: damaged HDF5 file ({clean(str(error))})") from error
