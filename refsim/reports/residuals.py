"""The distribution of the residual phi - a of a layer, and what NQ takes it for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ResidualShares:
    """The distribution of phi - a in one layer, on an even grid, in units of theta.

    values, shares : (N,)
    expected : (N,), of a Gaussian with the same mean and spread (NQ); None where there is no spread
    """

    name: str
    values: Floats
    shares: Floats
    expected: Floats | None
