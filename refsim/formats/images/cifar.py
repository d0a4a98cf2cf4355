"""CIFAR-10 and CIFAR-100 as their authors publish them: binary records, or pickled batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError
from refsim.formats.images.stored import FileArray, Rows
from refsim.formats.untrusted.numpy_pickle import PickledArray, numpy_globals
from refsim.formats.untrusted.opening import open_file
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import Budget, unpickle

Array = NDArray[Any]
Labels = NDArray[np.int64]

PIXELS = 3 * 32 * 32
MAX_PICKLE = 1 << 30

TEST = ("test_batch.bin", "test.bin", "test_batch", "test")
TRAIN = ("data_batch_1.bin", "train.bin", "data_batch_1", "train")


def batches_in(folder: Path, split: str) -> list[Path]:
    """The files of one split in a folder of CIFAR archives; empty if it is none."""
    for name in TEST if split == "test" else TRAIN:
        if (folder / name).is_file():
            if not name.startswith("data_batch_1"):
                return [folder / name]
            numbered = [folder / name.replace("1", str(number), 1) for number in range(1, 6)]
            return [path for path in numbered if path.is_file()]
    return []


def label_bytes(path: Path) -> int | None:
    """Label bytes before each image of a binary file: 1 (CIFAR-10), 2 (CIFAR-100: coarse, fine), None if neither."""
    size = path.stat().st_size
    fitting = [n for n in (1, 2) if size and size % (n + PIXELS) == 0]
    if len(fitting) == 2:
        return 2 if path.name in ("train.bin", "test.bin") else 1
    return fitting[0] if fitting else None


def read_binary(path: Path) -> tuple[Rows, Labels]:
    """A binary batch: its records (N, label bytes + 3072) uint8, read when asked for, and labels (CIFAR-100: fine)."""
    n, where = label_bytes(path), clean(str(path), None)
    size = path.stat().st_size
    if n is None:
        raise DataError(
            f"{where}: not a CIFAR binary batch ({size} bytes are no whole number of records of {1 + PIXELS} or "
            f"{2 + PIXELS})"
        )
    records = FileArray(path, np.dtype(np.uint8), (size // (n + PIXELS), n + PIXELS), 0, where)
    labels = np.empty(len(records), np.int64)
    for at in range(0, len(records), 1000):
        labels[at : at + 1000] = records[np.arange(at, min(at + 1000, len(records)))][:, n - 1]
    return records, labels


def read_pickled(path: Path) -> tuple[Array, Labels]:
    """Read a pickled batch: pixels (N, 3072) uint8, plane by plane, and labels (fine ones for CIFAR-100).

    Raises
    ------
    FormatError
        The pickle holds anything but arrays and plain data (nothing of it is executed).
    DataError
        No `data` of shape (N, 3072) and `labels` or `fine_labels` of length N in it.
    """
    where = clean(str(path), None)
    with open_file(path, what="CIFAR batch", most=MAX_PICKLE, error=DataError) as file:
        data = file.read(MAX_PICKLE)
    batch, _ = unpickle(data, where=where, allowed=numpy_globals(Budget(2 * len(data))))
    if not isinstance(batch, dict):
        raise DataError(f"{where}: not a CIFAR batch (expected a dictionary, got {type(batch).__name__})")
    batch = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    pixels = batch.get("data")
    pixels = pixels.values if isinstance(pixels, PickledArray) else None
    if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise DataError(f"{where}: not a CIFAR batch (no uint8 'data' of shape (N, {PIXELS}))")
    labels = batch.get("labels", batch.get("fine_labels"))
    if isinstance(labels, PickledArray):
        labels = None if labels.values is None or labels.values.dtype.kind not in "iu" else labels.values.tolist()
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 1 << 31 for label in labels):
        raise DataError(f"{where}: not a CIFAR batch (no list of integers 'labels' or 'fine_labels')")
    return pixels, np.array(labels, np.int64)
