"""Images as the simulator wants them: input currents, a few at a time."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError
from refsim.model import InputSpec

Array = NDArray[Any]
Indices = NDArray[np.int64]


class Readable(Protocol):
    """Anything that returns the images of an integer array of indices: a NumPy array, or a reader of files."""

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, indices: Indices, /) -> Array:
        """uint8 (n, H, W, C), or float input currents (n, C, H, W)."""


def strided(n: int, limit: int | None) -> NDArray[np.int64]:
    """Indices of `limit` images spread evenly over n: never a prefix, since folders are sorted by class."""
    return np.arange(n) if limit is None or limit >= n else np.arange(limit) * n // limit


class InputCurrents:
    """A data set seen through a network's preprocessing.

    Raw uint8 images go through `InputSpec.normalize`; float arrays are input currents already.
    """

    def __init__(self, spec: InputSpec, images: Readable, labels: NDArray[np.int64] | None, name: str = "data") -> None:
        self._spec, self._images, self._labels, self._name = spec, images, labels, name

    def __len__(self) -> int:
        return len(self._images)

    def stored(self, indices: Indices) -> Array:
        """The images as they are before preprocessing: uint8 (n, H, W, C), or float input currents (n, C, H, W)."""
        return self._images[indices]

    def currents(self, indices: Indices) -> Array:
        """Input currents (n, C, H, W) float64.

        Raises
        ------
        DataError
            A pixel that is not finite.
        """
        batch = self._images[indices]
        if batch.dtype == np.uint8:
            return self._spec.normalize(batch)
        finite = np.isfinite(batch).reshape(len(batch), -1).all(axis=1)
        if not finite.all():
            raise DataError(f"{self._name}: image {indices[np.argmin(finite)]} holds values that are not finite")
        return np.asarray(batch, dtype=np.float64)

    def labels_of(self, indices: Indices) -> NDArray[np.int64] | None:
        """Labels (n,), or None if the data set has none."""
        return None if self._labels is None else self._labels[indices]
