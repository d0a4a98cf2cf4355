"""What happened on some images, as `diff` compares it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refsim.formats.spike_lists import Events

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Happened:
    """What happened on some images.

    layers
        In order; `ordered`: it is that of the network.
    spikes
        By layer; None where only numbers are known.
    counts
        By layer, (2, T, N), numbers of spikes by sign; None where spikes are known.
    indices : (N,), numbers of the images in their data set; None if it is not said
    dtype, neuron
        "" if it is not said.
    """

    name: str
    layers: tuple[str, ...]
    ordered: bool
    T: int
    n_images: int
    spikes: dict[str, Events] | None = None
    counts: dict[str, Counts] | None = None
    indices: Counts | None = None
    dtype: str = ""
    neuron: str = ""

    def events(self, layer: str) -> Events:
        """The spikes of a layer; a list that does not name it has none."""
        nothing = Events(**{key: np.zeros(0, dtype=np.int64) for key in ("image", "t", "neuron", "sign")})
        return (self.spikes or {}).get(layer, nothing)
