"""One time step of a tile of neurons: the twin of `reference.neurons.fire`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.compiling import inlined
from refsim.engine.kernels.lanes import TILE, lesser, load, select, splat, to_bits


class Neurons(NamedTuple):
    """Parameters of one population, by tile; row i is cell i of the grid (`layout`), or the only row if all share it.

    theta, theta_neg, v0 : (1 or H * across, n_tiles, TILE); lanes beyond a tile's width have theta = inf and never fire
    per_theta : 1 / theta; beyond a tile's width 1
    """

    theta: NDArray[Any]
    per_theta: NDArray[Any]
    theta_neg: NDArray[Any]
    v0: NDArray[Any]
    leak: float
    dual: bool
    gross: bool
    zero: bool
    strict: bool


@inlined
def load_at(parameter, cell, tile):  # type: ignore[no-untyped-def]
    """A tile of a parameter (1 or H * across, n_tiles, TILE) at a cell."""
    row = cell if len(parameter) > 1 else 0
    return load(parameter, (row * parameter.shape[1] + tile) * TILE)


@inlined
def fire(neurons, u, theta, theta_neg, v, fired, gap, gap_neg):  # type: ignore[no-untyped-def]
    """Integrate u and fire. Lanes in, lanes out: v, fired, gap, gap_neg, and the bits of +1 and of -1 spikes.

    fired : the count that opens the gate of theta_neg
    gap, gap_neg : least |m - theta| so far, and |m - theta_neg| where the gate was open
    """
    number = neurons.theta.dtype.type
    zero = splat(number(0))
    m = splat(number(neurons.leak)) * v + u
    over = m - theta
    if neurons.strict:
        up = m > theta
    else:
        up = m >= theta
    distance = select(over < zero, zero - over, over)
    gap = lesser(distance, gap)
    v = select(up, over, m)
    down_bits = np.uint64(0)
    if neurons.dual:
        one = splat(number(1))
        open_gate = fired >= one
        down = (m <= theta_neg) & open_gate
        over_neg = m - theta_neg
        distance = select(over_neg < zero, zero - over_neg, over_neg)
        gap_neg = select(open_gate & (distance < gap_neg), distance, gap_neg)
        v = select(down, m + theta, v)
        fired = select(up, fired + one, fired)
        if not neurons.gross:
            fired = select(down, fired - one, fired)
        down_bits = to_bits(down)
        if neurons.zero:
            v = select(down, zero, v)
    if neurons.zero:
        v = select(up, zero, v)
    return v, fired, gap, gap_neg, to_bits(up), down_bits
