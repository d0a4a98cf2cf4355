"""Whole numbers for weights, thresholds and potentials: what mode `exact` computes in.

The unit of a target channel is its theta / 2^s, with s as large as sums of 32 bits allow; the rounding of weights
is then bounded and never decides anything (`kernels.integer`).
"""

from __future__ import annotations

from math import floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.kernels.integer import IntegerNeurons
from refsim.model import Neuron
from refsim.tables import Plane, Tiles, by_position, by_tile

Array = NDArray[Any]
Floats = NDArray[np.float64]

SILENT = 2**40
"""A threshold, in units, that no lane without weights reaches."""

LEAST_BITS = 12
"""With a coarser unit than theta / 2^12 too many potentials would have to be recomputed."""


MAX_ROWS = 2**18
"""Synapses of a neuron for which the bound of `exact` allows for float64 rounding."""


def largest_sums(terms: Floats, signed: bool) -> tuple[Floats, Floats]:
    """The largest and the least sum (C,) of some of the terms (C, n); `signed`: each may come with a minus."""
    if signed:
        size = np.abs(terms).sum(axis=1)
        return size, -size
    return np.maximum(terms, 0).sum(axis=1), np.minimum(terms, 0).sum(axis=1)


def exact_bits(sizes: Floats, theta: Floats, terms: int) -> int:
    """The largest s for which currents in units of theta / 2^s fit into 32 bits.

    sizes : (C,), largest absolute current of one step (sums may pass 32 bits on the way: they wrap around)
    terms
        Most units by which rounding can enlarge it.
    """
    largest = float((sizes / theta).max(initial=2.0**-30))
    return min(30, floor(log2((2**31 - 1 - terms) / largest)))


def units(values: Floats, theta: Floats, bits: int) -> NDArray[np.int32]:
    """Values (C, ...) of target channels in whole units of theta (C,) / 2^bits.

    A weight that a bias of the other sign makes up for may itself exceed 32 bits: it wraps around, like the sums.
    """
    whole = np.rint(values / theta.reshape(-1, *[1] * (values.ndim - 1)) * 2.0**bits)
    return whole.astype(np.int64).astype(np.int32)


def exact_neurons(neuron: Neuron, shape: Plane, tiles: Tiles, bits: int) -> IntegerNeurons:
    """The parameters of a population in units of theta / 2^bits; theta must not differ between positions."""
    float64 = np.dtype(np.float64)
    theta, theta_neg, v0 = (
        by_position(value, shape, float64) for value in (neuron.theta, neuron.negative_threshold, neuron.v0)
    )
    theta_neg_units = np.maximum(np.rint(theta_neg / theta * 2.0**bits), -float(SILENT))
    return IntegerNeurons(
        theta=by_tile(np.full(theta.shape, 2**bits, dtype=np.int64), tiles, SILENT),
        theta_neg=by_tile(theta_neg_units.astype(np.int64), tiles, -SILENT),
        v0=by_tile(np.rint(v0 / theta * 2.0**bits).astype(np.int64), tiles, 0),
        dual=neuron.dual,
        gross=neuron.gate == "gross",
        zero=neuron.reset == "zero",
        theta_float=theta,
        theta_neg_float=theta_neg,
        v0_float=v0,
    )
