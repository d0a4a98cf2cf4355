"""What a graph computes of constants alone: folded while it is read, in NumPy, within the size of the file."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from refsim.exceptions import FormatError
from refsim.model import Array, Floats, Shape

SPARE = 64 << 20
"""Bytes that folding may take besides four times those of the file: an honest graph folds lists of sizes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantised:
    """Whole numbers and their steps: `whole` times `steps`, a scalar or one for each index of `axis`."""

    whole: Array
    steps: Floats
    axis: int

    def values(self) -> Floats:
        """The numbers that it stands for, in float64: exact, for a step is a float32 and a whole number is small."""
        steps = self.steps
        if steps.ndim:
            steps = steps.reshape([-1 if axis == self.axis else 1 for axis in range(self.whole.ndim)])
        return np.asarray(self.whole * steps)

    def transposed(self, axes: tuple[int, ...]) -> Quantised:
        """The same with its axes in another order."""
        return Quantised(whole=self.whole.transpose(axes), steps=self.steps, axis=axes.index(self.axis))


class Budget:
    """How many bytes folding may still take."""

    def __init__(self, n_bytes: int) -> None:
        self.left = 4 * n_bytes + SPARE

    def take(self, shape: Shape, itemsize: int = 8) -> None:
        """Ask for an array of this shape before it is made.

        Raises
        ------
        FormatError
            That is more than an honest file needs.
        """
        self.left -= prod(shape) * itemsize
        if min(shape, default=0) < 0 or self.left < 0:
            raise FormatError(f"constants of shape {shape} are larger than the file can need")


def quantise(x: Array, steps: Floats, zero: Array, dtype: np.dtype[Any], axis: int) -> Array:
    """QuantizeLinear: round(x / steps) + zero, half to even, within the range of the type."""
    if steps.ndim:
        steps = steps.reshape([-1 if each == axis % x.ndim else 1 for each in range(x.ndim)])
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(x / steps) + zero.astype(np.int64), limits.min, limits.max).astype(dtype))


def dequantise(x: Array, steps: Floats, zero: Array, axis: int) -> Quantised:
    """DequantizeLinear: (x - zero) steps, kept as whole numbers, of int8 if they fit."""
    axis = axis % x.ndim if x.ndim else 0
    if steps.ndim and steps.shape != (x.shape[axis],):
        raise ValueError(f"steps of shape {steps.shape} for {x.shape}")
    if zero.any():
        if zero.ndim:
            zero = zero.reshape([-1 if each == axis else 1 for each in range(x.ndim)])
        x = x.astype(np.int32) - zero.astype(np.int32)
    if x.dtype != np.int8 and x.size and x.min() >= -128 and x.max() <= 127:
        x = x.astype(np.int8)
    return Quantised(whole=x, steps=steps, axis=axis)


def broadcast(budget: Budget, *arrays: Array) -> None:
    """Ask for what an elementwise operation on these arrays gives."""
    budget.take(np.broadcast_shapes(*(each.shape for each in arrays)), max(each.itemsize for each in arrays))


def arithmetic(operation: str, a: Array, b: Array) -> Array:
    """add, sub, mul, div, min or max of two constants; whole numbers are divided as whole numbers."""
    functions = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "min": np.minimum, "max": np.maximum}
    if operation in functions:
        return np.asarray(functions[operation](a, b))
    return np.asarray(a // b if a.dtype.kind in "iu" and b.dtype.kind in "iu" else a / b)
