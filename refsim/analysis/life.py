"""One neuron's life, step by step: who spiked into it, its potential before and after, what it decided, how closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.analysis.currents import Place, Taps, arriving_counts, arriving_values, taps_of
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.engine.wiring import Wire, wires_of
from refsim.exceptions import UsageError
from refsim.model import Network, Spiking
from refsim.reference.neurons import State, fire
from refsim.reference.quantised import Part, analog_currents, over

Array = NDArray[Any]

LifeMode = Literal["float64", "int16", "int8"]
BITS: dict[LifeMode, int] = {"float64": 0, "int16": 16, "int8": 8}
"""Bits of a weight; 0: floats."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """Spikes that arrived through one synapse in one step.

    source, place
        The layer that fired, and where: (c, y, x) or (n,); behind a pool the position of the window.
    count
        Signed number of spikes: of a pool's window, else +1 or -1.
    weight, adds
        The synapse's: the ANN's, or in whole numbers that of the quantised network; and what they add to the current.
    """

    source: str
    place: Place
    count: int
    weight: float
    adds: float


@dataclass(frozen=True, kw_only=True)
class LifeStep:
    """One step: m = leak v + u decides, and the margin is the distance to the nearer open threshold, over theta.

    arrivals
        In the order in which they were added up.
    u, before, m, after
        Current, and potential before it, with it, and after the decision.
    s
        The spike, -1, 0 or 1.
    """

    t: int
    arrivals: tuple[Arrival, ...]
    u: float
    before: float
    m: float
    s: int
    after: float
    margin: float


@dataclass(frozen=True, kw_only=True)
class Life:
    """All steps of one neuron; in whole numbers of its unit for int8 and int16.

    unit
        Of potentials, in the unit of the ANN's activations; 1 in float64.
    theta, theta_neg, v0
        theta_neg is -inf of an IF neuron.
    steady
        What bias and image add at every step.
    """

    layer: str
    place: Place
    neuron: int
    dtype: LifeMode
    unit: float
    theta: float
    theta_neg: float
    v0: float
    steady: float
    steps: tuple[LifeStep, ...]


def place_of(layer: Spiking, shape: tuple[int, ...], at: Place) -> Place:
    """Where a neuron is: (c, y, x) or (n,), from that or from its flat index.

    Raises
    ------
    UsageError
        There is no such neuron.
    """
    size = int(np.prod(shape))
    if len(at) == len(shape) and all(0 <= i < n for i, n in zip(at, shape)):
        return at
    if len(at) == 1 and 0 <= at[0] < size:
        return tuple(int(i) for i in np.unravel_index(at[0], shape))
    asked = ",".join(map(str, at))
    raise UsageError(f"layer '{layer.name}' has no neuron {asked}; its shape is {shape}, flat 0 to {size - 1}")


def life_of(network: Network, x: Array, T: int, layer: Spiking, place: Place, dtype: LifeMode) -> Life:
    """Follow one neuron for T steps on one image's input currents x (1, C, H, W).

    The spikes that reach it are the engine's; its numbers are computed here as the specification says, in its order.

    Raises
    ------
    UsageError
        A network that int8 and int16 cannot hold.
    """
    trace = simulate(compile_network(network, dtype), x, T, record=("spikes",))
    spikes = {name: each.spikes for name, each in trace.populations.items() if each.spikes is not None}
    _, wires = wires_of(network, layer, fold=False)
    neuron, shape = layer.neuron, network.shapes[layer.name]
    values: tuple[Array, ...]
    u: Sequence[float]
    steady: float
    if BITS[dtype]:
        part = Part(network, layer, analog_currents(network, x), 1, BITS[dtype])
        values, unit = (part.theta, part.theta_neg, part.v0), float(np.broadcast_to(part.g, shape)[place])
        steady, arrivals = _whole(wires, part, place, spikes, T)
        u = [steady + sum(int(each.adds) for each in step) for step in arrivals]
    else:
        values = tuple(over(each, shape) for each in (neuron.theta, neuron.negative_threshold, neuron.v0))
        unit = 1.0
        u, steady, arrivals = _floats(wires, place, shape[0], spikes, x, T)
    theta, theta_neg, v0 = (np.array([each[place]]) for each in values)
    state = State(v0, np.zeros(1, dtype=np.int64))
    steps = []
    for t in range(T):
        before, leak = state, 1 if BITS[dtype] else neuron.leak
        state, s = fire(state, np.array([u[t]]), theta, theta_neg, neuron.gate, neuron.reset, leak, neuron.strict)
        m = leak * before.v + u[t]
        gaps = [abs(m - theta), *([abs(m - theta_neg)] if neuron.dual and before.fired[0] >= 1 else [])]
        steps.append(
            LifeStep(
                t=t + 1,
                arrivals=arrivals[t],
                u=float(u[t]),
                before=float(before.v[0]),
                m=float(m[0]),
                s=int(s[0]),
                after=float(state.v[0]),
                margin=float(min(gap[0] for gap in gaps) / theta[0]),
            )
        )
    return Life(
        layer=layer.name,
        place=place,
        neuron=int(np.ravel_multi_index(place, shape)),
        dtype=dtype,
        unit=unit,
        theta=float(theta[0]),
        theta_neg=float(theta_neg[0]) if neuron.dual else -np.inf,
        v0=float(v0[0]),
        steady=float(steady),
        steps=tuple(steps),
    )


def _floats(
    wires: list[Wire], place: Place, n_channels: int, spikes: dict[str, Array], x: Array, T: int
) -> tuple[list[float], float, list[tuple[Arrival, ...]]]:
    """Currents of every step, what of them bias and image are, and arrivals."""
    u, steady, arrivals = [0.0] * T, 0.0, [list[Arrival]() for _ in range(T)]
    for number, wire in enumerate(wires):
        weight = np.ones(n_channels) if wire.layer is None else wire.layer.effective_weight()
        bias = 0.0 if wire.layer is None else float(wire.layer.bias[place[0]])
        values = arriving_values(wire, spikes, x)
        counts = None if wire.is_image else arriving_counts(wire, spikes)
        taps = taps_of(wire, place, weight)
        for t in range(T):
            value = values[min(t, len(values) - 1), 0].reshape(-1)[taps.read]
            adds = value * taps.weight
            # One after the other, as the specification adds: np.sum would add in pairs.
            branch = float(np.cumsum(adds)[-1]) if len(adds) else 0.0
            branch = branch if wire.layer is None else branch + bias
            u[t] = branch if number == 0 else u[t] + branch
            if counts is not None:
                arrivals[t] += _arrivals(wire, taps, counts[t, 0].reshape(-1)[taps.read], adds)
            elif t == 0:
                steady += branch
        steady += 0.0 if wire.is_image else bias
    return u, steady, [tuple(each) for each in arrivals]


def _whole(
    wires: list[Wire], part: Part, place: Place, spikes: dict[str, Array], T: int
) -> tuple[int, list[tuple[Arrival, ...]]]:
    """What bias and image add at every step, and arrivals, in units."""
    arrivals = [list[Arrival]() for _ in range(T)]
    for wire, weight in zip((each for each in wires if not each.is_image), part.weights, strict=True):
        taps, counts = taps_of(wire, place, weight), arriving_counts(wire, spikes)
        for t in range(T):
            count = counts[t, 0].reshape(-1)[taps.read]
            arrivals[t] += _arrivals(wire, taps, count, count * taps.weight)
    return int(part.steady[(0, *place)]), [tuple(each) for each in arrivals]


def _arrivals(wire: Wire, taps: Taps, count: Array, adds: Array) -> list[Arrival]:
    """What arrives through the taps of a wire in one step; spikes of different size may add something and be none."""
    found = np.flatnonzero((count != 0) | (adds != 0))
    places = np.stack(np.unravel_index(taps.read[found], _read_shape(wire)), axis=1).tolist()
    return [
        Arrival(
            source=wire.port.source,
            place=tuple(where),
            count=int(count[k]),
            weight=float(taps.weight[k]),
            adds=float(adds[k]),
        )
        for k, where in zip(found, places)
    ]


def _read_shape(wire: Wire) -> tuple[int, ...]:
    """Shape of what a wire reads, behind its pool and before it is flattened."""
    read = wire.port.pool.name if wire.port.pool is not None else wire.port.source
    return wire.network.shapes[read]
