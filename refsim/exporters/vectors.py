"""Golden vectors: the quantised network in whole numbers, and what it does on some images, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.engine.batches import default_batch
from refsim.engine.plan import Plan, compile_network
from refsim.engine.simulator import simulate
from refsim.engine.trace import Trace
from refsim.engine.wiring import Wire, wires_of
from refsim.model import Linear, Network, Spiking
from refsim.reference.quantised import Part, analog_currents

Array = NDArray[Any]

Whole = Literal["int8", "int16"]
BITS: dict[Whole, int] = {"int8": 8, "int16": 16}
"""Bits of a weight."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationVectors:
    """Neurons, or the readout, and what happened to them; numbers are whole multiples of the channel's unit.

    unit : (C,) float64, theta / 2^s
    wires, weights
        What spikes come through, and by wire the weights, (C_out, C_in / groups, kH, kW), (N_out, N_in), or of an
        identity (C,).
    bias : (C,), of the wires together, added at every step where `current` is None
    current : (N, *shape), bias and current of the image at every step, where the image drives it
    theta, theta_neg, v0 : (C,), or (*shape) where neurons of a channel differ; None of the readout, and theta_neg of IF
    spikes : (T, N, *shape) int8; None of the readout
    v : (T, N, *shape), potentials after every step, where asked for
    logits : (T, N, K), of the readout its current at every step
    """

    layer: Spiking | Linear
    unit: Array
    wires: tuple[Wire, ...]
    weights: tuple[Array, ...]
    bias: Array
    current: Array | None
    theta: Array | None
    theta_neg: Array | None
    v0: Array | None
    spikes: Array | None
    v: Array | None
    logits: Array | None


def vectors_of(network: Network, x: Array, T: int, dtype: Whole, potentials: bool) -> Iterator[PopulationVectors]:
    """The vectors of a network on input currents x (N, C, H, W), population by population, the readout last.

    What happened comes from the engine, the numbers of the network from its specification.

    Raises
    ------
    UsageError
        A network that has no counterpart in whole numbers.
    """
    plan = compile_network(network, dtype)
    spikes, logits = _run(plan, x, T)
    v = _potentials(plan, x, T) if potentials else None
    analog = analog_currents(network, x)
    for layer in network.driven:
        part = Part(network, layer, analog, len(x), BITS[dtype])
        unit = np.broadcast_to(part.g, (len(part.g), *network.shapes[layer.name][1:]))
        neurons = isinstance(layer, Spiking)
        yield PopulationVectors(
            layer=layer,
            unit=part.g.reshape(-1),
            wires=tuple(wire for wire in wires_of(network, layer, fold=False)[1] if not wire.is_image),
            weights=tuple(each.astype(dtype) for each in part.weights),
            bias=part.bias.reshape(-1).astype(np.int32),
            current=part.steady.astype(np.int32) if part.driven else None,
            theta=_by_channel(part.theta) if neurons else None,
            theta_neg=_by_channel(part.theta_neg) if isinstance(layer, Spiking) and layer.neuron.dual else None,
            v0=_by_channel(part.v0) if neurons else None,
            spikes=spikes[layer.name] if neurons else None,
            v=_in_units(v[layer.name], unit) if neurons and v is not None else None,
            logits=None if neurons else _in_units(logits, part.g),
        )


def _run(plan: Plan, x: Array, T: int) -> tuple[dict[str, Array], Array]:
    """Spikes by layer, (T, N, *shape) int8, and logits, (T, N, K)."""
    traces = _batches(plan, x, T, ("spikes",))
    spikes = {
        name: np.concatenate([_recorded(each.populations[name].spikes) for each in traces], axis=1)
        for name in traces[0].populations
    }
    return spikes, np.concatenate([each.logits for each in traces], axis=1)


def _potentials(plan: Plan, x: Array, T: int) -> dict[str, Array]:
    """By layer, (T, N, *shape): the potentials after t steps are the last ones of a run of t steps."""
    runs = [_batches(plan, x, t, ("v",)) for t in range(1, T + 1)]
    return {
        name: np.stack([np.concatenate([_recorded(each.populations[name].v) for each in run]) for run in runs])
        for name in runs[0][0].populations
    }


def _batches(plan: Plan, x: Array, T: int, record: tuple[str, ...]) -> list[Trace]:
    n = default_batch(plan, T, record)
    return [simulate(plan, x[i : i + n], T, record) for i in range(0, len(x), n)]


def _in_units(values: Array, unit: Array) -> Array:
    """Numbers that are whole multiples of the unit as these, in the fewest of 32 and 64 bits that hold them all."""
    whole = np.rint(values / unit).astype(np.int64)
    fits = not whole.size or np.abs(whole).max() < 2**31
    return whole.astype(np.int32) if fits else whole


def _by_channel(values: Array) -> Array:
    """(*shape) as (C,) where all neurons of a channel agree."""
    by_channel = values.reshape(len(values), -1)
    alike = (by_channel == by_channel[:, :1]).all()
    return (by_channel[:, 0] if alike else values).astype(np.int32)


def _recorded(values: Array | None) -> Array:
    assert values is not None
    return values
