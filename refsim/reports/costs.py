"""What a run cost layer by layer, and what the literature's estimate would have said."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.macs import network_macs
from refsim.model import Network, Spiking
from refsim.reports.run import SnnRun

Floats = NDArray[np.float64]

RATE = "spikes of both signs over neurons, images and steps"
"""The definition that stands beside every firing rate."""

ESTIMATE = (
    "mean firing rate of the population it reads x dense MACs x T, as papers estimate it from rates; it knows neither "
    "borders nor that all spikes of a pool's window pass"
)
"""The definition that stands beside every estimate of operations."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerCost:
    """Spikes delivered into one layer, per image.

    target, sources
        The layer, and the populations whose spikes it reads.
    positive, negative : (T,), deliveries of either sign in each step, not cumulative
    estimate
        `ESTIMATE` after T steps; None where the layer has no weights.
    """

    target: str
    sources: tuple[str, ...]
    positive: Floats
    negative: Floats
    estimate: float | None

    @property
    def total(self) -> float:
        """Deliveries of both signs after T steps."""
        return float(self.positive.sum() + self.negative.sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerRate:
    """How often the neurons of one population fire.

    rate, negative : (T,), `RATE` in each step, and the part of it that is negative
    """

    name: str
    neurons: int
    rate: Floats
    negative: Floats

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        return {"neurons": self.neurons, "rate": self.rate.tolist()}


def layer_costs(run: SnnRun) -> tuple[LayerCost, ...]:
    """Of every layer that spikes are delivered to, in the order of the network."""
    network, result = run.network, run.result
    rates = {each.name: float(each.rate.mean()) for each in layer_rates(run)}
    macs = network_macs(network)
    found = []
    for layer in network.layers:
        parts = {source: ops for (source, target), ops in result.ops.items() if target == layer.name}
        if not parts:
            continue
        nothing = np.zeros(result.T)
        estimate = None
        if layer.name in macs and len(parts) == 1:
            estimate = rates[next(iter(parts))] * macs[layer.name].dense * result.T
        found.append(
            LayerCost(
                target=layer.name,
                sources=tuple(parts),
                positive=sum((ops.unit_pos for ops in parts.values()), nothing) / result.n_images,
                negative=sum((ops.unit_neg for ops in parts.values()), nothing) / result.n_images,
                estimate=estimate,
            )
        )
    return tuple(found)


def layer_rates(run: SnnRun) -> tuple[LayerRate, ...]:
    """Of every population, in the order of the network."""
    return tuple(_rate(run.network, layer, run) for layer in run.network.spiking)


def _rate(network: Network, layer: Spiking, run: SnnRun) -> LayerRate:
    neurons = prod(network.shapes[layer.name])
    counts, places = run.layers[layer.name], neurons * run.n_images
    return LayerRate(
        name=layer.name,
        neurons=neurons,
        rate=(counts.n_pos + counts.n_neg) / places,
        negative=counts.n_neg / places,
    )
