"""Network: the source ANN as a graph of layers, with the spiking neuron that replaces each activation.

A `Network` can be run as the ANN (its activations) and as the SNN (its neurons). Everything that does not fit
together is refused here, on construction, with the layer's name; whoever holds a `Network` need not check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.errors import NetworkError, UsageError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Pair = tuple[int, int]
Shape = tuple[int, ...]

INPUT = "input"
"""The name by which layers read the image."""

DUAL_THETA_NEG = -1e-3
"""Negative threshold of ECL's dual-threshold neuron, in units of the membrane potential (semantics 2.4c)."""


@dataclass(frozen=True, kw_only=True)
class Activation:
    """What the source ANN computed where the SNN has a neuron.

    `L` >= 1: QCFS (QCFS Eq. 15; with `delta` > 0 trained as NQ Eq. 13). `L` = 0: the number of quantization
    steps is not known. `L` = None: plain ReLU.
    """

    lambda_: float
    L: int | None
    shift: float = 0.5
    delta: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.lambda_) and self.lambda_ > 0):
            raise NetworkError(f"activation: lambda must be positive and finite, got {self.lambda_}")
        if self.L is not None and self.L < 0:
            raise NetworkError(f"activation: L must be at least 1 (0: unknown), got {self.L}")
        if not 0 <= self.shift < 1:
            raise NetworkError(f"activation: shift must lie in [0, 1), got {self.shift}")
        if not (np.isfinite(self.delta) and self.delta >= 0):
            raise NetworkError(f"activation: delta must be finite and not negative, got {self.delta}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Neuron:
    """Integrate-and-fire neuron with one or two thresholds (QCFS Eq. 2-4, ECL Eq. 4-5; semantics 2).

    Parameters
    ----------
    theta, v0
        Firing threshold and initial potential, in the unit of the ANN's activations: scalar, (C,) or (C, H, W).
    theta_neg
        Negative threshold; -inf makes a plain IF neuron. With `theta_neg_mode` "relative" it is a multiple
        of theta.
    gate
        A negative spike needs a positive "net" count, or a positive "gross" count, of earlier spikes.
    reset
        "subtract" theta after a spike (soft reset), or set v to "zero".
    leak
        Factor on v before the current is added: 1 is IF, less is LIF (ECL Eq. 9-10).

    Raises
    ------
    NetworkError
        theta not positive and finite; theta_neg outside [-theta, 0); v0 not finite; leak outside [0, 1].
    """

    theta: Floats
    v0: Floats
    theta_neg: Floats = field(default_factory=lambda: np.array(-np.inf))
    theta_neg_mode: Literal["absolute", "relative"] = "absolute"
    gate: Literal["net", "gross"] = "net"
    reset: Literal["subtract", "zero"] = "subtract"
    leak: float = 1.0
    activation: Activation | None = None

    def __post_init__(self) -> None:
        for key in ("theta", "v0", "theta_neg"):
            object.__setattr__(self, key, np.asarray(getattr(self, key), dtype=np.float64))
        for key, allowed in (
            ("gate", ("net", "gross")),
            ("reset", ("subtract", "zero")),
            ("theta_neg_mode", ("absolute", "relative")),
        ):
            if getattr(self, key) not in allowed:
                raise NetworkError(f"neuron: {key} must be {' or '.join(allowed)}, got {getattr(self, key)!r}")
        if not (np.isfinite(self.theta).all() and (self.theta > 0).all()):
            raise NetworkError(f"neuron: theta must be positive and finite, got {_worst(self.theta)}")
        if not np.isfinite(self.v0).all():
            raise NetworkError(f"neuron: v0 must be finite, got {_worst(self.v0)}")
        if not 0 <= self.leak <= 1:
            raise NetworkError(f"neuron: leak must lie in [0, 1], got {self.leak}")
        self._check_theta_neg()

    def _check_theta_neg(self) -> None:
        if np.isneginf(self.theta_neg).all():
            return
        ndim = max(self.theta.ndim, self.theta_neg.ndim)
        try:
            np.broadcast_shapes(_align(self.theta, ndim).shape, _align(self.theta_neg, ndim).shape)
        except ValueError:
            shapes = f"{self.theta_neg.shape} and {self.theta.shape}"
            raise NetworkError(f"neuron: theta_neg and theta have shapes that do not fit, {shapes}") from None
        theta, theta_neg = _align(self.theta, ndim), _align(self.negative_threshold, ndim)
        # theta_neg = 0 would fire +1, -1, +1, ... for ever at v = 0 without any input.
        if not ((theta_neg < 0) & (theta_neg >= -theta)).all():
            raise NetworkError(
                f"neuron: theta_neg must lie in [-theta, 0), got {_worst(theta_neg)} "
                f"({self.theta_neg_mode}) at theta {_worst(self.theta)}"
            )

    @property
    def dual(self) -> bool:
        """Whether the neuron can fire negative spikes."""
        return not bool(np.isneginf(self.theta_neg).all())

    @property
    def negative_threshold(self) -> Floats:
        """theta_neg in units of the membrane potential, whatever `theta_neg_mode`."""
        if self.theta_neg_mode == "absolute" or np.isneginf(self.theta_neg).all():
            return self.theta_neg
        ndim = max(self.theta_neg.ndim, self.theta.ndim)
        return np.asarray(_align(self.theta_neg, ndim) * _align(self.theta, ndim))

    def as_if(self) -> Neuron:
        """This neuron without its negative threshold."""
        return replace(self, theta_neg=np.array(-np.inf), theta_neg_mode="absolute")

    def as_dual(self) -> Neuron:
        """This neuron with ECL's negative threshold, unless it has one of its own."""
        if self.dual:
            return self
        return replace(self, theta_neg=np.array(DUAL_THETA_NEG), theta_neg_mode="absolute")


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One node of the graph: it reads the layers (or the image, "input") named by `inputs`."""

    kind: ClassVar[str]
    name: str
    inputs: tuple[str, ...]

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
        weight = np.asarray(self.weight)
        object.__setattr__(self, "weight", weight)
        if weight.ndim != self._weight_ndim:
            raise self._error(f"weight must have {self._weight_ndim} axes, got shape {weight.shape}")
        for key in ("bias", "scale"):
            value = getattr(self, key)
            if value is None:
                continue
            value = np.asarray(value, dtype=np.float64)
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
        _check_pair(self, "kernel", 1)
        _check_pair(self, "stride", 1)

    def output_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        c, h, w = self._plane(shapes)
        if self.kernel[0] > h or self.kernel[1] > w:
            raise self._error(f"window {self.kernel} is larger than the input {(c, h, w)}")
        return (c, (h - self.kernel[0]) // self.stride[0] + 1, (w - self.kernel[1]) // self.stride[1] + 1)


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
        return shape


LAYER_KINDS: dict[str, type[Layer]] = {cls.kind: cls for cls in (Linear, Conv2d, AvgPool2d, Flatten, Add, Spiking)}

# What each kind may read. Two linear maps in a row, or a sum that is read twice, would make real-valued
# currents travel between layers; converted networks of the papers never do that.
_SPIKES = ("spiking", INPUT)
_READS: dict[str, tuple[str, ...]] = {
    "avg_pool2d": _SPIKES,
    "flatten": (*_SPIKES, "avg_pool2d"),
    "linear": (*_SPIKES, "avg_pool2d", "flatten"),
    "conv2d": (*_SPIKES, "avg_pool2d"),
    "add": (*_SPIKES, "avg_pool2d", "flatten", "linear", "conv2d"),
    "spiking": (*_SPIKES, "avg_pool2d", "flatten", "linear", "conv2d", "add"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class InputSpec:
    """How a raw image becomes the input current: x = (raw * scale - mean) / std, per channel.

    Raises
    ------
    NetworkError
        shape not (C, H, W); mean or std not (C,), not finite, or std not positive.
    """

    shape: tuple[int, int, int]
    scale: float = 1 / 255
    mean: Floats = field(default_factory=lambda: np.zeros(1))
    std: Floats = field(default_factory=lambda: np.ones(1))
    color: Literal["RGB", "L"] | None = None
    dataset: str = ""

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise NetworkError(f"input: shape must be (C, H, W), got {self.shape}")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise NetworkError(f"input: scale must be positive and finite, got {self.scale}")
        for key in ("mean", "std"):
            value = np.asarray(getattr(self, key), dtype=np.float64)
            if value.shape not in ((1,), self.shape[:1]):
                raise NetworkError(f"input: {key} must have shape {self.shape[:1]}, got {value.shape}")
            value = np.broadcast_to(value, self.shape[:1])
            if not np.isfinite(value).all() or (key == "std" and not (value > 0).all()):
                raise NetworkError(f"input: {key} must be finite{' and positive' * (key == 'std')}, got {value}")
            object.__setattr__(self, key, value)
        if self.color is None:
            object.__setattr__(self, "color", "L" if self.shape[0] == 1 else "RGB")

    def normalize(self, raw: Array) -> Floats:
        """Raw images (B, H, W, C) to input currents (B, C, H, W), float64."""
        x = (raw.astype(np.float64) * self.scale - self.mean) / self.std
        return np.ascontiguousarray(np.moveaxis(x, 3, 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A converted network: the input, the layers in topological order, the classes.

    Raises
    ------
    NetworkError
        Duplicate, missing or later-defined inputs, shapes that do not fit, a layer that reads what it cannot
        read, a last layer that is not a linear readout, outputs that nobody reads.
    """

    name: str
    input: InputSpec
    layers: tuple[Layer, ...]
    classes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.layers:
            raise NetworkError(f"network '{self.name}' has no layers")
        shapes: dict[str, Shape] = {INPUT: self.input.shape}
        kinds = {INPUT: INPUT}
        later = {layer.name for layer in self.layers}
        for layer in self.layers:
            if layer.name in kinds:
                raise NetworkError(f"layer '{layer.name}': the name is used twice or reserved")
            if not layer.inputs:
                raise NetworkError(f"layer '{layer.name}': reads nothing")
            for source in layer.inputs:
                if source not in kinds:
                    hint = "comes later or is part of a cycle" if source in later else "does not exist"
                    raise NetworkError(f"layer '{layer.name}': reads '{source}', which {hint}")
                if kinds[source] not in _READS[layer.kind]:
                    raise NetworkError(
                        f"layer '{layer.name}': {layer.kind} cannot read '{source}' ({kinds[source]}); "
                        f"put a spiking layer between them"
                    )
            shapes[layer.name] = layer.output_shape(tuple(shapes[source] for source in layer.inputs))
            kinds[layer.name] = layer.kind
        object.__setattr__(self, "_shapes", shapes)
        self._check_outputs()

    def _check_outputs(self) -> None:
        last = self.layers[-1]
        if not isinstance(last, Linear):
            raise NetworkError(f"layer '{last.name}': the last layer must be linear (the readout), got {last.kind}")
        readers: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for source in layer.inputs:
                readers.setdefault(source, []).append(layer)
        for layer in self.layers[:-1]:
            n_readers = len(readers.get(layer.name, ()))
            if n_readers == 0:
                raise NetworkError(f"layer '{layer.name}': nobody reads it, and only the last layer is the readout")
            if n_readers > 1 and layer.kind in ("linear", "conv2d", "add"):
                raise NetworkError(
                    f"layer '{layer.name}': {layer.kind} is read by {n_readers} layers; "
                    f"put a spiking layer after it and let them read that"
                )
        if self.classes and len(self.classes) != self.n_classes:
            raise NetworkError(f"{len(self.classes)} class names for {self.n_classes} outputs of '{last.name}'")

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Output shape of every layer for one image, and of "input"."""
        shapes: dict[str, Shape] = self.__dict__["_shapes"]
        return shapes

    @property
    def n_classes(self) -> int:
        """Number of outputs of the readout."""
        return int(self.shapes[self.layers[-1].name][0])

    @cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def spiking(self) -> tuple[Spiking, ...]:
        """The spiking layers in order; `--layer l` is spiking[l - 1]."""
        return tuple(layer for layer in self.layers if isinstance(layer, Spiking))

    def find_spiking(self, key: str) -> Spiking:
        """The spiking layer with this name or with this number, counted from 1."""
        for number, layer in enumerate(self.spiking, start=1):
            if key in (layer.name, str(number)):
                return layer
        names = ", ".join(f"{i}={layer.name}" for i, layer in enumerate(self.spiking, start=1))
        raise UsageError(f"no spiking layer '{key}' in '{self.name}'; it has {names}")

    def with_neurons(self, change: Mapping[str, Neuron]) -> Network:
        """The same network with other neurons in the named spiking layers."""
        layers = tuple(
            replace(layer, neuron=change[layer.name]) if isinstance(layer, Spiking) and layer.name in change else layer
            for layer in self.layers
        )
        return replace(self, layers=layers)


def _check_pair(layer: Layer, key: str, least: int) -> None:
    value = getattr(layer, key)
    if len(value) != 2 or min(value) < least:
        raise NetworkError(f"layer '{layer.name}': {key} must be two integers of at least {least}, got {value}")
    object.__setattr__(layer, key, (int(value[0]), int(value[1])))


def _align(value: Floats, ndim: int) -> Floats:
    """Append axes, so that (C,) broadcasts over (C, H, W)."""
    return value.reshape(value.shape + (1,) * (ndim - value.ndim)) if 0 < value.ndim < ndim else value


def _worst(value: Floats) -> float:
    """The value to show when a whole array is out of range: one that is not finite, else the extreme."""
    bad = value[~np.isfinite(value)]
    if bad.size:
        return float(bad.flat[0])
    return float(value.flat[np.argmin(np.abs(value))] if value.size else np.nan)
