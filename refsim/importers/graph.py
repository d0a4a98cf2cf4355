"""Building a network from a state dict: layers in order, shapes tracked, every key used exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError, NetworkError, UsageError
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.keys import THRESHOLD
from refsim.importers.options import ImageShape, ImportOptions, MaxKind, Pool
from refsim.importers.parameters import compact, fold_batch_norm
from refsim.model import INPUT, Add, AnyLayer, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Shape, Spiking

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a layout makes of a state dict.

    shape
        (C, H, W) of the image.
    architecture
        Its name.
    assumed
        What the keys do not show and the layout implies, for the user to check.
    """

    shape: ImageShape
    layers: tuple[AnyLayer, ...]
    architecture: str
    assumed: tuple[str, ...] = ()


class Graph:
    """The layers so far. Every method adds one layer and returns its name.

    Parameters
    ----------
    tensors
        The state dict.
    where
        The file, for messages.
    shape : (C, H, W) of the image
    """

    def __init__(self, tensors: Mapping[str, Array], *, where: str, shape: ImageShape, options: ImportOptions) -> None:
        self.tensors = tensors
        self.left = {key: value for key, value in tensors.items() if not key.endswith(".num_batches_tracked")}
        self.where = where
        self.choice = options.choice
        self.bn_eps = options.bn_eps
        self.options = options
        self.layers: list[AnyLayer] = []
        self._image = shape
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self._assumed: list[str] = []

    def take(self, key: str) -> Array:
        """Use up one tensor.

        Raises
        ------
        FormatError
            It is not there.
        """
        if key not in self.left:
            raise FormatError(f"{self.where}: {shown(key)} is missing")
        return self.left.pop(key)

    def has_norm(self, name: str) -> bool:
        """Whether a batch normalisation of this name is there."""
        return f"{name}.running_mean" in self.left

    def assume(self, line: str) -> None:
        """Remember something that the keys do not show, for the user to check."""
        if line not in self._assumed:
            self._assumed.append(line)

    def finish(self, architecture: str) -> Built:
        """The network; FormatError if a key was not used: a module we do not know changes the result."""
        if self.left:
            first = shown(next(iter(self.left)))
            more = f" and {len(self.left) - 1} more" if len(self.left) > 1 else ""
            raise FormatError(
                f"{self.where}: {first}{more} belongs to no layer that refsim knows in this architecture, and what "
                "it does there would be lost; if it is one of the layout's under another name, --keys MAP.toml "
                "renames it (docs/layouts.md)"
            )
        return Built(
            shape=self._image, layers=tuple(self.layers), architecture=architecture, assumed=tuple(self._assumed)
        )

    def conv(
        self,
        name: str,
        source: str,
        *,
        bn: str | None = None,
        stride: int = 1,
        padding: int | None = None,
        grouped: bool = False,
        weight: Array | None = None,
    ) -> str:
        """A convolution, and the batch normalisation behind it folded in.

        Parameters
        ----------
        padding
            None: "same".
        grouped
            Whether it may have groups: as many as the weight has fewer input channels than its input.
        weight : (C_out, C_in / groups, k, k), where the state dict has none
        """
        weight = self.take(f"{name}.weight") if weight is None else weight
        if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
            raise FormatError(
                f"{self.where}: {shown(name)} has a weight of shape {weight.shape}; "
                "expected (C_out, C_in, k, k) with k odd"
            )
        scale, bias = self._scale_and_bias(name, weight, bn)
        weight, scale = compact(weight, scale)
        padding = weight.shape[2] // 2 if padding is None else padding
        channels = self.shapes[source][0]
        groups = channels // weight.shape[1] if grouped and channels % weight.shape[1] == 0 else 1
        return self._add(
            Conv2d,
            name,
            (source,),
            weight=weight,
            scale=scale,
            bias=bias,
            stride=(stride, stride),
            padding=(padding, padding),
            groups=groups,
        )

    def linear(self, name: str, source: str, *, bn: str | None = None) -> str:
        """A fully connected layer, and the batch normalisation behind it folded in."""
        weight = self.take(f"{name}.weight")
        scale, bias = self._scale_and_bias(name, weight, bn)
        weight, scale = compact(weight, scale)
        return self._add(Linear, name, (source,), weight=weight, scale=scale, bias=bias)

    def spiking(self, name: str, source: str, threshold: str | None = None) -> str:
        """The neurons that replace an activation with a trained threshold, or a ReLU.

        Those of a ReLU have theta = 1 until they are calibrated.

        Parameters
        ----------
        threshold
            The module that holds it, `name` by default. One module may serve several activations.
        """
        key = f"{name if threshold is None else threshold}.{THRESHOLD}"
        if self.options.relu:
            return self._add(Spiking, name, (source,), neuron=self.choice.neuron(1.0))
        if key not in self.tensors:
            raise FormatError(f"{self.where}: {shown(key)} is missing")
        self.left.pop(key, None)
        lambda_, channels = self.tensors[key], self.shapes[source][0]
        if lambda_.size not in (1, channels):
            raise FormatError(
                f"{self.where}: {shown(key)} has shape {lambda_.shape}; expected one value, or one for each of "
                f"{channels} channels"
            )
        try:
            neuron = self.choice.neuron(lambda_.reshape(-1) if lambda_.size > 1 else float(lambda_.reshape(())))
        except NetworkError as error:
            error.add_note(f"{self.where}:{key}")
            raise
        return self._add(Spiking, name, (source,), neuron=neuron)

    def pool(self, name: str, source: str, kernel: tuple[int, int], kind: Pool) -> str:
        """Pooling of one kind, with windows that do not overlap."""
        match kind:
            case "avg":
                return self.avg_pool(name, source, kernel)
            case "max-cumulative" | "max-or":
                return self.max_pool(name, source, kernel=kernel, stride=kernel, kind=kind)
            case "none":
                raise UsageError(f"{self.where}: there is a pool at {shown(name)}; pool cannot be none")
            case _:
                assert_never(kind)

    def max_pool(
        self,
        name: str,
        source: str,
        *,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int] = (0, 0),
        kind: MaxKind,
    ) -> str:
        """Max pooling."""
        mode = "cumulative" if kind == "max-cumulative" else "or"
        return self._add(MaxPool2d, name, (source,), kernel=kernel, stride=stride, padding=padding, mode=mode)

    def avg_pool(self, name: str, source: str, kernel: tuple[int, int]) -> str:
        """Average pooling with windows that do not overlap."""
        return self._add(AvgPool2d, name, (source,), kernel=kernel, stride=kernel)

    def flatten(self, name: str, source: str) -> str:
        """(C, H, W) to (N,)."""
        return self._add(Flatten, name, (source,))

    def add(self, name: str, *sources: str) -> str:
        """The sum of residual branch and shortcut."""
        return self._add(Add, name, sources)

    def _scale_and_bias(self, name: str, weight: Array, bn: str | None) -> tuple[Array | None, Array]:
        bias = self.left.pop(f"{name}.bias", None)
        if bn is None:
            return None, np.zeros(weight.shape[0]) if bias is None else np.asarray(bias, np.float64)
        parts = [self.take(f"{bn}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        for part in parts if bias is None else [bias, *parts]:
            if part.shape != weight.shape[:1]:
                raise FormatError(
                    f"{self.where}: {shown(bn)} has {part.shape} values for {weight.shape[0]} channels of {shown(name)}"
                )
        try:
            gamma, beta, mean, var = parts
            return fold_batch_norm(bias, gamma, beta, mean, var, self.bn_eps)
        except NetworkError as error:
            error.add_note(f"{self.where}:{bn}")
            raise

    def _add(self, kind: type[AnyLayer], name: str, inputs: tuple[str, ...], **fields: Any) -> str:
        try:
            layer = kind(name=name, inputs=inputs, **fields)
            self.shapes[name] = layer.output_shape(tuple(self.shapes[source] for source in inputs))
        except NetworkError as error:
            error.add_note(self.where)
            raise
        self.layers.append(layer)
        return name


def square_side(n: int) -> int | None:
    """The side of a square of n cells; None if there is none."""
    side = isqrt(n)
    return side if side * side == n else None
