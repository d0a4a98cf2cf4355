"""How many synapses a spike reaches, borders exact: what one spike of each source position costs (semantics 7 C1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refsim.model import AvgPool2d, Conv2d

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


def unpool(per_window: Counts, pool: AvgPool2d, shape: CHW) -> Counts:
    """Sum, for each source position, of `per_window` (H', W', C) over the windows it lies in."""
    total = np.zeros((shape[1], shape[2], per_window.shape[2]), dtype=np.int64)
    for y in range(per_window.shape[0]):
        for x in range(per_window.shape[1]):
            top, left = y * pool.stride[0], x * pool.stride[1]
            total[top : top + pool.kernel[0], left : left + pool.kernel[1]] += per_window[y, x]
    return total
