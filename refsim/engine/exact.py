"""Mode `exact`: a population in whole numbers that stand for its float64 ones.

The unit of a population is theta / 2^s of each target channel, with s as large as sums of 32 bits allow; the rounding
of weights is then bounded and never decides anything (`kernels.integer`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.exact import ExactNeurons
from refsim.engine.kernels.layout import Layout
from refsim.engine.kernels.recompute import Stored
from refsim.engine.kernels.synapse import Synapses
from refsim.engine.tables import CHW, by_position, by_tile, identity_of, shared, synapses_of
from refsim.engine.wiring import Wire
from refsim.model import Neuron, Spiking

Array = NDArray[Any]
Floats = NDArray[np.float64]

FLOAT64 = np.dtype(np.float64)

SILENT = 2**40
"""A threshold, in units, that no lane without weights reaches."""

LEAST_BITS = 12
"""With a coarser unit than theta / 2^12 too many potentials would have to be recomputed."""

MAX_ROWS = 2**18
"""Synapses of a neuron for which the bound of `exact` allows for float64 rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Exact:
    """A population in whole numbers of theta / 2^bits.

    synapses : by projection, with int32 tables; bias : (n_tiles, TILE) int32, of all projections together
    stored : by projection, the weights as the network has them; the source's spikes are filled in at run time
    """

    bits: int
    synapses: tuple[Synapses, ...]
    bias: NDArray[np.int32]
    neurons: ExactNeurons
    stored: tuple[Stored, ...]


def exact_of(layer: Spiking, wires: list[Wire], shape: CHW, layout: Layout) -> Exact | str:
    """The population in whole numbers, or why it cannot be."""
    if any(wire.is_image for wire in wires):
        return "the image drives it, with currents in float64"
    if layer.neuron.leak != 1:
        return "its potential leaks, which is no whole number"
    neuron = layer.neuron
    if shared(neuron.theta).ndim == 3:
        return "its theta differs between positions"
    for wire in wires:
        if wire.theta.ndim == 3:
            return f"the spikes of '{wire.port.source}' differ in size between positions"
        if wire.port.sized:
            return f"a pool adds the spikes of '{wire.port.source}' by their sizes: its theta is given by position"
    theta = np.ascontiguousarray(np.broadcast_to(shared(neuron.theta), shape[:1]))
    bias, highest, lowest = np.zeros((3, shape[0]))
    n_rows, terms = 0, 1
    for wire in wires:
        if wire.conv is not None:
            bias += wire.conv.bias
            n_rows += wire.conv.weight[0].size
            terms += wire.conv.weight[0].size * wire.port.window_size
        else:
            terms += wire.port.window_size
        for channels, per_count in wire.per_count():
            per_window = per_count.reshape(len(per_count), -1) * wire.port.window_size
            high, low = largest_sums(per_window, wire.fires_negative)
            highest[channels] += high
            lowest[channels] += low
    sizes = np.maximum(highest + bias, -(lowest + bias))
    bits = exact_bits(sizes, theta, terms) if n_rows <= MAX_ROWS and terms < 2**28 else 0
    if bits < LEAST_BITS or np.abs(neuron.v0).max() > 2.0**20 * theta.min():
        return "its weights are too large for 32 bits"
    float32 = all(wire.layer is None or np.can_cast(wire.layer.weight.dtype, np.float32) for wire in wires)
    synapses = []
    for wire in wires:
        per_count = wire.in_units(theta, np.full(shape[0], 2.0**bits), whole)
        if wire.conv is None:
            synapses.append(identity_of(per_count, layout, wire.input_shape)._replace(ones=True))
        else:
            no_bias = np.zeros(shape[0], dtype=np.int32)
            synapses.append(synapses_of(wire.conv, per_count, no_bias, layout, wire.input_shape, ones=True))
    return Exact(
        bits=bits,
        synapses=tuple(synapses),
        bias=by_tile(whole(bias / theta * 2.0**bits)[None], layout, 0)[0],
        neurons=exact_neurons(neuron, shape, layout, bits),
        stored=tuple(_stored(wire, float32) for wire in wires),
    )


def largest_sums(terms: Floats, signed: bool) -> tuple[Floats, Floats]:
    """The largest and the least sum (C,) of some of the terms (C, n); `signed`: each may come with a minus."""
    if signed:
        size = np.abs(terms).sum(axis=1)
        return size, -size
    return np.maximum(terms, 0).sum(axis=1), np.minimum(terms, 0).sum(axis=1)


def exact_bits(sizes: Floats, theta: Floats, terms: int) -> int:
    """The largest s for which currents in units of theta / 2^s fit into 32 bits.

    sizes : (C,), largest absolute current of one step (sums may pass 32 bits on the way: they wrap around)
    terms
        Most units by which rounding can enlarge it.
    """
    largest = float((sizes / theta).max(initial=2.0**-30))
    return min(30, floor(log2((2**31 - 1 - terms) / largest)))


def whole(units: Floats) -> NDArray[np.int32]:
    """Rounded to whole numbers.

    A weight that a bias of the other sign makes up for may itself exceed 32 bits: it wraps around, like the sums.
    """
    return np.rint(units).astype(np.int64).astype(np.int32)


def exact_neurons(neuron: Neuron, shape: CHW, layout: Layout, bits: int) -> ExactNeurons:
    """The parameters of a population in units of theta / 2^bits; theta must not differ between positions."""
    theta, theta_neg, v0 = (
        by_position(value, shape, FLOAT64) for value in (neuron.theta, neuron.negative_threshold, neuron.v0)
    )
    theta_neg_units = np.maximum(np.rint(theta_neg / theta * 2.0**bits), -float(SILENT))
    return ExactNeurons(
        theta=by_tile(np.full(theta.shape, 2**bits, dtype=np.int64), layout, SILENT),
        theta_neg=by_tile(theta_neg_units.astype(np.int64), layout, -SILENT),
        v0=by_tile(np.rint(v0 / theta * 2.0**bits).astype(np.int64), layout, 0),
        dual=neuron.dual,
        gross=neuron.gate == "gross",
        zero=neuron.reset == "zero",
        theta_float=theta,
        theta_neg_float=theta_neg,
        v0_float=v0,
    )


def _stored(wire: Wire, float32: bool) -> Stored:
    conv = wire.conv
    dtype = np.float32 if float32 else np.float64
    weight = np.zeros((0, 0, 0), dtype) if conv is None else conv.weight.reshape(*conv.weight.shape[:2], -1)
    n_out = 1 if conv is None else len(weight)
    return Stored(
        weight=np.require(weight, dtype, ["C", "W"]),
        kernel=(1, 1) if conv is None else conv.weight.shape[2:],
        stride=(1, 1) if conv is None else conv.stride,
        scale=np.ones(n_out) if conv is None or conv.scale is None else np.require(conv.scale, None, ["C", "W"]),
        bias=np.zeros(n_out) if conv is None else np.require(conv.bias, None, ["C", "W"]),
        psp=wire.psp(FLOAT64, unit=False),
        window_size=float(wire.port.window_size),
        unit=wire.port.unit,
        magnitude=np.zeros((1, 0, 0, 0, 0, 0), dtype=np.uint64),
        negative=np.zeros((0, 0, 0, 0, 0), dtype=np.uint64),
    )
