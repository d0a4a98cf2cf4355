"""One population of the quantised network: weights of 8 or 16 bits, potentials of 32 or 64, every sum exact.

The same loops as `population`, on the lists of `integer`: digits of spike counts, so that a weight is added and a sum
doubled, and nothing is multiplied. No decision is ever in doubt.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.bits import popcount
from refsim.engine.kernels.compiling import inlined, kernel
from refsim.engine.kernels.exact import gather_integers
from refsim.engine.kernels.lanes import TILE, convert, lesser, splat, store
from refsim.engine.kernels.layout import cell_at, lanes_used, mark, put
from refsim.engine.kernels.listing import list_block, n_groups, tiles_of_group
from refsim.engine.kernels.neuron import fire, load_at
from refsim.engine.kernels.synapse import all_finite, gather

LARGE = 1.5 * 2.0**52
"""Float64 numbers of this size are whole."""


class QuantisedNeurons(NamedTuple):
    """Parameters of one population in units of its channels, in the type of its potentials, int32 or int64.

    theta, theta_neg, v0 : (1 or H * across, n_tiles, TILE); lanes beyond a tile's width have v0 = 0 and any theta > 0
    """

    theta: NDArray[np.signedinteger]
    theta_neg: NDArray[np.signedinteger]
    v0: NDArray[np.signedinteger]
    dual: bool
    gross: bool
    zero: bool
    strict: bool


@kernel
def run_quantised(  # type: ignore[no-untyped-def]
    layout, synapses, events, n_digits, signed, steady, driven, neurons, room, train, recorded, reached_out
):  # fmt: skip
    """Run a population of neurons of the quantised network.

    layout, synapses, reached_out : as in `population.run_spiking`; events, n_digits, signed : as in `run_exact`
    steady : (1 or B * H * across, n_tiles, TILE) int32, the current that is the same at every step
    driven : whether the image is part of it, so that all neurons are reached
    room : lists, and out (TILE,) of the potentials' type, to work in
    train : (positive, negative) masks, zero on entry; written
    recorded : (2, B, H, W, C) int64, final potential and sum of the currents; written, unless 0 images long
    """
    positive, negative = train
    n_images, _, _, T, _ = positive.shape
    shape = (n_images, layout.height, layout.across, T)
    lists, out = room
    zero = splat(neurons.theta.dtype.type(0))
    nothing = splat(np.int32(0))
    for group in range(n_groups(lists, layout.tiles)):
        begin = np.int64(0)
        while begin < n_images * layout.height * layout.across:
            end = list_block(events, lists, group, begin, shape)
            for tile in tiles_of_group(lists, layout.tiles, group):
                used = lanes_used(layout, tile)
                for i in range(begin, end):
                    b, cell, y, x = cell_at(layout, i)
                    theta = load_at(neurons.theta, cell, tile)
                    theta_neg = load_at(neurons.theta_neg, cell, tile)
                    always = convert(load_at(steady, i, tile), theta)
                    v = load_at(neurons.v0, cell, tile)
                    fired, total = zero, zero
                    for t in range(T):
                        u, reached, _ = gather_integers(
                            synapses, lists, n_digits, signed, nothing, tile, ((i - begin) * T + t) * lists.n
                        )
                        current = always + convert(u, theta)
                        v, fired, up, down = fire(neurons, v + current, theta, theta_neg, fired)
                        mark(positive, layout, tile, b, y, x, t, up & used)
                        if neurons.dual:
                            mark(negative, layout, tile, b, y, x, t, down & used)
                        reached_out[b, t] += popcount(used if driven else reached & used)
                        total = total + current
                    if recorded.shape[1] > 0:
                        put(recorded[0], layout, tile, b, y, x, v, out)
                        put(recorded[1], layout, tile, b, y, x, total, out)
            begin = end


@kernel
def run_quantised_currents(layout, synapses, events, n_digits, signed, steady, room, z_out):  # type: ignore[no-untyped-def]
    """The currents of the readout, in its unit. z_out : (B, H, W, T, C) int64; written."""
    n_images, _, _, T, _ = z_out.shape
    shape = (n_images, layout.height, layout.across, T)
    lists, out = room
    nothing, like = splat(np.int32(0)), splat(np.int64(0))
    for group in range(n_groups(lists, layout.tiles)):
        begin = np.int64(0)
        while begin < n_images * layout.height * layout.across:
            end = list_block(events, lists, group, begin, shape)
            for tile in tiles_of_group(lists, layout.tiles, group):
                for i in range(begin, end):
                    b, _, y, x = cell_at(layout, i)
                    always = convert(load_at(steady, i, tile), like)
                    for t in range(T):
                        u, _, _ = gather_integers(
                            synapses, lists, n_digits, signed, nothing, tile, ((i - begin) * T + t) * lists.n
                        )
                        put(z_out[:, :, :, t], layout, tile, b, y, x, always + convert(u, like), out)
            begin = end


@inlined
def saturated(x, high):  # type: ignore[no-untyped-def]
    """Lanes within -high .. high."""
    zero = splat(0.0)
    return zero - lesser(zero - lesser(x, high), high)


@inlined
def rounded(x):  # type: ignore[no-untyped-def]
    """Lanes of float64 within +-2^51, rounded to the nearest whole number, ties to the even one.

    Numbers about LARGE are whole: adding it rounds, and taking it away brings the rest back.
    """
    large = splat(LARGE)
    return x + large - large


@kernel
def sum_steady(layout, synapses, events, room, unit, bias, limit, steady):  # type: ignore[no-untyped-def]
    """The current of the image and the biases, which is the same at every step, in units.

    layout, synapses, events, room : as in `population.run_currents`, in float64, for one step
    unit, bias : (1, n_tiles, TILE) float64, the biases whole numbers
    limit : float, what is saturated to, either sign; steady : (B * H * across, n_tiles, TILE) int32, written
    Returns the largest current of the image, in units, and whether all were finite.
    """
    shape = (len(steady) // (layout.height * layout.across), layout.height, layout.across, 1)
    lists, parts, out = room
    zero, high, like = splat(0.0), splat(limit), splat(np.int32(0))
    finite, least = True, zero
    for group in range(n_groups(lists, layout.tiles)):
        begin = np.int64(0)
        while begin < len(steady):
            end = list_block(events, lists, group, begin, shape)
            for tile in tiles_of_group(lists, layout.tiles, group):
                used = lanes_used(layout, tile)
                for i in range(begin, end):
                    u, _ = gather(synapses, lists, tile, (i - begin) * lists.n, 0, parts)
                    finite &= all_finite(u, used)
                    image = rounded(saturated(u / load_at(unit, 0, tile), high))
                    least = lesser(lesser(image, zero - image), least)
                    total = saturated(image + load_at(bias, 0, tile), high)
                    store(steady, (i * len(layout.tiles) + tile) * TILE, convert(total, like))
            begin = end
    store(out, 0, least)
    largest = 0.0
    for k in range(TILE):
        largest = max(largest, -out[k])
    return largest, finite
