"""compile_network: from the graph of layers to what the event machine runs.

This is the only place that folds theta into weights, fuses pooling and flattening into the projection behind
them, cuts channels into tiles and reorders weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from refsim.events import WORD
from refsim.kernels.neuron import Neurons
from refsim.kernels.synapse import Synapses
from refsim.kernels.vector import TILE
from refsim.model import INPUT, Activation, AvgPool2d, Conv2d, Flatten, Layer, Linear, Network, Neuron, Shape, Spiking

Array = NDArray[Any]
Plane = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Port:
    """How a projection reads its source: perhaps pooled, perhaps flattened, spikes as +-1 or times theta."""

    source: str
    pool: AvgPool2d | None
    flatten: bool
    unit: bool


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
        (1 or H * W, C): what one spike of the source is worth, 1 or theta; None for the image.
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
    synapses: Synapses
    fan_out: NDArray[np.int64]
    fan_out_spike: NDArray[np.int64]
    windows: NDArray[np.int64] | None

    @property
    def n_synapses(self) -> int:
        """Existing synapses: multiply-accumulates of the ANN's layer, borders exact."""
        return int(np.broadcast_to(self.fan_out, (*self.cells[1:], self.cells[0])).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """Neurons (or the readout, which has none) and the projections into them.

    shape, layer_shape : (C, H, W), where a vector is (N, 1, 1); and as the network has it
    tiles : (n_tiles, 2) int64, first channel and width of the channels computed together
    """

    name: str
    shape: Plane
    layer_shape: Shape
    tiles: NDArray[np.int64]
    projections: tuple[Projection, ...]
    neurons: Neurons | None
    activation: Activation | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What the event machine runs: populations in order; the last is the readout."""

    network: Network
    dtype: np.dtype[Any]
    fold: bool
    populations: tuple[Population, ...]

    def finished_after(self, index: int) -> set[str]:
        """Sources that no population behind the given one reads."""
        seen, ahead = (
            {each.port.source for population in part for each in population.projections}
            for part in (self.populations[: index + 1], self.populations[index + 1 :])
        )
        return seen - ahead


def compile_network(
    network: Network, dtype: DTypeLike = np.float64, *, fold: bool = True, skip_zero_weights: bool = False
) -> Plan:
    """Compile a network for the event engine.

    Parameters
    ----------
    dtype
        float64 (bit for bit the specification) or float32 (the specification cast to float32).
    fold
        Fold theta into the weights that spikes meet; the ANN (`simulator.forward`) needs them as they are.
    skip_zero_weights
        Do not count synapses of weight 0 (NeuroBench's convention).
    """
    dtype = np.dtype(dtype)
    populations = []
    for layer in network.layers:
        if isinstance(layer, Spiking) or layer is network.layers[-1]:
            populations.append(_population(network, layer, dtype, fold, skip_zero_weights))
    return Plan(network=network, dtype=dtype, fold=fold, populations=tuple(populations))


def _population(network: Network, layer: Layer, dtype: np.dtype[Any], fold: bool, skip_zero: bool) -> Population:
    drive = network.by_name.get(layer.inputs[0]) if isinstance(layer, Spiking) else layer
    is_add = drive is not None and drive.kind == "add"
    heads = drive.inputs if drive is not None and is_add else (drive.name if drive is not None else INPUT,)
    traced = [_trace(network, head, fold) for head in heads]
    shape = _as_plane(network.shapes[layer.name])
    tiles = _tiles(shape[0], [weighted for _, weighted in traced])
    adder = drive.name if drive is not None and is_add else layer.name
    projections = tuple(
        _projection(network, port, weighted, adder, shape, tiles, dtype, skip_zero) for port, weighted in traced
    )
    neurons, activation = None, None
    if isinstance(layer, Spiking):
        neurons = _neurons(layer.neuron, shape, dtype)
        activation = layer.neuron.activation
    return Population(
        name=layer.name,
        shape=shape,
        layer_shape=network.shapes[layer.name],
        tiles=tiles,
        projections=projections,
        neurons=neurons,
        activation=activation,
    )


def _trace(network: Network, head: str, fold: bool) -> tuple[Port, Conv2d | Linear | None]:
    """Follow a current back to the population it comes from: weights, flatten, pool, source."""
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
    unit = fold and weighted is not None and pool is None and equal
    return Port(source=name, pool=pool, flatten=flatten, unit=unit), weighted


def _tiles(n_channels: int, weighted: list[Conv2d | Linear | None]) -> NDArray[np.int64]:
    """Cut channels at multiples of TILE and of a mask word, and at the groups of every projection."""
    cuts = set(range(0, n_channels, min(TILE, WORD)))
    for layer in weighted:
        if isinstance(layer, Conv2d):
            cuts |= set(range(0, n_channels, n_channels // layer.groups))
    edges = np.array([*sorted(cuts), n_channels], dtype=np.int64)
    return np.stack([edges[:-1], np.diff(edges)], axis=1)


def _projection(
    network: Network,
    port: Port,
    weighted: Conv2d | Linear | None,
    adder: str,
    target: Plane,
    tiles: NDArray[np.int64],
    dtype: np.dtype[Any],
    skip_zero: bool,
) -> Projection:
    source_shape = _as_plane(network.shapes[port.source])
    cells = _as_plane(network.shapes[port.pool.name]) if port.pool else source_shape
    plane = (cells[0] * cells[1] * cells[2], 1, 1) if port.flatten else cells
    conv = _as_conv(weighted)
    if conv is None:
        fan_out = np.ones((*plane[1:], 1), dtype=np.int64)
        synapses = _no_weights(len(tiles), plane, dtype)
    else:
        effective = conv.effective_weight().astype(dtype)
        source = network.by_name.get(port.source)
        ones = False
        if port.unit and isinstance(source, Spiking):
            theta = source.neuron.theta.astype(dtype)
            effective = _fold(effective, theta, conv.groups, network.shapes[port.source], port.flatten)
            ones = not source.neuron.dual
        fan_out = _fan_out(conv, plane, target, skip_zero)
        synapses = _synapses(conv, effective, tiles, plane, ones)
    if port.flatten:
        by_source = np.broadcast_to(fan_out, (1, 1, plane[0])).reshape(cells).transpose(1, 2, 0)
        fan_out = np.ascontiguousarray(by_source if skip_zero else by_source[:, :, :1])
    fan_out_spike, windows = fan_out, None
    if port.pool:
        fan_out_spike = _unpool(fan_out, port.pool, source_shape)
        windows = _unpool(np.ones((*cells[1:], 1), dtype=np.int64), port.pool, source_shape)
    return Projection(
        port=port,
        layer=weighted,
        target=adder if weighted is None else weighted.name,
        cells=cells,
        worth=_worth(network, port, source_shape, dtype),
        synapses=synapses,
        fan_out=fan_out,
        fan_out_spike=fan_out_spike,
        windows=windows,
    )


def _worth(network: Network, port: Port, shape: Plane, dtype: np.dtype[Any]) -> Array | None:
    source = network.by_name.get(port.source)
    if not isinstance(source, Spiking):
        return None
    return _by_position(np.ones(()) if port.unit else source.neuron.theta, shape, dtype)


def _as_conv(layer: Conv2d | Linear | None) -> Conv2d | None:
    """A linear layer is a convolution over a plane of one position."""
    if not isinstance(layer, Linear):
        return layer
    return Conv2d(
        name=layer.name,
        inputs=layer.inputs,
        weight=layer.weight[:, :, None, None],
        bias=layer.bias,
        scale=layer.scale,
    )


def _fold(effective: Array, theta: Array, groups: int, shape: tuple[int, ...], flatten: bool) -> Array:
    """W' = W * theta of the source channel: (C_out, C_in / groups, kH, kW)."""
    if theta.ndim == 0:
        return np.asarray(effective * theta)
    if flatten:
        theta = np.repeat(theta, shape[1] * shape[2])
    c_out, c_group = effective.shape[:2]
    by_group = effective.reshape(groups, c_out // groups, *effective.shape[1:])
    return np.asarray(by_group * theta.reshape(groups, 1, c_group, 1, 1)).reshape(effective.shape)


def _synapses(conv: Conv2d, effective: Array, tiles: NDArray[np.int64], plane: Plane, ones: bool) -> Synapses:
    """Reorder weights to (n_tiles, kH * kW * C_in / groups, TILE) and the bias alike; lanes beyond a tile are 0."""
    c_out, c_group, k_h, k_w = effective.shape
    rows = effective.transpose(2, 3, 1, 0).reshape(k_h * k_w * c_group, c_out)
    weight = _aligned_zeros((len(tiles), len(rows), TILE), effective.dtype)
    bias = np.zeros((len(tiles), TILE), dtype=effective.dtype)
    for index, (first, width) in enumerate(tiles):
        weight[index, :, :width] = rows[:, first : first + width]
        bias[index, :width] = conv.bias[first : first + width]
    return Synapses(
        weight=weight,
        bias=bias,
        first_channel=tiles[:, 0] // (c_out // conv.groups) * c_group,
        kernel=(k_h, k_w),
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        plane=plane[1:],
        channels=c_group,
        n_steps=1,
        constant=True,
        grouped=conv.groups > 1,
        ones=ones,
    )


def _no_weights(n_tiles: int, plane: Plane, dtype: np.dtype[Any]) -> Synapses:
    """An identity projection, which the kernels know by its 0 channels."""
    return Synapses(
        weight=np.zeros((n_tiles, 0, TILE), dtype=dtype),
        bias=np.zeros((n_tiles, TILE), dtype=dtype),
        first_channel=np.zeros(n_tiles, dtype=np.int64),
        kernel=(1, 1),
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        plane=plane[1:],
        channels=0,
        n_steps=1,
        constant=True,
        grouped=False,
        ones=False,
    )


def _fan_out(conv: Conv2d, plane: Plane, target: Plane, skip_zero: bool) -> NDArray[np.int64]:
    """Existing synapses of each source position: (H, W, 1), or (H, W, C) when zero weights do not count."""
    n_taps = np.ones((1, *conv.weight.shape[2:]), dtype=np.int64) * (conv.weight.shape[0] // conv.groups)
    if skip_zero:
        there = (conv.effective_weight() != 0).reshape(conv.groups, -1, *conv.weight.shape[1:])
        n_taps = there.sum(axis=1, dtype=np.int64).reshape(-1, *conv.weight.shape[2:])
    fan_out = np.zeros((plane[1], plane[2], len(n_taps)), dtype=np.int64)
    for i in range(conv.weight.shape[2]):
        for j in range(conv.weight.shape[3]):
            rows = _reached(i, conv.stride[0], conv.padding[0], conv.dilation[0], plane[1], target[1])
            columns = _reached(j, conv.stride[1], conv.padding[1], conv.dilation[1], plane[2], target[2])
            fan_out[np.ix_(rows, columns)] += n_taps[:, i, j]
    return fan_out


def _reached(tap: int, stride: int, padding: int, dilation: int, n_source: int, n_target: int) -> NDArray[np.int64]:
    """Source indices that a tap reads, over all targets."""
    source = np.arange(n_target) * stride - padding + tap * dilation
    return source[(source >= 0) & (source < n_source)]


def _unpool(cells: NDArray[np.int64], pool: AvgPool2d, shape: Plane) -> NDArray[np.int64]:
    """Sum, for each source position, of `cells` (H', W', C) over the windows it lies in."""
    total = np.zeros((shape[1], shape[2], cells.shape[2]), dtype=np.int64)
    for y in range(cells.shape[0]):
        for x in range(cells.shape[1]):
            top, left = y * pool.stride[0], x * pool.stride[1]
            total[top : top + pool.kernel[0], left : left + pool.kernel[1]] += cells[y, x]
    return total


def _neurons(neuron: Neuron, shape: Plane, dtype: np.dtype[Any]) -> Neurons:
    return Neurons(
        theta=_by_position(neuron.theta, shape, dtype),
        theta_neg=_by_position(neuron.negative_threshold, shape, dtype),
        v0=_by_position(neuron.v0, shape, dtype),
        leak=dtype.type(neuron.leak),
        dual=neuron.dual,
        gross=neuron.gate == "gross",
        zero=neuron.reset == "zero",
    )


def _by_position(value: Array, shape: Plane, dtype: np.dtype[Any]) -> Array:
    """A parameter as (H * W, C), or (1, C) where all positions share it."""
    if value.ndim == 3:
        return np.ascontiguousarray(np.moveaxis(value, 0, 2).reshape(-1, shape[0]).astype(dtype))
    return np.ascontiguousarray(np.broadcast_to(value.reshape(1, -1), (1, shape[0])).astype(dtype))


def _aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that start at a multiple of 64 bytes: unaligned rows cost a third of the speed."""
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(n_bytes + 64, dtype=np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + n_bytes].view(dtype).reshape(shape)


def _as_plane(shape: tuple[int, ...]) -> Plane:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)
