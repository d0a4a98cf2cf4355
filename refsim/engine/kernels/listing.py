"""Which rows of a weight table are hit: listed once for a block of output positions, for all tiles and steps.

For a position and a step the rows are in the order of the specification: kernel position, then channel. Lists of events
run along the rows of the source's grid (`lists`), so that what a row of the kernel reads is copied in one go.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.compiling import inlined, kernel
from refsim.engine.kernels.layout import ALL
from refsim.engine.kernels.rows import STRIDE, copy_offset

SHARED = 2**18
"""Entries of a block that several tiles read, one after the other."""

OWN = 2**13
"""Entries of a block that one tile reads: small enough to be in cache still."""


PLACE, COLUMNS, TAP, FIRST, OFFSET = range(5)
"""What `Lists.runs` holds of a stretch."""

KERNEL_Y, KERNEL_X, STRIDE_Y, STRIDE_X, PADDING_Y, PADDING_X, DILATION_Y, DILATION_X, HEIGHT, WIDTH = range(10)
CHANNELS, SOURCE_CHANNELS, N_STEPS, CONSTANT, GROUPED, ONES, ALIKE = range(10, 17)
"""What `Lists.geometry` holds of a projection: `Synapses` in numbers, and whether each tap reaches all lanes."""


class Lists(NamedTuple):
    """The rows hit from a block of cells; room for them, reused from block to block.

    rows : int32; amplitudes : float, as long, or empty where all are 1
    bounds : (n, 2) int64; list i is rows[bounds[i, 0]:bounds[i, 1]], by cell, step, projection, class
    reached : uint64, the lanes that list i reaches, unless it is of an identity
    per_step : (P,) int64, classes of each projection, and n of them together
    most : entries that one cell may need
    runs
        (P, taps, 5) int64, to work in: stretches of neighbouring columns that are read. PLACE: the list of the
        first column at the first step; COLUMNS: how many; TAP: kernel position of the first; FIRST: its least
        entry; OFFSET: what turns entries into rows.
    shared : whether all tiles read the same channels
    geometry, reach, first_channel
        (P, 17) int64, (P, taps) uint64, (P, n_tiles) int64: where projections read, whatever their weights are, so that
        one compiled function lists for all number types.
    """

    rows: NDArray[np.int32]
    amplitudes: NDArray[Any]
    bounds: NDArray[np.int64]
    reached: NDArray[np.uint64]
    per_step: NDArray[np.int64]
    n: int
    most: int
    runs: NDArray[np.int64]
    shared: bool
    geometry: NDArray[np.int64]
    reach: NDArray[np.uint64]
    first_channel: NDArray[np.int64]

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
        reach = np.zeros((len(synapses), taps), np.uint64)
        for row, each in zip(reach, synapses):
            row[: len(each.reach)] = each.reach
        return cls(
            rows=np.empty(room, np.int32),
            amplitudes=np.empty(0 if dtype is None or all(each.ones for each in synapses) else room, dtype),
            bounds=np.empty((max(room // 8, n * T), 2), np.int64),
            reached=np.empty(max(room // 8, n * T), np.uint64),
            per_step=per_step,
            n=n,
            most=most,
            runs=np.empty((len(synapses), taps, 5), np.int64),
            shared=shared,
            geometry=np.array([_geometry(each) for each in synapses], np.int64),
            reach=reach,
            first_channel=np.array([each.first_channel for each in synapses]),
        )


def _geometry(synapses: Any) -> tuple[int, ...]:
    return (
        *synapses.kernel,
        *synapses.stride,
        *synapses.padding,
        *synapses.dilation,
        *synapses.grid,
        synapses.channels,
        synapses.source_channels,
        synapses.n_steps,
        synapses.constant,
        synapses.grouped,
        synapses.ones,
        len(synapses.reach) == 1,
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
def list_runs(lists, p, tile, b, y, x):  # type: ignore[no-untyped-def]
    """The stretches of a kernel's rows that lie inside the grid; returns how many. Writes lists.runs[p]."""
    geometry, runs = lists.geometry, lists.runs
    k_w, w = geometry[p, KERNEL_X], geometry[p, WIDTH]
    adjacent = geometry[p, DILATION_X] == 1 and geometry[p, GROUPED] == 0
    left = x * geometry[p, STRIDE_X] - geometry[p, PADDING_X]
    n = 0
    for i in range(geometry[p, KERNEL_Y]):
        source_y = y * geometry[p, STRIDE_Y] - geometry[p, PADDING_Y] + i * geometry[p, DILATION_Y]
        if source_y < 0 or source_y >= geometry[p, HEIGHT]:
            continue
        plane_row = (b * geometry[p, HEIGHT] + source_y) * geometry[p, N_STEPS] * w
        j = max(0, -left) if adjacent else 0
        while j < k_w:
            source_x = left + j * geometry[p, DILATION_X]
            columns = min(k_w, w - left) - j if adjacent else int(source_x >= 0 and source_x < w)
            tap = i * k_w + j
            first = source_x * geometry[p, SOURCE_CHANNELS] + lists.first_channel[p, tile]
            runs[p, n, PLACE] = plane_row + source_x
            runs[p, n, COLUMNS] = columns
            runs[p, n, TAP] = tap
            runs[p, n, FIRST] = first
            runs[p, n, OFFSET] = tap * geometry[p, CHANNELS] - first
            n += columns > 0
            j += k_w if adjacent else 1
    return n


@inlined
def lanes_reached(lists, p, start, place, tap, columns, some):  # type: ignore[no-untyped-def]
    """The lanes that the events of a stretch reach, one bit each.

    start[place] : where its first list begins; some : whether there are any events
    """
    if lists.geometry[p, ALIKE] == 1:
        return ALL * np.uint64(some)
    reached = np.uint64(0)
    before = start[place]
    for j in range(columns):
        after = start[place + np.uint64(j + 1)]
        # Whether a list is empty is hard to foretell, so that nothing should branch on it.
        reached |= lists.reach[p, tap + j] & (ALL * np.uint64(before < after))
        before = after
    return reached


@kernel
def list_block(events, lists, tile, position, shape):  # type: ignore[no-untyped-def]
    """List the rows of as many cells as there is room for, from cell `position` on; returns the next one.

    shape : (B, H, W, T) of the target's cells; tile : one of those that share the lists. Writes lists.
    position : np.int64(0) to begin with; for a literal 0 Numba would compile all this once more
    """
    n_images, height, width, T = shape
    rows, amplitudes, bounds, runs = lists.rows, lists.amplitudes, lists.bounds, lists.runs
    with_amplitudes = len(amplitudes) > 0
    n = 0
    at = np.uint64(0)
    while position < n_images * height * width:
        if at > np.uint64(0) and (n + lists.most + STRIDE > len(rows) or np.int64(at) + lists.n * T > len(bounds)):
            break
        b, cell = position // (height * width), position % (height * width)
        first_list = at
        for p in range(len(events)):
            q = np.uint64(p)
            start, entry, amplitude = events[p]
            geometry = lists.geometry
            n_channels, columns_of_grid = geometry[q, CHANNELS], geometry[q, WIDTH]
            grouped, ones, alike = geometry[q, GROUPED] == 1, geometry[q, ONES] == 1, geometry[q, ALIKE] == 1
            classes = np.uint64(lists.per_step[q])
            n_runs = np.uint64(list_runs(lists, p, tile, b, cell // width, cell % width))
            step = np.uint64(0)
            for t in range(T):
                if t == 1 and geometry[q, CONSTANT] == 1:
                    n_runs = np.uint64(0)
                i = first_list + np.uint64(t * lists.n)
                for _ in range(classes):
                    reached = np.uint64(0)
                    before = n
                    for k in range(n_runs):
                        place, columns = np.uint64(runs[q, k, PLACE]) + step, runs[q, k, COLUMNS]
                        begin, end = start[place], start[place + np.uint64(columns)]
                        if grouped:
                            first = runs[q, k, FIRST]
                            while begin < end and entry[begin] < first:
                                begin += 1
                            while end > begin and entry[end - 1] >= first + n_channels:
                                end -= 1
                        if not alike:
                            reached |= lanes_reached(lists, p, start, place, runs[q, k, TAP], columns, begin < end)
                        copy_offset(entry, begin, end, np.int32(runs[q, k, OFFSET]), rows, n)
                        if with_amplitudes and not ones:
                            copy_offset(amplitude, begin, end, amplitude.dtype.type(0), amplitudes, n)
                        n += end - begin
                    bounds[i, 0], bounds[i, 1] = before, n
                    lists.reached[i] = ALL * np.uint64(n > before) if alike else reached
                    i += np.uint64(1)
                    step += np.uint64(columns_of_grid)
            first_list += classes
        at += np.uint64(lists.n * T)
        position += 1
    return position
