"""Gather: the current of one tile of output channels from the events in its receptive field.

For an output position the rows of the weight table that are hit are listed once, in the order of the
specification (kernel position, then channel), and then added up in that order. Lanes are output channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.kernels.compiling import inlined
from refsim.kernels.lanes import TILE, load, splat, store
from refsim.kernels.rows import add_rows, add_scaled_rows, copy_offset


class Synapses(NamedTuple):
    """One projection, as the kernels read it.

    weight : (n_tiles, n_rows, TILE); row = kernel position * channels + (channel - first_channel[tile])
    bias : (n_tiles, TILE)
    first_channel : (n_tiles,) int64, the lowest source channel that reaches the tile (groups)
    kernel, stride, padding, dilation, plane : int64 pairs; plane is (H, W) of the source
    channels : source channels that reach one tile
    n_steps : steps for which the source lists events
    constant : the source is the same at every step (the image); it lists one step
    grouped : a tile is reached by some of the source channels only
    ones : every amplitude is +1 (theta is folded into the weight, and the source fires no negative spikes)
    identity : no weights act; the table is a unit matrix
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    first_channel: NDArray[np.int64]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    plane: tuple[int, int]
    channels: int
    n_steps: int
    constant: bool
    grouped: bool
    ones: bool
    identity: bool


@inlined
def list_rows(synapses, events, tile, b, y, x, t, rows, amplitudes):  # type: ignore[no-untyped-def]
    """List the weight rows that position (y, x) of image b receives at step t; returns how many.

    Writes rows (n_rows + STRIDE,) int32 and, unless all are 1, amplitudes.
    """
    k_h, k_w = synapses.kernel
    h, w = synapses.plane
    channels = synapses.channels
    first = synapses.first_channel[tile]
    start, channel, amplitude = events
    n = 0
    for i in range(k_h):
        source_y = y * synapses.stride[0] - synapses.padding[0] + i * synapses.dilation[0]
        if source_y < 0 or source_y >= h:
            continue
        for j in range(k_w):
            source_x = x * synapses.stride[1] - synapses.padding[1] + j * synapses.dilation[1]
            if source_x < 0 or source_x >= w:
                continue
            cell = ((b * h + source_y) * w + source_x) * synapses.n_steps + t
            begin = start[cell]
            end = start[cell + 1]
            if synapses.grouped:
                while begin < end and channel[begin] < first:
                    begin += 1
                while end > begin and channel[end - 1] >= first + channels:
                    end -= 1
            copy_offset(channel, begin, end, np.int32((i * k_w + j) * channels - first), rows, n)
            if not synapses.ones:
                copy_offset(amplitude, begin, end, amplitude.dtype.type(0), amplitudes, n)
            n += end - begin
    return n


@inlined
def gather(synapses, events, tile, b, y, x, t, rows, amplitudes, parts):  # type: ignore[no-untyped-def]
    """The sum of the projections' currents, each with its bias last, and the bits of the lanes that were reached.

    Writes parts (P, TILE), one current per projection; that of a constant source is computed at t = 0 only.
    """
    zero = splat(parts.dtype.type(0))
    total = zero
    reached = np.uint64(0)
    for p in range(len(synapses)):
        source = synapses[p]
        if source.constant and t > 0:
            part = load(parts, p * TILE)
            reached = ~np.uint64(0)
        else:
            n = list_rows(source, events[p], tile, b, y, x, t, rows, amplitudes)
            if source.ones:
                part = add_rows(source.weight, tile, rows, 0, n, zero)
            else:
                part = add_scaled_rows(source.weight, tile, rows, amplitudes, 0, n, zero)
            part = part + load(source.bias, tile * TILE)
            if source.constant:
                store(parts, p * TILE, part)
                reached = ~np.uint64(0)
            elif source.identity:
                for i in range(n):
                    reached |= np.uint64(1) << np.uint64(rows[i])
            elif n > 0:
                reached = ~np.uint64(0)
        total = part if p == 0 else total + part
    return total, reached
