"""Operators of single elements: arithmetic with constants, bounds, rounding, quantisers."""

from __future__ import annotations

from math import inf
from typing import Literal

import numpy as np

from refsim.exceptions import FormatError
from refsim.importers.build import constants
from refsim.importers.build.values import Values, per_channel, single
from refsim.importers.operators import (
    Add,
    Affine,
    Clip,
    Dequantize,
    Floor,
    Quantize,
    Softmax,
)
from refsim.model import Array, Floats

Operation = Literal["add", "sub", "mul", "div", "min", "max"]


class Elementwise(Values):
    """Arithmetic, bounds, rounding, quantisers."""

    def arithmetic(self, operation: Operation, out: str, a: str, b: str) -> None:
        """An operation on two values."""
        if self.is_constant(a, b):
            left, right = self.constant(a), self.constant(b)
            constants.broadcast(self.budget, left, right)
            self.put(out, constants.arithmetic(operation, left, right))
        elif not self.is_constant(a) and not self.is_constant(b):
            self._of_two(operation, out, a, b)
        elif self.is_constant(b) or operation in ("add", "mul", "min", "max"):
            self._with_constant(operation, out, *((a, b) if self.is_constant(b) else (b, a)))
        elif operation == "sub":  # c - x
            minus, shape = self._emit_affine(None, b, "mul", np.array([-1.0])), self.shape(b)
            self._emit_affine(out, minus, "add", per_channel(self.constant(a), shape))
        else:
            self.foreign(out, (b,), "a constant divided by an activation has no spiking counterpart")

    def _of_two(self, operation: Operation, out: str, a: str, b: str) -> None:
        shape, other = self.shape(a), self.shape(b)
        if operation == "add" and shape == other:
            self._emit(Add, out, (a, b), shape)
        elif operation == "add":
            self.foreign(out, (a, b), f"a sum of shapes {shape} and {other}; only equal shapes are added")
        elif operation == "mul":
            why = (
                "product of two activations (squeeze-and-excitation, gates), which spikes do not compute; train without"
            )
            self.foreign(out, (a, b), why, np.broadcast_shapes(shape, other))
        else:
            self.foreign(out, (a, b), f"{operation} of two activations has no spiking counterpart")

    def _with_constant(self, operation: Operation, out: str, x: str, c: str) -> None:
        value = self.constant(c)
        if operation in ("min", "max") and value.size > 1:
            self.foreign(out, (x,), "a bound for each channel or position; one for a layer is read", self.shape(x))
        elif operation == "min":
            self.clip(out, x, -inf, single(value))
        elif operation == "max":
            self.clip(out, x, single(value), inf)
        else:
            self._emit_affine(out, x, operation, per_channel(value, self.shape(x)))

    def _emit_affine(
        self, out: str | None, x: str, operation: Literal["add", "sub", "mul", "div"], value: Floats
    ) -> str:
        return self._emit(Affine, out, (x,), self.shape(x), operation=operation, value=value)

    def clip(self, out: str, x: str, low: float, high: float) -> None:
        """clip(x, low, high)."""
        if self.is_constant(x):
            value = self.constant(x)
            self.budget.take(value.shape)
            self.put(out, np.clip(value, low, high) if value.dtype.kind == "f" else _clip_whole(value, low, high))
        elif np.isnan(low) or np.isnan(high) or low > high:
            raise FormatError(f"bounds {low} and {high}")
        else:
            self._emit(Clip, out, (x,), self.shape(x), low=low, high=high)

    def floor(self, out: str, x: str, *, nearest: bool = False) -> None:
        """The whole number below, or the nearest."""
        self._emit(Floor, out, (x,), self.shape(x), nearest=nearest)

    def quantize(self, out: str, x: str, step: str, zero: Array, *, axis: int) -> None:
        """QuantizeLinear: the type of the zero point is that of the result."""
        steps = self.constant(step).astype(np.float64)
        if not (np.isfinite(steps).all() and (steps > 0).all()):
            raise FormatError("its scale must be positive and finite")
        if zero.dtype.kind not in "iu" or zero.dtype.itemsize > 4:
            raise FormatError(f"quantises to {zero.dtype}; whole numbers of 8 to 32 bits are read")
        if self.is_constant(x):
            self.budget.take(self.shape(x))
            self.put(out, constants.quantise(self.constant(x), steps, zero, zero.dtype, axis))
            return
        limits = np.iinfo(zero.dtype)
        self._emit(
            Quantize,
            out,
            (x,),
            self.shape(x),
            step=single(steps),
            zero=int(single(zero)),
            low=int(limits.min),
            high=int(limits.max),
        )

    def dequantize(self, out: str, x: str, step: str, zero: Array | None, *, axis: int) -> None:
        """DequantizeLinear."""
        steps = self.constant(step).astype(np.float64)
        zero = np.zeros((), np.int64) if zero is None else zero
        if self.is_constant(x):
            whole = self.constant(x)
            if whole.dtype.kind not in "iu":
                raise FormatError(f"dequantises {whole.dtype}; expected whole numbers")
            self.put(out, constants.dequantise(whole, steps, zero, axis))
        else:
            self._emit(Dequantize, out, (x,), self.shape(x), step=single(steps), zero=int(single(zero)))

    def softmax(self, out: str, x: str) -> None:
        """Softmax, or its logarithm."""
        self._emit(Softmax, out, (x,), self.shape(x))


def _clip_whole(value: Array, low: float, high: float) -> Array:
    limits = np.iinfo(value.dtype)
    bounds = (int(max(low, limits.min)), int(min(high, limits.max)))
    return np.clip(value, *bounds).astype(value.dtype)
