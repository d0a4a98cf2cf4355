"""The largest current that can occur at all (QCFS Theorem 3; Diehl 2015, model-based normalisation)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refsim.engine.wiring import Wire, wires_of
from refsim.exceptions import NetworkError, UsageError
from refsim.methods.base import Array, Calibration, ConvertedNetwork, Method
from refsim.methods.fixed import neuron_like
from refsim.model import Conv2d, InputSpec, Linear, Network


@dataclass(frozen=True, kw_only=True)
class PositiveSum(Method):
    """theta_l = max over neurons of the sum of positive weights, times theta_(l-1): no neuron can fire too little.

    The theorem has no biases, so a network with any is refused. What the image drives gets the largest current that
    raw images can cause.
    """

    def check(self, network: Network) -> None:
        """No layer has a bias."""
        biased = [layer.name for layer in network.layers if isinstance(layer, Conv2d | Linear) and layer.bias.any()]
        if biased:
            raise UsageError(
                f"method {self.name} is for networks without bias (Theorem 3), and layer '{biased[0]}' has one "
                f"(perhaps a folded batch normalisation)"
            )

    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """theta of every layer, from the weights alone; v0 = 0."""
        self.check(network)
        thetas: dict[str, float] = {}
        change = {}
        for layer in network.spiking:
            peaks = [_peak(network, wire, thetas) for wire in wires_of(network, layer, fold=False)[1]]
            theta = float(np.max(sum(peaks, np.zeros(()))))
            if not theta > 0:
                raise NetworkError(f"layer '{layer.name}': no positive weights, so no neuron can ever fire")
            thetas[layer.name] = theta
            change[layer.name] = neuron_like(layer, np.array(theta), np.zeros(()))
        return ConvertedNetwork(network=network.with_neurons(change), origin="largest sums of positive weights")


def _peak(network: Network, wire: Wire, thetas: dict[str, float]) -> Array:
    """The largest current through this wire, (C,) or a scalar; no pool makes it larger."""
    image = wire.is_image
    if wire.layer is None:
        return _range(network.input)[1] if image else np.array(thetas[wire.port.source])
    weight = wire.layer.effective_weight()
    weight = weight.reshape(len(weight), -1)
    if not image:
        return np.asarray(np.maximum(weight, 0).sum(axis=1) * thetas[wire.port.source])
    # Each input lies between its channel's bounds; a tap in the padding reads 0.
    low, high = (_by_tap(each, wire.layer) for each in _range(network.input))
    return np.asarray(np.maximum(np.maximum(weight * low, weight * high), 0).sum(axis=1))


def _by_tap(values: Array, layer: Conv2d | Linear) -> Array:
    """Values of the image's channels as the flattened weights of each output meet them, (C_out, n) or (1, n)."""
    if isinstance(layer, Linear):
        return np.repeat(values, layer.weight.shape[1] // len(values))[None]
    by_group = np.repeat(values.reshape(layer.groups, -1), layer.weight[0, 0].size, axis=1)
    return np.repeat(by_group, len(layer.weight) // layer.groups, axis=0)


def _range(spec: InputSpec) -> tuple[Array, Array]:
    """The least and largest input current of each channel that uint8 images can cause."""
    return -spec.mean / spec.std, (255 * spec.scale - spec.mean) / spec.std
