"""One population in float numbers, all its T steps: gather the currents of a tile, fire, next step.

Output channels are cut into tiles. For a block of cells (of one or many images) the rows that are hit are listed
once; then tile by tile, position by position, step by step they are added up, so that a tile's weights stay in cache
and its potentials in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refsim.engine.kernels.bits import popcount
from refsim.engine.kernels.compiling import kernel
from refsim.engine.kernels.lanes import TILE, lesser, load, select, splat, store
from refsim.engine.kernels.layout import cell_at, channels_of, lanes_used, mark, put
from refsim.engine.kernels.listing import Lists, list_block, n_groups, tiles_of_group
from refsim.engine.kernels.neuron import distance, fire, load_at
from refsim.engine.kernels.synapse import all_finite, gather


def room_for(synapses: tuple[Any, ...], events: tuple[Any, ...], T: int, dtype: Any) -> tuple[Any, ...]:
    """Room for lists, the currents of each projection, and the lanes of a tile."""
    per_step = np.ones(len(synapses), np.int64)
    lists = Lists.of(synapses, events, per_step, T, dtype)
    return lists, np.zeros((len(synapses), TILE), dtype), np.zeros(TILE, dtype)


@kernel
def run_spiking(layout, synapses, events, neurons, room, positive, negative, recorded, gaps, reached_out):  # type: ignore[no-untyped-def]
    """Run a population of neurons. Returns whether all currents were finite.

    layout : which neurons the lanes are
    synapses, events : tuples, one entry per projection; room : to work in, see `room_for`
    positive, negative : masks as in `SpikeTrain`, zero on entry; written
    recorded : (2, B, H, W, C), final potential and sum of the currents over time; written, unless 0 images long
    gaps : (2, n_tiles, TILE), least |m - theta| and |m - theta_neg| in units of theta; on entry the largest number,
        and inf; lowered
    reached_out : (B, T) int64, neurons that received at least one delivery; added to
    """
    n_images, _, _, T, _ = positive.shape
    shape = (n_images, layout.height, layout.across, T)
    number = recorded.dtype.type
    lists, parts, out = room
    zero, infinite = splat(number(0)), splat(number(np.inf))
    largest = load(gaps, 0)  # not by np.finfo, for which a cached start would load half of the compiler
    finite = True
    for group in range(n_groups(lists, layout.tiles)):
        begin = np.int64(0)
        while begin < n_images * layout.height * layout.across:
            end = list_block(events, lists, group, begin, shape)
            for tile in tiles_of_group(lists, layout.tiles, group):
                used = lanes_used(layout, tile)
                least, least_neg = load(gaps, tile * TILE), load(gaps, (len(layout.tiles) + tile) * TILE)
                for i in range(begin, end):
                    b, cell, y, x = cell_at(layout, i)
                    theta = load_at(neurons.theta, cell, tile)
                    theta_neg = load_at(neurons.theta_neg, cell, tile)
                    v = load_at(neurons.v0, cell, tile)
                    fired, total = zero, zero
                    gap, gap_neg = infinite, infinite
                    for t in range(T):
                        u, reached = gather(synapses, lists, tile, ((i - begin) * T + t) * lists.n, t, parts)
                        m = splat(number(neurons.leak)) * v + u
                        gap = lesser(distance(m, theta), gap)
                        if neurons.dual:
                            near = lesser(distance(m, theta_neg), gap_neg)
                            gap_neg = select(fired >= splat(number(1)), near, gap_neg)
                        v, fired, up, down = fire(neurons, m, theta, theta_neg, fired)
                        mark(positive, layout, tile, b, y, x, t, up & used)
                        if neurons.dual:
                            mark(negative, layout, tile, b, y, x, t, down & used)
                        reached_out[b, t] += popcount(reached & used)
                        total = total + u
                    per_theta = load_at(neurons.per_theta, cell, tile)
                    least = lesser(gap * per_theta, least)
                    if neurons.dual:
                        # What overflows is still a margin; inf says that the gate was never open.
                        size = lesser(gap_neg * per_theta, largest)
                        least_neg = lesser(select(gap_neg < infinite, size, infinite), least_neg)
                    finite &= all_finite(total, used)
                    if recorded.shape[1] > 0:
                        put(recorded[0], layout, tile, b, y, x, v, out)
                        put(recorded[1], layout, tile, b, y, x, total, out)
                store(gaps, tile * TILE, least)
                store(gaps, (len(layout.tiles) + tile) * TILE, least_neg)
            begin = end
    return finite


@kernel
def run_currents(layout, synapses, events, room, z_out):  # type: ignore[no-untyped-def]
    """The currents of a layer, for those who have other uses for them. z_out : (B, H, W, T, C); written."""
    n_images, _, _, T, n_channels = z_out.shape
    shape = (n_images, layout.height, layout.across, T)
    lists, parts, out = room
    for group in range(n_groups(lists, layout.tiles)):
        begin = np.int64(0)
        while begin < n_images * layout.height * layout.across:
            end = list_block(events, lists, group, begin, shape)
            for tile in tiles_of_group(lists, layout.tiles, group):
                first, channels = channels_of(layout, tile)
                for i in range(begin, end):
                    b, _, y, x = cell_at(layout, i)
                    for t in range(T):
                        u, _ = gather(synapses, lists, tile, ((i - begin) * T + t) * lists.n, t, parts)
                        if channels == TILE:
                            store(z_out, (i * T + t) * n_channels + first, u)
                            continue
                        put(z_out[:, :, :, t], layout, tile, b, y, x, u, out)
            begin = end
