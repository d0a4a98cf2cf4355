"""Synaptic operations by definition: one nonzero event through one existing synapse (semantics 7)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.model import Conv2d, Layer, Linear
from refsim.reference.synapses import conv2d, linear

Array = NDArray[Any]


def deliveries(layer: Layer, events: Array, skip_zero_weights: bool = False) -> Array:
    """How many events reach each target of `layer`: the layer itself with every weight 1.

    Padding is zero, so taps that fall outside the plane deliver nothing: synapses that do not exist are not
    counted. A layer without weights (identity shortcut) delivers each event once.

    Parameters
    ----------
    events : (B, *shape) integers, how many events each source sends
    skip_zero_weights
        Leave out synapses of weight 0 (as NeuroBench does); they count by default.
    """
    if not isinstance(layer, Conv2d | Linear):
        return events
    weight = layer.effective_weight() if skip_zero_weights else np.ones(layer.weight.shape)
    synapses = (weight != 0).astype(np.int64)
    no_bias = np.zeros(synapses.shape[0], dtype=np.int64)
    if isinstance(layer, Linear):
        return linear(events, synapses, no_bias)
    return conv2d(events, synapses, no_bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def synaptic_ops(layer: Layer, events: Array, skip_zero_weights: bool = False) -> Array:
    """Synaptic operations of `layer` for each image: (B,) int64, the sum of its `deliveries`."""
    received = deliveries(layer, events.astype(np.int64), skip_zero_weights)
    return np.asarray(received.reshape(len(received), -1).sum(axis=1))
