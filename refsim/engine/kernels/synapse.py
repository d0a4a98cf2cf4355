"""Gather: the current of one tile of output channels from the events in its receptive field.

For an output position the rows of the weight table that are hit are listed in the order of the specification
(`listing`), and then added up in that order. Lanes are as `layout` says.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.compiling import inlined
from refsim.engine.kernels.lanes import TILE, load, splat, store, to_bits
from refsim.engine.kernels.layout import ALL
from refsim.engine.kernels.rows import add_rows, add_scaled_rows


class Synapses(NamedTuple):
    """One projection, as the kernels read it.

    weight : (n_tiles, n_rows, TILE); row = kernel position * channels + (channel - first_channel[tile])
    bias : (n_tiles, TILE)
    reach : (taps,) uint64, the lanes that each kernel position reaches; (1,) if each reaches all
    first_channel : (n_tiles,) int64, the lowest source channel that reaches the tile (groups)
    kernel, stride, padding, dilation, grid
        int64 pairs, of a cell (`layout`); grid is (H, W) of the source.
    channels, source_channels : source channels that reach one tile, and all of them
    n_steps : steps for which the source lists events
    constant : the source is the same at every step (the image); it lists one step
    grouped : a tile is reached by some of the source channels only
    ones : every amplitude is +1 (theta is folded into the weight, and the source fires no negative spikes)
    identity : no weights act; the table is diagonal
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    reach: NDArray[np.uint64]
    first_channel: NDArray[np.int64]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    grid: tuple[int, int]
    channels: int
    source_channels: int
    n_steps: int
    constant: bool
    grouped: bool
    ones: bool
    identity: bool


@inlined
def gather(synapses, lists, tile, i, t, parts):  # type: ignore[no-untyped-def]
    """The sum of the projections' currents, each with its bias last, and the bits of the lanes that were reached.

    i : number of the step's first list, of one for each projection. Writes parts (P, TILE), one current per projection;
    that of a constant source is computed at t = 0 only.
    """
    zero = splat(parts.dtype.type(0))
    total = zero
    reached = np.uint64(0)
    for p in range(len(synapses)):
        source = synapses[p]
        if source.constant and t > 0:
            part = load(parts, p * TILE)
            reached = ALL
        else:
            begin, end = lists.bounds[i + p, 0], lists.bounds[i + p, 1]
            if source.ones:
                part = add_rows(source.weight, tile, lists.rows, begin, end, zero)
            else:
                part = add_scaled_rows(source.weight, tile, lists.rows, lists.amplitudes, begin, end, zero)
            part = part + load(source.bias, tile * TILE)
            if source.constant:
                store(parts, p * TILE, part)
                reached = ALL
            elif source.identity:
                for k in range(begin, end):
                    reached |= np.uint64(1) << np.uint64(lists.rows[k])
            else:
                reached |= lists.reached[i + p]
        total = part if p == 0 else total + part
    return total, reached


@inlined
def all_finite(current, used):  # type: ignore[no-untyped-def]
    """Whether the lanes in use are finite numbers: inf - inf is none, and not even equal to itself."""
    rest = current - current
    return used & ~to_bits(rest >= rest) == np.uint64(0)
