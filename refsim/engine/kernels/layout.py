"""Which neuron a lane is: a tile covers output channels of one position, or all channels of several columns.

Where a population has half as many channels as a tile has lanes, or fewer, neighbouring positions of a row share a
tile: lane k is channel k % C of column k // C, and its projections have the weights of a kernel so much wider, zero
where a column does not read (`tables.synapses_of`). Adding finite numbers times zero changes no sum: every number
stays what it was.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refsim.engine.events import WORD
from refsim.engine.kernels.compiling import inlined
from refsim.engine.kernels.lanes import store

ALL = ~np.uint64(0)
"""All lanes, or bits."""


class Layout(NamedTuple):
    """The neurons of a population as cells: the positions that one tile covers, row by row.

    tiles : (n_tiles, 3) int64, first channel, lanes in use, and channels; a tile lies within one mask word
    columns : positions of a cell; if more than one, there is one tile
    height, across : rows of cells, and cells of a row
    """

    tiles: NDArray[np.int64]
    columns: int
    height: int
    across: int

    @classmethod
    def of(cls, cuts: list[int], columns: int, height: int, width: int) -> Layout:
        """Tiles between the given channels, the first and the last included; columns divides width."""
        edges = np.array(cuts, dtype=np.int64)
        channels = np.diff(edges)
        tiles = np.stack([edges[:-1], channels * columns, channels], axis=1)
        return cls(tiles=tiles, columns=columns, height=height, across=width // columns)


@inlined
def cell_at(layout, i):  # type: ignore[no-untyped-def]
    """Image, cell within its grid, row and first column of cell i."""
    n_cells = layout.height * layout.across
    b, cell = i // n_cells, i % n_cells
    return b, cell, cell // layout.across, cell % layout.across * layout.columns


@inlined
def channels_of(layout, tile):  # type: ignore[no-untyped-def]
    """First channel of a tile, and how many they are."""
    return layout.tiles[tile, 0], layout.tiles[tile, 2]


@inlined
def lowest(n):  # type: ignore[no-untyped-def]
    """The lowest n bits, 1 or more."""
    return ALL >> np.uint64(WORD - n)


@inlined
def lanes_used(layout, tile):  # type: ignore[no-untyped-def]
    """The bits of the lanes that are neurons."""
    return lowest(layout.tiles[tile, 1])


@inlined
def mark(mask, layout, tile, b, y, x, t, bits):  # type: ignore[no-untyped-def]
    """Set the bits of a cell's lanes in a mask of spikes."""
    first, channels = channels_of(layout, tile)
    one_column = lowest(channels)
    for column in range(layout.columns):
        mask[b, y, x + column, t, first // WORD] |= (bits & one_column) << np.uint64(first % WORD)
        bits >>= np.uint64(channels % WORD)


@inlined
def put(target, layout, tile, b, y, x, lanes, room):  # type: ignore[no-untyped-def]
    """Write a cell's lanes where they belong in target (B, H, W, C). room : (TILE,), to work in"""
    first, channels = channels_of(layout, tile)
    store(room, 0, lanes)
    for column in range(layout.columns):
        for k in range(channels):
            target[b, y, x + column, first + k] = room[column * channels + k]


@inlined
def neuron_of(layout, tile, x, lane):  # type: ignore[no-untyped-def]
    """Column and channel of a lane of the cell at column x."""
    first, channels = channels_of(layout, tile)
    return x + lane // channels, first + lane % channels
