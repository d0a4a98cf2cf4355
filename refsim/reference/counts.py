"""Synaptic operations by definition: one nonzero event through one existing synapse (semantics 7)."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.model import Add, Conv2d, Linear, Spiking
from refsim.reference.synapses import conv2d, linear

Array = NDArray[Any]
Target = Conv2d | Linear | Add | Spiking
"""What spikes are delivered to: weights, or through an identity shortcut a sum or neurons."""


def deliveries(layer: Target, events: Array, skip_zero_weights: bool = False) -> Array:
    """How many events reach each target of `layer`: the layer itself with every weight 1.

    Padding is zero, so taps that fall outside the plane deliver nothing: synapses that do not exist are not
    counted. A layer without weights (identity shortcut) delivers each event once.

    Parameters
    ----------
    events : (B, *shape) integers, how many events each source sends
    skip_zero_weights
        Leave out synapses of weight 0 (as NeuroBench does); they count by default.
    """
    match layer:
        case Linear():
            return linear(events, *_ones(layer, skip_zero_weights))
        case Conv2d():
            synapses, no_bias = _ones(layer, skip_zero_weights)
            return conv2d(events, synapses, no_bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        case Add() | Spiking():
            return events
        case _:
            assert_never(layer)


def _ones(layer: Conv2d | Linear, skip_zero_weights: bool) -> tuple[Array, Array]:
    """1 for every synapse that counts, and no bias."""
    weight = layer.effective_weight() if skip_zero_weights else np.ones(layer.weight.shape)
    return (weight != 0).astype(np.int64), np.zeros(len(weight), dtype=np.int64)


def synaptic_ops(layer: Target, events: Array, skip_zero_weights: bool = False) -> Array:
    """Synaptic operations of `layer` for each image: (B,) int64, the sum of its `deliveries`."""
    received = deliveries(layer, events.astype(np.int64), skip_zero_weights)
    return np.asarray(received.reshape(len(received), -1).sum(axis=1))
