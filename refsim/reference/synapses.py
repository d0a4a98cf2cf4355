"""Weighted sums, in a fixed order: kernel position row-major, then channel, ascending; the bias comes last.

The order is part of the specification, because float addition is not associative and one flipped spike
avalanches. For the same reason nothing here calls BLAS.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Fully connected layer, summed in ascending order of the flat source index.

    Parameters
    ----------
    x : (B, *shape), read in row-major order
    weight : (N_out, N_in)
    bias : (N_out,)
    """
    return conv2d(x.reshape(len(x), -1, 1, 1), weight[:, :, None, None], bias)[:, :, 0, 0]


def conv2d(
    x: Array,
    weight: Array,
    bias: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Cross-correlation with zero padding: (B, C_in, H, W), (C_out, C_in / groups, kH, kW) -> (B, C_out, H', W')."""
    n, _, h, w = x.shape
    c_out, c_group, k_h, k_w = weight.shape
    out_h = (h + 2 * padding[0] - dilation[0] * (k_h - 1) - 1) // stride[0] + 1
    out_w = (w + 2 * padding[1] - dilation[1] * (k_w - 1) - 1) // stride[1] + 1
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    # Channels last, so that NumPy's inner loop runs over output channels.
    padded = np.moveaxis(padded, 1, 3).reshape(n, *padded.shape[2:], groups, c_group)
    taps = np.ascontiguousarray(weight.reshape(groups, -1, c_group, k_h, k_w).transpose(3, 4, 2, 0, 1))
    z = np.zeros((n, out_h, out_w, groups, c_out // groups), dtype=np.result_type(x, weight))
    for i in range(k_h):
        rows = slice(i * dilation[0], i * dilation[0] + (out_h - 1) * stride[0] + 1, stride[0])
        for j in range(k_w):
            columns = slice(j * dilation[1], j * dilation[1] + (out_w - 1) * stride[1] + 1, stride[1])
            for c in range(c_group):
                z += padded[:, rows, columns, :, c, None] * taps[i, j, c]
    return np.moveaxis(z.reshape(n, out_h, out_w, c_out), 3, 1) + bias[:, None, None]


def sum_pool2d(x: Array, kernel: Pair, stride: Pair) -> Array:
    """Sum over windows, row-major; incomplete windows at the right and bottom edge are dropped."""
    out_h = (x.shape[2] - kernel[0]) // stride[0] + 1
    out_w = (x.shape[3] - kernel[1]) // stride[1] + 1
    total = np.zeros((*x.shape[:2], out_h, out_w), dtype=x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            total += x[:, :, i : i + out_h * stride[0] : stride[0], j : j + out_w * stride[1] : stride[1]][
                :, :, :out_h, :out_w
            ]
    return total


def avg_pool2d(x: Array, kernel: Pair, stride: Pair) -> Array:
    """Mean over windows: `sum_pool2d` divided by the number of window cells."""
    return sum_pool2d(x, kernel, stride) / (kernel[0] * kernel[1])
