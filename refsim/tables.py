"""Weights and parameters laid out as the kernels want them: by tile, 64-byte aligned, lanes beyond a tile filled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.kernels.lanes import TILE
from refsim.kernels.neuron import Neurons
from refsim.kernels.synapse import Synapses
from refsim.model import Conv2d, Linear, Neuron

Array = NDArray[Any]
Plane = tuple[int, int, int]
Tiles = NDArray[np.int64]


def as_conv(layer: Conv2d | Linear) -> Conv2d:
    """A linear layer is a convolution over a plane of one position."""
    if isinstance(layer, Conv2d):
        return layer
    return Conv2d(
        name=layer.name,
        inputs=layer.inputs,
        weight=layer.weight[:, :, None, None],
        bias=layer.bias,
        scale=layer.scale,
    )


def folded(effective: Array, theta: Array, groups: int) -> Array:
    """W' = W * theta of the source channel, (C_out, C_in / groups, kH, kW); theta : scalar or (C_in,)."""
    if theta.ndim == 0:
        return np.asarray(effective * theta)
    c_out, c_group = effective.shape[:2]
    by_group = effective.reshape(groups, c_out // groups, *effective.shape[1:])
    return np.asarray(by_group * theta.reshape(groups, 1, c_group, 1, 1)).reshape(effective.shape)


def synapses_of(conv: Conv2d, weight: Array, bias: Array, tiles: Tiles, plane: Plane, ones: bool) -> Synapses:
    """A projection with weights (C_out, C_in / groups, kH, kW): rows by kernel position, then channel."""
    c_out, c_group, k_h, k_w = weight.shape
    rows = weight.transpose(2, 3, 1, 0).reshape(k_h * k_w * c_group, c_out)
    table = aligned_zeros((len(tiles), len(rows), TILE), weight.dtype)
    for index, (first, width) in enumerate(tiles):
        table[index, :, :width] = rows[:, first : first + width]
    return Synapses(
        weight=table,
        bias=by_tile(bias[None], tiles, 0)[0],
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
        identity=False,
    )


def identity_of(worth: Array, tiles: Tiles, plane: Plane) -> Synapses:
    """A projection without weights: each channel adds `worth` (C,) times its own value, as a diagonal table."""
    table = aligned_zeros((len(tiles), TILE, TILE), worth.dtype)
    for index, (first, width) in enumerate(tiles):
        table[index, np.arange(width), np.arange(width)] = worth[first : first + width]
    return Synapses(
        weight=table,
        bias=np.zeros((len(tiles), TILE), dtype=worth.dtype),
        first_channel=tiles[:, 0].copy(),
        kernel=(1, 1),
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        plane=plane[1:],
        channels=TILE,
        n_steps=1,
        constant=True,
        grouped=True,
        ones=False,
        identity=True,
    )


def neurons_of(neuron: Neuron, shape: Plane, tiles: Tiles, dtype: np.dtype[Any]) -> Neurons:
    """The parameters of a population in a float type."""
    theta, theta_neg, v0 = (
        by_position(value, shape, dtype) for value in (neuron.theta, neuron.negative_threshold, neuron.v0)
    )
    return Neurons(
        theta=by_tile(theta, tiles, np.inf),
        per_theta=by_tile((1 / theta).astype(dtype), tiles, 1),
        theta_neg=by_tile(theta_neg, tiles, -np.inf),
        v0=by_tile(v0, tiles, 0),
        leak=dtype.type(neuron.leak),
        dual=neuron.dual,
        gross=neuron.gate == "gross",
        zero=neuron.reset == "zero",
    )


def by_position(value: Array, shape: Plane, dtype: np.dtype[Any]) -> Array:
    """A parameter as (H * W, C), or (1, C) where all positions share it."""
    if value.ndim == 3:
        return np.ascontiguousarray(np.moveaxis(value, 0, 2).reshape(-1, shape[0]).astype(dtype))
    return np.ascontiguousarray(np.broadcast_to(value.reshape(1, -1), (1, shape[0])).astype(dtype))


def by_tile(values: Array, tiles: Tiles, rest: float) -> Array:
    """(n, C) to (n, n_tiles, TILE), with `rest` in lanes beyond a tile's width."""
    spread = aligned_zeros((len(values), len(tiles), TILE), values.dtype)
    spread[:] = rest
    for index, (first, width) in enumerate(tiles):
        spread[:, index, :width] = values[:, first : first + width]
    return spread


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that start at a multiple of 64 bytes: unaligned rows cost a third of the speed."""
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(n_bytes + 64, dtype=np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + n_bytes].view(dtype).reshape(shape)
