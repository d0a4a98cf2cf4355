"""NQ's residual error g' = phi(T) - a of a layer, and how Gaussian it is (NQ Sec. 4, Eq. 9-12, Fig. 2)."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.statistics import Moments


@dataclass(frozen=True, kw_only=True)
class Residual:
    """Shape of the distribution of g' over the neurons of a layer and over images.

    ANN and SNN are each fed with their own inputs, so g' is what has accumulated up to this layer.

    mean, std
        In units of the membrane potential. std is the estimate of delta, the noise intensity with which NQ trains
        (NQ Eq. 12, 13; NQ measures it at T = L). The authors' code takes the root of the mean, over batches, of the
        variance within a batch; this is the std of all values, and depends on no batch size.
    skewness
        0 for a symmetric distribution, as NQ assumes.
    excess_kurtosis
        0 for a Gaussian; positive for a sharp peak with heavy tails.
    jarque_bera, p_value
        n / 6 (skewness^2 + excess_kurtosis^2 / 4) and the probability of more under normality, exp(-JB / 2). As g' is
        discrete and n is large, p is 0 in practice: read the two numbers above it, not the verdict.
    """

    n: int
    mean: float
    std: float
    skewness: float
    excess_kurtosis: float
    jarque_bera: float
    p_value: float


def describe_residual(moments: Moments) -> Residual:
    """Mean, spread, symmetry and normality of g', from its running moments (in units of the membrane potential).

    The statistic is that of `scipy.stats.jarque_bera`; a test holds the two together. nan where g' has no spread.
    """
    skewness, kurtosis = moments.skewness, moments.excess_kurtosis
    jarque_bera = moments.n / 6 * (skewness**2 + kurtosis**2 / 4) if moments.std > 0 else nan
    return Residual(
        n=moments.n,
        mean=moments.mean,
        std=moments.std,
        skewness=skewness,
        excess_kurtosis=kurtosis,
        jarque_bera=jarque_bera,
        p_value=exp(-jarque_bera / 2),
    )


def gaussian_shares(values: NDArray[Any], mean: float, std: float) -> NDArray[np.float64]:
    """What part of a Gaussian falls to each value of an even grid (N,), that is, to the cell of which it is the centre.

    The outermost cells are not extended: the parts add up to less than 1.
    """
    if std == 0:
        raise ValueError("a Gaussian needs std > 0")
    from scipy.special import ndtr  # a third of a second, which nobody else needs

    half = (values[1] - values[0]) / 2
    return np.diff(ndtr((np.append(values[0] - half, values + half) - mean) / std))
