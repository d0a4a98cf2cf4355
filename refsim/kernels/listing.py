"""Which rows of a weight table are hit: listed once for a block of output positions, for all tiles and steps.

For a position and a step the rows are in the order of the specification: kernel position, then channel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.kernels.compiling import inlined, kernel
from refsim.kernels.rows import STRIDE, copy_offset

SHARED = 2**18
"""Entries of a block that several tiles read, one after the other."""

OWN = 2**13
"""Entries of a block that one tile reads: small enough to be in cache still."""


class Lists(NamedTuple):
    """The rows hit from a block of positions; room for them, reused from block to block.

    rows : int32; amplitudes : float, as long, or empty where all are 1
    bounds : int64; list i is rows[bounds[i]:bounds[i + 1]], by position, step, projection, class
    per_step : (P,) int64, classes of each projection, and n of them together
    most : entries that one position may need
    cells, offsets : (P, taps) int64 and int32, to work in: where a tap reads, and what turns channels into rows
    shared : whether all tiles hear the same channels
    """

    rows: NDArray[np.int32]
    amplitudes: NDArray[Any]
    bounds: NDArray[np.int64]
    per_step: NDArray[np.int64]
    n: int
    most: int
    cells: NDArray[np.int64]
    offsets: NDArray[np.int32]
    shared: bool

    @classmethod
    def of(
        cls, synapses: tuple[Any, ...], events: tuple[Any, ...], per_step: NDArray[np.int64], T: int, dtype: Any
    ) -> Lists:
        """Room for these projections; dtype : of amplitudes, also where all are 1, or None if there are none."""
        most = sum(
            min(each.weight.shape[1] * int(n) * T, len(one.channel)) for each, one, n in zip(synapses, events, per_step)
        )
        shared = all((each.first_channel == each.first_channel[0]).all() for each in synapses)
        several = shared and len(synapses[0].weight) > 1
        room = max(SHARED if several else OWN, most) + STRIDE
        n = int(per_step.sum())
        taps = max(each.kernel[0] * each.kernel[1] for each in synapses)
        return cls(
            rows=np.empty(room, np.int32),
            amplitudes=np.empty(0 if dtype is None or all(each.ones for each in synapses) else room, dtype),
            bounds=np.zeros(max(room // 8, n * T) + 1, np.int64),
            per_step=per_step,
            n=n,
            most=most,
            cells=np.empty((len(synapses), taps), np.int64),
            offsets=np.empty((len(synapses), taps), np.int32),
            shared=shared,
        )


@inlined
def n_groups(lists, tiles):  # type: ignore[no-untyped-def]
    """How many groups of tiles share lists: all of them, or every tile has its own."""
    return 1 if lists.shared else len(tiles)


@inlined
def tiles_of_group(lists, tiles, group):  # type: ignore[no-untyped-def]
    """The tiles of a group."""
    return range(len(tiles)) if lists.shared else range(group, group + 1)


@inlined
def list_taps(synapses, tile, b, y, x, cells, offsets):  # type: ignore[no-untyped-def]
    """The kernel positions that lie inside the plane, (taps,) cells and offsets; returns how many. Writes both."""
    k_h, k_w = synapses.kernel
    h, w = synapses.plane
    n = 0
    for i in range(k_h):
        source_y = y * synapses.stride[0] - synapses.padding[0] + i * synapses.dilation[0]
        if source_y < 0 or source_y >= h:
            continue
        for j in range(k_w):
            source_x = x * synapses.stride[1] - synapses.padding[1] + j * synapses.dilation[1]
            if source_x < 0 or source_x >= w:
                continue
            cells[n] = ((b * h + source_y) * w + source_x) * synapses.n_steps
            offsets[n] = (i * k_w + j) * synapses.channels - synapses.first_channel[tile]
            n += 1
    return n


@kernel
def list_block(synapses, events, lists, tile, position, shape):  # type: ignore[no-untyped-def]
    """List the rows of as many positions as there is room for, from `position` on; returns the next position.

    shape : (B, H, W, T) of the target; tile : one of those that share the lists. Writes lists.
    """
    n_images, height, width, T = shape
    rows, amplitudes, bounds = lists.rows, lists.amplitudes, lists.bounds
    with_amplitudes = len(amplitudes) > 0
    n = 0
    i = np.uint64(0)
    bounds[0] = 0
    while position < n_images * height * width:
        if i > np.uint64(0) and (n + lists.most + STRIDE > len(rows) or np.int64(i) + lists.n * T >= len(bounds)):
            break
        b, place = position // (height * width), position % (height * width)
        for p in range(len(synapses)):
            source = synapses[p]
            n_taps = list_taps(source, tile, b, place // width, place % width, lists.cells[p], lists.offsets[p])
            for k in range(n_taps, lists.cells.shape[1]):
                lists.cells[p, k] = -1
        for t in range(T):
            for p in range(len(synapses)):
                source = synapses[p]
                start, channel, amplitude = events[p]
                first = source.first_channel[tile]
                for c in range(lists.per_step[p]):
                    for k in range(lists.cells.shape[1]):
                        cell = lists.cells[p, k]
                        if cell < 0 or (source.constant and t > 0):
                            break
                        cell += t * lists.per_step[p] + c
                        begin = start[np.uint64(cell)]
                        end = start[np.uint64(cell) + np.uint64(1)]
                        if source.grouped:
                            while begin < end and channel[begin] < first:
                                begin += 1
                            while end > begin and channel[end - 1] >= first + source.channels:
                                end -= 1
                        copy_offset(channel, begin, end, lists.offsets[p, k], rows, n)
                        if with_amplitudes and not source.ones:
                            copy_offset(amplitude, begin, end, amplitude.dtype.type(0), amplitudes, n)
                        n += end - begin
                    i += np.uint64(1)
                    bounds[i] = n
        position += 1
    return position
