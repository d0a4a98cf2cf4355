"""Gather: the current of one tile of output channels from the events in its receptive field.

For an output position the rows of the weight table that are hit are listed once, in the order of the
specification (kernel position, then channel), and then added up in that order. Lanes are output channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refsim.kernels.vector import TILE


class Synapses(NamedTuple):
    """One projection, as the kernels read it.

    weight : (n_tiles, n_rows, TILE); row = kernel position * channels + (channel - first_channel[tile])
    bias : (n_tiles, TILE)
    first_channel : (n_tiles,) int64, the lowest source channel that reaches the tile (groups)
    kernel, stride, padding, dilation, plane : int64 pairs; plane is (H, W) of the source
    channels : source channels that reach one tile; 0 for an identity projection, which has no weights
    n_steps : steps for which the source lists events
    constant : the source is the same at every step (the image); it lists one step
    grouped : a tile is reached by some of the source channels only
    ones : every amplitude is +1 (theta is folded into the weight, and the source fires no negative spikes)
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


@njit(cache=True, nogil=True)
def list_rows(synapses, events, tile, b, y, x, t, rows, amplitudes):  # type: ignore[no-untyped-def]
    """List the weight rows that position (y, x) of image b receives at step t; returns how many.

    Writes rows (n_rows,) int32 and amplitudes (n_rows,).
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
            base = np.int32((i * k_w + j) * channels - first)
            for event in range(end - begin):
                rows[n + event] = base + channel[begin + event]
            for event in range(end - begin):
                amplitudes[n + event] = amplitude[begin + event]
            n += end - begin
    return n


@njit(cache=True, nogil=True)
def pass_through(events, cell, first, width, current):  # type: ignore[no-untyped-def]
    """current[:] = the source's own values for channels first .. first + width: an identity projection."""
    start, channel, amplitude = events
    for k in range(TILE):
        current[k] = 0
    for event in range(start[cell], start[cell + 1]):
        c = channel[event] - first
        if 0 <= c < width:
            current[c] = amplitude[event]
