"""Threshold balancing: theta from the currents that the spiking network itself produces, layer after layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from refsim.exceptions import NetworkError
from refsim.methods.base import Calibration, ConvertedNetwork, Method
from refsim.methods.fixed import neuron_like
from refsim.methods.layerwise import Currents, Spikes, fire_steps, learn, start
from refsim.model import Network, Neuron, Spiking

STEPS = 32
"""Time steps for which the largest current is looked for. Sengupta 2019 took thousands, with random input."""


@dataclass(frozen=True, kw_only=True)
class Balanced(Method):
    """theta_l = beta times the largest current of layer l, when the layers before it already spike; v0 = 0.

    Spike-Norm (Sengupta 2019): beta = 1, reset to zero. RMP (Han 2020): beta < 1, soft reset. Here with the constant
    input and the biases of this simulator.
    """

    reset: Literal["subtract", "zero"]

    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """theta of every layer, in order."""
        calibration = self.needed(calibration)
        beta = 1.0 if self.number is None else self.setting
        change: dict[str, Neuron] = {}

        def balance(layer: Spiking, currents: Currents) -> Spikes:
            peak = max(float(u.max()) for u in currents)
            if not peak > 0:
                raise NetworkError(
                    f"layer '{layer.name}': no current is positive on the {len(calibration.indices)} calibration images"
                )
            theta = np.array(beta * peak)
            change[layer.name] = neuron_like(layer, theta, np.zeros(()), reset=self.reset)
            fired = [fire_steps(start(np.zeros(()), u.shape[1], u.shape[2:]), u, theta, self.reset) for u in currents]
            return Spikes(s=np.concatenate([s for _, s in fired], axis=1), theta=theta)

        learn(network, calibration, STEPS, balance)
        factor = f"{beta:g} x " if beta != 1 else ""
        return ConvertedNetwork(
            network=network.with_neurons(change),
            origin=f"{factor}largest current in {STEPS} steps, {len(calibration.indices)} images",
        )
