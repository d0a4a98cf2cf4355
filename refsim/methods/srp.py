"""SRP (Hao 2023a): neurons that end a trial run with too little potential are silenced, for each image anew."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refsim.methods.base import Array, Calibration, ConvertedNetwork, PerImageRun
from refsim.methods.fixed import Fixed
from refsim.methods.layerwise import Currents, Spikes, Wiring, fire_steps, spread, start
from refsim.model import Network, Spiking

LEAST = 1e-3
"""A neuron stays on if its residual potential is more than this, in units of theta."""


@dataclass(frozen=True, kw_only=True)
class Srp(Fixed):
    """tau steps of the QCFS network first; then T steps in which only neurons with v(tau) > 0.001 theta may send."""

    @property
    def per_image(self) -> bool:
        """They do."""
        return True

    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """The QCFS network, to be run as SRP runs it."""
        converted = super().calibrate(network, calibration)
        tau = int(self.setting)
        return replace(converted, per_image=SrpRun(converted.network, tau), extra_steps=tau)


class SrpRun:
    """The trial run and the run, both in one pass: a layer's T steps need only the T steps of those before it."""

    def __init__(self, network: Network, tau: int) -> None:
        self._wiring, self._tau = Wiring(network), tau

    def simulate(self, x: Array, T: int) -> PerImageRun:
        """Run on input currents x (B, C, H, W) for tau + T steps."""
        tau = self._tau
        done = self._wiring.run(x, tau + T, self._fire)
        trial = (done.sop - done.readout_sop)[:tau]
        return PerImageRun(
            logits=done.logits[tau:],
            sop=done.sop[tau:],
            residual=done.residual[tau:],
            extra_sop=trial.sum(axis=0),
            extra_residual=done.residual[:tau].sum(axis=0),
        )

    def _fire(self, layer: Spiking, currents: Currents) -> Spikes:
        shape = self._wiring.network.shapes[layer.name]
        theta, v0 = spread(layer.neuron.theta, shape), spread(layer.neuron.v0, shape)
        parts = []
        for u in currents:
            after, trial = fire_steps(start(v0, u.shape[1], shape), u[: self._tau], theta)
            _, s = fire_steps(start(v0, u.shape[1], shape), u[self._tau :], theta)
            parts.append(np.concatenate([trial, s * (after.v > LEAST * theta)]))
        return Spikes(s=np.concatenate(parts, axis=1), theta=theta)
