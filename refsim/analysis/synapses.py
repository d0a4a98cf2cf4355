"""The synapses of a layer, one by one, as a sparse matrix of SciPy: to be mapped to hardware, and to be counted."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import UsageError
from refsim.model import AvgPool2d, Conv2d, Linear, Network, Pair, Shape

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[Any]
Indices = NDArray[np.int64]

MOST = 1 << 28
"""Synapses of one matrix; so many take 3 GiB, and twice that while they are sorted."""


def synapses_as_csr(network: Network, layer: str) -> csr_array:
    """Every existing synapse of a layer with weights, or of an average pool, as a sparse matrix.

    Row i is neuron i of the layer's output, column j cell j of what it reads, both flat in row-major order (C, H, W);
    the value is the weight that acts, float64(weight) * scale, of a pool 1 / (cells of a window). With A the matrix and
    b the bias repeated over positions, z = A x + b is the layer's weighted input, up to the order of additions.

    A synapse exists if its tap lies inside the plane (semantics 7); one of weight zero exists, and is stored: `A.nnz`
    counts the existing synapses, the stored elements of column j are those that a spike of cell j reaches, and
    `A.eliminate_zeros()` leaves out those of weight zero. Behind a pool the columns are the pool's windows, and
    `synapses_as_csr(network, layer) @ synapses_as_csr(network, pool)` reaches back to the neurons.

    Parameters
    ----------
    network
        The weights are those of the file; thresholds are not folded into them.
    layer
        Name of a `Conv2d`, `Linear` or `AvgPool2d`.

    Raises
    ------
    UsageError
        There is no such layer, it has no synapses of its own, or more than `MOST`.
    """
    found = network.by_name.get(layer)
    if found is None:
        raise UsageError(f"no layer '{layer}' in '{network.name}'; it has {', '.join(network.by_name)}")
    source, target = network.shapes[found.inputs[0]], network.shapes[layer]
    match found:
        case Linear():
            # A convolution over a plane of one position.
            weight, source, target = found.effective_weight()[:, :, None, None], (prod(source), 1, 1), (*target, 1, 1)
            return _matrix(layer, weight, source, target)
        case Conv2d():
            return _matrix(
                layer,
                found.effective_weight(),
                source,
                target,
                stride=found.stride,
                padding=found.padding,
                dilation=found.dilation,
                groups=found.groups,
            )
        case AvgPool2d():
            weight = np.full((target[0], 1, *found.kernel), 1 / prod(found.kernel))
            return _matrix(layer, weight, source, target, stride=found.stride, groups=target[0])
        case _:
            raise UsageError(f"layer '{layer}': {found.kind} has no synapses; conv2d, linear and avg_pool2d have")


def _matrix(
    name: str,
    weight: Array,
    source: Shape,
    target: Shape,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> csr_array:
    """The matrix of a convolution with this weight (C_out, C_in / groups, kH, kW), float64."""
    from scipy.sparse import csr_array

    c_out, c_group, *kernel = weight.shape
    taps = [
        [_inside(tap, stride[axis], padding[axis], dilation[axis], source[1 + axis], target[1 + axis])
         for tap in range(kernel[axis])]
        for axis in (0, 1)
    ]  # fmt: skip
    n_cells = prod(sum(len(outputs) for outputs, _ in along) for along in taps)
    n = c_out * c_group * n_cells
    if n > MOST:
        raise UsageError(f"layer '{name}': {n:,} synapses, at most {MOST:,} are listed")
    largest = max(n, prod(source), prod(target))
    index = np.int32 if largest < 2**31 else np.int64
    rows, columns, values = (np.empty((c_out, c_group, n_cells), dtype) for dtype in (index, index, np.float64))
    row_of = np.arange(c_out)[:, None] * prod(target[1:])
    group = np.arange(c_out) // (c_out // groups)
    column_of = (group[:, None] * c_group + np.arange(c_group)) * prod(source[1:])
    at = 0
    for i, (out_y, in_y) in enumerate(taps[0]):
        for j, (out_x, in_x) in enumerate(taps[1]):
            here = slice(at, at + len(out_y) * len(out_x))
            rows[:, :, here] = row_of[:, :, None] + (out_y[:, None] * target[2] + out_x).reshape(-1)
            columns[:, :, here] = column_of[:, :, None] + (in_y[:, None] * source[2] + in_x).reshape(-1)
            values[:, :, here] = weight[:, :, i, j, None]
            at = here.stop
    found = csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=(prod(target), prod(source)))
    found.sort_indices()
    return found


def _inside(
    tap: int, stride: int, padding: int, dilation: int, n_source: int, n_target: int
) -> tuple[Indices, Indices]:
    """Output positions along one axis at which a kernel tap lies inside the plane, and what it reads there."""
    outputs = np.arange(n_target)
    inputs = outputs * stride - padding + tap * dilation
    inside = (inputs >= 0) & (inputs < n_source)
    return outputs[inside], inputs[inside]
