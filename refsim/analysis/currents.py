"""What reaches a population from spikes that are known, dense and by plain sums, for one neuron or for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.engine.wiring import Wire
from refsim.model import AvgPool2d, Conv2d, Linear, MaxPool2d
from refsim.reference.maxima import max_pool2d, pool_spikes
from refsim.reference.quantised import over
from refsim.reference.synapses import avg_pool2d, conv2d, linear, sum_pool2d

Array = NDArray[Any]
Place = tuple[int, ...]


class Taps(NamedTuple):
    """What one neuron reads through a wire, in the order in which it is added up.

    read : (K,), flat indices of what arrives, in the shape that the weights read
    weight : (K,), as the wire's weights are given
    """

    read: NDArray[np.int64]
    weight: Array


def arriving_counts(wire: Wire, spikes: Mapping[str, Array]) -> Array:
    """Signed numbers of spikes as the weights of a wire meet them, (T, N, *shape) int64, not flattened.

    spikes : by layer, (T, N, *shape)
    """
    s, pool = spikes[wire.port.source].astype(np.int64), wire.port.pool
    match pool:
        case None:
            return s
        case AvgPool2d():
            flat = sum_pool2d(s.reshape(-1, *s.shape[2:]), pool.kernel, pool.stride)
            return flat.reshape(*s.shape[:2], *flat.shape[1:])
        case MaxPool2d():
            n, steps = np.zeros_like(s[0]), []
            for step in s:
                n, y = pool_spikes(n, step, pool)
                steps.append(y)
            return np.stack(steps)
        case _:
            assert_never(pool)


def arriving_values(wire: Wire, spikes: Mapping[str, Array], x: Array) -> Array:
    """The same in float64, in the unit of the ANN's activations, (T, N, *shape); of the image x (N, *shape) with T = 1.

    Bit for bit what `reference.network` makes of them.
    """
    pool = wire.port.pool
    if wire.is_image:
        match pool:
            case None:
                return x[None]
            case AvgPool2d():
                return avg_pool2d(x, pool.kernel, pool.stride)[None]
            case MaxPool2d():
                return max_pool2d(x, pool)[None]
            case _:
                assert_never(pool)
    shape = wire.network.shapes[wire.port.source]
    theta = over(wire.theta, shape)
    if wire.port.sized and isinstance(pool, AvgPool2d):
        worth = spikes[wire.port.source] * theta
        flat = avg_pool2d(worth.reshape(-1, *shape), pool.kernel, pool.stride)
        return flat.reshape(*worth.shape[:2], *flat.shape[1:])
    counts = arriving_counts(wire, spikes)
    if pool is None:
        return counts * theta
    value = counts.astype(np.float64) * theta[:, :1, :1]
    return value / wire.port.window_size if wire.port.graded else value


def current_through(wire: Wire, values: Array, weight: Array, bias: Array) -> Array:
    """The current that values (T, N, *shape) make through the weights of a wire, (T, N, *target shape).

    weight, bias
        In place of the wire's own: numbers of any kind; of an identity, (C,) and not used.
    """
    flat = values.reshape(-1, *values.shape[2:])
    if wire.port.flatten:
        flat = flat.reshape(len(flat), -1)
    match wire.layer:
        case None:
            u = flat * weight.reshape(-1, *[1] * (flat.ndim - 2))
        case Linear():
            u = linear(flat, weight, bias)
        case Conv2d() as conv:
            u = conv2d(flat, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
        case _:
            assert_never(wire.layer)
    return u.reshape(*values.shape[:2], *u.shape[1:])


def taps_of(wire: Wire, place: Place, weight: Array) -> Taps:
    """What the neuron at a place, (c, y, x) or (n,), reads through weights of a wire that exist there."""
    match wire.layer:
        case None:
            shape = wire.pooled_shape if len(place) == 3 else (int(np.prod(wire.pooled_shape)),)
            return Taps(np.array([np.ravel_multi_index(place, shape)]), weight[place[:1]].reshape(1))
        case Linear():
            return Taps(np.arange(weight.shape[1]), weight[place[0]])
        case Conv2d() as conv:
            c_in, height, width = wire.pooled_shape
            c_group = c_in // conv.groups
            first = place[0] // (len(conv.weight) // conv.groups) * c_group
            found, chosen = [], []
            for i in range(weight.shape[2]):
                for j in range(weight.shape[3]):
                    y = place[1] * conv.stride[0] - conv.padding[0] + i * conv.dilation[0]
                    x = place[2] * conv.stride[1] - conv.padding[1] + j * conv.dilation[1]
                    if 0 <= y < height and 0 <= x < width:
                        found.append(((first + np.arange(c_group)) * height + y) * width + x)
                        chosen.append(weight[place[0], :, i, j])
            nothing = np.zeros(0, dtype=np.int64)
            return Taps(np.concatenate([nothing, *found]), np.concatenate([weight[:0, 0, 0, 0], *chosen]))
        case _:
            assert_never(wire.layer)
