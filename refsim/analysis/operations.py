"""What the ANN and the SNN have to compute, by class of operation: integers, before any price (semantics C1-C7)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.macs import network_macs, pool_comparisons
from refsim.engine.results import Result
from refsim.model import INPUT, Add, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Network, Spiking

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class AnnOperations:
    """Operations of the source ANN for one image (C7).

    mac_dense, mac_existing
        Multiply-accumulates over all kernel taps, as papers and thop count them, or only over those inside the plane.
    bn_element
        Outputs of layers that had a batch normalisation behind them: those with a `scale` (the normalisation
        itself is folded into scale and bias).
    pool_output
        Outputs of average pools.
    pool_comparison
        Comparisons of max pools: of k existing positions in a window, k - 1.
    bias_add
        Outputs with a nonzero bias; a batch normalisation's shift is one.
    residual_add
        Additions of shortcuts.
    """

    mac_dense: int
    mac_existing: int
    bn_element: int
    pool_output: int
    pool_comparison: int
    bias_add: int
    residual_add: int


@dataclass(frozen=True, kw_only=True, eq=False)
class SnnOperations:
    """Operations of the SNN: totals of `n_images` images, cumulative over time steps; all arrays are (T,) int64.

    sop
        Spikes delivered through existing synapses with a weight, `unit` of C3.
    residual
        Spikes delivered through identity shortcuts (C5). sop + residual is the headline number.
    pool_in
        Spikes entering pool windows (C3).
    pool_comparison
        Comparisons of max pools, of counts or of spikes, at every step; of an image once, as it is constant.
    first_layer_mac
        MACs of the layers that read the image, existing taps, once per image (the current is constant; C4).
    first_layer_mac_repeated
        The same, repeated at every step.
    bias_add
        Neurons and outputs with a nonzero folded bias, at every step (C6).
    membrane_update, membrane_reached
        Neurons at every step (clocked), or only those that received a delivery (event-driven; C6).
    comparison
        With a threshold: one per neuron and step, two if the neuron is dual (C6).
    reset
        Spikes of either sign (C6).
    """

    n_images: int
    sop: Counts
    residual: Counts
    pool_in: Counts
    pool_comparison: Counts
    first_layer_mac: Counts
    first_layer_mac_repeated: Counts
    bias_add: Counts
    membrane_update: Counts
    membrane_reached: Counts
    comparison: Counts
    reset: Counts


def ann_operations(network: Network, skip_zero_weights: bool = False) -> AnnOperations:
    """Count the operations of the source ANN for one image, from the shapes, and from which weights are zero."""
    macs = network_macs(network, skip_zero_weights).values()
    bn_element = pool_output = pool_comparison = residual_add = 0
    for layer in network.layers:
        n_outputs = prod(network.shapes[layer.name])
        match layer:
            case Conv2d() | Linear():
                bn_element += n_outputs * (layer.scale is not None)
            case AvgPool2d():
                pool_output += n_outputs
            case MaxPool2d():
                pool_comparison += pool_comparisons(layer, network.shapes[layer.inputs[0]])
            case Add():
                residual_add += n_outputs * (len(layer.inputs) - 1)
            case Flatten() | Spiking():
                pass
            case _:
                assert_never(layer)
    return AnnOperations(
        mac_dense=sum(each.dense for each in macs),
        mac_existing=sum(each.existing for each in macs),
        bn_element=bn_element,
        pool_output=pool_output,
        pool_comparison=pool_comparison,
        bias_add=_outputs_with_bias(network),
        residual_add=residual_add,
    )


def snn_operations(network: Network, result: Result, skip_zero_weights: bool = False) -> SnnOperations:
    """Count the operations of a run of this network, for every t <= T; the run has counted with `skip_zero_weights`."""
    steps = np.arange(1, result.T + 1, dtype=np.int64)
    every_step = result.n_images * steps
    nothing = np.zeros(result.T, dtype=np.int64)

    def accumulated(parts: list[Counts]) -> Counts:
        return np.asarray(np.cumsum(sum(parts, nothing)))

    weighted = {each.name for each in network.layers if isinstance(each, Conv2d | Linear)}
    found = network_macs(network, skip_zero_weights)
    macs = sum(each.existing for name, each in found.items() if _reads_image(network, name))
    compared = {INPUT: 0, "spikes": 0}
    for layer in network.layers:
        if isinstance(layer, MaxPool2d):
            source = layer.inputs[0]
            compared[INPUT if source == INPUT else "spikes"] += pool_comparisons(layer, network.shapes[source])
    neurons = [(prod(network.shapes[each.name]), each.neuron.dual) for each in network.spiking]
    counts = result.populations.values()
    return SnnOperations(
        n_images=result.n_images,
        sop=accumulated([ops.unit for (_, target), ops in result.ops.items() if target in weighted]),
        residual=accumulated([ops.unit for (_, target), ops in result.ops.items() if target not in weighted]),
        pool_in=accumulated([ops.pool_in for ops in result.ops.values()]),
        pool_comparison=compared[INPUT] * result.n_images + compared["spikes"] * every_step,
        first_layer_mac=nothing + macs * result.n_images,
        first_layer_mac_repeated=macs * every_step,
        bias_add=_outputs_with_bias(network) * every_step,
        membrane_update=sum(n for n, _ in neurons) * every_step,
        membrane_reached=accumulated([each.reached for each in counts]),
        comparison=sum(n * (1 + dual) for n, dual in neurons) * every_step,
        reset=accumulated([each.n_pos + each.n_neg for each in counts]),
    )


def _outputs_with_bias(network: Network) -> int:
    total = 0
    for layer in network.layers:
        if isinstance(layer, Conv2d | Linear):
            total += int(np.count_nonzero(layer.bias)) * prod(network.shapes[layer.name][1:])
    return total


def _reads_image(network: Network, name: str) -> bool:
    """Whether the layer's input is the image, perhaps pooled or flattened."""
    source = network.by_name[name].inputs[0]
    while source != INPUT and not isinstance(network.by_name[source], Spiking):
        source = network.by_name[source].inputs[0]
    return source == INPUT
