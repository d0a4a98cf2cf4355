"""How many synapses a spike reaches, borders exact: what one spike of each source position costs (semantics 7 C1)."""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.model import AvgPool2d, Conv2d, MaxPool2d, Pool

Counts = NDArray[np.int64]
CHW = tuple[int, int, int]


def fan_out_of(conv: Conv2d, input_shape: CHW, target: CHW, skip_zero: bool) -> Counts:
    """Existing synapses of each source position: (H, W, 1), or (H, W, C) when zero weights do not count."""
    n_taps = np.ones((1, *conv.weight.shape[2:]), dtype=np.int64) * (conv.weight.shape[0] // conv.groups)
    if skip_zero:
        there = (conv.effective_weight() != 0).reshape(conv.groups, -1, *conv.weight.shape[1:])
        n_taps = there.sum(axis=1, dtype=np.int64).reshape(-1, *conv.weight.shape[2:])
    reached = np.zeros((input_shape[1], input_shape[2], len(n_taps)), dtype=np.int64)
    for i in range(conv.weight.shape[2]):
        for j in range(conv.weight.shape[3]):
            rows = _reached(i, conv.stride[0], conv.padding[0], conv.dilation[0], input_shape[1], target[1])
            columns = _reached(j, conv.stride[1], conv.padding[1], conv.dilation[1], input_shape[2], target[2])
            reached[np.ix_(rows, columns)] += n_taps[:, i, j]
    return reached


def _reached(tap: int, stride: int, padding: int, dilation: int, n_source: int, n_target: int) -> Counts:
    """Source indices that a tap reads, over all targets."""
    source = np.arange(n_target) * stride - padding + tap * dilation
    return source[(source >= 0) & (source < n_source)]


def window_of(pool: Pool, axis: int, i: int, n: int) -> slice:
    """The positions of the plane that window i has along an axis of n positions; the first of them exists."""
    match pool:
        case AvgPool2d():
            padding, dilation = 0, 1
        case MaxPool2d():
            padding, dilation = pool.padding[axis], pool.dilation[axis]
        case _:
            assert_never(pool)
    begin = i * pool.stride[axis] - padding
    end = begin + (pool.kernel[axis] - 1) * dilation + 1
    return slice(begin if begin >= 0 else begin % dilation, min(end, n), dilation)


def unpool(per_window: Counts, pool: Pool, shape: CHW) -> Counts:
    """Sum, for each source position, of `per_window` (H', W', C) over the windows it lies in."""
    total = np.zeros((shape[1], shape[2], per_window.shape[2]), dtype=np.int64)
    for y in range(per_window.shape[0]):
        for x in range(per_window.shape[1]):
            total[window_of(pool, 0, y, shape[1]), window_of(pool, 1, x, shape[2])] += per_window[y, x]
    return total
