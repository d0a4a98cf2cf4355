"""The numbers of drawn networks: on a dyadic grid, where sums are exact and potentials meet thresholds, or normal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Grid = Literal["dyadic", "normal"]
T = TypeVar("T")

GRIDS: tuple[Grid, ...] = ("dyadic", "normal")

STORED = (np.float64, np.float32, np.float16, np.int8)
"""Number types in which weights may be stored."""


class Numbers:
    """A seeded source of weights, currents and thresholds.

    Hypothesis draws the seed, not every number: networks of 64 channels would exceed what it can draw, and
    potentials meet thresholds by the choice of the grid, not by search.

    Parameters
    ----------
    grid
        "dyadic": small multiples of powers of 1/2, so coarse that potentials often meet a threshold.
        "normal": any number.
    """

    def __init__(self, seed: int, grid: Grid) -> None:
        self.rng = np.random.default_rng(seed)
        self.grid = grid

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[int(self.rng.integers(len(options)))]

    def currents(self, shape: tuple[int, ...], density: float = 1.0) -> Floats:
        """Input currents or biases of either sign; a share 1 - density of them is 0."""
        if self.grid == "dyadic":
            values = self.rng.integers(-3, 5, size=shape) / 2
        else:
            values = self.rng.normal(0.25, 1.0, size=shape)
        return np.asarray(np.where(self.rng.random(shape) < density, values, 0.0))

    def weights(self, shape: tuple[int, ...]) -> tuple[Array, Floats | None]:
        """Weights as stored, (C_out, ...), and their factors (C_out,), if any; many weights are 0."""
        dtype = self.pick(STORED)
        n_out, fan_in = shape[0], max(1, int(np.prod(shape[1:])))
        # Few weights that act: the sum of many would pass every threshold and meet none.
        there = self.rng.random(shape) < (min(0.85, 8 / fan_in) if self.rng.random() < 0.7 else 0.85)
        if self.grid == "dyadic" or dtype is np.int8:
            weight = self.rng.integers(-3, 5, size=shape) / (1 if dtype is np.int8 else 2)
        else:
            weight = self.rng.normal(0.1, 1.0, size=shape) * min(1.0, 3 / np.sqrt(fan_in))
        scale = self._factors(n_out) if dtype is np.int8 or self.rng.random() < 0.4 else None
        return np.where(there, weight, 0).astype(dtype), scale

    def thresholds(self, shape: tuple[int, ...]) -> Floats:
        """Positive thresholds."""
        if self.grid == "dyadic":
            return np.asarray(self.rng.choice([0.25, 0.5, 0.5, 1.0, 1.0, 1.5, 2.0], size=shape))
        return np.asarray(self.rng.uniform(0.2, 2.0, size=shape))

    def shares(self, shape: tuple[int, ...]) -> Floats:
        """Parts of a threshold, in (0, 1]."""
        if self.grid == "dyadic":
            return np.asarray(self.rng.choice([0.25, 0.5, 1.0], size=shape))
        return np.asarray(1 - self.rng.uniform(0, 0.999, size=shape))

    def _factors(self, n: int) -> Floats:
        if self.grid == "dyadic":
            return np.asarray(self.rng.choice([0.5, 1.0, -1.0, 1.0], size=n))
        return self.rng.normal(1.0, 0.4, size=n)
