"""Weights and parameters laid out as the kernels want them: by tile, 64-byte aligned, lanes beyond a tile filled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.engine.kernels.lanes import TILE
from refsim.engine.kernels.layout import Layout
from refsim.engine.kernels.synapse import Synapses
from refsim.model import Conv2d, Linear

Array = NDArray[Any]
CHW = tuple[int, int, int]


def as_conv(layer: Conv2d | Linear) -> Conv2d:
    """A linear layer is a convolution over a grid of one position."""
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


def synapses_of(conv: Conv2d, weight: Array, bias: Array, layout: Layout, input_shape: CHW, ones: bool) -> Synapses:
    """A projection with weights (C_out, C_in / groups, kH, kW): rows by kernel position, then channel."""
    c_out, c_group, k_h, k_w = weight.shape
    step = conv.stride[1]
    k_wide = k_w + (layout.columns - 1) * step
    table = aligned_zeros((len(layout.tiles), k_h * k_wide * c_group, TILE), weight.dtype)
    by_tap = table.reshape(len(table), k_h, k_wide, c_group, TILE)
    for index, (first, _, n) in enumerate(layout.tiles):
        part = weight[first : first + n].transpose(2, 3, 1, 0)
        for column in range(layout.columns):
            by_tap[index, :, column * step : column * step + k_w, :, column * n : (column + 1) * n] = part
    return Synapses(
        weight=table,
        bias=by_tile(bias[None], layout, 0)[0],
        reach=reach_of(layout, k_h, k_w, step),
        first_channel=layout.tiles[:, 0] // (c_out // conv.groups) * c_group,
        kernel=(k_h, k_wide),
        stride=(conv.stride[0], step * layout.columns),
        padding=conv.padding,
        dilation=conv.dilation,
        grid=input_shape[1:],
        channels=c_group,
        source_channels=input_shape[0],
        n_steps=1,
        constant=True,
        grouped=conv.groups > 1,
        ones=ones,
        identity=False,
    )


def reach_of(layout: Layout, k_h: int, k_w: int, step: int) -> NDArray[np.uint64]:
    """The lanes that read each position of a kernel made wide enough for all columns of a cell; as in `Synapses`."""
    if layout.columns == 1:
        return np.array([~np.uint64(0)])
    n = int(layout.tiles[0, 2])
    reach = np.zeros((k_h, k_w + (layout.columns - 1) * step), dtype=np.uint64)
    for column in range(layout.columns):
        reach[:, column * step : column * step + k_w] |= np.uint64(((1 << n) - 1) << column * n)
    return reach.reshape(-1)


def identity_of(psp: Array, layout: Layout, input_shape: CHW) -> Synapses:
    """A projection without weights: each channel adds `psp` (C,) times its own value, as a diagonal table."""
    columns = layout.columns
    table = aligned_zeros((len(layout.tiles), TILE, TILE), psp.dtype)
    for index, (first, lanes, n) in enumerate(layout.tiles):
        values = np.tile(psp[first : first + n], columns)
        table[index, np.arange(lanes), np.arange(lanes)] = values
    return Synapses(
        weight=table,
        bias=np.zeros((len(layout.tiles), TILE), dtype=psp.dtype),
        reach=reach_of(layout, 1, 1, 1),
        first_channel=layout.tiles[:, 0].copy(),
        kernel=(1, columns),
        stride=(1, columns),
        padding=(0, 0),
        dilation=(1, 1),
        grid=input_shape[1:],
        channels=TILE if columns == 1 else len(psp),
        source_channels=input_shape[0],
        n_steps=1,
        constant=True,
        grouped=len(layout.tiles) > 1,
        ones=False,
        identity=True,
    )


def shared(value: Array) -> Array:
    """A parameter (C, H, W) that is the same at all positions as (C,); any other as it is."""
    return value[:, 0, 0] if value.ndim == 3 and bool((value == value[:, :1, :1]).all()) else value


def by_position(value: Array, shape: CHW, dtype: np.dtype[Any]) -> Array:
    """A parameter as (H * W, C), or (1, C) where all positions share it."""
    value = shared(value)
    if value.ndim == 3:
        return np.ascontiguousarray(np.moveaxis(value, 0, 2).reshape(-1, shape[0]).astype(dtype))
    return np.ascontiguousarray(np.broadcast_to(value.reshape(1, -1), (1, shape[0])).astype(dtype))


def by_tile(values: Array, layout: Layout, rest: float) -> Array:
    """(n, C) to (n / columns, n_tiles, TILE), with `rest` in lanes that are no neurons; n = 1 is shared and stays 1."""
    columns = layout.columns
    values = np.tile(values, columns) if len(values) == 1 else values.reshape(-1, columns * values.shape[1])
    spread = aligned_zeros((len(values), len(layout.tiles), TILE), values.dtype)
    spread[:] = rest
    for index, (first, lanes, _) in enumerate(layout.tiles):
        spread[:, index, :lanes] = values[:, first : first + lanes]
    return spread


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that start at a multiple of 64 bytes: unaligned rows cost a third of the speed."""
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(n_bytes + 64, dtype=np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + n_bytes].view(dtype).reshape(shape)
