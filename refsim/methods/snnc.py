"""SNN Calibration (Li 2021), the pipeline without training: thresholds by error, shift, correction of the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refsim.methods.base import Array, Calibration, ConvertedNetwork, Method
from refsim.methods.bias import with_bias
from refsim.methods.fixed import neuron_like
from refsim.methods.layerwise import Currents, Spikes, fire_steps, learn, spread, start
from refsim.model import Network, Neuron, Spiking

Floats = NDArray[np.float64]

CANDIDATES = 95
"""theta is looked for among the largest activation times 1 - 0.01 i, i < 95."""

_BLOCK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Snnc(Method):
    """Thresholds of least squared error for T steps, theta / (2 T) more current, then a correction layer by layer.

    per_channel
        A threshold for each channel instead of each layer.
    correction
        "bias": each channel's mean output over images and positions becomes the ANN's (b -= mean(snn - ann)).
        "potential": each neuron's v0 becomes T mean(ann - snn).
    """

    per_channel: bool = False
    correction: Literal["bias", "potential"] = "bias"

    @property
    def per_T(self) -> bool:
        """It does: the error depends on the levels, and so does the shift."""
        return True

    @property
    def changes_bias(self) -> bool:
        """It does."""
        return True

    def calibrate(self, network: Network, calibration: Calibration | None) -> ConvertedNetwork:
        """theta, v0 and biases for T steps."""
        T = self.steps()
        calibration = self.needed(calibration)
        thetas = least_error_thetas(calibration, T, self.per_channel)
        shifted = with_bias(network, {name: theta / (2 * T) for name, theta in thetas.items()})
        change: dict[str, Neuron] = {}
        corrections: dict[str, Floats] = {}

        def correct(layer: Spiking, currents: Currents) -> Spikes:
            shape = network.shapes[layer.name]
            theta = spread(thetas[layer.name], shape)
            total = sum(fire_steps(start(np.zeros(()), u.shape[1], shape), u, theta)[1].sum((0, 1)) for u in currents)
            gap = theta * total / (T * len(calibration.indices)) - calibration.mean[layer.name]
            v0, less = -T * gap, np.zeros(())
            if self.correction == "bias":
                v0, less = np.zeros(()), gap.reshape(shape[0], -1).mean(axis=1)
                corrections[layer.name] = -less
            change[layer.name] = neuron_like(layer, thetas[layer.name], v0)
            less = spread(less, shape)
            fired = [fire_steps(start(v0, u.shape[1], shape), u - less, theta)[1] for u in currents]
            return Spikes(s=np.concatenate(fired, axis=1), theta=theta)

        learn(shifted, calibration, T, correct)
        return ConvertedNetwork(
            network=with_bias(shifted, corrections).with_neurons(change),
            origin=f"least squared error at each T, {len(calibration.indices)} images",
            T=T,
        )


def least_error_thetas(calibration: Calibration, T: int, per_channel: bool) -> dict[str, Floats]:
    """By layer, the candidate of least squared error between a and floor(clip(a T / theta, 0, T)) theta / T.

    Of equal errors the larger candidate wins. A channel that is never active gets its layer's largest activation.
    """
    scale = 1 - 0.01 * np.arange(CANDIDATES)
    peaks: dict[str, Floats] = {}
    for name, peak in calibration.largest.items():
        by_channel = peak.reshape(len(peak), -1).max(axis=1)
        peaks[name] = np.where(by_channel > 0, by_channel, by_channel.max()) if per_channel else peak.max(keepdims=True)
    errors = {name: np.zeros((CANDIDATES, peak.size)) for name, peak in peaks.items()}
    for batch in calibration.activations():
        for name, a in batch.items():
            peak = peaks[name].reshape(-1)
            # What is 0 is 0 at every threshold; leaving it out saves most of the work.
            rows = np.moveaxis(a, 1, 0).reshape(len(peak), -1) if per_channel else a[a > 0][None]
            for i in range(CANDIDATES):
                errors[name][i] += _error(rows, peak[:, None] * scale[i], T)
    found = {}
    for name, error in errors.items():
        theta = peaks[name].reshape(-1) * scale[error.argmin(axis=0)]
        found[name] = theta if per_channel else theta.reshape(())
    return found


def _error(rows: Array, theta: Array, T: int) -> Array:
    """Sum of squared errors of each row (n,), by blocks that stay in the cache."""
    total = np.zeros(len(rows))
    step = max(1, _BLOCK // len(rows))
    for first in range(0, rows.shape[1], step):
        a = rows[:, first : first + step]
        gap = a - np.floor(np.minimum(a * (T / theta), T)) * (theta / T)
        total += np.einsum("ij,ij->i", gap, gap)
    return total
