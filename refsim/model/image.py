"""How a raw image becomes the input current."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from refsim.exceptions import NetworkError
from refsim.model.neuron import Array, Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class InputSpec:
    """How a raw image becomes the input current: x = (raw * scale - mean) / std, per channel.

    One mean or std stands for all channels.

    Raises
    ------
    NetworkError
        shape not (C, H, W); mean or std not (C,), not finite, or std not positive.
    """

    shape: tuple[int, int, int]
    scale: float = 1 / 255
    mean: Floats = field(default_factory=lambda: np.zeros(1))
    std: Floats = field(default_factory=lambda: np.ones(1))
    color: Literal["RGB", "L"] | None = None
    dataset: str = ""

    def __post_init__(self) -> None:
        shape = tuple(self.shape) if isinstance(self.shape, Iterable) else ()
        whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in shape)
        if len(shape) != 3 or not whole or min(shape) < 1:
            raise NetworkError(f"input: shape must be (C, H, W), got {self.shape}")
        object.__setattr__(self, "shape", tuple(map(int, shape)))
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise NetworkError(f"input: scale must be positive and finite, got {self.scale}")
        for key in ("mean", "std"):
            value = np.asarray(getattr(self, key))
            if value.dtype.kind not in "iuf":
                raise NetworkError(f"input: {key} must be numbers, got {getattr(self, key)!r}")
            value = np.atleast_1d(value.astype(np.float64))
            if value.shape not in ((1,), self.shape[:1]):
                raise NetworkError(f"input: {key} must have shape {self.shape[:1]}, got {value.shape}")
            value = np.broadcast_to(value, self.shape[:1])
            if not np.isfinite(value).all() or (key == "std" and not (value > 0).all()):
                raise NetworkError(f"input: {key} must be finite{' and positive' * (key == 'std')}, got {value}")
            object.__setattr__(self, key, value)
        if self.color is None:
            object.__setattr__(self, "color", "L" if self.shape[0] == 1 else "RGB")

    def normalize(self, raw: Array) -> Floats:
        """Raw images (B, H, W, C) to input currents (B, C, H, W), float64."""
        x = (raw.astype(np.float64) * self.scale - self.mean) / self.std
        return np.ascontiguousarray(np.moveaxis(x, 3, 1))
