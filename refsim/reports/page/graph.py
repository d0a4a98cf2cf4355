"""The drawn graph of a network: a row for each layer, arrows that skip layers beside it in lanes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refsim.model import INPUT
from refsim.reports.info import LayerInfo

ROW = 30
"""Height of a row, in pixels: arrows go on from row to row."""

LANE = 12
"""Distance of neighbouring lanes."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The piece of the graph in one row.

    paths
        SVG path data of the arrows that pass, begin or end here.
    """

    width: int
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Skip:
    """An arrow from one row to one that does not follow it."""

    start: int
    end: int
    lane: int


def draw_rows(layers: Sequence[LayerInfo]) -> tuple[Drawn, ...]:
    """A piece for the image, then one for each layer; next to each other they are the graph."""
    rows = {INPUT: 0} | {layer.name: i for i, layer in enumerate(layers, start=1)}
    arrows = [(rows[source], i) for i, layer in enumerate(layers, start=1) for source in layer.inputs]
    neighbours = {start for start, end in arrows if end == start + 1}
    skips = _lanes([(start, end) for start, end in arrows if end != start + 1])
    width = LANE * (1 + max((skip.lane for skip in skips), default=0)) + 8
    return tuple(Drawn(width=width, paths=tuple(_paths(i, i in neighbours, i - 1 in neighbours, skips)))
                 for i in range(len(layers) + 1))  # fmt: skip


def _lanes(arrows: Sequence[tuple[int, int]]) -> list[_Skip]:
    """The first lane that is free from where an arrow begins to where it ends."""
    placed: list[_Skip] = []
    for start, end in sorted(arrows):
        taken = {skip.lane for skip in placed if skip.end > start}
        placed.append(_Skip(start=start, end=end, lane=min(set(range(1, len(placed) + 2)) - taken)))
    return placed


def _paths(row: int, goes_down: bool, comes_down: bool, skips: Sequence[_Skip]) -> list[str]:
    x, middle = 8, ROW // 2
    found = [f"M{x} {middle}V{ROW}"] * goes_down + [f"M{x} 0V{middle}"] * comes_down
    for skip in skips:
        lane = x + LANE * skip.lane
        if skip.start == row:
            found.append(f"M{x} {middle}C{lane} {middle} {lane} {middle} {lane} {ROW}")
        elif skip.end == row:
            found.append(f"M{lane} 0C{lane} {middle} {lane} {middle} {x} {middle}")
        elif skip.start < row < skip.end:
            found.append(f"M{lane} 0V{ROW}")
    return found
