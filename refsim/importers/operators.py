"""The operator graph between a file of another tool and the recogniser: a closed union of nodes, constants in place.

A front end knows bytes and spelling and fills such a graph (`build`); the recogniser makes a `Network` of it and
knows nothing about files. Shapes have the batch in front, (B, C, H, W) or (B, N), with the batch size of the export.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from refsim.formats.untrusted.unpickler import shown
from refsim.model import Array, Floats, Pair, Shape

Pads = tuple[int, int, int, int]
"""Rows and columns of zeros: top, left, bottom, right."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a node stands in its source, for messages and for the names of layers.

    name, kind
        The node and its operator, as the source calls them.
    module
        The dotted path of the module it belongs to; empty if the source does not say.
    """

    name: str
    kind: str
    module: str = ""

    @property
    def label(self) -> str:
        """The module, or the node."""
        return self.module or self.name

    def __str__(self) -> str:
        return f"{self.kind} at {shown(self.label)}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """What all nodes have: the values they read that are no constants, and the one they give."""

    site: Site
    inputs: tuple[str, ...]
    output: str
    shape: Shape
    """Of the output."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(Node):
    """Cross-correlation, weight (C_out, C_in / groups, kH, kW) times `steps` (C_out,), where it is whole numbers."""

    weight: Array
    steps: Floats | None
    bias: Array | None
    stride: Pair
    pads: Pads
    dilation: Pair
    groups: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear(Node):
    """Matrix product, weight (N_out, N_in) times `steps` (N_out,), where it is whole numbers."""

    weight: Array
    steps: Floats | None
    bias: Array | None


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchNorm(Node):
    """gamma (x - mean) / sqrt(var + eps) + beta for each channel."""

    gamma: Array
    beta: Array
    mean: Array
    var: Array
    eps: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Add(Node):
    """The sum of two values."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine(Node):
    """An operation with a constant, of one value or of one for each channel (C,)."""

    operation: Literal["add", "sub", "mul", "div"]
    value: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip(Node):
    """clip(x, low, high), with -inf and inf where there is no bound."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Floor(Node):
    """The largest whole number that is not larger; with `nearest` the nearest one."""

    nearest: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantize(Node):
    """clip(round(x / step) + zero, low, high)."""

    step: float
    zero: int
    low: int
    high: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Dequantize(Node):
    """(x - zero) * step."""

    step: float
    zero: int


@dataclass(frozen=True, kw_only=True, eq=False)
class AvgPool(Node):
    """Mean over windows, without padding."""

    kernel: Pair
    stride: Pair


@dataclass(frozen=True, kw_only=True, eq=False)
class MaxPool(Node):
    """Maximum over windows; what is padded never wins."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair


@dataclass(frozen=True, kw_only=True, eq=False)
class Flatten(Node):
    """(B, C, H, W) to (B, N), row-major."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice(Node):
    """x[start:stop:step] along one axis that is not the batch; `start` and `stop` lie in the axis."""

    axis: int
    start: int
    stop: int
    step: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Pad(Node):
    """Zeros before and behind: of channels, and of rows and columns."""

    channels: Pair
    pads: Pads


@dataclass(frozen=True, kw_only=True, eq=False)
class Softmax(Node):
    """Softmax or its logarithm: it changes no order of the classes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Foreign(Node):
    """What has no counterpart here, and why, with the remedy."""

    why: str


Elementwise = Affine | BatchNorm | Clip | Floor | Quantize | Dequantize
"""What may stand between a linear map and its activation, or be a part of an activation."""

AnyNode = Conv | Linear | Add | AvgPool | MaxPool | Flatten | Slice | Pad | Softmax | Foreign | Elementwise
"""Every kind there is; whoever treats nodes by kind ends in `assert_never`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """The nodes in an order in which each reads what came before.

    image, output
        The values that are the image, (B, C, H, W), and the result.
    notes
        What the front end has to say to the user.
    """

    nodes: tuple[AnyNode, ...]
    image: str
    image_shape: Shape
    output: str
    notes: tuple[str, ...] = ()
