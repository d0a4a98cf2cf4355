"""How a user's images become those that a network reads: scaled, resized, cropped, padded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError, UsageError
from refsim.formats.images.currents import strided
from refsim.formats.images.sources import ImageSource, Shape
from refsim.model import InputSpec

Array = NDArray[Any]
Indices = NDArray[np.int64]

_LOOKED_AT = 64
"""Images whose range tells pixels from input currents."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is done to images before the network reads them.

    Parameters
    ----------
    pad
        Put black around smaller raw images.
    scale
        Float arrays are pixels, and so much brings them to 0..1: 1, or 1/255; then the network's preprocessing follows.
    currents
        Float arrays are input currents, whatever their range.
    resize, crop
        Of image files: the shorter side is brought to `resize` pixels, and the middle `crop` x `crop` are taken, as
        torchvision's Resize (bilinear, antialiased, of Pillow images) and CenterCrop do.

    Raises
    ------
    UsageError
        Values that cannot be, or contradict each other.
    """

    pad: bool = False
    scale: float | None = None
    currents: bool = False
    resize: int | None = None
    crop: int | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise UsageError(f"scale must be positive and finite, got {self.scale}")
        if self.scale is not None and self.currents:
            raise UsageError("scale is for pixels and currents for input currents; the data are one or the other")
        for key in ("resize", "crop"):
            value = getattr(self, key)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{key} must be a whole number of at least 1, got {value!r}")


class ScaledSource:
    """Float pixels seen through a network's preprocessing: x = (pixel * scale - mean) / std.

    Parameters
    ----------
    source
        Float arrays, (n, C, H, W) or (n, H, W, C).
    """

    is_raw = False

    def __init__(self, source: ImageSource, scale: float, spec: InputSpec, where: str) -> None:
        last = source.shape[2] in (1, 3) and source.shape[0] not in (1, 3)
        self.shape: Shape = (source.shape[2], *source.shape[:2]) if last else source.shape
        if self.shape[0] != spec.shape[0]:
            raise DataError(f"{where}: pixels of {self.shape[0]} channels, the network reads {spec.shape[0]}")
        self.storage, self.stored = source.storage, source.stored
        self._source, self._last, self._scale = source, last, scale
        self._mean, self._std = (value.reshape(-1, 1, 1) for value in (spec.mean, spec.std))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, indices: Indices, /) -> Array:
        pixels = self._source[indices].astype(np.float64)
        if self._last:
            pixels = np.moveaxis(pixels, 3, 1)
        return np.ascontiguousarray((pixels * self._scale - self._mean) / self._std)


def check_currents(source: ImageSource, where: str) -> None:
    """Refuse floats that look like pixels: without preprocessing a network would see something else than was meant.

    Raises
    ------
    DataError
        All values that are looked at lie in 0..1 or 0..255.
    """
    lowest, highest = _range(source)
    if lowest < 0 or not 0 < highest <= 255:
        return
    scale, kind = ("1", "0..1") if highest <= 1 else ("1/255", "0..255")
    raise DataError(
        f"{where}: floats from {lowest:.4g} to {highest:.4g}; if these are pixels of {kind}, say --scale {scale} "
        f"(in Python, scale={scale}); if they are input currents, preprocessed already, say --currents (currents=True)"
    )


def _range(source: ImageSource) -> tuple[float, float]:
    """The least and the largest finite value of some images, from all over the data set."""
    lowest, highest = math.inf, -math.inf
    for batch in _some(source):
        finite = batch[np.isfinite(batch)]
        if finite.size:
            lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
    return lowest, highest


def _some(source: ImageSource) -> Iterator[Array]:
    for index in strided(len(source), _LOOKED_AT):
        yield source[np.array([index])]
