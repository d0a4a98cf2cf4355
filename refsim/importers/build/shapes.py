"""Operators that change shapes, of activations and of constants; and those of constants alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from refsim.exceptions import FormatError
from refsim.formats.untrusted.text import clean
from refsim.importers.build.constants import Quantised
from refsim.importers.build.values import Tensor, Values
from refsim.importers.operators import (
    Flatten,
    Pad,
    Slice,
)
from refsim.model import Array, Shape


class Shapes(Values):
    """Reshaping, slicing, padding, and what is made of constants."""

    def reshape(self, out: str, x: str, dims: Sequence[int], *, zero_copies: bool) -> None:
        """Another shape of the same elements; one of them may be -1."""
        shape = self.shape(x)
        wanted = [shape[i] if n == 0 and zero_copies else int(n) for i, n in enumerate(dims)]
        if wanted.count(-1) == 1:
            wanted[wanted.index(-1)] = prod(shape) // -prod(wanted)
        if prod(wanted) != prod(shape) or min(wanted, default=0) < 0:
            raise FormatError(f"{shape} cannot become {tuple(dims)}")
        new = tuple(wanted)
        if self.is_constant(x):
            self.put(out, self.constant(x).reshape(new))
        elif new == shape:
            self.alias(out, x)
        elif len(shape) == 4 and _without_ones(new) == (shape[0], prod(shape[1:])):
            self._emit(Flatten, out, (x,), new)
        elif len(shape) != 4 and len(new) != 4 and _without_ones(new) == _without_ones(shape):
            self.values[out] = Tensor(self._tensor(x), new)
        else:
            self.foreign(out, (x,), f"{shape} becomes {new}; activations are flattened, and not reshaped")

    def flatten(self, out: str, x: str, start: int, end: int) -> None:
        """Join the axes from start to end, both included."""
        shape = self.shape(x)
        start, end = start % len(shape), end % len(shape)
        self.reshape(out, x, (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]), zero_copies=False)

    def squeeze(self, out: str, x: str, axes: Sequence[int] | None) -> None:
        """Without the axes of one element named, or all of them."""
        shape = self.shape(x)
        gone = range(len(shape)) if axes is None else [axis % len(shape) for axis in axes]
        kept = [n for i, n in enumerate(shape) if i not in gone or n != 1]
        self.reshape(out, x, kept, zero_copies=False)

    def unsqueeze(self, out: str, x: str, axes: Sequence[int]) -> None:
        """With axes of one element put in."""
        shape = list(self.shape(x))
        if len(axes) > 8:
            raise FormatError("more than eight axes")
        for axis in sorted(each % (len(shape) + len(axes)) for each in axes):
            shape.insert(axis, 1)
        self.reshape(out, x, shape, zero_copies=False)

    def transpose(self, out: str, x: str, axes: Sequence[int] | None) -> None:
        """The axes in another order; None: reversed."""
        n = len(self.shape(x))
        order = tuple(axis % n for axis in axes) if axes is not None else tuple(range(n))[::-1]
        if sorted(order) != list(range(n)):
            raise FormatError(f"{axes} is no order of {n} axes")
        value = self.values[x]
        if isinstance(value, Quantised):
            self.put(out, value.transposed(order))
        elif isinstance(value, Tensor):
            if order == tuple(range(n)):
                self.alias(out, x)
            else:
                self.foreign(out, (x,), "activations whose axes change places have no layer here")
        else:
            self.put(out, value.transpose(order))

    def slice(self, out: str, x: str, axis: int, start: int, stop: int, step: int) -> None:
        """x[start:stop:step] along one axis."""
        shape = self.shape(x)
        axis %= len(shape)
        start, stop, step = slice(start, stop, step).indices(shape[axis])
        if self.is_constant(x):
            self.put(out, self.constant(x)[(slice(None),) * axis + (slice(start, stop if stop >= 0 else None, step),)])
        elif (start, stop, step) == (0, shape[axis], 1):
            self.alias(out, x)
        elif axis == 0 or step < 0 or stop <= start:
            self.foreign(out, (x,), "only channels, rows and columns are sliced, forwards")
        else:
            new = (*shape[:axis], -(-(stop - start) // step), *shape[axis + 1 :])
            self._emit(Slice, out, (x,), new, axis=axis, start=start, stop=stop, step=step)

    def pad(self, out: str, x: str, before: Sequence[int], after: Sequence[int], *, value: float, mode: str) -> None:
        """Zeros before and behind every axis."""
        b, c, h, w = self.plane(x)
        if not any((*before, *after)):
            self.alias(out, x)
        elif value != 0 or mode != "constant":
            what = f"padding with {value:g}" if mode == "constant" else f"{clean(mode, 20)} padding"
            self.foreign(out, (x,), f"{what}; only zeros are padded")
        elif min(*before, *after) < 0 or before[0] or after[0] or len(before) != 4:
            self.foreign(out, (x,), "only channels, rows and columns are padded, and never cut")
        else:
            pads = (before[2], before[3], after[2], after[3])
            shape = (b, c + before[1] + after[1], h + pads[0] + pads[2], w + pads[1] + pads[3])
            self._emit(Pad, out, (x,), shape, channels=(before[1], after[1]), pads=pads)

    def concat(self, out: str, parts: Sequence[str], axis: int) -> None:
        """Join constants along an axis."""
        if not self.is_constant(*parts):
            self.foreign(out, parts, "activations that are joined have no layer here; add them")
            return
        arrays = [self.constant(part) for part in parts]
        for each in arrays:
            self.budget.take(each.shape)
        self.put(out, np.concatenate(arrays, axis))

    def gather(self, out: str, x: str, indices: str, axis: int) -> None:
        """Elements of a constant by their numbers."""
        if not self.is_constant(x, indices):
            self.foreign(out, (x, indices), "only constants are gathered")
            return
        numbers = self.constant(indices)
        self.budget.take((*self.shape(x), numbers.size))
        self.put(out, np.asarray(np.take(self.constant(x), numbers, axis)))

    def shape_of(self, out: str, x: str, start: int = 0, end: int | None = None) -> None:
        """The shape, as a constant: it is that of the export."""
        self.put(out, np.array(self.shape(x)[start:end], np.int64))

    def cast(self, out: str, x: str, dtype: np.dtype[Any]) -> None:
        """Another type: of activations, only among floats."""
        if self.is_constant(x):
            self.budget.take(self.shape(x))
            self.put(out, self.constant(x).astype(dtype))
        elif dtype.kind == "f":
            self.alias(out, x)
        else:
            self.foreign(out, (x,), f"activations become {dtype}")

    def full(self, out: str, dims: Sequence[int], value: Array) -> None:
        """A constant of one value."""
        self.budget.take(tuple(dims))
        self.put(out, np.full(tuple(dims), value.reshape(-1)[0]))


def _without_ones(shape: Shape) -> Shape:
    """A shape without axes of one element behind the first two, (B, N, 1) as (B, N)."""
    return (*shape[:2], *(n for n in shape[2:] if n != 1))
