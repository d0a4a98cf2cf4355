"""Multiply-accumulates of the source ANN, from the shapes alone (semantics C7)."""

from __future__ import annotations

from math import prod
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.model import Add, AnyLayer, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Network, Spiking


class Macs(NamedTuple):
    """MACs per image: `dense` counts every kernel tap, as papers do; `existing` leaves out those in the padding."""

    dense: int
    existing: int


def network_macs(network: Network, skip_zero_weights: bool = False) -> dict[str, Macs]:
    """MACs of every layer with weights, by name, in the order of the network."""
    return {
        layer.name: layer_macs(layer, network.shapes[layer.inputs[0]], skip_zero_weights)
        for layer in network.layers
        if isinstance(layer, Conv2d | Linear)
    }


def layer_macs(layer: AnyLayer, shape: tuple[int, ...], skip_zero_weights: bool = False) -> Macs:
    """MACs of one layer for one input of this shape; a layer without weights has none.

    Parameters
    ----------
    skip_zero_weights
        Leave out weights of zero, as a pruned network does.
    """
    match layer:
        case Linear():
            n = int(np.count_nonzero(layer.effective_weight())) if skip_zero_weights else layer.weight.size
            return Macs(n, n)
        case Conv2d():
            c_out, c_in, *kernel = layer.weight.shape
            plane = layer.output_shape((shape,))[1:]
            rows, columns = (_existing_taps(layer, axis, shape[1 + axis], plane[axis], kernel[axis]) for axis in (0, 1))
            # How many weights each tap of the kernel has.
            weights = np.full(kernel, c_out * c_in, np.int64)
            if skip_zero_weights:
                weights = np.count_nonzero(layer.effective_weight(), axis=(0, 1))
            existing = int((weights * rows[:, None] * columns).sum())
            return Macs(int(weights.sum()) * prod(plane), existing)
        case AvgPool2d() | MaxPool2d() | Flatten() | Add() | Spiking():
            return Macs(0, 0)
        case _:
            assert_never(layer)


def pool_comparisons(pool: MaxPool2d, shape: tuple[int, ...]) -> int:
    """Comparisons of a max pool for one input (C, H, W): of k positions that exist in a window, k - 1."""
    c, *plane = pool.output_shape((shape,))
    taps = [int(_existing_taps(pool, axis, shape[1 + axis], plane[axis], pool.kernel[axis]).sum()) for axis in (0, 1)]
    return c * (prod(taps) - prod(plane))


def _existing_taps(layer: Conv2d | MaxPool2d, axis: int, n_in: int, n_out: int, n_kernel: int) -> NDArray[np.int64]:
    """By kernel tap along one axis, the output positions at which it lies inside the input."""
    # By tap, not by pair: the pairs of a large kernel on a large plane would not fit into memory.
    offset = np.arange(n_kernel) * layer.dilation[axis] - layer.padding[axis]
    first = np.maximum(0, -(offset // layer.stride[axis]))
    last = np.minimum(n_out - 1, (n_in - 1 - offset) // layer.stride[axis])
    return np.asarray(np.maximum(0, last - first + 1), np.int64)
