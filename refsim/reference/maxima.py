"""Max pools: of values, and of spikes, behind which spikes go on."""

from __future__ import annotations

from itertools import product
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.model import MaxPool2d

Array = NDArray[Any]


def max_pool2d(x: Array, pool: MaxPool2d) -> Array:
    """Largest of the values (B, C, H, W) in each window; only positions inside the plane count."""
    rows, columns = (_windows(pool, axis, x.shape[2 + axis]) for axis in (0, 1))
    out = np.empty((*x.shape[:2], len(rows), len(columns)), dtype=x.dtype)
    for i, j in product(range(len(rows)), range(len(columns))):
        out[:, :, i, j] = x[:, :, rows[i]][:, :, :, columns[j]].max(axis=(2, 3))
    return out


def pool_spikes(n: Array, s: Array, pool: MaxPool2d) -> tuple[Array, Array]:
    """One step of a max pool over spikes.

    Parameters
    ----------
    n : (B, C, H, W), net spike counts before this step
    s : (B, C, H, W), the spikes of this step

    Returns
    -------
    The net counts with this step, and y : (B, C, H', W') in {-1, 0, 1}.
    """
    counts = n + s
    match pool.mode:
        case "cumulative":
            return counts, max_pool2d(counts, pool) - max_pool2d(n, pool)
        case "or":
            return counts, max_pool2d(s, pool)
        case _:
            assert_never(pool.mode)


def _windows(pool: MaxPool2d, axis: int, n: int) -> list[list[int]]:
    """Along one axis of n positions, those in each window."""
    taps = np.arange(pool.kernel[axis]) * pool.dilation[axis] - pool.padding[axis]
    n_out = (n - 1 - taps[-1] + pool.padding[axis]) // pool.stride[axis] + 1
    reads = [taps + i * pool.stride[axis] for i in range(n_out)]
    return [[int(k) for k in each if 0 <= k < n] for each in reads]
