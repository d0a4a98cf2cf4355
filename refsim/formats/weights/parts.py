"""What a weight file carries besides the network, and the file as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refsim.model import Network


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Images that travel with the network.

    Parameters
    ----------
    images : (N, H, W, C) uint8, raw, as `InputSpec.normalize` takes them
    labels : (N,) int64, numbers of classes
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Golden:
    """What the network must compute on the first N samples.

    Parameters
    ----------
    T
        Time steps.
    neuron
        Neuron that was simulated in every spiking layer, "if" or "dual".
    logits : (T, N, K) float64, input current of the readout in each step
    counts_pos, counts_neg
        Per spiking layer, (T, N) int64: positive and negative spikes of the layer in each step.
    """

    T: int
    neuron: Literal["if", "dual"]
    logits: NDArray[np.float64]
    counts_pos: dict[str, NDArray[np.int64]]
    counts_neg: dict[str, NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WeightFile:
    """A weight file as loaded.

    sha256
        Content digest.
    warnings
        Lines for the user.
    path
        Where it was read, as it was named; "" if it was not read from a disk.
    """

    network: Network
    samples: Samples | None
    golden: tuple[Golden, ...]
    sha256: str
    warnings: tuple[str, ...] = ()
    path: str = ""

    @property
    def name(self) -> str:
        """The file's name, or the network's where it has not been on a disk."""
        return Path(self.path).name or self.network.name

    def save(self, path: str | PathLike[str]) -> str:
        """Write it, and return its content digest (`refsim.save`)."""
        from refsim.formats.weights.hdf5 import save

        return save(path, self.network, samples=self.samples, golden=self.golden)

    def __repr__(self) -> str:
        samples = 0 if self.samples is None else len(self.samples.labels)
        return f"WeightFile {self.name}: {self.network.summary()}, {samples} samples, sha256 {self.sha256[:12]}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"
