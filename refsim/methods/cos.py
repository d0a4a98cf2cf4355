"""COS (Hao 2023b): a neuron that would fire too often or too rarely starts lower or higher, for each image anew."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refsim.methods.base import Array, Calibration, ConvertedNetwork, PerImageRun
from refsim.methods.fixed import Fixed
from refsim.methods.layerwise import Currents, Spikes, Wiring, fire_steps, spread, start
from refsim.model import Network, Spiking

MARGIN = 1e-3
"""How far past the decisive potential v0 is moved, in units of theta."""


@dataclass(frozen=True, kw_only=True)
class Cos(Fixed):
    """Layer by layer: rho steps of the QCFS neuron on its already calibrated input, then v0 one spike up or down."""

    @property
    def per_image(self) -> bool:
        """They do."""
        return True

    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """The QCFS network, to be run as COS runs it."""
        converted = super().calibrate(network, calibration)
        rho = int(self.setting)
        return replace(
            converted, per_image=CosRun(converted.network, rho), extra_steps=rho * len(converted.network.spiking)
        )


class CosRun:
    """Every layer sees the first rho steps of its input twice: to move v0, and in the run itself.

    A layer cannot begin its rho steps before those of the layer before it are over. With T < rho, what would follow
    T is still simulated, as the input of the rho steps, and charged with them.
    """

    def __init__(self, network: Network, rho: int) -> None:
        self._wiring, self._rho = Wiring(network), rho

    def simulate(self, x: Array, T: int) -> PerImageRun:
        """Run on input currents x (B, C, H, W) for T steps after the calibrating ones."""
        rho = self._rho
        done = self._wiring.run(x, max(T, rho), self._fire)
        calibrating = (done.sop - done.readout_sop)[:rho]
        return PerImageRun(
            logits=done.logits[:T],
            sop=done.sop[:T],
            residual=done.residual[:T],
            extra_sop=calibrating.sum(axis=0),
            extra_residual=done.residual[:rho].sum(axis=0),
        )

    def _fire(self, layer: Spiking, currents: Currents) -> Spikes:
        shape = self._wiring.network.shapes[layer.name]
        theta, v0 = spread(layer.neuron.theta, shape), spread(layer.neuron.v0, shape)
        parts = []
        for u in currents:
            moved = moved_v0(u[: self._rho], theta, v0)
            parts.append(fire_steps(start(moved, u.shape[1], shape), u, theta)[1])
        return Spikes(s=np.concatenate(parts, axis=1), theta=theta)


def moved_v0(u: Array, theta: Array, v0: Array) -> Array:
    """Initial potentials (B, *shape) that give one spike less or more in these currents (rho, B, *shape).

    One less where v(rho) < 0 although the neuron fired: v0 goes down until the closest of its firing decisions,
    m >= theta, fails. One more where v(rho) >= theta: v0 goes up until the closest of the others is made. By theta
    at least, so that v(rho) stays what it was when the count changes by one. A neuron that fired at every step cannot
    fire more and is left alone (the public code lifts it by 1000 theta, and it fires for ever).
    """
    shape = u.shape[2:]
    state = start(v0, u.shape[1], shape)
    least_fired = np.full(u.shape[1:], np.inf)
    most_silent = np.full(u.shape[1:], -np.inf)
    fired = np.zeros(u.shape[1:], dtype=bool)
    for current in u:
        m = state.v + current
        state, s = fire_steps(state, current[None], theta)
        least_fired = np.where(s[0] > 0, np.minimum(least_fired, m), least_fired)
        most_silent = np.where(s[0] > 0, most_silent, np.maximum(most_silent, m))
        fired |= s[0] > 0
    down = fired & (state.v < 0)
    up = (state.v >= theta) & np.isfinite(most_silent)
    moved = np.broadcast_to(v0, u.shape[1:]).astype(np.float64)
    drop = np.maximum(theta, np.where(down, least_fired, 0) - (1 - MARGIN) * theta)
    moved = np.where(down, moved - drop, moved)
    lift = np.maximum(theta, (1 + MARGIN) * theta - np.where(up, most_silent, 0))
    return np.asarray(np.where(up, moved + lift, moved))
