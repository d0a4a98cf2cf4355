"""The quantised network on one page: what `--dtype int16` and `--dtype int8` simulate, dense and in int64.

Spikes are counted, never scaled: theta of the source is part of the weight. Behind an average pool of k cells arrives
the signed number c of spikes in the window, and a weight is W theta / k;
behind a max pool arrive spikes. Every target channel has a unit g in which its
weights, its bias, its current from the image and its neurons' parameters become whole numbers:

    weight = round(W theta_source / k / theta 2^s)       within -Q .. Q, Q = 2^(bits - 1) - 1
    bias, image current, theta, theta_neg, v0 = round(x / g), g = theta / 2^s       within -M .. M, M = 2^31 - 1

round goes to the nearest integer, ties to the even one; what lies outside is saturated. s is the greatest of 0 .. 16
for which no weight of the channel exceeds Q; theta is the least of the channel, so that where all its neurons share
theta, it is 2^s units. The readout has no theta: its g is 2^-s, one for all classes. A negative threshold is at most -1
unit.

Where the image drives a layer, alone or beside spikes, its current is what the layers that nothing but the image
reaches make of it in float64, biases included, added up branch by branch; the sum is divided by g and rounded once.
`bias` above is the sum of the other biases, of the layers that spikes reach. So a first layer's current is
round((W x + b) / g), and not round(W x / g) + round(b / g), which differs from it by one unit in many neurons. The two
rounded numbers are added, and the sum saturated.

From there on all is exact: no order, no batch and no machine can change a spike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import UsageError
from refsim.model import INPUT, Add, AnyLayer, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Network, Shape, Spiking
from refsim.reference.maxima import pool_spikes
from refsim.reference.network import as_float64, current
from refsim.reference.neurons import State, fire
from refsim.reference.synapses import conv2d, linear, sum_pool2d

Array = NDArray[Any]

FINEST = 16
M = 2**31 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantisedSimulation:
    """What happened.

    logits : (T, B, K), whole numbers times the readout's g; spikes : by spiking layer, (T, B, *shape)
    v, total : by spiking layer, (B, *shape), final potential and sum of the currents, whole numbers times g
    """

    logits: Array
    spikes: dict[str, Array]
    v: dict[str, Array]
    total: dict[str, Array]


def simulate(network: Network, x: Array, T: int, bits: int) -> QuantisedSimulation:
    """Run the quantised SNN, with weights of `bits` bits, on constant input currents x (B, C, H, W) for T steps.

    Raises
    ------
    UsageError
        A leak, a strict comparison, or spikes of one channel that differ in size between positions: no whole number
        stands for them.
    """
    analog = analog_currents(network, x)
    parts = {layer.name: Part(network, layer, analog, len(x), bits) for layer in network.driven}
    seen: dict[str, Array] = {}  # by max pool, the net counts of what it reads
    currents: dict[str, list[Array]] = {name: [] for name in parts}
    spikes: dict[str, list[Array]] = {layer.name: [] for layer in network.spiking}
    for _ in range(T):
        counts: dict[str, Array] = {}
        for layer in network.layers:
            source = layer.inputs[0]
            if layer.name in parts:
                u = parts[layer.name].current(counts)
                currents[layer.name].append(u)
            match layer:
                case Spiking():
                    counts[layer.name] = parts[layer.name].fire(u).astype(np.int64)
                    spikes[layer.name].append(counts[layer.name])
                case AvgPool2d() if source in counts:
                    counts[layer.name] = sum_pool2d(counts[source], layer.kernel, layer.stride)
                case MaxPool2d() if source in counts:
                    n = seen.get(layer.name, np.zeros_like(counts[source]))
                    seen[layer.name], counts[layer.name] = pool_spikes(n, counts[source], layer)
                case Flatten() if source in counts:
                    counts[layer.name] = counts[source].reshape(len(x), -1)
                case AvgPool2d() | MaxPool2d() | Flatten() | Linear() | Conv2d() | Add():
                    pass  # of the image, or part of what comes behind it
                case _:
                    assert_never(layer)
    readout = network.readout.name
    return QuantisedSimulation(
        logits=np.stack(currents[readout]) * parts[readout].g,
        spikes={name: np.stack(steps) for name, steps in spikes.items()},
        v={name: parts[name].state.v * parts[name].g for name in spikes},
        total={name: sum(currents[name]) * parts[name].g for name in spikes},
    )


class Part:
    """One population, or the readout, in whole numbers; arrays are (B, *shape) or broadcast over it.

    heads, weights
        The layers whose outputs spikes make and that add up to the current, and what a count of 1 adds through each.
    g : (C, 1, 1) or (N,), the unit
    bias : as g, of the heads together; steady : (B, *shape), with the current of the image where there is one
    driven
        Whether the image is part of the current.
    theta, theta_neg, v0 : (*shape), of neurons
    """

    def __init__(
        self, network: Network, layer: Spiking | Linear, analog: dict[str, Array], n_images: int, bits: int
    ) -> None:
        shape = network.shapes[layer.name]
        neuron = layer.neuron if isinstance(layer, Spiking) else None
        Q = 2 ** (bits - 1) - 1
        theta = over(neuron.theta, shape) if neuron else np.ones(shape)
        least = theta.reshape(shape[0], -1).min(axis=1)
        heads = _heads(network, layer)
        self.heads = [network.by_name[head] for head in heads if head not in analog]
        weights = [(_weight(network, head).T / least).T for head in self.heads]
        largest = [np.abs(each.reshape(shape[0], -1)).max(axis=1) for each in weights]
        most = np.max([*largest, np.zeros(shape[0])], axis=0)
        if neuron is None:
            most[:] = most.max()
        s = np.array([max(n for n in range(FINEST + 1) if n == 0 or np.rint(each * 2.0**n) <= Q) for each in most])
        self.weights = [np.clip(np.rint(each.T * 2.0**s).T, -Q, Q).astype(np.int64) for each in weights]
        self.g = (least / 2.0**s).reshape(-1, *[1] * (len(shape) - 1))
        bias = sum((each.bias for each in self.heads if isinstance(each, Conv2d | Linear)), start=np.zeros(shape[0]))
        image = [analog[head] for head in heads if head in analog]
        self.bias, self.driven = _whole(bias.reshape(self.g.shape) / self.g), bool(image)
        self.steady = np.zeros((n_images, *shape), dtype=np.int64) + self.bias
        if self.driven:
            self.steady = np.clip(self.steady + _whole(sum(image[1:], start=image[0]) / self.g), -M, M)
        if neuron is not None:
            if neuron.leak != 1:
                raise UsageError(f"layer '{layer.name}': a leak has no counterpart in whole numbers")
            if neuron.strict:
                raise UsageError(f"layer '{layer.name}': a strict comparison has no counterpart in rounded numbers")
            self.gate, self.reset, self.theta = neuron.gate, neuron.reset, _whole(theta / self.g)
            negative = np.minimum(_whole(over(neuron.negative_threshold, shape) / self.g), -1)
            self.theta_neg = negative if neuron.dual else np.full(shape, np.iinfo(np.int64).min)
            self.v0 = _whole(over(neuron.v0, shape) / self.g)
            v = np.zeros_like(self.steady) + self.v0
            self.state = State(v, np.zeros_like(v))

    def current(self, counts: dict[str, Array]) -> Array:
        """The current of this step: bias, image, and the counts of spikes times their weights."""
        u = self.steady
        for layer, weight in zip(self.heads, self.weights):
            nothing = np.zeros(len(weight), dtype=np.int64)
            match layer:
                case Linear():
                    u = u + linear(counts[layer.inputs[0]], weight, nothing)
                case Conv2d():
                    x = counts[layer.inputs[0]]
                    u = u + conv2d(x, weight, nothing, layer.stride, layer.padding, layer.dilation, layer.groups)
                case AvgPool2d() | MaxPool2d() | Flatten() | Spiking() | Add():
                    u = u + counts[layer.name] * weight.reshape(self.g.shape)
                case _:
                    assert_never(layer)
        return np.asarray(u)

    def fire(self, u: Array) -> Array:
        """One step of the neurons: the rules of `reference.neurons`, on whole numbers."""
        self.state, s = fire(self.state, u, self.theta, self.theta_neg, self.gate, self.reset)
        return s


def _heads(network: Network, layer: Spiking | Linear) -> tuple[str, ...]:
    """The layers whose outputs add up to the current of a spiking layer or the readout."""
    drive = layer.inputs[0] if isinstance(layer, Spiking) else layer.name
    found = network.by_name.get(drive)
    return found.inputs if isinstance(found, Add) else (drive,)


def analog_currents(network: Network, x: Array) -> dict[str, Array]:
    """The image, and what the layers make of it that nothing but the image reaches, in float64."""
    out = {INPUT: as_float64(x)}
    for layer in network.layers:
        if not isinstance(layer, Spiking) and all(source in out for source in layer.inputs):
            out[layer.name] = current(layer, [out[source] for source in layer.inputs], as_float64)
    return out


def _weight(network: Network, head: AnyLayer) -> Array:
    """What a count of 1 adds to the current, W theta / k: (C_out, ...), or (C,) of an identity shortcut."""
    match head:
        case Linear():
            theta, k = _psp(network, head.inputs[0], head)
            return np.asarray(head.effective_weight() * theta.reshape(-1) / k)
        case Conv2d():
            theta, k = _psp(network, head.inputs[0], head)
            groups = head.effective_weight().reshape(head.groups, -1, *head.weight.shape[1:])
            scaled = groups * _per_channel(theta, head, head.inputs[0]).reshape(head.groups, 1, -1, 1, 1) / k
            return np.asarray(scaled.reshape(head.weight.shape))
        case AvgPool2d() | MaxPool2d() | Flatten() | Spiking() | Add():
            theta, k = _psp(network, head.name, head)
            return np.asarray(_per_channel(theta, head, head.name) / k)
        case _:
            assert_never(head)


def _psp(network: Network, name: str, head: AnyLayer) -> tuple[Array, int]:
    """theta of the spikes counted at each place of a layer, (*shape), and the cells of a window."""
    layer = network.by_name[name]
    match layer:
        case Spiking():
            return over(layer.neuron.theta, network.shapes[name]), 1
        case Flatten():
            theta, k = _psp(network, layer.inputs[0], head)
            return theta.reshape(-1), k
        case AvgPool2d():
            theta, k = _psp(network, layer.inputs[0], head)
            theta = _per_channel(theta, head, layer.inputs[0]).reshape(-1, 1, 1)
            return np.broadcast_to(theta, network.shapes[name]), k * layer.kernel[0] * layer.kernel[1]
        case MaxPool2d():
            theta, k = _psp(network, layer.inputs[0], head)
            return np.broadcast_to(theta[:, :1, :1], network.shapes[name]), k
        case Linear() | Conv2d() | Add():
            raise AssertionError(f"'{name}' is made of currents, not of spikes")
        case _:
            assert_never(layer)


def _per_channel(theta: Array, head: AnyLayer, source: str) -> Array:
    """theta (*shape) of the spikes of `source` as (C,); refused where positions differ."""
    by_channel = theta.reshape(len(theta), -1)
    if (by_channel != by_channel[:, :1]).any():
        raise UsageError(f"layer '{head.name}': the spikes of '{source}' differ in size between positions")
    return by_channel[:, 0]


def over(value: Array, shape: Shape) -> Array:
    """A parameter, scalar, (C,) or (*shape), over (*shape)."""
    return np.broadcast_to(value.reshape(value.shape + (1,) * (len(shape) - value.ndim) * (value.ndim > 0)), shape)


def _whole(values: Array) -> Array:
    return np.clip(np.rint(values), -M, M).astype(np.int64)
