"""Building a network from a state dict: layers in order, shapes tracked, every key used exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError, NetworkError
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.options import Pool
from refsim.importers.parameters import NeuronChoice, compact, fold_batch_norm
from refsim.model import INPUT, Add, AnyLayer, AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Shape, Spiking

Array = NDArray[Any]


class Graph:
    """The layers so far. Every method adds one layer and returns its name.

    Parameters
    ----------
    tensors
        The state dict.
    where
        The file, for messages.
    shape : (C, H, W) of the image
    bn_eps
        eps of every batch normalisation.
    """

    def __init__(
        self, tensors: Mapping[str, Array], *, where: str, shape: Shape, choice: NeuronChoice, bn_eps: float
    ) -> None:
        self.left = {key: value for key, value in tensors.items() if not key.endswith(".num_batches_tracked")}
        self.where = where
        self.choice = choice
        self.bn_eps = bn_eps
        self.layers: list[AnyLayer] = []
        self.shapes: dict[str, Shape] = {INPUT: shape}

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

    def finish(self) -> tuple[AnyLayer, ...]:
        """The layers; FormatError if a key was not used: a module we do not know changes the result."""
        if self.left:
            first = shown(next(iter(self.left)))
            more = f" and {len(self.left) - 1} more" if len(self.left) > 1 else ""
            raise FormatError(
                f"{self.where}: {first}{more} belongs to no layer that refsim knows in this architecture; "
                "remove it from the state dict if the network does not use it"
            )
        return tuple(self.layers)

    def conv(self, name: str, source: str, *, bn: str | None = None, stride: int = 1) -> str:
        """A convolution with "same" padding, and the batch normalisation behind it folded in."""
        weight = self.take(f"{name}.weight")
        if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
            raise FormatError(
                f"{self.where}: {shown(name)} has a weight of shape {weight.shape}; "
                "expected (C_out, C_in, k, k) with k odd"
            )
        scale, bias = self._scale_and_bias(name, weight, bn)
        weight, scale = compact(weight, scale)
        padding = weight.shape[2] // 2
        return self._add(
            Conv2d,
            name,
            (source,),
            weight=weight,
            scale=scale,
            bias=bias,
            stride=(stride, stride),
            padding=(padding, padding),
        )

    def linear(self, name: str, source: str) -> str:
        """A fully connected layer."""
        weight = self.take(f"{name}.weight")
        _, bias = self._scale_and_bias(name, weight, None)
        weight, scale = compact(weight, None)
        return self._add(Linear, name, (source,), weight=weight, scale=scale, bias=bias)

    def spiking(self, name: str, source: str) -> str:
        """The neurons that replace an activation with the trained threshold `name`.thresh, or a ReLU.

        Those of a ReLU have theta = 1 until they are calibrated.
        """
        if self.choice.L is None:
            return self._add(Spiking, name, (source,), neuron=self.choice.neuron(1.0))
        lambda_ = self.take(f"{name}.thresh")
        if lambda_.size != 1:
            raise FormatError(f"{self.where}: {shown(name + '.thresh')} has shape {lambda_.shape}; expected one value")
        try:
            neuron = self.choice.neuron(float(lambda_.reshape(())))
        except NetworkError as error:
            error.add_note(f"{self.where}:{name}.thresh")
            raise
        return self._add(Spiking, name, (source,), neuron=neuron)

    def pool(self, name: str, source: str, kernel: tuple[int, int], kind: Pool) -> str:
        """Pooling of one kind, with windows that do not overlap."""
        match kind:
            case "avg":
                return self.avg_pool(name, source, kernel)
            case "max-cumulative":
                return self._add(MaxPool2d, name, (source,), kernel=kernel, stride=kernel, mode="cumulative")
            case "max-or":
                return self._add(MaxPool2d, name, (source,), kernel=kernel, stride=kernel, mode="or")
            case _:
                assert_never(kind)

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
