"""Methods that only choose theta, v0, theta_neg and the reset of each layer, once: most of the papers' baselines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from refsim.engine.wiring import wires_of
from refsim.exceptions import NetworkError, UsageError
from refsim.methods.base import Array, Calibration, ConvertedNetwork, Method
from refsim.methods.bounds import (
    Thetas,
    activation_bounds,
    describe_percentile,
    has_trained_bounds,
    trained_bounds,
)
from refsim.model import INPUT, MaxPool2d, Network, Neuron, Spiking

Mode = Literal["absolute", "relative"]


def neuron_like(
    layer: Spiking,
    theta: Array,
    v0: Array,
    theta_neg: float = -np.inf,
    mode: Mode = "absolute",
    reset: Literal["subtract", "zero"] = "subtract",
) -> Neuron:
    """A neuron for this layer that keeps what the ANN computes there; a ReLU is given theta as its bound."""
    activation = layer.neuron.activation
    if activation is not None and not activation.trained:
        activation = replace(activation, lambda_=float(np.max(theta)))
    try:
        return Neuron(
            theta=theta, v0=v0, theta_neg=np.array(theta_neg), theta_neg_mode=mode, reset=reset, activation=activation
        )
    except NetworkError as error:
        raise NetworkError(f"layer '{layer.name}': {error}") from None


@dataclass(frozen=True, kw_only=True)
class Fixed(Method):
    """One theta for each layer, v0 a fraction of it.

    bounds
        theta is the "trained" bound lambda, "either" that or, in a ReLU network, the percentile `number` of the
        activations, or always "calibrated" by that percentile.
    v0
        Fraction of theta; None: the shift of the trained activation (QCFS Alg. 1, line 25).
    theta_neg, mode
        Of a dual neuron.
    """

    bounds: Literal["trained", "either", "calibrated"]
    v0: float | None
    theta_neg: float = -np.inf
    mode: Mode = "absolute"
    reset: Literal["subtract", "zero"] = "subtract"

    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """theta and v0 of every layer."""
        thetas, origin = self.thetas(network, calibration)
        change = {}
        for layer in network.spiking:
            theta = np.array(thetas[layer.name])
            activation = layer.neuron.activation
            v0 = self.v0 if self.v0 is not None else activation.shift if activation is not None else 0.5
            change[layer.name] = neuron_like(layer, theta, v0 * theta, self.theta_neg, self.mode, self.reset)
        return ConvertedNetwork(network=network.with_neurons(change), origin=origin)

    def check(self, network: Network) -> None:
        """Trained bounds are there, if they are needed."""
        if self.bounds == "trained":
            trained_bounds(network, self.name)

    @property
    def signed(self) -> bool:
        """Whether theta_neg is finite."""
        return bool(np.isfinite(self.theta_neg))

    def thetas(self, network: Network, calibration: Calibration | None) -> tuple[Thetas, str]:
        """theta of every layer, and where it comes from."""
        if self.bounds == "trained" or (self.bounds == "either" and has_trained_bounds(network)):
            return trained_bounds(network, self.name), "trained bounds"
        calibration = self.needed(calibration)
        return activation_bounds(calibration, self.setting), describe_percentile(self.setting, calibration)


@dataclass(frozen=True, kw_only=True)
class Diehl(Fixed):
    """Data-based normalisation of Diehl 2015, Alg. 2: as if weights and activations were all brought to at most 1."""

    def thetas(self, network: Network, calibration: Calibration | None) -> tuple[Thetas, str]:
        """The larger one of the layer's largest activation and its largest weight."""
        thetas, origin = super().thetas(network, calibration)
        largest = {each.name: np.maximum(thetas[each.name], _largest_weight(network, each)) for each in network.spiking}
        return largest, f"{origin}, or the largest weight if that is larger"


def _largest_weight(network: Network, layer: Spiking) -> float:
    """Of the layers that drive this population."""
    weights = [wire.layer for wire in wires_of(network, layer, fold=False)[1] if wire.layer]
    return max((float(each.effective_weight().max()) for each in weights), default=0)


@dataclass(frozen=True, kw_only=True)
class PerNeuron(Method):
    """NeuronNorm of SNM (Wang 2022): every neuron's theta is its own largest activation, spikes of both signs.

    The public code takes the maximum without reducing the batch axis, so that each image of a batch has thresholds
    of its own; here, as the paper describes it, over all calibration images.
    """

    def check(self, network: Network) -> None:
        """No max pool would have to compare spikes of different size."""
        for layer in network.layers:
            if isinstance(layer, MaxPool2d) and layer.inputs != (INPUT,):
                raise UsageError(
                    f"method {self.name} gives every neuron a theta of its own, and max pool '{layer.name}' compares "
                    "spikes of one size"
                )

    @property
    def signed(self) -> bool:
        """It does."""
        return True

    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """theta of every neuron; one that is never active gets its layer's largest, which it has no reason to reach."""
        calibration = self.needed(calibration)
        change = {}
        for layer in network.spiking:
            peak = calibration.largest[layer.name]
            theta = np.where(peak > 0, peak, peak.max())
            change[layer.name] = neuron_like(layer, theta, np.zeros(()), -1.0, "relative")
        return ConvertedNetwork(
            network=network.with_neurons(change),
            origin=f"largest activation of each neuron, {len(calibration.indices)} images",
        )
