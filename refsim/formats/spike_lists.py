"""Spikes as lists, in the files of other tools: a row for each spike, with its layer, step and neuron."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError
from refsim.formats.untrusted.opening import read_text, require_regular
from refsim.formats.untrusted.text import clean

Array = NDArray[Any]
Counts = NDArray[np.int64]

REQUIRED = ("layer", "t", "neuron")
OPTIONAL = ("sign", "image")

MOST_BYTES = 1 << 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """Spikes of one layer: columns of equal length.

    image, t, neuron, sign : (K,) int64, with t from 1, the neuron's flat index, sign -1 or 1
    """

    image: Counts
    t: Counts
    neuron: Counts
    sign: Counts

    @classmethod
    def of(cls, spikes: Array) -> Events:
        """Of dense spikes (T, N, *shape)."""
        flat = spikes.reshape(*spikes.shape[:2], -1)
        t, image, neuron = np.nonzero(flat)
        return cls(image=image, t=t + 1, neuron=neuron, sign=flat[t, image, neuron].astype(np.int64))

    def __len__(self) -> int:
        return len(self.t)


def read_spike_lists(path: Path) -> dict[str, Events]:
    """Spikes by layer from an npz, HDF5 or CSV file with the columns layer, t, neuron, and if there, sign and image.

    Layers are names or numbers from 1; without `sign` all spikes are +1, without `image` all are of image 0.

    Raises
    ------
    FormatError
        Another kind of file, a column that is missing or is no list of whole numbers, a sign that is not -1 or 1.
    """
    readers: dict[str, Callable[[Path], Mapping[str, Array]]] = {
        ".csv": _from_csv,
        ".npz": _from_npz,
        ".h5": _from_hdf5,
        ".hdf5": _from_hdf5,
    }
    name = clean(str(path), None)
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise FormatError(f"{name}: spikes are read from .npz, .h5 and .csv files")
    require_regular(path, what="list of spikes", most=MOST_BYTES)
    columns = reader(path)
    missing = [key for key in REQUIRED if key not in columns]
    if missing:
        raise FormatError(
            f"{name}: has no column '{missing[0]}'; a list of spikes has layer, t, neuron, and may have sign, image"
        )
    layers = np.array([each.decode() if isinstance(each, bytes) else str(each) for each in columns["layer"].ravel()])
    numbers = {key: _whole(name, key, columns[key], len(layers)) for key in ("t", "neuron")}
    numbers["sign"] = _whole(name, "sign", columns.get("sign", np.ones(len(layers), dtype=np.int64)), len(layers))
    numbers["image"] = _whole(name, "image", columns.get("image", np.zeros(len(layers), dtype=np.int64)), len(layers))
    for key, least in (("t", 1), ("neuron", 0), ("image", 0)):
        if len(layers) and numbers[key].min() < least:
            raise FormatError(f"{name}: {key} is counted from {least}, got {numbers[key].min()}")
    if not np.isin(numbers["sign"], (-1, 1)).all():
        raise FormatError(f"{name}: sign must be -1 or 1, got {numbers['sign'][~np.isin(numbers['sign'], (-1, 1))][0]}")
    return {
        str(layer): Events(**{key: values[layers == layer] for key, values in numbers.items()})
        for layer in dict.fromkeys(layers.tolist())
    }


def _whole(name: str, key: str, values: Array, n: int) -> Counts:
    values = np.asarray(values)
    if values.shape != (n,) or values.dtype.kind not in "iuf" or (values != np.rint(values)).any():
        raise FormatError(f"{name}: column '{key}' must be {n} whole numbers, one for each spike")
    return values.astype(np.int64)


def _from_csv(path: Path) -> Mapping[str, Array]:
    try:
        rows = csv.reader(read_text(path, what="list of spikes", most=MOST_BYTES).splitlines())
        head = [each.strip() for each in next(rows, [])]
        table = [row for row in rows if row]
    except csv.Error as error:
        raise FormatError(f"{clean(str(path), None)}: not a table of text ({error})") from None
    columns: dict[str, Array] = {}
    for number, key in enumerate(head):
        if key in REQUIRED + OPTIONAL:
            try:
                cells = [row[number] for row in table]
                columns[key] = np.array(cells) if key == "layer" else np.array(cells, dtype=np.int64)
            except (ValueError, IndexError, OverflowError):
                raise FormatError(f"{clean(str(path), None)}: column '{key}' is not complete, or no numbers") from None
    return columns


def _from_npz(path: Path) -> Mapping[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in REQUIRED + OPTIONAL if key in file.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise FormatError(f"{clean(str(path), None)}: not an npz archive of plain arrays ({error})") from None


def _from_hdf5(path: Path) -> Mapping[str, Array]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return {key: file[key][()] for key in REQUIRED + OPTIONAL if isinstance(file.get(key), h5py.Dataset)}
    except OSError as error:
        raise FormatError(f"{clean(str(path), None)}: not an HDF5 file ({error})") from None
