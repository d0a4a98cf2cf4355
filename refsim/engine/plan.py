"""compile_network: from the graph of layers to what the event machine runs.

This is the only place that folds theta into weights, fuses pooling and flattening into the projection behind
them, cuts channels into tiles and chooses the numbers in which each population computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from refsim.engine.exact import Exact, exact_of
from refsim.engine.fanout import unpool
from refsim.engine.kernels.layout import Layout
from refsim.engine.kernels.neuron import Neurons
from refsim.engine.kernels.synapse import Synapses
from refsim.engine.modes import MODES, Mode
from refsim.engine.quantised import WEIGHTS, Quantised, quantise
from refsim.engine.tables import CHW, by_position, identity_of, neurons_of, synapses_of
from refsim.engine.wiring import Port, Wire, as_chw, layout_of, wires_of
from refsim.exceptions import UsageError
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
        (H * W, C), theta of the source where a pool adds spikes of different size; else None.
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
class Population:
    """Neurons (or the readout, which has none) and the projections into them.

    shape, layer_shape : (C, H, W), where a vector is (N, 1, 1); and as the network has it
    layout : which neurons are computed together
    neurons, integers, quantised
        Parameters for floats, for `exact`, for whole numbers of 8 or 16 bits; one of them, and for the readout in
        floats none.
    mode, reason
        The numbers in which it computes, and why these if others were asked for.
    """

    name: str
    shape: CHW
    layer_shape: Shape
    layout: Layout
    projections: tuple[Projection, ...]
    neurons: Neurons | None
    integers: Exact | None
    quantised: Quantised | None
    activation: Activation | None
    mode: Mode
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What the event machine runs: populations in order; the last is the readout."""

    network: Network
    mode: Mode
    dtype: np.dtype[Any]
    fold: bool
    skip_zero_weights: bool
    populations: tuple[Population, ...]

    def finished_after(self, index: int) -> set[str]:
        """Sources that no population behind the given one reads."""
        seen, ahead = (
            {each.port.source for population in part for each in population.projections}
            for part in (self.populations[: index + 1], self.populations[index + 1 :])
        )
        return seen - ahead

    @cached_property
    def in_floats(self) -> Plan:
        """The same plan in float64 throughout, whose potentials can be recorded; itself unless `exact`."""
        if self.mode != "exact":
            return self
        return compile_network(self.network, np.float64, fold=self.fold, skip_zero_weights=self.skip_zero_weights)

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
    mode = _mode(dtype)
    if not fold and mode != "float32":
        mode = "float64"  # activations of the ANN are no whole numbers
    floats = np.dtype(np.float32 if mode == "float32" else np.float64)
    compiler = _Compiler(network, mode, floats, fold, skip_zero_weights)
    return Plan(
        network=network,
        mode=mode,
        dtype=floats,
        fold=fold,
        skip_zero_weights=skip_zero_weights,
        populations=tuple(compiler.population(layer) for layer in network.driven),
    )


def _mode(dtype: DTypeLike) -> Mode:
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    for mode in MODES:
        if name == mode:
            return mode
    raise UsageError(f"numbers must be one of {', '.join(MODES)}, got {name}")


@dataclass(frozen=True)
class _Compiler:
    network: Network
    mode: Mode
    dtype: np.dtype[Any]
    fold: bool
    skip_zero: bool

    def population(self, layer: Spiking | Linear) -> Population:
        adder, wires = wires_of(self.network, layer, self.fold)
        shape = as_chw(self.network.shapes[layer.name])
        layout = layout_of(shape, wires)
        exact = exact_of(layer, wires, shape, layout) if self.mode == "exact" else ""
        reason, integers = (exact, None) if isinstance(exact, str) else ("", exact)
        quantised = quantise(layer, wires, shape, layout, self.mode) if self.mode in WEIGHTS else None
        tables: tuple[Synapses | None, ...] = (None,) * len(wires)
        if integers is not None or quantised is not None:
            tables = (integers or quantised).synapses  # type: ignore[union-attr]
        return Population(
            name=layer.name,
            shape=shape,
            layer_shape=self.network.shapes[layer.name],
            layout=layout,
            projections=tuple(
                self._projection(wire, adder, shape, layout, table) for wire, table in zip(wires, tables)
            ),
            neurons=neurons_of(layer.neuron, shape, layout, self.dtype)
            if isinstance(layer, Spiking) and integers is None and quantised is None
            else None,
            integers=integers,
            quantised=quantised,
            activation=layer.neuron.activation if isinstance(layer, Spiking) else None,
            mode="float64" if reason else self.mode,
            reason=reason,
        )

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
            theta=by_position(wire.theta, wire.source, self.dtype) if port.sized else None,
            synapses=synapses,
            fan_out=fan_out,
            fan_out_spike=fan_out_spike,
            windows=windows,
        )
