"""compile_network: from the graph of layers to what the event machine runs.

This is the only place that folds theta into weights, fuses pooling and flattening into the projection behind
them, cuts channels into tiles and chooses the numbers in which each population computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from refsim.errors import UsageError
from refsim.events import WORD
from refsim.fanout import fan_out_of, unpool
from refsim.fixed_point import LEAST_BITS, MAX_ROWS, exact_bits, exact_neurons, largest_sums, units
from refsim.kernels.integer import IntegerNeurons
from refsim.kernels.lanes import TILE
from refsim.kernels.neuron import Neurons
from refsim.kernels.recompute import Stored
from refsim.kernels.synapse import Synapses
from refsim.model import INPUT, Activation, AvgPool2d, Conv2d, Flatten, Layer, Linear, Network, Neuron, Shape, Spiking
from refsim.ports import Port
from refsim.tables import as_conv, by_position, by_tile, folded, identity_of, neurons_of, synapses_of

Array = NDArray[Any]
Counts = NDArray[np.int64]
Plane = tuple[int, int, int]
Mode = Literal["exact", "float64", "float32"]

MODES: tuple[Mode, ...] = ("exact", "float64", "float32")


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """From one population (or the image) into another.

    layer
        The `Conv2d` or `Linear` whose weights act; None for an identity shortcut.
    cells
        Shape (C, H, W) of the source behind the pool.
    target
        The layer whose weights act; for an identity shortcut, the layer that adds or fires.
    worth
        (1 or H * W, C), where flattened (1, C * H * W): what one spike is worth, 1 or theta; None for the image.
    theta
        (H * W, C), theta of the source where a pool adds spikes of different size; else None.
    fan_out
        (H, W, 1 or C) int64: existing synapses of each position of `cells`.
    fan_out_spike
        The same for each position of the source population: behind a pool, the sum over the windows it is in.
    windows
        (H, W, 1) int64: pool windows each source position is in; None without a pool.
    """

    port: Port
    layer: Conv2d | Linear | None
    target: str
    cells: Plane
    worth: Array | None
    theta: Array | None
    synapses: Synapses
    fan_out: Counts
    fan_out_spike: Counts
    windows: Counts | None

    @property
    def n_synapses(self) -> int:
        """Existing synapses: multiply-accumulates of the ANN's layer, borders exact."""
        return int(np.broadcast_to(self.fan_out, (*self.cells[1:], self.cells[0])).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Integers:
    """A population in whole numbers of theta / 2^bits.

    synapses : by projection, with int32 tables; bias : (n_tiles, TILE) int32, of all projections together
    stored : by projection, the weights as the network has them; the source's spikes are filled in at run time
    """

    bits: int
    synapses: tuple[Synapses, ...]
    bias: NDArray[np.int32]
    neurons: IntegerNeurons
    stored: tuple[Stored, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """Neurons (or the readout, which has none) and the projections into them.

    shape, layer_shape : (C, H, W), where a vector is (N, 1, 1); and as the network has it
    tiles : (n_tiles, 2) int64, first channel and width of the channels computed together
    mode, reason
        The numbers in which it computes, and why these if others were asked for.
    """

    name: str
    shape: Plane
    layer_shape: Shape
    tiles: NDArray[np.int64]
    projections: tuple[Projection, ...]
    neurons: Neurons | None
    integers: Integers | None
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


def compile_network(
    network: Network, dtype: DTypeLike = np.float64, *, fold: bool = True, skip_zero_weights: bool = False
) -> Plan:
    """Compile a network for the event engine.

    Parameters
    ----------
    dtype
        float64 (bit for bit the specification), float32 (the specification cast to float32) or "exact" (the
        spikes and logits of float64, by integers).
    fold
        Fold theta into the weights that spikes meet; the ANN (`simulator.forward`) needs them as they are.
    skip_zero_weights
        Do not count synapses of weight 0 (NeuroBench's convention).
    """
    mode = _mode(dtype)
    if mode == "exact" and not fold:
        mode = "float64"  # activations of the ANN are no whole numbers
    floats = np.dtype(np.float32 if mode == "float32" else np.float64)
    compiler = _Compiler(network, mode, floats, fold, skip_zero_weights)
    populations = tuple(
        compiler.population(layer)
        for layer in network.layers
        if isinstance(layer, Spiking) or layer is network.layers[-1]
    )
    return Plan(
        network=network,
        mode=mode,
        dtype=floats,
        fold=fold,
        skip_zero_weights=skip_zero_weights,
        populations=populations,
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

    def population(self, layer: Layer) -> Population:
        network = self.network
        drive = network.by_name.get(layer.inputs[0]) if isinstance(layer, Spiking) else layer
        is_add = drive is not None and drive.kind == "add"
        heads = drive.inputs if drive is not None and is_add else (drive.name if drive is not None else INPUT,)
        traced = [self._trace(head) for head in heads]
        shape = _as_plane(network.shapes[layer.name])
        tiles = _tiles(shape[0], [weighted for _, weighted in traced])
        adder = drive.name if drive is not None and is_add else layer.name
        reason = self._obstacle(layer, [port for port, _ in traced])
        integers = None
        if not reason and isinstance(layer, Spiking):
            integers = self._integers(layer.neuron, traced, shape, tiles)
            reason = "" if integers else "its weights are too large for 32 bits"
        return Population(
            name=layer.name,
            shape=shape,
            layer_shape=network.shapes[layer.name],
            tiles=tiles,
            projections=tuple(
                self._projection(port, weighted, adder, shape, tiles, integers.synapses[i] if integers else None)
                for i, (port, weighted) in enumerate(traced)
            ),
            neurons=neurons_of(layer.neuron, shape, tiles, self.dtype)
            if isinstance(layer, Spiking) and integers is None
            else None,
            integers=integers,
            activation=layer.neuron.activation if isinstance(layer, Spiking) else None,
            mode="exact" if integers else "float32" if self.mode == "float32" else "float64",
            reason=reason if self.mode == "exact" else "",
        )

    def _trace(self, head: str) -> tuple[Port, Conv2d | Linear | None]:
        """Follow a current back to the population it comes from: weights, flatten, pool, source."""
        network = self.network
        name, weighted, flatten, pool = head, None, False, None
        layer = network.by_name.get(name)
        if isinstance(layer, Conv2d | Linear):
            weighted, name = layer, layer.inputs[0]
            flatten = isinstance(layer, Linear)
            layer = network.by_name.get(name)
        if isinstance(layer, Flatten):
            flatten, name = True, layer.inputs[0]
            layer = network.by_name.get(name)
        if isinstance(layer, AvgPool2d):
            pool, name = layer, layer.inputs[0]
            layer = network.by_name.get(name)
        flatten = flatten and len(network.shapes[name]) == 3
        # Only equal spikes can be counted as +-1, with theta folded into the weight: one rounding, as W * (s * theta).
        equal = isinstance(layer, Spiking) and layer.neuron.theta.ndim < 3
        unit = self.fold and weighted is not None and pool is None and equal
        sized = pool is not None and isinstance(layer, Spiking) and not equal
        return Port(source=name, pool=pool, flatten=flatten, unit=unit, sized=sized), weighted

    def _obstacle(self, layer: Layer, ports: list[Port]) -> str:
        """Why the population cannot compute in whole numbers, if it cannot."""
        if self.mode != "exact":
            return "not asked for"
        if not isinstance(layer, Spiking):
            return "the readout's logits are float64"
        if any(port.source == INPUT for port in ports):
            return "the image drives it, with currents in float64"
        if layer.neuron.leak != 1:
            return "its potential leaks, which is no whole number"
        if layer.neuron.theta.ndim == 3:
            return "its theta differs between positions"
        for port in ports:
            if self._theta_of(port.source).ndim == 3:
                return f"the spikes of '{port.source}' differ in size between positions"
        return ""

    def _theta_of(self, source: str) -> Array:
        layer = self.network.by_name[source]
        assert isinstance(layer, Spiking)
        return layer.neuron.theta

    def _projection(
        self,
        port: Port,
        weighted: Conv2d | Linear | None,
        adder: str,
        target: Plane,
        tiles: NDArray[np.int64],
        synapses: Synapses | None,
    ) -> Projection:
        source_shape = _as_plane(self.network.shapes[port.source])
        cells = _as_plane(self.network.shapes[port.pool.name]) if port.pool else source_shape
        plane = (cells[0] * cells[1] * cells[2], 1, 1) if port.flatten else cells
        if weighted is None:
            fan_out = np.ones((*plane[1:], 1), dtype=np.int64)
            synapses = synapses or identity_of(np.ones(plane[0], dtype=self.dtype), tiles, plane)
        else:
            conv = as_conv(weighted)
            fan_out = fan_out_of(conv, plane, target, self.skip_zero)
            if synapses is None:
                ones = port.unit and not self._fires_negative(port.source)
                bias = conv.bias.astype(self.dtype)
                synapses = synapses_of(conv, self._effective(conv, port), bias, tiles, plane, ones)
        if port.flatten:
            by_source = np.broadcast_to(fan_out, (1, 1, plane[0])).reshape(cells).transpose(1, 2, 0)
            fan_out = np.ascontiguousarray(by_source if self.skip_zero else by_source[:, :, :1])
        fan_out_spike, windows = fan_out, None
        if port.pool:
            fan_out_spike = unpool(fan_out, port.pool, source_shape)
            windows = unpool(np.ones((*cells[1:], 1), dtype=np.int64), port.pool, source_shape)
        image = port.source == INPUT
        sized = None if image else by_position(self._theta_of(port.source), source_shape, self.dtype)
        return Projection(
            port=port,
            layer=weighted,
            target=adder if weighted is None else weighted.name,
            cells=cells,
            worth=None if image else self._worth(port, self.dtype),
            theta=sized if port.sized else None,
            synapses=synapses,
            fan_out=fan_out,
            fan_out_spike=fan_out_spike,
            windows=windows,
        )

    def _fires_negative(self, source: str) -> bool:
        layer = self.network.by_name[source]
        return isinstance(layer, Spiking) and layer.neuron.dual

    def _worth(self, port: Port, dtype: np.dtype[Any], unit: bool | None = None) -> Array:
        """(1 or H * W, C), flattened (1, C * H * W): theta of the source as it arrives, or 1."""
        shape = _as_plane(self.network.shapes[port.source])
        unit = port.unit if unit is None else unit
        worth = by_position(np.ones(()) if unit else self._theta_of(port.source), shape, dtype)
        if not port.flatten or port.sized:
            return worth
        if len(worth) > 1:
            return np.ascontiguousarray(worth.T.reshape(1, -1))
        _, h, w = _as_plane(self.network.shapes[port.pool.name]) if port.pool else shape
        return np.repeat(worth, h * w, axis=1)

    def _effective(self, conv: Conv2d, port: Port) -> Array:
        """The weights as the float kernels add them, (C_out, C_in / groups, kH, kW)."""
        effective = conv.effective_weight().astype(self.dtype)
        if not port.unit:
            return effective
        theta = self._theta_of(port.source).astype(self.dtype)
        if theta.ndim and port.flatten:
            theta = self._worth(port, self.dtype, unit=False)[0]
        return folded(effective, theta, conv.groups)

    def _integers(
        self,
        neuron: Neuron,
        traced: list[tuple[Port, Conv2d | Linear | None]],
        shape: Plane,
        tiles: NDArray[np.int64],
    ) -> Integers | None:
        """The population in whole numbers, or None if no unit is both fine enough and large enough."""
        theta = np.ascontiguousarray(np.broadcast_to(neuron.theta, shape[:1]))
        bias, highest, lowest = np.zeros((3, shape[0]))
        n_rows, terms = 0, 1
        for port, weighted in traced:
            signed = self._fires_negative(port.source)
            per_count = self._worth(port, self.dtype)[0] / port.cells
            if weighted is not None:
                conv = as_conv(weighted)
                per_count = self._per_count(conv, port).reshape(shape[0], -1)
                bias += conv.bias
                n_rows += conv.weight[0].size
                terms += conv.weight[0].size * port.cells
            high, low = largest_sums(per_count.reshape(shape[0], -1) * port.cells, signed)
            highest, lowest = highest + high, lowest + low
        sizes = np.maximum(highest + bias, -(lowest + bias))
        bits = exact_bits(sizes, theta, terms) if n_rows <= MAX_ROWS and terms < 2**28 else 0
        if bits < LEAST_BITS or np.abs(neuron.v0).max() > 2.0**20 * theta.min():
            return None
        float32 = all(each is None or np.can_cast(each.weight.dtype, np.float32) for _, each in traced)
        synapses = []
        for port, weighted in traced:
            source = _as_plane(self.network.shapes[port.pool.name if port.pool else port.source])
            plane = (source[0] * source[1] * source[2], 1, 1) if port.flatten else source
            if weighted is None:
                worth = units(self._worth(port, self.dtype)[0] / port.cells, theta, bits)
                synapses.append(identity_of(worth, tiles, plane)._replace(ones=True))
            else:
                conv = as_conv(weighted)
                weight = units(self._per_count(conv, port), theta, bits)
                no_bias = np.zeros(shape[0], dtype=np.int32)
                synapses.append(synapses_of(conv, weight, no_bias, tiles, plane, ones=True))
        return Integers(
            bits=bits,
            synapses=tuple(synapses),
            bias=by_tile(units(bias, theta, bits)[None], tiles, 0)[0],
            neurons=exact_neurons(neuron, shape, tiles, bits),
            stored=tuple(self._stored(port, weighted, float32) for port, weighted in traced),
        )

    def _per_count(self, conv: Conv2d, port: Port) -> Array:
        """What a count of 1 adds to the current: W * theta of the source, and behind a pool over its cells."""
        if port.unit:
            return self._effective(conv, port)
        theta = self._worth(port, self.dtype, unit=False)[0]
        return folded(conv.effective_weight(), theta, conv.groups) / port.cells

    def _stored(self, port: Port, weighted: Conv2d | Linear | None, float32: bool) -> Stored:
        conv = as_conv(weighted) if weighted is not None else None
        dtype = np.float32 if float32 else np.float64
        weight = np.zeros((0, 0, 0), dtype) if conv is None else conv.weight.reshape(*conv.weight.shape[:2], -1)
        n_out = 1 if conv is None else len(weight)
        return Stored(
            weight=np.require(weight, dtype, ["C", "W"]),
            scale=np.ones(n_out) if conv is None or conv.scale is None else np.require(conv.scale, None, ["C", "W"]),
            bias=np.zeros(n_out) if conv is None else np.require(conv.bias, None, ["C", "W"]),
            worth=self._worth(port, self.dtype, unit=False),
            cells=float(port.cells),
            unit=port.unit,
            magnitude=np.zeros((1, 0, 0, 0, 0, 0), dtype=np.uint64),
            negative=np.zeros((0, 0, 0, 0, 0), dtype=np.uint64),
        )


def _tiles(n_channels: int, weighted: list[Conv2d | Linear | None]) -> NDArray[np.int64]:
    """Cut channels at multiples of TILE and of a mask word, and at the groups of every projection."""
    cuts = set(range(0, n_channels, min(TILE, WORD)))
    for layer in weighted:
        if isinstance(layer, Conv2d):
            cuts |= set(range(0, n_channels, n_channels // layer.groups))
    edges = np.array([*sorted(cuts), n_channels], dtype=np.int64)
    return np.stack([edges[:-1], np.diff(edges)], axis=1)


def _as_plane(shape: tuple[int, ...]) -> Plane:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)
