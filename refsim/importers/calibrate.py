"""Thresholds for ReLU networks, from the activations of the ANN on training images (data-based normalisation).

Diehl et al. 2015 take the largest activation of a layer, Rueckauer et al. 2017 a percentile, so that one outlier
does not slow down the whole layer. Weights stay as they are; theta takes the place of their rescaling.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor, prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.convert import NeuronChoice
from refsim.errors import DataError, NetworkError
from refsim.formats.currents import InputCurrents
from refsim.model import Network
from refsim.parallel import default_batch, map_batches
from refsim.plan import compile_network
from refsim.simulator import forward

Array = NDArray[Any]
Floats = NDArray[np.float64]


class UpperPercentile:
    """An exact percentile of numbers that come in pieces; keeps only those that it may turn out to be.

    Parameters
    ----------
    percentile
        In (0, 100]; 100 is the maximum.
    n_at_most
        No more numbers than this will come.
    """

    def __init__(self, percentile: float, n_at_most: int) -> None:
        self._fraction = 1 - percentile / 100
        self._room = ceil(n_at_most * self._fraction) + 2
        self._largest: Floats = np.zeros(0)
        self._n = 0

    def add(self, values: Floats) -> None:
        """Take some more numbers."""
        self._n += values.size
        kept = np.concatenate([self._largest, values.ravel()])
        if kept.size > self._room:
            kept = np.partition(kept, kept.size - self._room)[kept.size - self._room :]
        self._largest = kept

    def value(self) -> float:
        """The percentile, linear between neighbours as `numpy.percentile` has it; nan of nothing."""
        if self._n == 0:
            return float("nan")
        ranked = np.sort(self._largest)[::-1]
        place = (self._n - 1) * self._fraction
        low = floor(place)
        high = min(low + 1, len(ranked) - 1)
        return float(ranked[low] + (ranked[high] - ranked[low]) * (place - low))


def calibrate(
    network: Network,
    images: InputCurrents,
    indices: NDArray[np.int64],
    choice: NeuronChoice,
    *,
    method: Literal["max", "percentile"] = "percentile",
    percentile: float = 99.9,
    threads: int = 1,
) -> Network:
    """Set theta of every spiking layer from the positive activations of the ReLU network on some images.

    Parameters
    ----------
    images, indices
        Training images, and which of them.
    method
        "max": the largest activation; "percentile": that percentile of the positive ones.

    Raises
    ------
    DataError
        No images.
    NetworkError
        A layer without any positive activation.
    """
    if not len(indices):
        raise DataError("calibration needs at least one image")
    percentile = 100.0 if method == "max" else percentile
    plan = compile_network(network, fold=False)
    found = {
        layer.name: UpperPercentile(percentile, len(indices) * prod(network.shapes[layer.name]))
        for layer in network.spiking
    }
    batch = default_batch(plan, 1, record=("z", "a"))
    work = map_batches(lambda part: forward(plan, images.currents(part), record=True), indices, batch, threads)
    for _, activations in work:
        for name, a in activations.a.items():
            found[name].add(a[a > 0])
    change = {}
    for layer in network.spiking:
        theta = found[layer.name].value()
        if not theta > 0:
            raise NetworkError(f"layer '{layer.name}': no neuron is active on the {len(indices)} calibration images")
        change[layer.name] = choice.neuron(theta)
    what = "max" if method == "max" else f"percentile {percentile:g} of positive activations"
    calibrated = network.with_neurons(change)
    metadata = {
        **network.metadata,
        "method": f"relu-{method}",
        "thresholds": f"{what}, {len(indices)} images",
    }
    return replace(calibrated, metadata=metadata)
