"""Where images come from: each source knows its size and shape and reads the images it is asked for, no more."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError
from refsim.formats.images.stored import Rows

Array = NDArray[Any]
Indices = NDArray[np.int64]
Shape = tuple[int, int, int]


class ImageSource(Protocol):
    """Images by their numbers.

    shape
        Of one image: (H, W, C) if raw, (C, H, W) if not.
    is_raw
        uint8 images, which still need the network's preprocessing; otherwise float input currents.
    storage
        How an image is stored, in one phrase; with `stored` it says what the images are, for a digest.
    """

    shape: Shape
    is_raw: bool
    storage: str

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, indices: Indices, /) -> Array:
        """The images at `indices`: (n, *shape), uint8 or float64."""

    def stored(self, indices: Indices, /) -> Iterator[bytes | memoryview]:
        """What is stored of these images, in their order: piece by piece."""


def image_kind(dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> tuple[Shape, bool]:
    """Shape of one image and whether it is raw, from the type and shape of the whole array.

    Raises
    ------
    DataError
        Neither uint8 (N, H, W, C) or (N, H, W), nor float (N, C, H, W); or no images.
    """
    if dtype == np.uint8:
        if len(shape) == 3:
            shape = (*shape, 1)
        if len(shape) != 4 or shape[3] not in (1, 3):
            last = len(shape) == 4 and shape[1] in (1, 3)
            hint = "; channels come last: numpy.moveaxis(images, 1, 3)" if last else ""
            raise DataError(f"{where}: uint8 images must be (N, H, W), (N, H, W, 1) or (N, H, W, 3), got {shape}{hint}")
    elif dtype.kind == "f":
        if len(shape) != 4:
            hint = "; a single one is images[None]" if len(shape) == 3 else ""
            raise DataError(f"{where}: input currents (float) must be (N, C, H, W), got {shape}{hint}")
    else:
        hint = "; pixels from 0 to 255 become uint8 by .astype(numpy.uint8)" if dtype.kind in "iu" else ""
        raise DataError(f"{where}: images must be uint8, or float input currents; got {dtype}{hint}")
    if 0 in shape:
        raise DataError(f"{where}: holds no images (shape {shape})")
    return (int(shape[1]), int(shape[2]), int(shape[3])), dtype == np.uint8


class ArraySource:
    """Images in an array, in memory or in a file.

    Parameters
    ----------
    array
        uint8 (N, H, W, C) or (N, H, W), or float (N, C, H, W).
    """

    def __init__(self, array: Rows, where: str) -> None:
        self.shape, self.is_raw = image_kind(array.dtype, array.shape, where)
        self.storage = f"{array.dtype.name} ({'H, W, C' if self.is_raw else 'C, H, W'}) {self.shape}"
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, indices: Indices, /) -> Array:
        images = self._array[indices].reshape(len(indices), *self.shape)
        return images if self.is_raw else images.astype(np.float64)

    def stored(self, indices: Indices, /) -> Iterator[memoryview]:
        rows = self._array[indices]
        yield np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder("<"), copy=False)).data


class PlanarSource:
    """Raw images stored plane after plane, as in the CIFAR archives.

    Parameters
    ----------
    rows : (N, C * H * W or more) uint8
        What a row has before its planes is not looked at.
    planes
        (C, H, W)
    """

    is_raw = True

    def __init__(self, rows: Rows, planes: Shape) -> None:
        self._rows, self._planes = rows, planes
        self.shape = (planes[1], planes[2], planes[0])
        self.storage = f"uint8 (C, H, W) {planes}"

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Indices, /) -> Array:
        return np.ascontiguousarray(np.moveaxis(self._pixels(indices).reshape(-1, *self._planes), 1, 3))

    def stored(self, indices: Indices, /) -> Iterator[memoryview]:
        yield np.ascontiguousarray(self._pixels(indices)).data

    def _pixels(self, indices: Indices) -> Array:
        return self._rows[indices][:, -prod(self._planes) :]


class PaddedSource:
    """Raw images with black around them, centred; an odd row or column goes to the end."""

    is_raw = True

    def __init__(self, source: ImageSource, size: tuple[int, int], where: str) -> None:
        height, width, channels = source.shape
        if not source.is_raw:
            raise DataError(f"{where}: input currents cannot be padded; black is not zero after preprocessing")
        if height > size[0] or width > size[1]:
            raise DataError(f"{where}: images of {height} x {width} cannot be padded to {size[0]} x {size[1]}")
        self.shape = (*size, channels)
        self.storage, self.stored = source.storage, source.stored
        self._source = source
        self._top, self._left = (size[0] - height) // 2, (size[1] - width) // 2

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, indices: Indices, /) -> Array:
        height, width, _ = self._source.shape
        padded = np.zeros((len(indices), *self.shape), np.uint8)
        padded[:, self._top : self._top + height, self._left : self._left + width] = self._source[indices]
        return padded
