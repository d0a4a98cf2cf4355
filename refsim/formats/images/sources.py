"""Where images come from: each source knows its size and shape and reads the images it is asked for, no more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError
from refsim.formats.images.stored import Rows
from refsim.formats.untrusted.opening import open_file
from refsim.formats.untrusted.text import clean

Array = NDArray[Any]
Indices = NDArray[np.int64]
Shape = tuple[int, int, int]

MAX_IMAGE_BYTES = 1 << 27
"""Of one file: twice what the largest image that is decoded takes without compression."""


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


class FileSource:
    """Images in files of their own, decoded when asked for (Pillow; extra `images`).

    The first one decides size and channels; one of another size is refused when it is read.
    """

    is_raw = True
    _MAX_PIXELS = 1 << 24

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self.shape = self._probe(paths[0])
        self.storage = f"files (H, W, C) {self.shape}"

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, indices: Indices, /) -> Array:
        images = np.empty((len(indices), *self.shape), np.uint8)
        for row, index in enumerate(indices):
            images[row] = self._read(self._paths[index])
        return images

    def stored(self, indices: Indices, /) -> Iterator[bytes]:
        """The SHA-256 of each file, undecoded."""
        for index in indices:
            with open_image(self._paths[index]) as file:
                yield hashlib.file_digest(file, "sha256").digest()

    def _probe(self, path: Path) -> Shape:
        with open_image(path) as file, _decoded(file, path) as image:
            width, height = image.size
            if width * height > self._MAX_PIXELS:
                raise DataError(f"{_name(path)}: an image of {height} x {width} pixels is too large")
            return height, width, 1 if image.mode in ("1", "L") else 3

    def _read(self, path: Path) -> Array:
        height, width, channels = self.shape
        with open_image(path) as file, _decoded(file, path) as image:
            # The size stands in the header; nothing is decoded before it is known to be the expected one.
            if image.size != (width, height):
                got = f"{image.size[1]} x {image.size[0]}"
                raise DataError(f"{_name(path)}: image of {got}, the others are {height} x {width}; resize them first")
            try:
                pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
            except (OSError, ValueError, SyntaxError) as error:
                raise DataError(f"{_name(path)}: damaged image ({clean(str(error))})") from error
        return pixels.reshape(self.shape)


def open_image(path: Path) -> BufferedReader:
    """One file of an image folder, open to read."""
    return open_file(path, what="image", most=MAX_IMAGE_BYTES, error=DataError)


def _decoded(file: BufferedReader, path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"{_name(path)}: reading image files needs Pillow: pip install 'refsim[images]'") from error
    try:
        image = Image.open(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{_name(path)}: not a readable image ({type(error).__name__})") from error
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{_name(path)}: image of mode {image.mode}; only 8 bits per channel are read")
    return image


def _name(path: Path) -> str:
    return clean(str(path), None)
