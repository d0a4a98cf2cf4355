"""Which rows of a weight table are hit: listed once for a block of output positions, for all tiles and steps.

For a position and a step the rows are in the order of the specification: kernel position, then channel. Lists of events
run along the rows of the source's plane (`lists`), so that what a row of the kernel hears is copied in one go.
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


PLACE, COLUMNS, TAP, FIRST, OFFSET = range(5)
"""What `Lists.runs` holds of a stretch."""


class Lists(NamedTuple):
    """The rows hit from a block of positions; room for them, reused from block to block.

    rows : int32; amplitudes : float, as long, or empty where all are 1
    bounds : int64; list i is rows[bounds[i]:bounds[i + 1]], by cell, step, projection, class
    reached : uint64, the lanes that list i reaches, unless it is of an identity
    per_step : (P,) int64, classes of each projection, and n of them together
    most : entries that one position may need
    runs, n_runs
        (P, taps, 5) and (P,) int64, to work in: stretches of neighbouring columns that are heard. PLACE: the list of
        the first column at the first step; COLUMNS: how many; TAP: kernel position of the first; FIRST: its least
        entry; OFFSET: what turns entries into rows.
    shared : whether all tiles hear the same channels
    """

    rows: NDArray[np.int32]
    amplitudes: NDArray[Any]
    bounds: NDArray[np.int64]
    reached: NDArray[np.uint64]
    per_step: NDArray[np.int64]
    n: int
    most: int
    runs: NDArray[np.int64]
    n_runs: NDArray[np.int64]
    shared: bool

    @classmethod
    def of(
        cls, synapses: tuple[Any, ...], events: tuple[Any, ...], per_step: NDArray[np.int64], T: int, dtype: Any
    ) -> Lists:
        """Room for these projections; dtype : of amplitudes, also where all are 1, or None if there are none."""
        most = sum(
            min(each.weight.shape[1] * int(n) * T, len(one.entry)) for each, one, n in zip(synapses, events, per_step)
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
            reached=np.zeros(max(room // 8, n * T), np.uint64),
            per_step=per_step,
            n=n,
            most=most,
            runs=np.empty((len(synapses), taps, 5), np.int64),
            n_runs=np.empty(len(synapses), np.int64),
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
def list_runs(synapses, tile, b, y, x, runs):  # type: ignore[no-untyped-def]
    """The stretches of a kernel's rows that lie inside the plane, as in `Lists`; returns how many. Writes runs."""
    k_h, k_w = synapses.kernel
    h, w = synapses.plane
    adjacent = synapses.dilation[1] == 1 and not synapses.grouped
    left = x * synapses.stride[1] - synapses.padding[1]
    n = 0
    for i in range(k_h):
        source_y = y * synapses.stride[0] - synapses.padding[0] + i * synapses.dilation[0]
        if source_y < 0 or source_y >= h:
            continue
        if adjacent:
            j = max(0, -left)
            n = add_run(synapses, tile, b, source_y, left + j, i * k_w + j, min(k_w, w - left) - j, runs, n)
            continue
        for j in range(k_w):
            source_x = left + j * synapses.dilation[1]
            if source_x >= 0 and source_x < w:
                n = add_run(synapses, tile, b, source_y, source_x, i * k_w + j, 1, runs, n)
    return n


@inlined
def add_run(synapses, tile, b, y, x, tap, columns, runs, n):  # type: ignore[no-untyped-def]
    """Add a stretch from column x on, unless it is empty; returns how many there are. Writes runs."""
    first = x * synapses.source_channels + synapses.first_channel[tile]
    runs[n, PLACE] = (b * synapses.plane[0] + y) * synapses.n_steps * synapses.plane[1] + x
    runs[n, COLUMNS] = columns
    runs[n, TAP] = tap
    runs[n, FIRST] = first
    runs[n, OFFSET] = tap * synapses.channels - first
    return n + (columns > 0)


@inlined
def lanes_reached(synapses, start, place, tap, columns):  # type: ignore[no-untyped-def]
    """The lanes that the events of a stretch reach, one bit each; start[place] is where its first list begins."""
    if len(synapses.reach) == 1:
        return np.uint64(0) - np.uint64(start[place] < start[place + np.uint64(columns)])
    reached = np.uint64(0)
    before = start[place]
    for j in range(columns):
        after = start[place + np.uint64(j + 1)]
        # Whether a list is empty is hard to foretell, so that nothing should branch on it.
        reached |= synapses.reach[np.uint64(tap + j)] & (np.uint64(0) - np.uint64(before < after))
        before = after
    return reached


@kernel
def list_block(synapses, events, lists, tile, position, shape):  # type: ignore[no-untyped-def]
    """List the rows of as many cells as there is room for, from cell `position` on; returns the next one.

    shape : (B, H, W, T) of the target's cells; tile : one of those that share the lists. Writes lists.
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
        b, cell = position // (height * width), position % (height * width)
        for p in range(len(synapses)):
            lists.n_runs[p] = list_runs(synapses[p], tile, b, cell // width, cell % width, lists.runs[p])
        for t in range(T):
            for p in range(len(synapses)):
                source = synapses[p]
                start, entry, amplitude = events[p]
                n_runs = 0 if source.constant and t > 0 else lists.n_runs[p]
                for c in range(lists.per_step[p]):
                    step = (t * lists.per_step[p] + c) * source.plane[1]
                    reached = np.uint64(0)
                    for k in range(n_runs):
                        place, columns = np.uint64(lists.runs[p, k, PLACE] + step), lists.runs[p, k, COLUMNS]
                        begin, end = start[place], start[place + np.uint64(columns)]
                        if source.grouped:
                            first = lists.runs[p, k, FIRST]
                            while begin < end and entry[begin] < first:
                                begin += 1
                            while end > begin and entry[end - 1] >= first + source.channels:
                                end -= 1
                            reached |= np.uint64(0) - np.uint64(begin < end)
                        elif not source.identity:
                            reached |= lanes_reached(source, start, place, lists.runs[p, k, TAP], columns)
                        copy_offset(entry, begin, end, np.int32(lists.runs[p, k, OFFSET]), rows, n)
                        if with_amplitudes and not source.ones:
                            copy_offset(amplitude, begin, end, amplitude.dtype.type(0), amplitudes, n)
                        n += end - begin
                    lists.reached[i] = reached
                    i += np.uint64(1)
                    bounds[i] = n
        position += 1
    return position
