"""The layers: each knows its parameters and what shape it makes of what it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal, assert_never, get_args

import numpy as np

from refsim.exceptions import NetworkError
from refsim.model.neuron import Array, Floats, Neuron

Pair = tuple[int, int]
Shape = tuple[int, ...]
Kind = Literal["linear", "conv2d", "avg_pool2d", "max_pool2d", "flatten", "add", "spiking"]
"""What weight files call the kinds."""

MaxMode = Literal["cumulative", "or"]
"""What a max pool makes of spikes; see `MaxPool2d`."""

INPUT = "input"
"""The name by which layers read the image."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One node of the graph: it reads the layers (or the image, "input") named by `inputs`; one may be named alone.

    Where a layer takes two integers, for rows and columns, one stands for both.

    What its children have in common; a layer of a network is one of them, `AnyLayer`.
    """

    kind: ClassVar[Kind]
    name: str
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise NetworkError(f"a layer's name must be text, got {self.name!r}")
        inputs = (self.inputs,) if isinstance(self.inputs, str) else self.inputs
        if not isinstance(inputs, Sequence) or not all(isinstance(each, str) for each in inputs):
            raise self._error(f"inputs must be the names of layers, got {self.inputs!r}")
        object.__setattr__(self, "inputs", tuple(inputs))

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        """Shape of this layer's output for one image, given its inputs' shapes."""
        raise NotImplementedError

    def _error(self, text: str) -> NetworkError:
        return NetworkError(f"layer '{self.name}': {text}")

    def _one(self, shapes: tuple[Shape, ...]) -> Shape:
        if len(shapes) != 1:
            raise self._error(f"{self.kind} reads one input, got {len(shapes)}")
        return shapes[0]

    def _plane(self, shapes: tuple[Shape, ...]) -> tuple[int, int, int]:
        shape = self._one(shapes)
        if len(shape) != 3:
            raise self._error(f"{self.kind} reads (C, H, W), got {shape} from '{self.inputs[0]}'")
        return shape[0], shape[1], shape[2]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Weighted(Layer):
    """A layer with weights: stored as trained, with an optional float64 factor per output channel."""

    weight: Array
    bias: Floats
    scale: Floats | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        weight = np.asarray(self.weight)
        object.__setattr__(self, "weight", weight)
        if weight.dtype.kind not in "iuf":
            raise self._error(f"weight must be numbers, got elements of type {weight.dtype}")
        if weight.ndim != self._weight_ndim:
            raise self._error(f"weight must have {self._weight_ndim} axes, got shape {weight.shape}")
        for key in ("bias", "scale"):
            value = getattr(self, key)
            if value is None:
                continue
            value = np.asarray(value)
            if value.dtype.kind not in "iuf":
                raise self._error(f"{key} must be numbers, got elements of type {value.dtype}")
            value = value.astype(np.float64, copy=False)
            object.__setattr__(self, key, value)
            if value.shape != weight.shape[:1]:
                raise self._error(f"{key} must have shape {weight.shape[:1]}, got {value.shape}")
            if not np.isfinite(value).all():
                raise self._error(f"{key} holds values that are not finite")
        if not np.isfinite(weight).all():
            raise self._error("weight holds values that are not finite")

    _weight_ndim: ClassVar[int]

    def effective_weight(self) -> Floats:
        """The weight that acts, float64(weight) * scale, in the shape of `weight`."""
        weight = self.weight.astype(np.float64)
        if self.scale is not None:
            weight *= self.scale.reshape(-1, *[1] * (weight.ndim - 1))
        return np.asarray(weight)


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear(_Weighted):
    """Fully connected layer; weight (N_out, N_in), N_in runs over (C, H, W) row-major."""

    kind = "linear"
    _weight_ndim = 2

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = self._one(shapes)
        if prod(shape) != self.weight.shape[1]:
            raise self._error(
                f"weight expects {self.weight.shape[1]} inputs, got {shape} = {prod(shape)} from '{self.inputs[0]}'"
            )
        return (self.weight.shape[0],)


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv2d(_Weighted):
    """Cross-correlation with zero padding; weight (C_out, C_in / groups, kH, kW), as in PyTorch."""

    kind = "conv2d"
    _weight_ndim = 4
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            _check_pair(self, key, least)
        if not _is_integer(self.groups):
            raise self._error(f"groups must be an integer, got {self.groups!r}")
        object.__setattr__(self, "groups", int(self.groups))
        if self.groups < 1 or self.weight.shape[0] % self.groups:
            raise self._error(f"{self.weight.shape[0]} output channels do not divide into {self.groups} groups")

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        c, h, w = self._plane(shapes)
        c_out, c_in, k_h, k_w = self.weight.shape
        if c != c_in * self.groups:
            expected = (c_in * self.groups, "H", "W")
            raise self._error(f"weight expects ({expected[0]}, H, W) inputs, got {(c, h, w)} from '{self.inputs[0]}'")
        out_h = (h + 2 * self.padding[0] - self.dilation[0] * (k_h - 1) - 1) // self.stride[0] + 1
        out_w = (w + 2 * self.padding[1] - self.dilation[1] * (k_w - 1) - 1) // self.stride[1] + 1
        if out_h < 1 or out_w < 1:
            raise self._error(f"kernel {(k_h, k_w)} is larger than the padded input {(c, h, w)}")
        return (c_out, out_h, out_w)


@dataclass(frozen=True, kw_only=True, eq=False)
class AvgPool2d(Layer):
    """Mean over windows; no padding, incomplete windows at the right and bottom edge are dropped."""

    kind = "avg_pool2d"
    kernel: Pair
    stride: Pair

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pair(self, "kernel", 1)
        _check_pair(self, "stride", 1)

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        c, h, w = self._plane(shapes)
        if self.kernel[0] > h or self.kernel[1] > w:
            raise self._error(f"window {self.kernel} is larger than the input {(c, h, w)}")
        return (c, (h - self.kernel[0]) // self.stride[0] + 1, (w - self.kernel[1]) // self.stride[1] + 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class MaxPool2d(Layer):
    """Maximum over windows; padding never wins, incomplete windows at the right and bottom edge are dropped.

    Over spikes it has no neuron either, and gives spikes on, worth the theta that its source's have:

    mode
        "cumulative": the change of the largest net count in the window, y(t) = max N(t) - max N(t - 1), in
        {-1, 0, +1}, so that the sum of y is that maximum at every t. "or": the largest spike of the window at each
        step, as dense simulators do it; fires too often where winners alternate.
    """

    kind = "max_pool2d"
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    mode: MaxMode

    def __post_init__(self) -> None:
        for key, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            _check_pair(self, key, least)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel)):
            raise self._error(f"padding must be at most half of the kernel {self.kernel}, got {self.padding}")
        if self.mode not in get_args(MaxMode):
            raise self._error(f"mode must be {' or '.join(get_args(MaxMode))}, got '{self.mode}'")

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        c, h, w = self._plane(shapes)
        out_h, out_w = (self._n_windows(axis, n) for axis, n in enumerate((h, w)))
        if out_h < 1 or out_w < 1:
            raise self._error(f"window {self.kernel} is larger than the padded input {(c, h, w)}")
        if self.padding[0] > h or self.padding[1] > w:
            # Whoever pads would make a large plane of a small one, of which nothing is ever read.
            raise self._error(f"padding {self.padding} is larger than the input {(c, h, w)}")
        if self._has_empty_windows(0, h, out_h) or self._has_empty_windows(1, w, out_w):
            raise self._error(
                f"a window of dilation {self.dilation} lies in the padding alone, of an input {(c, h, w)}"
            )
        return (c, out_h, out_w)

    def _n_windows(self, axis: int, n: int) -> int:
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return (n + 2 * self.padding[axis] - reach) // self.stride[axis] + 1

    def _has_empty_windows(self, axis: int, n: int, n_out: int) -> bool:
        """Whether some window along an axis of n positions has none of them; only dilated ones can, at the left."""
        stride, padding, dilation = self.stride[axis], self.padding[axis], self.dilation[axis]
        before = padding - stride * np.arange(min(n_out, -(-padding // stride)))  # taps in the padding, times dilation
        first = -(-before // dilation) * dilation - before
        return bool((first >= n).any())


@dataclass(frozen=True, kw_only=True, eq=False)
class Flatten(Layer):
    """(C, H, W) to (N,), row-major."""

    kind = "flatten"

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        return (prod(self._one(shapes)),)


@dataclass(frozen=True, kw_only=True, eq=False)
class Add(Layer):
    """Sum of currents: residual branch and shortcut, in the order of `inputs`."""

    kind = "add"

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        if len(shapes) < 2:
            raise self._error(f"add reads at least two inputs, got {len(shapes)}")
        if len(set(shapes)) != 1:
            got = ", ".join(f"{shape} from '{name}'" for name, shape in zip(self.inputs, shapes))
            raise self._error(f"add needs inputs of one shape, got {got}")
        return shapes[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Spiking(Layer):
    """A population of neurons; in the ANN, the activation they replace."""

    kind = "spiking"
    neuron: Neuron

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = self._one(shapes)
        for key in ("theta", "v0", "theta_neg"):
            value: Floats = getattr(self.neuron, key)
            if value.shape not in ((), shape[:1], shape):
                raise self._error(f"{key} must be a scalar or of shape {shape[:1]} or {shape}, got {value.shape}")
        activation = self.neuron.activation
        if activation is not None and activation.bound.shape not in ((), shape[:1]):
            raise self._error(f"lambda must be a scalar or of shape {shape[:1]}, got {activation.bound.shape}")
        return shape


Pool = AvgPool2d | MaxPool2d
"""What spikes may be read through."""

Passive = Linear | Conv2d | Pool | Flatten | Add
"""The layers without neurons."""

AnyLayer = Passive | Spiking
"""Every kind there is. The union is closed: whoever treats layers by kind ends in `assert_never`, so that mypy names
each place that a new kind must be taught to."""

LAYER_KINDS: dict[str, type[AnyLayer]] = {cls.kind: cls for cls in get_args(AnyLayer)}

Output = Literal["spikes", "pooled", "flat", "current", "sum"]
"""What a layer gives to those that read it."""


def output_of(layer: AnyLayer) -> Output:
    """What the layer gives to those that read it; an image is read like spikes."""
    match layer:
        case Spiking():
            return "spikes"
        case AvgPool2d() | MaxPool2d():
            return "pooled"
        case Flatten():
            return "flat"
        case Linear() | Conv2d():
            return "current"
        case Add():
            return "sum"
        case _:
            assert_never(layer)


def readable_by(layer: AnyLayer) -> tuple[Output, ...]:
    """What the layer may read.

    Two linear maps in a row, or a sum that is read twice, would make real-valued currents travel between layers;
    converted networks of the papers never do that.
    """
    match layer:
        case AvgPool2d() | MaxPool2d():
            return ("spikes",)
        case Flatten() | Conv2d():
            return ("spikes", "pooled")
        case Linear():
            return ("spikes", "pooled", "flat")
        case Add():
            return ("spikes", "pooled", "flat", "current")
        case Spiking():
            return ("spikes", "pooled", "flat", "current", "sum")
        case _:
            assert_never(layer)


def _check_pair(layer: Layer, key: str, least: int) -> None:
    value = getattr(layer, key)
    pair = (value, value) if _is_integer(value) else value
    right = isinstance(pair, Sequence | np.ndarray) and len(pair) == 2 and all(map(_is_integer, pair))
    if not right or min(pair) < least:
        raise NetworkError(f"layer '{layer.name}': {key} must be two integers of at least {least}, got {value!r}")
    object.__setattr__(layer, key, (int(pair[0]), int(pair[1])))


def _is_integer(value: object) -> bool:
    """Whether it is a whole number as people mean one: True and 2.0 are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
