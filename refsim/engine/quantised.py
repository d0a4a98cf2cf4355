"""Modes `int16` and `int8`: the quantised network, whose definition is `refsim.reference.quantised`.

Every target channel has a unit, theta / 2^s, with the largest s up to MOST_BITS for which the channel's weights (times
theta of the source, behind a pool over its cells) are whole numbers of 16 or 8 bits; the readout, whose sums are
compared with each other, has one unit 2^-s for all its channels. Everything else (biases, v0, thresholds, the current
of the image with the biases of what only the image reaches) is rounded to the same unit in 32 bits. Rounding is to
nearest, ties to even; what does not fit is saturated, symmetrically. A network in whole numbers has no rounding left:
its spikes depend on no order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.layout import Layout
from refsim.engine.kernels.pairs import paired
from refsim.engine.kernels.quantised import QuantisedNeurons
from refsim.engine.kernels.synapse import Synapses
from refsim.engine.tables import CHW, by_position, by_tile, identity_of, synapses_of
from refsim.engine.wiring import Wire
from refsim.exceptions import UsageError
from refsim.model import Linear, Neuron, Spiking

Array = NDArray[Any]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

FLOAT64 = np.dtype(np.float64)

MOST_BITS = 16
"""No unit is finer than theta / 2^16, so that potentials of 32 bits have room for 2^15 thresholds."""

LARGEST = 2**31 - 1
"""What numbers of 32 bits are saturated to, with either sign."""


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """What rounding did to the weights of one projection.

    error
        Root mean square of the differences, relative to that of the weights (0 without weights).
    saturated, lost
        Shares of the weights that were too large, and of the nonzero ones that became 0.
    """

    target: str
    error: float
    saturated: float
    lost: float


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantisedCurrents:
    """The currents of a population, or the readout, of the quantised network.

    dtype
        Of the weights.
    bits, unit : (C,), s of each channel, and its unit in the unit of the ANN's activations
    synapses : by projection, None where the image drives it, whose current is computed in float64
    bias : (C,) int64, of all projections of spikes together
    largest
        Most units that one step of spikes and bias can amount to.
    """

    dtype: np.dtype[Any]
    bits: Counts
    unit: Floats
    synapses: tuple[Synapses | None, ...]
    bias: Counts
    largest: int
    roundings: tuple[Rounding, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantised:
    """A population of the quantised network.

    neurons
        With int32 parameters.
    """

    currents: QuantisedCurrents
    neurons: QuantisedNeurons

    def fits_32_bits(self, T: int, image: float) -> bool:
        """Whether no potential can leave 32 bits within T steps, if the image adds at most `image` units to each.

        By induction: |v| <= A + t U after t steps, A the largest |v0| or theta and U the largest current of a step.
        m = v + u adds U; subtracting theta from m >= theta, or adding it to m <= theta_neg < 0, leaves |v| <= |m| or
        |v| <= theta. The sum of the currents, t U, is smaller. A lane that does not fire may wrap around in a sum
        m +- theta that nobody selects.
        """
        largest = max(int(np.abs(each).max()) for each in (self.neurons.theta, self.neurons.v0))
        return largest + T * (self.currents.largest + image) <= LARGEST


def quantised_of(layer: Spiking, wires: list[Wire], shape: CHW, layout: Layout, weights: np.dtype[Any]) -> Quantised:
    """A population with weights of the given type.

    Raises
    ------
    UsageError
        What has no counterpart in whole numbers: a leak, a strict comparison, spikes of a channel that differ in size
        between positions, and sums that may exceed 32 bits.
    """
    if layer.neuron.leak != 1:
        raise UsageError(
            f"layer '{layer.name}': its potential leaks (factor {layer.neuron.leak}), which has no counterpart in "
            f"{weights}; use --dtype exact"
        )
    if layer.neuron.strict:
        raise UsageError(
            f"layer '{layer.name}': its potential has to exceed theta, which rounding to {weights} does not keep "
            "apart from reaching it; use --dtype exact"
        )
    _check_sizes(layer, wires, weights)
    value = layer.neuron.theta
    theta = np.array(np.broadcast_to(value.reshape(len(value), -1).min(axis=1) if value.ndim else value, shape[0]))
    bits = bits_of(_largest_weights(wires, theta), np.iinfo(weights).max)
    return Quantised(
        currents=_currents(layer, wires, layout, theta, bits, weights),
        neurons=_neurons(layer.neuron, theta, bits, shape, layout),
    )


def quantised_readout(
    layer: Linear, wires: list[Wire], shape: CHW, layout: Layout, weights: np.dtype[Any]
) -> QuantisedCurrents:
    """The readout with weights of the given type, and one unit for all classes.

    Raises
    ------
    UsageError
        Spikes of a channel that differ in size between positions, and sums that may exceed 32 bits.
    """
    _check_sizes(layer, wires, weights)
    one = np.ones(shape[0])
    largest = _largest_weights(wires, one).max()
    bits = bits_of(np.full(shape[0], largest), np.iinfo(weights).max)
    return _currents(layer, wires, layout, one, bits, weights)


def _largest_weights(wires: list[Wire], theta: Floats) -> Floats:
    """The largest absolute weight that spikes meet, of each target channel, in units of theta (C,)."""
    largest = np.zeros(len(theta))
    for wire in wires:
        if wire.is_image:
            continue
        for channels, values in wire.per_count():
            found = np.abs(values.reshape(len(values), -1)).max(axis=1, initial=0) / theta[channels]
            largest[channels] = np.maximum(largest[channels], found)
    return largest


def _currents(
    layer: Spiking | Linear, wires: list[Wire], layout: Layout, theta: Floats, bits: Counts, weights: np.dtype[Any]
) -> QuantisedCurrents:
    """Weights and biases in units of theta / 2^bits, both (C,).

    Raises
    ------
    UsageError
        Sums that may exceed 32 bits.
    """
    tables: dict[int, Synapses] = {}
    roundings = []
    bias, sums = np.zeros(len(theta)), np.zeros(len(theta), dtype=np.int64)
    for wire in wires:
        if wire.is_image:
            continue
        rounding = _Rounder(np.iinfo(weights).max)
        weight = wire.in_units(theta, 2.0**bits, rounding).astype(weights, copy=False)
        roundings.append(rounding.result(layer.name if wire.layer is None else wire.layer.name))
        sums += np.array([np.abs(each.astype(np.int64)).sum() for each in weight]) * wire.port.window_size
        if wire.conv is None:
            table = identity_of(weight, layout, wire.input_shape)
        else:
            bias += wire.conv.bias
            no_bias = np.zeros(len(theta), dtype=weights)
            table = synapses_of(wire.conv, weight, no_bias, layout, wire.input_shape, ones=True)
        tables[id(wire)] = table._replace(weight=paired(table.weight), ones=True)
    if sums.max() > LARGEST:
        raise UsageError(
            f"layer '{layer.name}': sums of its weights may exceed 32 bits in {weights}; use --dtype exact, or int8"
        )
    whole_bias = _saturated(bias / theta * 2.0**bits)
    return QuantisedCurrents(
        dtype=weights,
        bits=bits,
        unit=theta * 2.0**-bits,
        synapses=tuple(tables.get(id(wire)) for wire in wires),
        bias=whole_bias,
        largest=int((sums + np.abs(whole_bias)).max()),
        roundings=tuple(roundings),
    )


def bits_of(largest: Floats, limit: int) -> Counts:
    """For each channel the greatest s of 0 .. MOST_BITS for which its largest weight (C,) rounds to at most `limit`."""
    fits = np.rint(largest[:, None] * 2.0 ** np.arange(MOST_BITS + 1)) <= limit
    return np.asarray(np.maximum(fits.sum(axis=1) - 1, 0), dtype=np.int64)


def _check_sizes(layer: Spiking | Linear, wires: list[Wire], weights: np.dtype[Any]) -> None:
    for wire in wires:
        if not wire.is_image and wire.theta.ndim == 3 and (wire.port.pool is not None or not wire.port.flatten):
            raise UsageError(
                f"layer '{layer.name}': the spikes of '{wire.port.source}' differ in size between positions, and "
                f"{weights} has one weight for all of them; use --dtype exact"
            )


def _saturated(values: Floats) -> Counts:
    """Rounded to nearest, ties to even, within 32 bits."""
    return np.asarray(np.clip(np.rint(values), -LARGEST, LARGEST), dtype=np.int64)


def _neurons(neuron: Neuron, theta: Floats, bits: Counts, shape: CHW, layout: Layout) -> QuantisedNeurons:
    theta_units, theta_neg, v0 = (
        _saturated(by_position(value, shape, FLOAT64) / theta * 2.0**bits)
        for value in (neuron.theta, neuron.negative_threshold, neuron.v0)
    )
    # theta_neg = 0 would fire +1, -1, +1, ... for ever at v = 0 without any input.
    theta_neg = np.minimum(theta_neg, -1)
    return QuantisedNeurons(
        theta=by_tile(theta_units.astype(np.int32), layout, 1),
        theta_neg=by_tile(theta_neg.astype(np.int32), layout, -1),
        v0=by_tile(v0.astype(np.int32), layout, 0),
        dual=neuron.dual,
        gross=neuron.gate == "gross",
        zero=neuron.reset == "zero",
        strict=neuron.strict,
    )


class _Rounder:
    """Rounds weights, given in units a block at a time, and keeps account of what that does to them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.n = self.n_saturated = self.n_lost = 0
        self.size = self.error = 0.0

    def __call__(self, units: Floats) -> Array:
        """The weights as whole numbers of 16 bits."""
        whole = np.clip(np.rint(units), -self.limit, self.limit)
        self.n += units.size
        self.n_saturated += int((np.abs(units) > self.limit + 0.5).sum())
        self.n_lost += int(((whole == 0) & (units != 0)).sum())
        self.size += float((units**2).sum())
        self.error += float(((units - whole) ** 2).sum())
        return whole.astype(np.int16)

    def result(self, target: str) -> Rounding:
        """What has been done so far."""
        return Rounding(
            target=target,
            error=float(np.sqrt(self.error / self.size)) if self.size else 0.0,
            saturated=self.n_saturated / self.n,
            lost=self.n_lost / self.n,
        )
