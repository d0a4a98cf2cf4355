"""Where thresholds come from: the trained clipping bounds of a QCFS network, or the activations of any network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from refsim.exceptions import UsageError
from refsim.methods.base import Calibration
from refsim.methods.percentile import UpperPercentile
from refsim.model import Floats, Network

Thetas = Mapping[str, float | Floats]


def has_trained_bounds(network: Network) -> bool:
    """Whether every activation was trained with a clipping bound lambda (QCFS, NQ, clipped ReLU), as opposed to ReLU.

    Raises
    ------
    UsageError
        The file does not say what some activation is.
    """
    for layer in network.spiking:
        if layer.neuron.activation is None:
            raise UsageError(
                f"layer '{layer.name}': the file does not say what the ANN computes there; convert the checkpoint again"
            )
    return all(each.neuron.activation is not None and each.neuron.activation.trained for each in network.spiking)


def trained_bounds(network: Network, method: str) -> Thetas:
    """theta = lambda, the trained clipping bound of every spiking layer (QCFS Alg. 1).

    Raises
    ------
    UsageError
        A ReLU network has none.
    """
    if not has_trained_bounds(network):
        raise UsageError(
            f"method {method} needs trained clipping bounds (QCFS activations), and '{network.name}' has ReLU; "
            f"methods for ReLU take thresholds from calibration images, e.g. opi, percentile, snnc"
        )
    return {each.name: each.neuron.activation.bound for each in network.spiking if each.neuron.activation}


def activation_bounds(calibration: Calibration, percentile: float) -> Thetas:
    """A percentile of the positive activations of each layer, 100 being the largest (Diehl 2015, Rueckauer 2017)."""
    if percentile == 100:
        return {name: float(peak.max()) for name, peak in calibration.largest.items()}
    n_at_most = {
        layer.name: len(calibration.indices) * int(np.prod(calibration.network.shapes[layer.name]))
        for layer in calibration.network.spiking
    }
    found = {name: UpperPercentile(percentile, n) for name, n in n_at_most.items()}
    for batch in calibration.activations():
        for name, a in batch.items():
            found[name].add(a[a > 0])
    return {name: calibration.require_active(name, each.value()) for name, each in found.items()}


def describe_percentile(percentile: float, calibration: Calibration) -> str:
    """One phrase that says where `activation_bounds` come from."""
    what = "largest activations" if percentile == 100 else f"percentile {percentile:g} of positive activations"
    return f"{what}, {len(calibration.indices)} images"
