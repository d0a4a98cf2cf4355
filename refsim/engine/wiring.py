"""Where a current comes from: its weights, what they read of which population, and what a spike brings there (psp)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.engine.events import WORD
from refsim.engine.fanout import fan_out_of
from refsim.engine.kernels.lanes import TILE
from refsim.engine.kernels.layout import Layout
from refsim.engine.tables import CHW, as_conv, by_position, folded, shared
from refsim.model import INPUT, Add, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Network, Pool, Spiking

Array = NDArray[Any]
Counts = NDArray[np.int64]

MAX_ROWS = 2**12
"""Rows of a table that serves several columns; with 64 numbers of 32 bits each they fit into a second-level cache."""

BLOCK = 2**22
"""Weights that are converted at a time."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """How a projection reads its source.

    unit
        Spikes count 1, and theta is folded into the weights they meet.
    sized
        The pool adds spikes whose size is each position's own, which numbers can tell, and counts cannot.
    """

    source: str
    pool: Pool | None
    flatten: bool
    unit: bool
    sized: bool

    @property
    def window_size(self) -> int:
        """What a number of spikes is divided by: the positions of an average pool's window; 1 without one."""
        match self.pool:
            case None | MaxPool2d():
                return 1
            case AvgPool2d():
                return prod(self.pool.kernel)
            case _:
                assert_never(self.pool)

    @property
    def graded(self) -> bool:
        """Whether numbers of spikes arrive, and not spikes."""
        match self.pool:
            case None | MaxPool2d():
                return False
            case AvgPool2d():
                return True
            case _:
                assert_never(self.pool)


@dataclass(frozen=True, kw_only=True, eq=False)
class Wire:
    """One current of a population (or of the readout), traced back to the population or image it comes from.

    layer
        The `Conv2d` or `Linear` whose weights act; None for an identity shortcut.
    """

    network: Network
    port: Port
    layer: Conv2d | Linear | None

    @property
    def is_image(self) -> bool:
        """Whether the image drives it."""
        return self.port.source == INPUT

    @cached_property
    def conv(self) -> Conv2d | None:
        """The weights as a convolution."""
        return None if self.layer is None else as_conv(self.layer)

    @property
    def source(self) -> CHW:
        """Shape (C, H, W) of the source."""
        return as_chw(self.network.shapes[self.port.source])

    @property
    def pooled_shape(self) -> CHW:
        """Shape (C, H, W) of the source behind the pool."""
        return as_chw(self.network.shapes[self.port.pool.name]) if self.port.pool else self.source

    @property
    def input_shape(self) -> CHW:
        """Shape (C, H, W) that the weights read; flattened (C * H * W, 1, 1)."""
        return (prod(self.pooled_shape), 1, 1) if self.port.flatten else self.pooled_shape

    @property
    def theta(self) -> Array:
        """theta of the source: scalar, (C,) or, where positions differ, (C, H, W)."""
        layer = self.network.by_name[self.port.source]
        assert isinstance(layer, Spiking)
        return shared(layer.neuron.theta)

    @property
    def fires_negative(self) -> bool:
        """Whether the source can fire negative spikes."""
        layer = self.network.by_name.get(self.port.source)
        return isinstance(layer, Spiking) and layer.neuron.dual

    def psp(self, dtype: np.dtype[Any], unit: bool | None = None) -> Array:
        """(1 or H * W, C), flattened (1, C * H * W): theta of the source as it arrives, or 1."""
        unit = self.port.unit if unit is None else unit
        psp = by_position(np.ones(()) if unit else self.theta, self.source, dtype)
        if not self.port.flatten or self.port.sized:
            return psp
        if len(psp) > 1:
            return np.ascontiguousarray(psp.T.reshape(1, -1))
        _, h, w = self.pooled_shape
        return np.repeat(psp, h * w, axis=1)

    def effective(self, dtype: np.dtype[Any]) -> Array:
        """The weights as the float kernels add them, (C_out, C_in / groups, kH, kW)."""
        assert self.conv is not None
        effective = self.conv.effective_weight().astype(dtype)
        if not self.port.unit:
            return effective
        theta = self.theta.astype(dtype)
        if theta.ndim and self.port.flatten:
            theta = self.psp(dtype, unit=False)[0]
        return folded(effective, theta, self.conv.groups)

    def per_count(self) -> Iterator[tuple[slice, Array]]:
        """What a count of 1 adds to the current in float64: W * theta of the source, behind a pool over its size.

        Yields target channels and their numbers, (n, C_in / groups, kH, kW) or of an identity shortcut (n,), a block
        at a time: a large layer would take eight bytes a weight, several times over.
        """
        theta = self.psp(np.dtype(np.float64), unit=False)[0]
        if self.conv is None:
            yield slice(len(theta)), np.asarray(theta / self.port.window_size)
            return
        n_out, groups = len(self.conv.weight), self.conv.groups
        step = n_out if groups > 1 else max(1, BLOCK // self.conv.weight[0].size)
        for first in range(0, n_out, step):
            channels = slice(first, min(first + step, n_out))
            part = self.conv.weight[channels].astype(np.float64)
            if self.conv.scale is not None:
                part *= self.conv.scale[channels].reshape(-1, 1, 1, 1)
            yield channels, folded(part, theta, groups) / self.port.window_size

    def fan_out(self, target: CHW, skip_zero: bool) -> Counts:
        """Existing synapses from each cell: (H, W, 1), or (H, W, C) if zero weights do not count.

        target
            Shape (C, H, W) of what it drives.
        """
        if self.conv is None:
            reached = np.ones((*self.input_shape[1:], 1), dtype=np.int64)
        else:
            reached = fan_out_of(self.conv, self.input_shape, target, skip_zero)
        if not self.port.flatten:
            return reached
        by_source = np.broadcast_to(reached, (1, 1, self.input_shape[0])).reshape(self.pooled_shape).transpose(1, 2, 0)
        return np.ascontiguousarray(by_source if skip_zero else by_source[:, :, :1])

    def in_units(self, theta: Array, factor: Array, to_whole: Callable[[Array], Array]) -> Array:
        """The same in units of theta (C,) / factor (C,) of each target channel, made whole by `to_whole`."""
        made = [
            to_whole(values / _along(theta[channels], values) * _along(factor[channels], values))
            for channels, values in self.per_count()
        ]
        return np.concatenate(made)


def wires_of(network: Network, layer: Spiking | Linear, fold: bool) -> tuple[str, list[Wire]]:
    """The layer that adds the currents of a spiking layer or of the readout, and the currents.

    fold
        Fold theta of a source into the weights where all its spikes are equal.
    """
    head = layer.inputs[0] if isinstance(layer, Spiking) else layer.name
    adder = network.by_name.get(head)
    if isinstance(adder, Add):
        return adder.name, [_trace(network, branch, fold) for branch in adder.inputs]
    return layer.name, [_trace(network, head, fold)]


def _trace(network: Network, name: str, fold: bool) -> Wire:
    """Follow a current back to the population it comes from: weights, flatten, pool, source."""
    weighted, flatten, pool, equal = None, False, None, False
    while (layer := network.by_name.get(name)) is not None:
        match layer:
            case Conv2d() | Linear():
                weighted, flatten = layer, isinstance(layer, Linear)
            case Flatten():
                flatten = True
            case AvgPool2d() | MaxPool2d():
                pool = layer
            case Spiking():
                # Only equal spikes can be counted as +-1, with theta folded into the weight: one rounding, as
                # W * (s * theta).
                equal = shared(layer.neuron.theta).ndim < 3
                break
            case Add():
                raise AssertionError(f"'{name}' adds currents: each has a wire of its own")
            case _:
                assert_never(layer)
        name = layer.inputs[0]
    flatten = flatten and len(network.shapes[name]) == 3
    port = Port(source=name, pool=pool, flatten=flatten, unit=False, sized=False)
    unit = fold and weighted is not None and not port.graded and equal
    # A window adds the spikes of a theta (C, H, W) one by one, equal or not: that rounds otherwise than counting them.
    added = pool is not None and port.graded and not (equal and prod(pool.kernel) == 1)
    sized = added and isinstance(layer, Spiking) and layer.neuron.theta.ndim == 3
    return Wire(network=network, port=replace(port, unit=unit, sized=sized), layer=weighted)


def layout_of(shape: CHW, wires: list[Wire]) -> Layout:
    """Cut channels at multiples of TILE and of a mask word, and at the groups of every projection.

    Few channels are not cut, but share a tile with those of the next columns, as many as divide a row; unless a
    projection has groups or dilation.
    """
    n_channels, height, width = shape
    lanes = min(TILE, WORD)
    convs = [wire.conv for wire in wires if wire.conv is not None]
    cuts = set(range(0, n_channels, lanes))
    for conv in convs:
        cuts |= set(range(0, n_channels, n_channels // conv.groups))
    most = lanes // n_channels if _may_share(convs) else 1
    columns = max(n for n in range(1, max(most, 1) + 1) if width % n == 0 and (n == 1 or _fits(convs, n)))
    return Layout.of([*sorted(cuts), n_channels], columns, height, width)


def _may_share(convs: list[Conv2d]) -> bool:
    """Whether several columns can read these projections as one wider kernel, and gain by it."""
    if any(conv.groups > 1 or conv.dilation[1] > 1 for conv in convs):
        return False
    # Kernels narrower than their stride leave pixels unread, which a wider one would list for nothing.
    return not convs or any(conv.weight.shape[3] >= conv.stride[1] for conv in convs)


def _fits(convs: list[Conv2d], columns: int) -> bool:
    """Whether the tables for so many columns stay small."""
    return all(
        c_group * k_h * (k_w + (columns - 1) * conv.stride[1]) <= MAX_ROWS
        for conv in convs
        for _, c_group, k_h, k_w in [conv.weight.shape]
    )


def _along(parameter: Array, values: Array) -> Array:
    """A parameter (C,) ready to broadcast over values (C, ...)."""
    return parameter.reshape(-1, *[1] * (values.ndim - 1))


def as_chw(shape: tuple[int, ...]) -> CHW:
    """(C, H, W) of a shape; a vector is (N, 1, 1)."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)
