"""Images in files of their own: PNG, JPEG and a few others, read with Pillow (extra `images`)."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError
from refsim.formats.images.sources import Shape
from refsim.formats.untrusted.opening import open_file
from refsim.formats.untrusted.text import clean

Array = NDArray[Any]
Indices = NDArray[np.int64]

FORMATS = ("PNG", "JPEG", "BMP", "PPM", "WEBP", "TIFF")
"""The decoders of Pillow that are tried, by content; its others include EPS, which starts Ghostscript."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".pbm", ".webp", ".tif", ".tiff")

MAX_IMAGE_BYTES = 1 << 28
"""Of one file: more than the largest image that is decoded takes without compression."""

_WARNINGS = threading.Lock()
"""What is done with warnings is a property of the process."""


class FileSource:
    """Images in files of their own, decoded when asked for.

    Without `resize` and `crop` the first one decides the size, and one of another size is refused when it is read.

    Parameters
    ----------
    channels
        1 or 3; None: as the first image has.
    resize, crop
        As in `Preparation`.
    """

    is_raw = True
    _MAX_PIXELS = 1 << 24
    _MAX_PIXELS_RESIZED = 1 << 26

    def __init__(
        self, paths: list[Path], *, channels: int | None = None, resize: int | None = None, crop: int | None = None
    ) -> None:
        self._paths, self._resize, self._crop = paths, resize, crop
        self.shape = self._probe(paths[0], channels)
        fitted = f", resize {resize}, crop {crop}" if resize or crop else ""
        self.storage = f"files (H, W, C) {self.shape}{fitted}"

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

    def _probe(self, path: Path, channels: int | None) -> Shape:
        with _opened(path) as image:
            self._check_pixels(path, *image.size)
            width, height = self._fitted(*image.size)
            found = 1 if image.mode in ("1", "L") else 3
            # Colour of grey pixels, as torchvision loads them; grey of coloured ones is never meant.
            return height, width, 3 if channels == 3 else found

    def _check_pixels(self, path: Path, width: int, height: int) -> None:
        if width * height > (self._MAX_PIXELS_RESIZED if self._resize else self._MAX_PIXELS):
            raise DataError(f"{_name(path)}: an image of {height} x {width} pixels is too large")

    def _fitted(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing and cropping."""
        if self._resize is not None:
            width, height = resized(width, height, self._resize)
        return (self._crop, self._crop) if self._crop is not None else (width, height)

    def _read(self, path: Path) -> Array:
        height, width, channels = self.shape
        with _opened(path) as image:
            # The size stands in the header; nothing is decoded before it is known to be the expected one.
            self._check_pixels(path, *image.size)
            if self._fitted(*image.size) != (width, height):
                got = f"{image.size[1]} x {image.size[0]}"
                hint = "--resize N --crop N makes one size of them" if self._resize is None else "--crop does"
                raise DataError(f"{_name(path)}: image of {got}, the others are {height} x {width}; {hint}")
            try:
                pixels = np.asarray(self._fit(path, image.convert("L" if channels == 1 else "RGB")))
            except (OSError, ValueError, SyntaxError, EOFError) as error:
                raise DataError(f"{_name(path)}: damaged image ({clean(str(error))})") from error
        return pixels.reshape(self.shape)

    def _fit(self, path: Path, image: Any) -> Any:
        from PIL import Image

        if self._resize is not None:
            width, height = image.size
            size = resized(width, height, self._resize)
            if size != image.size:
                image = image.resize(size, Image.Resampling.BILINEAR)
        if self._crop is not None:
            width, height = image.size
            if min(width, height) < self._crop:
                raise DataError(f"{_name(path)}: {height} x {width} pixels cannot be cropped to {self._crop}; --resize")
            left, top = round((width - self._crop) / 2), round((height - self._crop) / 2)
            image = image.crop((left, top, left + self._crop, top + self._crop))
        return image


def resized(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Width and height when the shorter side gets so many pixels, as torchvision rounds them: down."""
    if width <= height:
        return shorter, max(1, int(shorter * height / width))
    return max(1, int(shorter * width / height)), shorter


def open_image(path: Path) -> BufferedReader:
    """One file of an image folder, open to read."""
    return open_file(path, what="image", most=MAX_IMAGE_BYTES, error=DataError)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"{_name(path)}: reading image files needs Pillow: pip install 'refsim[images]'") from error
    with open_image(path) as file, _WARNINGS, warnings.catch_warnings():
        # Pillow warns of metadata, which nobody reads, and of sizes, which are checked here.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=FORMATS)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            known = ", ".join(FORMATS)
            raise DataError(
                f"{_name(path)}: not a readable image ({type(error).__name__}); {known} are read"
            ) from error
        with image:
            if image.mode.startswith(("I", "F")):
                raise DataError(f"{_name(path)}: image of mode {image.mode}; only 8 bits per channel are read")
            yield image


def _name(path: Path) -> str:
    return clean(str(path), None)
