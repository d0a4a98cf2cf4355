"""The machine on one page: a network as the ANN it came from, and as the SNN it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import NetworkError
from refsim.model import INPUT, Add, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Network, Neuron, Passive, Spiking
from refsim.reference.activations import clipped_relu, qcfs, relu
from refsim.reference.maxima import max_pool2d, pool_spikes
from refsim.reference.neurons import State, fire
from refsim.reference.synapses import avg_pool2d, conv2d, linear, sum_pool2d

Array = NDArray[Any]
Cast = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """Everything that happened, step by step: what every other implementation is compared with.

    logits : (T, B, K), the readout's input current of each step
    spikes : by spiking layer, (T, B, *shape) int8
    events : by layer that carries spikes, (T, B, *shape): spikes, behind an average pool the signed window sums
    currents : by spiking layer, (T, B, *shape), the input current u of each step
    v : by spiking layer, (B, *shape), the potentials after the last step
    """

    logits: Array
    spikes: dict[str, Array]
    events: dict[str, Array]
    currents: dict[str, Array]
    v: dict[str, Array]


def as_float64(values: Array) -> Array:
    """The default number type. Any other function from arrays to arrays will do, e.g. to Fraction or float32."""
    return np.asarray(values, dtype=np.float64)


def forward(network: Network, x: Array, cast: Cast = as_float64) -> dict[str, Array]:
    """Run the ANN on input currents x (B, C, H, W): the output of every layer, by name.

    Raises
    ------
    NetworkError
        The file does not say with how many steps L the network was trained.
    """
    out = {INPUT: cast(x)}
    for layer in network.layers:
        if isinstance(layer, Spiking):
            out[layer.name] = _activate(layer, out[layer.inputs[0]], cast)
        else:
            out[layer.name] = current(layer, [out[source] for source in layer.inputs], cast)
    return out


def simulate(network: Network, x: Array, T: int, cast: Cast = as_float64) -> Simulation:
    """Run the SNN on constant input currents x (B, C, H, W) for T steps (semantics 1).

    At every step each layer is evaluated once, in order, on what the layers before it emitted in the same step;
    a spike s of a layer is the postsynaptic potential s * theta to those that read it (QCFS Eq. 5).
    """
    x = cast(x)
    neurons = {layer.name: _broadcast(layer.neuron, network.shapes[layer.name], cast) for layer in network.spiking}
    state = {
        name: State(*(np.broadcast_to(start, (len(x), *start.shape)).copy() for start in (v0, np.zeros(v0.shape, int))))
        for name, (_, _, v0) in neurons.items()
    }
    counts: dict[str, Array] = {}  # by max pool, the net counts of what it reads
    log: dict[tuple[str, str], list[Array]] = {}
    for _ in range(T):
        out: dict[str, Array] = {INPUT: x}
        events: dict[str, Array] = {}
        for layer in network.layers:
            sources = [out[source] for source in layer.inputs]
            source = layer.inputs[0]
            match layer:
                case Spiking(neuron=neuron):
                    theta, theta_neg, _ = neurons[layer.name]
                    leak = cast(np.asarray(neuron.leak))
                    state[layer.name], s = fire(
                        state[layer.name], sources[0], theta, theta_neg, neuron.gate, neuron.reset, leak, neuron.strict
                    )
                    out[layer.name], events[layer.name] = s * theta, s
                    log.setdefault(("spikes", layer.name), []).append(s)
                    log.setdefault(("currents", layer.name), []).append(sources[0])
                case AvgPool2d():
                    out[layer.name] = current(layer, sources, cast)
                    if source in events:
                        events[layer.name] = sum_pool2d(events[source].astype(np.int64), layer.kernel, layer.stride)
                        theta = neurons[source][0]
                        if network.by_name[source].neuron.theta.ndim < 3:  # type: ignore[union-attr]
                            # Spikes of equal size: the window sum c is an integer, its value c theta / k^2.
                            value = cast(events[layer.name]) * theta[:, :1, :1] / (layer.kernel[0] * layer.kernel[1])
                            out[layer.name] = value
                case MaxPool2d():
                    if source in events:
                        s = events[source].astype(np.int64)
                        n = counts.get(layer.name, np.zeros_like(s))
                        counts[layer.name], events[layer.name] = pool_spikes(n, s, layer)
                        out[layer.name] = cast(events[layer.name]) * neurons[source][0][:, :1, :1]
                    else:
                        out[layer.name] = current(layer, sources, cast)
                case Flatten():
                    out[layer.name] = current(layer, sources, cast)
                    if source in events:
                        events[layer.name] = events[source].reshape(len(x), -1)
                case Linear() | Conv2d() | Add():
                    out[layer.name] = current(layer, sources, cast)
                case _:
                    assert_never(layer)
        for name, happened in events.items():
            log.setdefault(("events", name), []).append(happened)
        log.setdefault(("logits", ""), []).append(out[network.readout.name])
    stacked = {key: np.stack(steps) for key, steps in log.items()}
    return Simulation(
        logits=stacked["logits", ""],
        spikes={name: steps for (what, name), steps in stacked.items() if what == "spikes"},
        events={name: steps for (what, name), steps in stacked.items() if what == "events"},
        currents={name: steps for (what, name), steps in stacked.items() if what == "currents"},
        v={name: each.v for name, each in state.items()},
    )


def current(layer: Passive, sources: list[Array], cast: Cast) -> Array:
    """What a layer without neurons makes of its inputs; an Add sums them in order."""
    x = sources[0]
    match layer:
        case Linear():
            return linear(x, cast(layer.effective_weight()), cast(layer.bias))
        case Conv2d():
            weight, bias = cast(layer.effective_weight()), cast(layer.bias)
            return conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        case AvgPool2d():
            return avg_pool2d(x, layer.kernel, layer.stride)
        case MaxPool2d():
            return max_pool2d(x, layer)
        case Flatten():
            return x.reshape(len(x), -1)
        case Add():
            for other in sources[1:]:
                x = x + other
            return x
        case _:
            assert_never(layer)


def _activate(layer: Spiking, z: Array, cast: Cast) -> Array:
    activation = layer.neuron.activation
    if activation is None or activation.kind == "unknown":
        raise NetworkError(
            f"layer '{layer.name}': the file does not say L, the ANN's quantization steps; convert again with --L"
        )
    lambda_ = cast(activation.bound).reshape(activation.bound.shape + (1,) * (z.ndim - 2) * activation.bound.ndim)
    if activation.L is None:
        return clipped_relu(z, lambda_) if activation.clipped else relu(z)
    return qcfs(z, lambda_, activation.L, cast(np.asarray(activation.shift)))


def _broadcast(neuron: Neuron, shape: tuple[int, ...], cast: Cast) -> tuple[Array, Array, Array]:
    """theta, theta_neg and v0 over (*shape); they may be scalar, per channel or per neuron."""

    def spread(value: Array) -> Array:
        value = value if np.isneginf(value).all() else cast(value)
        return np.broadcast_to(value.reshape(value.shape + (1,) * (len(shape) - value.ndim) * (value.ndim > 0)), shape)

    return spread(neuron.theta), spread(neuron.negative_threshold), spread(neuron.v0)
