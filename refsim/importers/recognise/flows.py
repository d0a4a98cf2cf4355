"""What a value of the graph is while the layers are made."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from refsim.importers.operators import (
    Affine,
    BatchNorm,
    Conv,
    Elementwise,
    Flatten,
    Linear,
    MaxPool,
    Pad,
    Quantize,
    Site,
    Slice,
)
from refsim.model import Shape

Kind = Literal["image", "spikes", "pooled", "flat", "current", "sum"]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A layer that is there (or the image).

    step, L
        Of the staircase it gives, where its values are multiples of one step.
    """

    kind: Kind
    layer: str
    site: Site
    step: float | None = None
    L: int = 0


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A linear map whose weights may take in what follows it."""

    node: Conv | Linear
    source: str
    site: Site


@dataclass(frozen=True, kw_only=True)
class Sum:
    """An addition of layers, to which others may be added."""

    operands: tuple[str, ...]
    site: Site


@dataclass(frozen=True, kw_only=True)
class View:
    """Slices and pads of a layer."""

    source: Ready
    views: tuple[Slice | Pad, ...]
    site: Site


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What a value is: a head, the elementwise operations behind it, and what they have been swapped with.

    shape
        Of the head, for one image.
    pool, flatten
        A max pool or a flatten between them, which an activation may be moved before.
    """

    head: Ready | Waiting | Sum | View
    shape: Shape
    chain: tuple[Elementwise, ...] = ()
    pool: MaxPool | None = None
    flatten: Flatten | None = None


def last_part(chain: tuple[Elementwise, ...]) -> tuple[tuple[Elementwise, ...], tuple[Elementwise, ...]]:
    """What has values for each channel and belongs to weights, and behind it what may be an activation."""
    cut = 0
    for i, node in enumerate(chain):
        if isinstance(node, BatchNorm) or (isinstance(node, Affine) and node.value.size > 1):
            cut = i + 1
    return chain[:cut], chain[cut:]


def settled_shape(flow: Flow) -> Shape:
    """The shape that whoever reads the flow finds, for one image."""
    if flow.flatten is not None:
        return flow.flatten.shape[1:]
    if flow.pool is not None:
        return flow.pool.shape[1:]
    return flow.head.views[-1].shape[1:] if isinstance(flow.head, View) else flow.shape


def pads_only(head: View) -> bool:
    """Whether a view only adds rows and columns of zeros."""
    return all(isinstance(view, Pad) and view.channels == (0, 0) for view in head.views)


def over_the_whole_plane(node: Conv, shape: Shape) -> bool:
    """Whether a convolution is a matrix product: one position, every tap on one cell of the input."""
    return prod(shape[1:]) == 1 and node.groups == 1 and not any(node.pads)


def changes_nothing(node: Quantize, source: Ready) -> bool:
    """Whether what is quantised consists of the same steps already."""
    if source.step is None or abs(source.step - node.step) > 1e-6 * node.step:
        return False
    return node.low - node.zero <= 0 and node.high - node.zero >= source.L
