"""Linear maps: convolutions, matrix products, batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from refsim.exceptions import FormatError
from refsim.importers.build.shapes import Shapes
from refsim.importers.build.values import pair
from refsim.importers.operators import (
    BatchNorm,
    Conv,
    Linear,
    Pads,
)
from refsim.model import Pair


class LinearMaps(Shapes):
    """Convolutions, matrix products, batch normalisation."""

    def conv(
        self,
        out: str,
        x: str,
        weight: str,
        bias: str | None,
        *,
        stride: Sequence[int],
        pads: Pads | Literal["same", "same_lower"],
        dilation: Sequence[int],
        groups: int,
    ) -> None:
        """A convolution; "same" puts the odd row below, "same_lower" above."""
        b, c, h, w = self.plane(x)
        kernel, steps = self.weights(weight)
        if kernel.ndim != 4:
            raise FormatError(f"only convolutions of two dimensions are simulated, got a weight of {kernel.ndim} axes")
        stride, dilation = pair(stride), pair(dilation)
        if isinstance(pads, str):
            pads = same_pads((h, w), kernel.shape[2:], stride, dilation, above=pads == "same_lower")
        if not 0 < groups <= c or c % groups or kernel.shape[1] * groups != c or kernel.shape[0] % groups:
            raise FormatError(f"a weight of shape {kernel.shape} in {groups} groups does not fit {c} channels")
        sides = (
            (n + pads[i] + pads[i + 2] - dilation[i] * (kernel.shape[2 + i] - 1) - 1) // stride[i] + 1
            for i, n in enumerate((h, w))
        )
        self._emit(
            Conv,
            out,
            (x,),
            (b, kernel.shape[0], *sides),
            weight=kernel,
            steps=steps,
            bias=self.bias(bias, kernel.shape[0]),
            stride=stride,
            pads=pads,
            dilation=dilation,
            groups=groups,
        )

    def linear(self, out: str, x: str, weight: str, bias: str | None) -> None:
        """x W^T + bias, W (N_out, N_in)."""
        b, *features = self.shape(x)
        matrix, steps = self.weights(weight)
        if len(features) != 1 or matrix.ndim != 2 or matrix.shape[1] != features[0]:
            raise FormatError(f"a matrix of shape {matrix.shape} does not fit {(b, *features)}")
        n = matrix.shape[0]
        self._emit(Linear, out, (x,), (b, n), weight=matrix, steps=steps, bias=self.bias(bias, n))

    def matmul(self, out: str, a: str, b: str, bias: str | None = None) -> None:
        """a b + bias: with b a constant (N_in, N_out)."""
        if self.is_constant(a, b):
            raise FormatError("products of constants are not folded")
        if not self.is_constant(b):
            self.foreign(out, (a, b), "product of two activations (attention)")
            return
        self.transpose(f"{out} transposed", b, (1, 0))
        self.linear(out, a, f"{out} transposed", bias)

    def batch_norm(self, out: str, x: str, parameters: Sequence[str | None], eps: float) -> None:
        """gamma, beta, mean, variance; gamma and beta may be left out."""
        shape = self.shape(x)
        usual = (1.0, 0.0)
        gamma, beta, mean, var = (
            np.full(shape[1], usual[i]) if name is None else self.constant(name).astype(np.float64)
            for i, name in enumerate(parameters)
        )
        if any(each.shape != (shape[1],) for each in (gamma, beta, mean, var)):
            raise FormatError(f"parameters of shape {mean.shape} do not fit {shape[1]} channels")
        self._emit(BatchNorm, out, (x,), shape, gamma=gamma, beta=beta, mean=mean, var=var, eps=float(eps))


def same_pads(sides: Pair, kernel: Sequence[int], stride: Pair, dilation: Pair, *, above: bool) -> Pads:
    """Padding by which ceil(n / stride) windows fit; an odd row goes below, or above."""
    total = [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in zip(sides, kernel, stride, dilation)]
    less, more = [each // 2 for each in total], [each - each // 2 for each in total]
    return (more[0], more[1], less[0], less[1]) if above else (less[0], less[1], more[0], more[1])
