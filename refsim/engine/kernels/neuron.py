"""What neurons do with their potential, once for all kernels: the twin of `reference.neurons.fire`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.compiling import inlined
from refsim.engine.kernels.lanes import TILE, load, select, to_bits, whole


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
def fire(neurons, m, theta, theta_neg, fired):  # type: ignore[no-untyped-def]
    """Compare, gate, reset and count. Returns v, fired, and the spikes as bits, of +1 and of -1.

    m : potential before firing; fired : the count that opens the gate of theta_neg
    All are lanes of floats or whole numbers, or else numbers of one neuron, whose spikes are bit 0.
    """
    zero = whole(m, 0)
    if neurons.strict:
        up = m > theta
    else:
        up = m >= theta
    v = select(up, zero if neurons.zero else m - theta, m)
    down_bits = np.uint64(0)
    if neurons.dual:
        down = (m <= theta_neg) & (fired >= whole(fired, 1))
        v = select(down, zero if neurons.zero else m + theta, v)
        fired = count(neurons, fired, up, down)
        down_bits = to_bits(down)
    return v, fired, to_bits(up), down_bits


@inlined
def count(neurons, fired, up, down):  # type: ignore[no-untyped-def]
    """The count that opens the gate, after these spikes: of net spikes, or of positive ones."""
    one = whole(fired, 1)
    fired = select(up, fired + one, fired)
    if not neurons.gross:
        fired = select(down, fired - one, fired)
    return fired


@inlined
def distance(m, threshold):  # type: ignore[no-untyped-def]
    """|m - threshold|, of lanes or of one neuron."""
    zero = whole(m, 0)
    over = m - threshold
    return select(over < zero, zero - over, over)
