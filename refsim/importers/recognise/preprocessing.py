"""What a graph does to the image before its first layer: mean and std of the weight file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refsim.importers.operators import Affine, BatchNorm
from refsim.importers.recognise.linear import gain_and_offset
from refsim.model import Floats

_OF_BYTES = 8.0
"""No data set has a larger deviation if its pixels lie in 0..1."""


@dataclass(frozen=True)
class InputMap:
    """x = (pixel - mean) / std, one value or one for each channel; pixels of 0..1, or `of_bytes`, of 0..255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    of_bytes: bool


def input_map(chain: Sequence[Affine | BatchNorm]) -> InputMap | None:
    """The map that affine operations make together, in float64; None if a factor is not positive."""
    mean: Floats | None = None
    gain, offset = np.ones(1), np.zeros(1)
    std = np.ones(1)
    for node in chain:
        factor, term = gain_and_offset(node)
        # (x - mean) / std as most graphs write it keeps both as they are; 1 / (1 / std) would round them.
        first = mean is None and not offset.any() and (gain == 1).all()
        if isinstance(node, Affine) and node.operation == "sub" and first:
            mean = node.value
        elif isinstance(node, Affine) and node.operation == "div" and (gain == 1).all() and (offset == 0).all():
            std, mean = std * node.value, np.zeros(1) if mean is None else mean
            continue
        else:
            gain, offset = gain * factor, offset * factor + term
    mean = np.zeros(1) if mean is None else mean
    # ((x - mean) / std) gain + offset
    if gain.size > 1 or offset.size > 1 or gain[0] != 1 or offset[0] != 0:
        if not (gain > 0).all():
            return None
        mean, std = mean - offset / gain * std, std / gain
    if not ((std > 0).all() and np.isfinite(std).all() and np.isfinite(mean).all()):
        return None
    n = max(mean.size, std.size)
    mean, std = (np.broadcast_to(each, (n,)) for each in (mean, std))
    return InputMap(tuple(mean.tolist()), tuple(std.tolist()), of_bytes=bool((std > _OF_BYTES).all()))
