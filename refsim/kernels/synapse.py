"""Gather: the current of one tile of output channels from the events in its receptive field.

For an output position the rows of the weight table that are hit are listed once, in the order of the
specification (kernel position, then channel), and added up eight to a pass, so that the sums stay in registers.
Lanes are output channels: no addition is ever reordered.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

TILE = 64
"""Output channels computed together."""


class Synapses(NamedTuple):
    """One projection, as the kernels read it.

    weight : (n_tiles, n_rows, TILE); row = kernel position * channels + (channel - first_channel[tile])
    bias : (n_tiles, TILE)
    first_channel : (n_tiles,) int64, the lowest source channel that reaches the tile (groups)
    kernel, stride, padding, dilation, plane : int64 pairs; plane is (H, W) of the source
    channels : source channels that reach one tile; 0 for an identity projection, which has no weights
    n_steps : steps for which the source lists events
    constant : the source is the same at every step (the image); it lists one step
    unit : amplitudes are +1 and -1; theta is folded into the weight
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
    unit: bool


@njit(cache=True, nogil=True)
def list_rows(synapses, events, tile, b, y, x, t, rows, amplitudes):  # type: ignore[no-untyped-def]
    """List the weight rows that position (y, x) of image b receives at step t; returns how many.

    Writes rows (n_rows,) int64 and amplitudes (n_rows,).
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
            base = (i * k_w + j) * channels - first
            for event in range(start[cell], start[cell + 1]):
                c = channel[event]
                if first <= c < first + channels:
                    rows[n] = base + c
                    amplitudes[n] = amplitude[event]
                    n += 1
    return n


@njit(cache=True, nogil=True)
def add_rows(weight, rows, amplitudes, n, unit, current):  # type: ignore[no-untyped-def]
    """current[:] = sum of amplitude * weight[row] over the first n rows, in their order. weight : (n_rows, TILE).

    With `unit` the amplitudes are +1 and -1: eight +1 in a row need no multiplication.
    """
    for k in range(TILE):
        current[k] = 0
    n_full = n - n % 8
    for r in range(0, n_full, 8):
        w0 = weight[rows[r]]
        w1 = weight[rows[r + 1]]
        w2 = weight[rows[r + 2]]
        w3 = weight[rows[r + 3]]
        w4 = weight[rows[r + 4]]
        w5 = weight[rows[r + 5]]
        w6 = weight[rows[r + 6]]
        w7 = weight[rows[r + 7]]
        a0 = amplitudes[r]
        a1 = amplitudes[r + 1]
        a2 = amplitudes[r + 2]
        a3 = amplitudes[r + 3]
        a4 = amplitudes[r + 4]
        a5 = amplitudes[r + 5]
        a6 = amplitudes[r + 6]
        a7 = amplitudes[r + 7]
        if unit and a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 == 8:
            for k in range(TILE):
                half = (((current[k] + w0[k]) + w1[k]) + w2[k]) + w3[k]
                current[k] = (((half + w4[k]) + w5[k]) + w6[k]) + w7[k]
        else:
            for k in range(TILE):
                half = (((current[k] + a0 * w0[k]) + a1 * w1[k]) + a2 * w2[k]) + a3 * w3[k]
                current[k] = (((half + a4 * w4[k]) + a5 * w5[k]) + a6 * w6[k]) + a7 * w7[k]
    for r in range(n_full, n):
        w0 = weight[rows[r]]
        a0 = amplitudes[r]
        for k in range(TILE):
            current[k] += a0 * w0[k]


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
