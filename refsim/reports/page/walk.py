"""Some images walked through, packed small: what every layer, and some of its neurons, did step by step."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class WalkImage:
    """An image that can be chosen.

    title
        Number, class and what became of it, for people.
    pixels
        Data URL of the image before preprocessing.
    """

    title: str
    pixels: str


@dataclass(frozen=True, kw_only=True, eq=False)
class WalkLayer:
    """A spiking layer that can be chosen.

    shape
        (C, H, W), or (N, 1, 1).
    channels
        Those whose maps are shown, by number.
    neurons
        (channel, row, column) of the neurons whose potentials are shown.
    theta, v0, theta_neg
        Of these neurons; the latter two in units of theta, theta_neg by kind of SNN and None for neurons without one.
    resets
        Whether a spike takes theta away ("subtract") or all ("zero").
    """

    name: str
    number: int
    shape: tuple[int, int, int]
    channels: tuple[int, ...]
    neurons: tuple[tuple[int, int, int], ...]
    theta: tuple[float, ...]
    v0: tuple[float, ...]
    theta_neg: tuple[tuple[float, ...] | None, ...]
    resets: str

    def to_json(self) -> dict[str, Any]:
        """As the page's script reads it."""
        return {
            "name": f"{self.number}  {self.name}",
            "shape": self.shape,
            "channels": self.channels,
            "neurons": self.neurons,
            "theta": [_short(value) for value in self.theta],
            "v0": [_short(value) for value in self.v0],
            "thetaNeg": [None if each is None else [_short(value) for value in each] for each in self.theta_neg],
            "resets": self.resets,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What one layer did on one image in one SNN.

    maps : (T, n_channels, H, W) int8, spikes of the channels shown
    spikes, m : (n_neurons, T), spikes and potentials before firing, in units of theta, of the neurons shown
    activation : (n_channels, H, W), the ANN's, in units of theta; None where it is not known
    """

    maps: NDArray[np.int8]
    spikes: NDArray[np.int8]
    m: Array
    activation: Array | None

    def to_json(self) -> dict[str, Any]:
        """As the page's script reads it."""
        facts: dict[str, Any] = {
            "maps": pack_signs(self.maps),
            "spikes": pack_signs(self.spikes),
            "m": [[_short(value) for value in row] for row in self.m],
        }
        if self.activation is not None:
            most = float(self.activation.max(initial=0.0)) or 1.0
            facts["ann"] = base64.b64encode(np.rint(255 * self.activation / most).astype(np.uint8).tobytes()).decode()
            facts["annMost"] = _short(most)
        return facts


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """All of it.

    T
        Steps that can be chosen; of a longer run the first ones.
    kinds
        The SNNs by their neurons.
    scenes
        By SNN, image and layer.
    """

    T: int
    kinds: tuple[str, ...]
    images: tuple[WalkImage, ...]
    layers: tuple[WalkLayer, ...]
    scenes: tuple[tuple[tuple[Scene, ...], ...], ...]

    def to_json(self) -> dict[str, Any]:
        """As the page's script reads it."""
        return {
            "T": self.T,
            "kinds": self.kinds,
            "images": [{"title": each.title, "pixels": each.pixels} for each in self.images],
            "layers": [each.to_json() for each in self.layers],
            "scenes": [[[scene.to_json() for scene in row] for row in rows] for rows in self.scenes],
        }


def pack_signs(spikes: NDArray[np.int8]) -> str:
    """Numbers of {-1, 0, 1}, row-major, in base64: four to a byte, the first in the lowest bits; 2 stands for -1."""
    code: NDArray[np.uint8] = np.zeros(-(-spikes.size // 4) * 4, dtype=np.uint8)
    code[: spikes.size] = np.where(spikes < 0, 2, spikes).ravel()
    packed = np.bitwise_or.reduce(code.reshape(-1, 4) << np.arange(0, 8, 2, dtype=np.uint8), axis=1)
    return base64.b64encode(packed.astype(np.uint8).tobytes()).decode()


MOST_BYTES = 1_300_000
"""What maps may weigh on the page, in characters."""

MOST_CHANNELS, MOST_NEURONS, MOST_IMAGES, MOST_STEPS = 8, 12, 4, 32
"""What is shown of a layer, and of how many images and steps."""


def n_channels(shapes: Sequence[tuple[int, int, int]], T: int, n_scenes: int) -> list[int]:
    """How many channels of every layer can be shown, the same everywhere; a layer too large for even one shows none.

    Parameters
    ----------
    shapes
        (C, H, W) of the layers.
    n_scenes
        Images times SNNs.
    """
    per_channel = [(T / 4 + 1) * 4 / 3 * n_scenes * h * w for _, h, w in shapes]
    shown = [True] * len(shapes)
    while any(shown) and sum(cost for cost, keep in zip(per_channel, shown) if keep) > MOST_BYTES:
        largest = max((i for i, keep in enumerate(shown) if keep), key=lambda i: per_channel[i])
        shown[largest] = False
    total = sum(cost for cost, keep in zip(per_channel, shown) if keep)
    fit = max(1, min(MOST_CHANNELS, int(MOST_BYTES / max(total, 1))))
    return [min(fit, shape[0]) * keep for shape, keep in zip(shapes, shown)]


def _short(value: float) -> float:
    """Four significant digits: more cannot be seen."""
    return float(f"{value:.4g}")
