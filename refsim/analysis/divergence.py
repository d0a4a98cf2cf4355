"""Where two simulations part: the first layer, step and neuron, and how the difference spreads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.formats.spike_lists import Events

Counts = NDArray[np.int64]
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class First:
    """The first decision that differs.

    neuron
        Flat index; None where only numbers of spikes are known.
    a, b
        The spike of either side, -1, 0 or 1; without a neuron the numbers of spikes.
    """

    layer: str
    t: int
    image: int
    neuron: int | None
    a: int
    b: int


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerDifference:
    """How two sides differ in one layer.

    n_a, n_b
        Spikes of either side, of both signs.
    differing : (T,), decisions that differ at each step; where only numbers of spikes are known, at least so many
    first
        None if nothing differs.
    """

    layer: str
    n_a: int
    n_b: int
    differing: Counts
    first: First | None


def compare_events(layer: str, a: Events, b: Events, T: int) -> LayerDifference:
    """Compare the spikes of one layer; those of one neuron, step and image are one decision."""
    rows = [np.stack([each.t, each.image, each.neuron, each.sign], axis=1) for each in (a, b)]
    # A row that both sides have comes twice; what comes once is of one side only. Nobody fires twice in a step, but a
    # foreign list may say so: it counts once.
    rows = [np.unique(each, axis=0) for each in rows]
    both, n = np.unique(np.concatenate(rows), axis=0, return_counts=True)
    alone = both[n == 1]
    places = np.unique(alone[:, :3], axis=0)
    first = None
    if len(places):
        t, image, neuron = (int(each) for each in places[0])
        signs = [each[(each[:, :3] == places[0]).all(axis=1), 3] for each in rows]
        first = First(layer=layer, t=t, image=image, neuron=neuron, a=int(signs[0].sum()), b=int(signs[1].sum()))
    return LayerDifference(
        layer=layer,
        n_a=len(rows[0]),
        n_b=len(rows[1]),
        differing=np.bincount(places[:, 0] - 1, minlength=T).astype(np.int64),
        first=first,
    )


def compare_counts(layer: str, a: Array, b: Array) -> LayerDifference:
    """Compare numbers of spikes by sign, (2, T, N)."""
    gaps = np.abs(a - b).sum(axis=0)
    first = None
    for t, image in np.argwhere(gaps)[:1]:
        numbers = (int(each[:, t, image].sum()) for each in (a, b))
        first = First(layer=layer, t=int(t) + 1, image=int(image), neuron=None, a=next(numbers), b=next(numbers))
    return LayerDifference(
        layer=layer, n_a=int(a.sum()), n_b=int(b.sum()), differing=gaps.sum(axis=1).astype(np.int64), first=first
    )


def counts_of(events: Events, T: int, n_images: int) -> Counts:
    """Numbers of spikes by sign, (2, T, N)."""
    counts = np.zeros((2, T, n_images), dtype=np.int64)
    np.add.at(counts, ((events.sign < 0).astype(np.int64), events.t - 1, events.image), 1)
    return counts
