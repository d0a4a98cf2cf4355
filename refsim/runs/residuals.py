"""residual_shares: how phi - a is distributed in every layer, as histograms."""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.residual import gaussian_shares
from refsim.analysis.split import over_neurons
from refsim.engine.batches import default_batch, map_batches
from refsim.engine.plan import compile_network
from refsim.engine.simulator import forward, simulate
from refsim.formats.images.inputs import Images
from refsim.model import Network, Spiking
from refsim.reports.residuals import ResidualShares
from refsim.runs.settings import Effort

Indices = NDArray[np.int64]

FINEST = 64
"""Steps per theta of a histogram, at most."""


def residual_shares(network: Network, some: Images, T: int, effort: Effort) -> tuple[ResidualShares, ...]:
    """Histograms of phi - a for the layers that have any, on multiples of theta / T and theta / L, or near them."""
    snn, ann = compile_network(network, "float64"), compile_network(network, "float64", fold=False)
    grids = {layer.name: _grid(layer, T) for layer in network.spiking}
    most = effort.batch or max(1, default_batch(snn, T, ("n",)) // 2)

    def work(part: Indices) -> dict[str, dict[int, int]]:
        x = some.data.currents(part)
        trace, exact = simulate(snn, x, T, ("n",)), forward(ann, x, record=True)
        found = {}
        for layer in network.spiking:
            n = trace.populations[layer.name].n
            assert n is not None
            theta = over_neurons(layer.neuron.theta, network.shapes[layer.name])
            steps = np.rint((n / T - exact.a[layer.name] / theta) * grids[layer.name])
            found[layer.name] = dict(
                zip(*(each.tolist() for each in np.unique(steps.astype(np.int64), return_counts=True)))
            )
        return found

    counts: dict[str, dict[int, int]] = {layer.name: {} for layer in network.spiking}
    for _, found in map_batches(work, some.indices, most, effort.n_threads):
        for name, histogram in found.items():
            for k, number in histogram.items():
                counts[name][k] = counts[name].get(k, 0) + number
    return tuple(_shares(name, histogram, grids[name]) for name, histogram in counts.items() if set(histogram) != {0})


def _grid(layer: Spiking, T: int) -> int:
    L = (layer.neuron.activation.L if layer.neuron.activation is not None else None) or 1
    return lcm(T, L) if lcm(T, L) <= FINEST else FINEST


def _shares(name: str, histogram: Mapping[int, int], grid: int) -> ResidualShares:
    # A step more on either side: even one value alone has neighbours, and so a width.
    low, high = min(histogram) - 1, max(histogram) + 1
    number = np.array([histogram.get(k, 0) for k in range(low, high + 1)], dtype=np.float64)
    values, shares = np.arange(low, high + 1) / grid, number / number.sum()
    mean = float((values * shares).sum())
    spread = float(np.sqrt((shares * (values - mean) ** 2).sum()))
    return ResidualShares(
        name=name, values=values, shares=shares, expected=gaussian_shares(values, mean, spread) if spread else None
    )
