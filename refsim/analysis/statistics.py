"""Confidence intervals, and running statistics that hold no image in memory and depend on no batch size."""

from __future__ import annotations

from math import fsum, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927), e.g. of an accuracy.

    Closed form of `scipy.stats.binomtest(successes, n).proportion_ci(confidence, "wilson")`, which takes seconds
    to import; a test holds the two together.

    Parameters
    ----------
    successes, n
        0 <= successes <= n, n >= 1.
    confidence
        Probability in (0, 1).

    Raises
    ------
    ValueError
        An argument out of range.
    """
    if not 0 <= successes <= n or n < 1 or not 0 < confidence < 1:
        raise ValueError(f"no interval for {successes} of {n} at confidence {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    center = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # The ends are 0 and 1 there by algebra, but not by float arithmetic.
    low = 0.0 if successes == 0 else (center - half) / (1 + z * z / n)
    high = 1.0 if successes == n else (center + half) / (1 + z * z / n)
    return low, high


class Moments:
    """Running mean and spread of a quantity, and with four powers its skewness and kurtosis, from sums per image.

    The sums of one image do not depend on its batch, and the sum over images is correctly rounded (`math.fsum`):
    every moment is the same to the last bit for any batch size and any order of batches.

    Parameters
    ----------
    powers
        Highest power that is summed, 2 to 4.
    """

    def __init__(self, powers: int = 4) -> None:
        self.n = 0
        self._powers = powers
        self._rows: list[Array] = []

    def add(self, values: Array) -> None:
        """Take in one batch, values (B, n) float64."""
        rows = np.empty((len(values), self._powers))
        power = values
        for i in range(self._powers):
            rows[:, i] = power.sum(axis=1)
            if i + 1 < self._powers:  # mutant: one product more, which nobody reads
                power = power * values
        self._rows.append(rows)
        self.n += values.size

    def merge(self, other: Moments) -> None:
        """Take in what another accumulator has seen."""
        self._rows += other._rows
        self.n += other.n

    def raw(self, power: int) -> float:
        """Mean of the values to the given power, 1 to 4; nan if there are none."""
        return fsum(np.concatenate(self._rows)[:, power - 1]) / self.n if self.n else float("nan")

    @property
    def mean(self) -> float:
        """Mean of all values."""
        return self.raw(1)

    @property
    def rms(self) -> float:
        """Root of the mean square."""
        return sqrt(self.raw(2))

    @property
    def std(self) -> float:
        """Standard deviation (divided by n)."""
        return sqrt(max(self.raw(2) - self.raw(1) ** 2, 0.0))

    @property
    def skewness(self) -> float:
        """Third central moment over std^3: 0 for a symmetric distribution; nan where std is 0."""
        m1, m2, m3 = (self.raw(power) for power in (1, 2, 3))
        return (m3 - 3 * m1 * m2 + 2 * m1**3) / self.std**3 if self.std > 0 else float("nan")

    @property
    def excess_kurtosis(self) -> float:
        """Fourth central moment over std^4, less 3: 0 for a Gaussian; nan where std is 0."""
        m1, m2, m3, m4 = (self.raw(power) for power in (1, 2, 3, 4))
        central = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
        return central / self.std**4 - 3 if self.std > 0 else float("nan")


class Distribution(Moments):
    """Mean, RMS, extremes and a fixed histogram of a quantity; quantiles come from the histogram.

    Parameters
    ----------
    bins_per_unit
        Bins are centred on the multiples of 1 / bins_per_unit, so a quantity that lives on that grid has exact
        quantiles; for any other the resolution is one bin.
    limit
        Bins reach from -limit to limit; what lies beyond goes to the outermost bins.
    """

    def __init__(self, bins_per_unit: int, limit: int = 2) -> None:
        super().__init__(powers=2)
        self.bins_per_unit = bins_per_unit
        self.edge = limit * bins_per_unit
        self.histogram: NDArray[np.int64] = np.zeros(2 * self.edge + 1, dtype=np.int64)
        self.minimum = float("inf")
        self.maximum = float("-inf")

    def add(self, values: Array) -> None:
        """Take in one batch, values (B, n) float64."""
        super().add(values)
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        place = values * self.bins_per_unit
        if not -self.edge < low * self.bins_per_unit <= high * self.bins_per_unit < self.edge:
            np.clip(place, -self.edge, self.edge, out=place)
        np.rint(place, out=place)
        place += self.edge
        self.histogram += np.bincount(place.ravel().astype(np.intp), minlength=len(self.histogram))
        self.minimum = min(self.minimum, low)
        self.maximum = max(self.maximum, high)

    def merge(self, other: Moments) -> None:
        """Take in what another distribution with the same bins has seen."""
        super().merge(other)
        assert isinstance(other, Distribution)
        self.histogram += other.histogram
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    @property
    def centers(self) -> NDArray[np.float64]:
        """Centres of the bins of `histogram`."""
        return np.arange(-self.edge, self.edge + 1) / self.bins_per_unit

    def quantile(self, q: float) -> float:
        """Least bin centre with at least the part q of the values in or below its bin; nan if there are none.

        Never outside [minimum, maximum], so q = 0 and q = 1 are exact.
        """
        if not self.n:
            return float("nan")
        if q in (0, 1):
            return self.maximum if q else self.minimum
        below = np.cumsum(self.histogram)
        bin_ = int(np.searchsorted(below, q * self.n))
        if bin_ == 0:
            return self.minimum
        if bin_ == 2 * self.edge:
            return self.maximum
        return min(max((bin_ - self.edge) / self.bins_per_unit, self.minimum), self.maximum)
