"""compile_network: from the graph of layers to what the event machine runs.

This is the only place that folds theta into weights, fuses pooling and flattening into the projection behind
them, cuts channels into tiles and chooses the numbers in which each population computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

import numpy as np
from numpy.typing import DTypeLike, NDArray

from refsim.engine.exact import Exact, exact_of
from refsim.engine.fanout import unpool
from refsim.engine.floats import FloatCurrents, FloatNumbers, float_numbers
from refsim.engine.kernels.layout import Layout
from refsim.engine.kernels.synapse import Synapses
from refsim.engine.modes import KINDS, ExactMode, FloatMode, Mode, QuantisedMode, mode_of
from refsim.engine.quantised import Quantised, QuantisedCurrents, quantised_of, quantised_readout
from refsim.engine.tables import CHW, by_position, identity_of, synapses_of
from refsim.engine.wiring import Port, Wire, as_chw, layout_of, wires_of
from refsim.model import INPUT, Activation, Conv2d, Linear, MaxPool2d, Network, Shape, Spiking

Array = NDArray[Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """From one population (or the image) into another.

    layer
        The `Conv2d` or `Linear` whose weights act; None for an identity shortcut.
    pooled_shape
        Shape (C, H, W) of the source behind the pool.
    target
        The layer whose weights act; for an identity shortcut, the layer that adds or fires.
    psp
        (1 or H * W, C), where flattened (1, C * H * W): what one spike is psp, 1 or theta; None for the image.
    theta
        (H * W, C), theta of the source where a pool adds spikes of sizes of their own; else None.
    fan_out
        (H, W, 1 or C) int64: existing synapses of each position of `pooled_shape`.
    fan_out_spike
        The same for each position of the source population, where every spike goes on: behind an average pool, the
        sum over the windows it is in. None behind a max pool, which sends spikes of its own.
    windows
        (H, W, 1) int64: pool windows each source position is in; None without a pool.
    """

    port: Port
    layer: Conv2d | Linear | None
    target: str
    pooled_shape: CHW
    psp: Array | None
    theta: Array | None
    synapses: Synapses
    fan_out: Counts
    fan_out_spike: Counts | None
    windows: Counts | None

    @property
    def takes_or(self) -> bool:
        """Whether it reads spikes through a max pool that does not follow the maximum."""
        pool = self.port.pool
        return isinstance(pool, MaxPool2d) and pool.mode == "or" and self.port.source != INPUT

    @property
    def n_synapses(self) -> int:
        """Existing synapses: multiply-accumulates of the ANN's layer, borders exact."""
        return int(np.broadcast_to(self.fan_out, (*self.pooled_shape[1:], self.pooled_shape[0])).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """What projections lead into.

    shape, layer_shape : (C, H, W), where a vector is (N, 1, 1); and as the network has it
    layout : which neurons are computed together
    mode, reason
        The numbers in which it computes, and why these if others were asked for.
    """

    name: str
    shape: CHW
    layer_shape: Shape
    layout: Layout
    projections: tuple[Projection, ...]
    mode: Mode
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Population(Target):
    """Neurons, and the projections into them."""

    numbers: FloatNumbers | Exact | Quantised
    activation: Activation | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Readout(Target):
    """The last layer: currents of each class, and no neurons."""

    numbers: FloatCurrents | QuantisedCurrents


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What the event machine runs: the populations in order, then the readout.

    mode
        The numbers that were asked for.
    dtype
        Of floats, wherever there are some.
    """

    network: Network
    mode: Mode
    dtype: np.dtype[Any]
    fold: bool
    skip_zero_weights: bool
    populations: tuple[Population, ...]
    readout: Readout

    @property
    def targets(self) -> tuple[Population | Readout, ...]:
        """Populations and readout in the order in which they run."""
        return (*self.populations, self.readout)

    def finished_after(self, index: int) -> set[str]:
        """Sources that no target behind the given one reads."""
        seen, ahead = (
            {each.port.source for target in part for each in target.projections}
            for part in (self.targets[: index + 1], self.targets[index + 1 :])
        )
        return seen - ahead

    @cached_property
    def in_floats(self) -> Plan:
        """The same plan in float64 throughout, whose potentials can be recorded; itself unless `exact`."""
        match KINDS[self.mode]:
            case ExactMode():
                return compile_network(
                    self.network, np.float64, fold=self.fold, skip_zero_weights=self.skip_zero_weights
                )
            case FloatMode() | QuantisedMode():
                return self
            case never:
                assert_never(never)

    @cached_property
    def following(self) -> Plan:
        """The same plan with max pools that all follow the maximum."""
        return compile_network(
            self.network.with_max_pools("cumulative"),
            self.mode,
            fold=self.fold,
            skip_zero_weights=self.skip_zero_weights,
        )


def compile_network(
    network: Network, dtype: DTypeLike = np.float64, *, fold: bool = True, skip_zero_weights: bool = False
) -> Plan:
    """Compile a network for the event engine.

    Parameters
    ----------
    dtype
        float64 (bit for bit the specification), float32 (the specification cast to float32), "exact" (the spikes and
        logits of float64, by integers), or "int16" and "int8" (the quantised network; see `quantised`).
    fold
        Fold theta into the weights that spikes meet; the ANN (`simulator.forward`) needs them as they are.
    skip_zero_weights
        Do not count synapses of weight 0 (NeuroBench's convention).

    Raises
    ------
    UsageError
        No such numbers, or a network that "int16" and "int8" cannot hold.
    """
    mode = mode_of(dtype)
    match KINDS[mode]:
        case FloatMode(dtype=floats):
            pass
        case ExactMode() | QuantisedMode():
            floats = np.dtype(np.float64)
            if not fold:
                mode = "float64"  # activations of the ANN are no whole numbers
        case never:
            assert_never(never)
    compiler = _Compiler(network, mode, floats, fold, skip_zero_weights)
    return Plan(
        network=network,
        mode=mode,
        dtype=floats,
        fold=fold,
        skip_zero_weights=skip_zero_weights,
        populations=tuple(compiler.population(layer) for layer in network.spiking),
        readout=compiler.readout(network.readout),
    )


@dataclass(frozen=True)
class _Compiler:
    network: Network
    mode: Mode
    dtype: np.dtype[Any]
    fold: bool
    skip_zero: bool

    def population(self, layer: Spiking) -> Population:
        adder, wires = wires_of(self.network, layer, self.fold)
        shape = as_chw(self.network.shapes[layer.name])
        layout = layout_of(shape, wires)
        numbers: FloatNumbers | Exact | Quantised
        tables: tuple[Synapses | None, ...] = (None,) * len(wires)
        mode, reason = self.mode, ""
        match KINDS[mode]:
            case FloatMode():
                numbers = float_numbers(layer, shape, layout, self.dtype)
            case ExactMode():
                exact = exact_of(layer, wires, shape, layout)
                if isinstance(exact, str):
                    mode, reason = "float64", exact
                    numbers = float_numbers(layer, shape, layout, self.dtype)
                else:
                    numbers, tables = exact, exact.synapses
            case QuantisedMode(weights=weights):
                numbers = quantised_of(layer, wires, shape, layout, weights)
                tables = numbers.currents.synapses
            case never:
                assert_never(never)
        return Population(
            name=layer.name,
            shape=shape,
            layer_shape=self.network.shapes[layer.name],
            layout=layout,
            projections=self._projections(wires, adder, shape, layout, tables),
            mode=mode,
            reason=reason,
            numbers=numbers,
            activation=layer.neuron.activation,
        )

    def readout(self, layer: Linear) -> Readout:
        adder, wires = wires_of(self.network, layer, self.fold)
        shape = as_chw(self.network.shapes[layer.name])
        layout = layout_of(shape, wires)
        numbers: FloatCurrents | QuantisedCurrents = FloatCurrents(dtype=self.dtype)
        tables: tuple[Synapses | None, ...] = (None,) * len(wires)
        mode, reason = self.mode, ""
        match KINDS[mode]:
            case FloatMode():
                pass
            case ExactMode():
                mode, reason = "float64", "the readout's logits are float64"
            case QuantisedMode(weights=weights):
                numbers = quantised_readout(layer, wires, shape, layout, weights)
                tables = numbers.synapses
            case never:
                assert_never(never)
        return Readout(
            name=layer.name,
            shape=shape,
            layer_shape=self.network.shapes[layer.name],
            layout=layout,
            projections=self._projections(wires, adder, shape, layout, tables),
            mode=mode,
            reason=reason,
            numbers=numbers,
        )

    def _projections(
        self, wires: list[Wire], adder: str, target: CHW, layout: Layout, tables: tuple[Synapses | None, ...]
    ) -> tuple[Projection, ...]:
        return tuple(self._projection(wire, adder, target, layout, table) for wire, table in zip(wires, tables))

    def _projection(self, wire: Wire, adder: str, target: CHW, layout: Layout, synapses: Synapses | None) -> Projection:
        port, conv, input_shape = wire.port, wire.conv, wire.input_shape
        if synapses is None:
            if conv is None:
                synapses = identity_of(np.ones(input_shape[0], dtype=self.dtype), layout, input_shape)
            else:
                ones = port.unit and not wire.fires_negative
                bias = conv.bias.astype(self.dtype)
                synapses = synapses_of(conv, wire.effective(self.dtype), bias, layout, input_shape, ones)
        fan_out = wire.fan_out(target, self.skip_zero)
        fan_out_spike: Counts | None = fan_out
        windows = None
        if port.pool:
            fan_out_spike = unpool(fan_out, port.pool, wire.source) if port.graded else None
            windows = unpool(np.ones((*wire.pooled_shape[1:], 1), dtype=np.int64), port.pool, wire.source)
        return Projection(
            port=port,
            layer=wire.layer,
            target=adder if wire.layer is None else wire.layer.name,
            pooled_shape=wire.pooled_shape,
            psp=None if wire.is_image else wire.psp(self.dtype),
            theta=_everywhere(wire, self.dtype) if port.sized else None,
            synapses=synapses,
            fan_out=fan_out,
            fan_out_spike=fan_out_spike,
            windows=windows,
        )


def _everywhere(wire: Wire, dtype: np.dtype[Any]) -> Array:
    """theta of the source, (H * W, C)."""
    c, h, w = wire.source
    return np.broadcast_to(by_position(wire.theta, wire.source, dtype), (h * w, c))
