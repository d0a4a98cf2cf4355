"""What is folded into weights: batch normalisation and affine maps, unequal padding, slices and pads of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refsim.importers.operators import Affine, BatchNorm, Conv, Linear, Pad, Pads, Slice
from refsim.importers.parameters import compact, fold_batch_norm
from refsim.model import Array, Floats, Pair, Shape

FoldedInto = Affine | BatchNorm

MAX_SELECTION = 1 << 24
"""Elements of a convolution that only selects channels."""


class CannotFold(Exception):
    """Why something does not become a part of a layer's weights."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """weight, scale and bias of a layer, as `refsim.model` has them."""

    weight: Array
    scale: Floats | None
    bias: Floats


def fold(node: Conv | Linear, after: Sequence[FoldedInto], gain: float = 1.0, offset: float = 0.0) -> Weights:
    """The weights of a linear map with all that follows it, in float64; last gain y + offset."""
    n = len(node.weight)
    scale: Floats | None = None
    bias = None if node.bias is None else node.bias.astype(np.float64)
    for each in after:
        if isinstance(each, BatchNorm):
            factor, bias = fold_batch_norm(bias, each.gamma, each.beta, each.mean, each.var, each.eps)
            scale = factor if scale is None else scale * factor
            continue
        factor, term = gain_and_offset(each)
        bias = (np.zeros(n) if bias is None else bias) * factor + term
        if each.operation in ("mul", "div"):
            scale = np.broadcast_to(factor, (n,)) * (1.0 if scale is None else scale)
    bias = np.zeros(n) if bias is None else bias
    if gain != 1:
        scale = np.full(n, gain) if scale is None else scale * gain
        bias = bias * gain
    if offset != 0:
        bias = bias + offset
    if node.steps is not None:
        return Weights(weight=node.weight, scale=node.steps if scale is None else node.steps * scale, bias=bias)
    weight, scale = compact(node.weight, scale)
    return Weights(weight=weight, scale=scale, bias=bias)


def gain_and_offset(node: FoldedInto) -> tuple[Floats, Floats]:
    """gain and offset of gain y + offset, for each channel or one for all."""
    if isinstance(node, BatchNorm):
        return fold_batch_norm(None, node.gamma, node.beta, node.mean, node.var, node.eps)
    none = np.zeros(1)
    match node.operation:
        case "add":
            return np.ones(1), node.value
        case "sub":
            return np.ones(1), -node.value
        case "mul":
            return node.value, none
        case _:
            return 1 / node.value, none


def with_equal_padding(weight: Array, pads: Pads, stride: Pair, dilation: Pair) -> tuple[Array, Pair]:
    """The kernel grown by rows and columns of zeros, so that padding is equal on both sides: the same convolution.

    Returns
    -------
    weight, padding
    """
    grown = [(0, 0), (0, 0)]
    for i in (0, 1):
        less = pads[i] - pads[i + 2]
        if less % dilation[i]:
            raise CannotFold(f"padding {pads} (top, left, bottom, right) is not equal by whole dilated rows")
        grown.append((max(-less // dilation[i], 0), max(less // dilation[i], 0)))
    padding = (max(pads[0], pads[2]), max(pads[1], pads[3]))
    if max(max(each) for each in grown) > 64:
        raise CannotFold(f"padding {pads} (top, left, bottom, right) would make a large kernel of zeros")
    return (np.pad(weight, grown), padding) if any(map(any, grown)) else (weight, padding)


def selection(views: Sequence[Slice | Pad], shape: Shape) -> tuple[Array, Pair]:
    """Slices and pads of channels as a convolution with one 1 in each row (option-A shortcuts).

    Parameters
    ----------
    shape : (C, H, W) of what they read

    Returns
    -------
    weight : (C_out, C_in, 1, 1) float32; stride
    """
    channels = np.arange(shape[0])
    stride, sides = [1, 1], list(shape[1:])
    for view in views:
        if isinstance(view, Pad):
            if any(view.pads):
                raise CannotFold("rows and columns of zeros are padded, and no convolution or pool reads them")
            channels = np.pad(channels, view.channels, constant_values=-1)
        elif view.axis == 1:
            channels = channels[view.start : view.stop : view.step]
        else:
            side = sides[view.axis - 2]
            if view.start or view.stop <= ((side - 1) // view.step) * view.step:
                raise CannotFold("rows or columns are cut off; only every n-th of all of them is read")
            stride[view.axis - 2] *= view.step
            sides[view.axis - 2] = -(-side // view.step)
    if len(channels) * shape[0] > MAX_SELECTION:
        raise CannotFold(f"{shape[0]} channels become {len(channels)}, too many for a convolution of zeros and ones")
    weight = np.zeros((len(channels), shape[0], 1, 1), np.float32)
    kept = np.flatnonzero(channels >= 0)
    weight[kept, channels[kept]] = 1
    return weight, (stride[0], stride[1])
