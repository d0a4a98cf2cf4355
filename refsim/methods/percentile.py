"""A percentile of more numbers than one wants to keep."""

from __future__ import annotations

from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class UpperPercentile:
    """An exact percentile of numbers that come in pieces; keeps only those that it may turn out to be.

    Parameters
    ----------
    percentile
        In (0, 100]; 100 is the maximum.
    n_at_most
        No more numbers than this will come.
    """

    def __init__(self, percentile: float, n_at_most: int) -> None:
        self._fraction = 1 - percentile / 100
        self._room = ceil(n_at_most * self._fraction) + 2
        self._largest: Floats = np.zeros(0)
        self._n = 0

    def add(self, values: Floats) -> None:
        """Take some more numbers."""
        self._n += values.size
        kept = np.concatenate([self._largest, values.ravel()])
        if kept.size > self._room:
            kept = np.partition(kept, kept.size - self._room)[kept.size - self._room :]
        self._largest = kept

    def value(self) -> float:
        """The percentile, linear between neighbours as `numpy.percentile` has it; nan of nothing."""
        if self._n == 0:
            return float("nan")
        ranked = np.sort(self._largest)[::-1]
        place = (self._n - 1) * self._fraction
        low = floor(place)
        high = min(low + 1, len(ranked) - 1)
        return float(ranked[low] + (ranked[high] - ranked[low]) * (place - low))
