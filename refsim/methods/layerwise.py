"""A pass through the network one population at a time, with the caller as its neurons.

Some methods find a layer's parameters in the currents of the spiking network itself, layer after layer; some find
them anew for every image. The event engine has one set of neurons for all images, so here only the currents come
from it, of T steps at once as if they were images, and whoever calls says what the neurons make of them.
The currents are those of the specification, bit for bit in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.engine.fanout import unpool
from refsim.engine.plan import Plan, compile_network
from refsim.engine.simulator import forward
from refsim.engine.wiring import Wire, as_chw, wires_of
from refsim.exceptions import UsageError
from refsim.methods.base import Calibration
from refsim.model import (
    INPUT,
    Activation,
    AnyLayer,
    AvgPool2d,
    Conv2d,
    Flatten,
    InputSpec,
    Linear,
    MaxPool2d,
    Network,
    Neuron,
    Pool,
    Shape,
    Spiking,
)
from refsim.reference.maxima import max_pool2d, pool_spikes
from refsim.reference.neurons import State, fire
from refsim.reference.synapses import avg_pool2d, sum_pool2d

Array = NDArray[Any]
Counts = NDArray[np.int64]

CHUNK_BYTES = 32 * 2**20
"""Currents that are computed at a time, roughly."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Spikes:
    """What a population sent: s (T, B, *shape) int8, and theta, a scalar or (C, 1, 1)."""

    s: NDArray[np.int8]
    theta: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Graded:
    """A population that sends one value at every step, as in the ANN: a (B, *shape); no spikes, so none are counted."""

    a: Array


Sent = Spikes | Graded
"""What a population may send."""


class Currents:
    """The input currents of one population, some images at a time; they can be gone through more than once."""

    def __init__(self, wiring: Wiring, name: str, sent: dict[str, Sent], x: Array, T: int) -> None:
        self._wiring, self._name, self._sent, self._x, self.T = wiring, name, sent, x, T

    def __iter__(self) -> Iterator[Array]:
        """Currents (T, b, *shape) float64 of the images in their order."""
        shape = self._wiring.network.shapes[self._name]
        step = max(1, CHUNK_BYTES // (8 * self.T * prod(shape)))
        for first in range(0, len(self._x), step):
            yield self._wiring.current(self._name, self._sent, self._x, slice(first, first + step), self.T)


MOST_HELD = 8 << 30
"""Bytes of calibration images and of their spikes that are held at once, at most."""


Neurons = Callable[[Spiking, Currents], Sent]
"""What a population makes of its currents."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """What a pass did.

    logits : (T, B, K), the readout's input current of each step
    sop, residual : (T, B) int64, deliveries through weights, and through identity shortcuts
    readout_sop : (T, B) int64, those of `sop` that go to the readout
    """

    logits: Array
    sop: Counts
    residual: Counts
    readout_sop: Counts


class Wiring:
    """A network's projections, each made ready to turn spikes into currents."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._wires = {layer.name: wires_of(network, layer, fold=False)[1] for layer in network.driven}
        self._probes = {
            wire.layer.name: _probe(network, wire)
            for wires in self._wires.values()
            for wire in wires
            if wire.layer is not None
        }
        self._fan_out = {
            (target, i): _fan_out(wire)
            for target, wires in self._wires.items()
            for i, wire in enumerate(wires)
            if not wire.is_image
        }

    def run(self, x: Array, T: int, neurons: Neurons) -> Pass:
        """Go through all populations in order; x (B, C, H, W) is constant."""
        sent: dict[str, Sent] = {}
        sop, residual, readout = np.zeros((3, T, len(x)), dtype=np.int64)
        last = self.network.readout.name
        ahead = [each.port.source for wires in self._wires.values() for each in wires]
        for target, wires in self._wires.items():
            for i, wire in enumerate(wires):
                ahead.remove(wire.port.source)
                arriving = None if wire.is_image else sent[wire.port.source]
                if not isinstance(arriving, Spikes):
                    continue
                counted = self._count(target, i, arriving)
                if wire.layer is None:
                    residual += counted
                else:
                    sop += counted
                    readout += counted * (target == last)
            if target != last:
                layer = self.network.by_name[target]
                assert isinstance(layer, Spiking)
                sent[target] = neurons(layer, Currents(self, target, sent, x, T))
            else:
                logits = np.concatenate(list(Currents(self, target, sent, x, T)), axis=1)
            sent = {name: spikes for name, spikes in sent.items() if name in ahead}
        return Pass(logits=logits, sop=sop, residual=residual, readout_sop=readout)

    def held_bytes(self, n_images: int, T: int) -> int:
        """Most bytes of images and spikes that `run` holds at once."""
        ahead = [each.port.source for wires in self._wires.values() for each in wires]
        held: dict[str, int] = {}
        most = 0
        for target, wires in self._wires.items():
            for wire in wires:
                ahead.remove(wire.port.source)
            held[target] = T * prod(self.network.shapes[target])
            most = max(most, sum(held.values()))
            held = {name: size for name, size in held.items() if name in ahead}
        return n_images * (8 * prod(self.network.input.shape) + most)

    def current(self, name: str, sent: dict[str, Sent], x: Array, images: slice, T: int) -> Array:
        """The current (T, b, *shape) of a population, its wires added up in their order."""
        total: Array | None = None
        for wire in self._wires[name]:
            arriving = x[images][None] if wire.is_image else _arriving(sent[wire.port.source], wire, images)
            steps, n, *shape = arriving.shape
            flat = arriving.reshape(steps * n, *shape)
            if wire.is_image:
                flat = _pooled(flat, wire.port.pool)
            if wire.layer is not None:
                flat = self._weighted(wire.layer.name, flat)
            part = flat.reshape(steps, n, *self.network.shapes[name])
            total = part if total is None else total + part
        assert total is not None
        return np.broadcast_to(total, (T, *total.shape[1:]))

    def _weighted(self, name: str, values: Array) -> Array:
        probe = self._probes[name]
        done = forward(probe, values.reshape(len(values), *probe.network.input.shape), record=True)
        return done.z.get(_PROBE, done.logits)

    def _count(self, target: str, i: int, spikes: Spikes) -> Counts:
        reached = self._fan_out[target, i]
        passing = _passing(spikes.s, self._wires[target][i].port.pool)
        T, n, c = passing.shape[:3]
        per_position = np.abs(passing).reshape(T, n, c, *reached.shape).sum(axis=2, dtype=np.int64)
        return np.asarray((per_position * reached).sum(axis=(2, 3)))


def learn(network: Network, calibration: Calibration, T: int, neurons: Neurons) -> None:
    """Go through all populations in order with all calibration images at once.

    Raises
    ------
    UsageError
        They and their spikes take more memory than `MOST_HELD`.
    """
    wiring = Wiring(network)
    n = len(calibration.indices)
    held = wiring.held_bytes(n, T)
    if held > MOST_HELD:
        raise UsageError(
            f"{n} calibration images and their spikes of T={T} steps take {held / 2**30:.1f} GiB, at most "
            f"{MOST_HELD / 2**30:g} GiB are held; choose {n * MOST_HELD // held} (--n-calibrate)"
        )
    wiring.run(calibration.currents(), T, neurons)


_PROBE = "probe"


def _probe(network: Network, wire: Wire) -> Plan:
    """One layer with weights as a network of its own, whose weighted input can be read."""
    layer = wire.layer
    assert layer is not None
    source = wire.port.pool.name if wire.port.pool is not None else wire.port.source
    layers: list[AnyLayer] = []
    reads = INPUT
    if wire.port.flatten:
        layers.append(Flatten(name="flatten", inputs=(INPUT,)))
        reads = "flatten"
    weighted = _renamed(layer, reads)
    layers.append(weighted)
    if layer is not network.readout:
        # A network ends in a readout; this one has no weights to speak of, and nobody reads it.
        shape = network.shapes[layer.name]
        neuron = Neuron(theta=np.array(1.0), v0=np.array(0.0), activation=Activation(lambda_=1.0, L=None))
        layers += [
            Spiking(name=_PROBE, inputs=(weighted.name,), neuron=neuron),
            Flatten(name="end", inputs=(_PROBE,)),
            Linear(name="readout", inputs=("end",), weight=np.zeros((1, prod(shape))), bias=np.zeros(1)),
        ]
    return compile_network(
        Network(name=layer.name, input=InputSpec(shape=as_chw(network.shapes[source])), layers=tuple(layers)),
        fold=False,
    )


def _renamed(layer: Conv2d | Linear, reads: str) -> Conv2d | Linear:
    """The layer reading the image of its own little network."""
    return replace(layer, name="weights", inputs=(reads,))


def _fan_out(wire: Wire) -> Counts:
    """Existing synapses that a spike reaches from each position that passes it on (`_passing`), (H, W)."""
    target = wire.pooled_shape if wire.layer is None else as_chw(wire.network.shapes[wire.layer.name])
    reached = wire.fan_out(target, skip_zero=False)
    if wire.port.pool and wire.port.graded:
        reached = unpool(reached, wire.port.pool, wire.source)
    return reached[:, :, 0]


def _passing(s: Array, pool: Pool | None) -> Array:
    """The spikes (T, b, *shape) that are delivered: all through an average pool, those that a max pool makes."""
    match pool:
        case None | AvgPool2d():
            return s
        case MaxPool2d():
            n = np.zeros(s.shape[1:], dtype=np.int64)
            steps = []
            for each in s.astype(np.int64):
                n, y = pool_spikes(n, each, pool)
                steps.append(y)
            return np.stack(steps)
        case _:
            assert_never(pool)


def _pooled(values: Array, pool: Pool | None) -> Array:
    """An image (B, C, H, W) behind the pool it is read through."""
    match pool:
        case None:
            return values
        case AvgPool2d():
            return avg_pool2d(values, pool.kernel, pool.stride)
        case MaxPool2d():
            return max_pool2d(values, pool)
        case _:
            assert_never(pool)


def _arriving(spikes: Sent, wire: Wire, images: slice) -> Array:
    """Postsynaptic potentials (T, b, *shape), behind the pool; s theta, or c theta / cells of the window sum c.

    Of a population that sends one value, (1, b, *shape): all steps are alike.
    """
    if isinstance(spikes, Graded):
        return _pooled(spikes.a[images], wire.port.pool)[None]
    s = spikes.s[:, images]
    theta = np.asarray(spikes.theta, dtype=np.float64)
    match wire.port.pool:
        case None | MaxPool2d():
            return np.asarray(_passing(s, wire.port.pool) * theta)
        case AvgPool2d(kernel=kernel, stride=stride):
            T, n, *shape = s.shape
            sums = sum_pool2d(s.astype(np.int64).reshape(T * n, *shape), kernel, stride)
            return np.asarray(sums.astype(np.float64) * theta / prod(kernel)).reshape(T, n, *sums.shape[1:])
        case _:
            assert_never(wire.port.pool)


def start(v0: Array, n_images: int, shape: Shape) -> State:
    """The state of a population before its first step; v0 broadcasts over (B, *shape)."""
    v = np.broadcast_to(np.asarray(v0, dtype=np.float64), (n_images, *shape)).copy()
    return State(v, np.zeros((n_images, *shape), dtype=np.int64))


def fire_steps(
    state: State, u: Array, theta: Array, reset: Literal["subtract", "zero"] = "subtract", strict: bool = False
) -> tuple[State, NDArray[np.int8]]:
    """Let IF neurons run through the currents u (T, B, *shape); theta broadcasts over (*shape)."""
    s = np.zeros(u.shape, dtype=np.int8)
    for t, current in enumerate(u):
        state, s[t] = fire(state, current, theta, np.array(-np.inf), reset=reset, strict=strict)
    return state, s


def run_neurons(
    layer: Spiking, currents: Currents, on_potentials: Callable[[Array], object] = lambda m: None
) -> Spikes:
    """Let the neurons of a layer run as they are.

    Parameters
    ----------
    on_potentials
        Told, for some images at a time and in their order, m (T, b, *shape): potentials before firing.
    """
    neuron, steps = layer.neuron, []
    for u in currents:
        shape = u.shape[2:]
        theta, theta_neg = spread(neuron.theta, shape), spread(neuron.negative_threshold, shape)
        state = start(spread(neuron.v0, shape), u.shape[1], shape)
        m, s = np.zeros(u.shape), np.zeros(u.shape, dtype=np.int8)
        for t, current in enumerate(u):
            m[t] = neuron.leak * state.v + current
            state, s[t] = fire(state, current, theta, theta_neg, neuron.gate, neuron.reset, neuron.leak, neuron.strict)
        on_potentials(m)
        steps.append(s)
    return Spikes(s=np.concatenate(steps, axis=1), theta=theta)


def spread(value: Array, shape: Shape) -> Array:
    """A scalar, (C,) or (C, H, W) parameter so that it broadcasts over (*shape)."""
    value = np.asarray(value, dtype=np.float64)
    return value.reshape(value.shape + (1,) * (len(shape) - value.ndim)) if value.ndim else value
