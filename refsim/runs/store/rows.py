"""Rows: what a machine did on one image, as integers in a fixed order, and the `Result` they add up to.

A row is one vector of int64:

    label (-1: unknown), nonzero_macs, prediction[T],
    for each population  n_pos[T], n_neg[T], reached[T], recomputed[T],
    for each projection  unit_pos[T], unit_neg[T], event_pos[T], event_neg[T], pool_in[T]

The ANN is a machine with T = 1 and without populations and projections. Minima and maxima belong to a batch of
images, not to one: `bounds` are x_max, then the two decision margins of each population, as the bit patterns of
doubles that are not negative, which are ordered as the doubles are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.engine.results import PopulationCounts, Result, predictions
from refsim.engine.trace import Activations, SynapticOps, Trace
from refsim.exceptions import FormatError

Counts = NDArray[np.int64]

COUNTED = ("n_pos", "n_neg", "reached", "recomputed")
OPERATIONS = ("unit_pos", "unit_neg", "event_pos", "event_neg", "pool_in")
_WIDTHS = tuple(np.dtype(f"<i{width}") for width in (1, 2, 4, 8))


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the numbers of a row stand for."""

    T: int
    populations: tuple[str, ...]
    projections: tuple[tuple[str, str], ...]

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return 2 + self.T * (1 + len(COUNTED) * len(self.populations) + len(OPERATIONS) * len(self.projections))

    @property
    def n_bounds(self) -> int:
        """Numbers in the bounds of a batch."""
        return 1 + 2 * len(self.populations)

    def to_json(self) -> str:
        """One line that says everything about the layout."""
        return json.dumps({"T": self.T, "populations": self.populations, "projections": self.projections})

    @classmethod
    def from_json(cls, text: str) -> Columns:
        """The layout that `to_json` wrote.

        Raises
        ------
        FormatError
            Something else.
        """
        try:
            facts = json.loads(text)
            layout = cls(
                T=facts["T"],
                populations=tuple(facts["populations"]),
                projections=tuple((source, target) for source, target in facts["projections"]),
            )
        except (ValueError, LookupError, TypeError, RecursionError):
            raise FormatError("its layout is damaged, or of another version of refsim") from None
        names = [*layout.populations, *(name for edge in layout.projections for name in edge)]
        if type(layout.T) is not int or layout.T < 1 or not all(isinstance(name, str) for name in names):
            raise FormatError("its layout is damaged, or of another version of refsim")
        return layout


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """The rows of some images.

    images : (B,) int64, their indices in the data set
    rows : (B, width) int64
    bounds : (n_bounds,) int64, over the whole batch
    """

    layout: Columns
    images: Counts
    rows: Counts
    bounds: Counts


def snn_batch(images: Counts, trace: Trace, result: Result, labels: Counts | None) -> Batch:
    """The rows of one simulated batch."""
    T, n_images, _ = trace.logits.shape
    layout = Columns(T=T, populations=tuple(trace.populations), projections=tuple(trace.ops))
    columns = [*_head(n_images, labels), trace.nonzero_macs[:, None], predictions(trace.logits).T]
    columns += [getattr(each, name).T for each in trace.populations.values() for name in COUNTED]
    columns += [getattr(each, name).T for each in trace.ops.values() for name in OPERATIONS]
    margins = [result.populations[name].margin for name in layout.populations]
    bounds = np.concatenate([[result.x_max], *margins]).astype(np.float64)
    return Batch(layout=layout, images=images, rows=_join(columns), bounds=bounds.view(np.int64))


def ann_batch(images: Counts, activations: Activations, labels: Counts | None) -> Batch:
    """The rows of one batch of the source ANN."""
    decided = activations.logits.argmax(axis=1)[:, None]
    columns = [*_head(len(images), labels), np.zeros((len(images), 1)), decided]
    layout = Columns(T=1, populations=(), projections=())
    return Batch(layout=layout, images=images, rows=_join(columns), bounds=np.zeros(1, dtype=np.int64))


def _head(n_images: int, labels: Counts | None) -> list[NDArray[Any]]:
    return [np.full((n_images, 1), -1) if labels is None else labels[:, None]]


def _join(columns: list[NDArray[Any]]) -> Counts:
    return np.concatenate([each.astype(np.int64) for each in columns], axis=1)


def concatenate(batches: list[Batch]) -> Batch:
    """Several batches of one machine as one."""
    return Batch(
        layout=batches[0].layout,
        images=np.concatenate([each.images for each in batches]),
        rows=np.concatenate([each.rows for each in batches]),
        bounds=combine([each.bounds for each in batches]),
    )


def combine(bounds: Iterable[Counts]) -> Counts:
    """Bounds over the images of all batches: the largest x_max, the least margins; in any order."""
    table = np.stack(list(bounds))
    return np.concatenate([table[:, :1].max(axis=0), table[:, 1:].min(axis=0)])


def pack(row: Counts) -> bytes:
    """A row as bytes: little-endian integers of the least width (1, 2, 4 or 8 bytes) that holds them all."""
    low, high = int(row.min()), int(row.max())
    fitting = next(each for each in _WIDTHS if np.iinfo(each).min <= low and high <= np.iinfo(each).max)
    return row.astype(fitting).tobytes()


def unpack(data: bytes, width: int) -> Counts:
    """The row of `width` numbers that `pack` made bytes of.

    Raises
    ------
    FormatError
        Bytes that `pack` does not make of so many numbers.
    """
    for dtype in _WIDTHS:
        if len(data) == width * dtype.itemsize:
            return np.frombuffer(data, dtype).astype(np.int64)
    raise FormatError(f"{len(data)} bytes are no row of {width} numbers")


class Sum:
    """Adds up the rows of a machine."""

    def __init__(self, layout: Columns) -> None:
        self._layout = layout
        self._total = np.zeros(layout.width, dtype=np.int64)
        self._correct = np.zeros(layout.T, dtype=np.int64)
        self._n_images = self._n_labelled = 0

    def add(self, row: Counts) -> None:
        """Add one image."""
        label = row[0]
        self._total += row
        self._n_images += 1
        if label >= 0:
            self._n_labelled += 1
            self._correct += row[2 : 2 + self._layout.T] == label

    def result(self, bounds: Counts) -> Result:
        """The result of all images that were added; `bounds` are the combined bounds of their batches."""
        layout, T = self._layout, self._layout.T
        columns = iter(self._total[2 + T :].reshape(-1, T))
        x_max, *_ = numbers = bounds.view(np.float64)
        margins = numbers[1:].reshape(-1, 2)
        populations = {
            name: PopulationCounts(**{key: next(columns) for key in COUNTED}, margin=margin)
            for name, margin in zip(layout.populations, margins, strict=True)
        }
        ops = {edge: SynapticOps(**{key: next(columns) for key in OPERATIONS}) for edge in layout.projections}
        return Result(
            T=T,
            n_images=self._n_images,
            n_labelled=self._n_labelled,
            correct=self._correct,
            populations=populations,
            ops=ops,
            nonzero_macs=int(self._total[1]),
            x_max=float(x_max),
        )
