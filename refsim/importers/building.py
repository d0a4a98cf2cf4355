"""Filling an operator graph: what operators mean, whatever a file calls them; constants folded, shapes tracked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any, Literal, TypeVar

import numpy as np

from refsim.exceptions import FormatError
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown
from refsim.importers import constants
from refsim.importers.constants import Budget, Quantised
from refsim.importers.operators import (
    Add,
    Affine,
    AnyNode,
    AvgPool,
    BatchNorm,
    Clip,
    Conv,
    Dequantize,
    Flatten,
    Floor,
    Foreign,
    Graph,
    Linear,
    MaxPool,
    Node,
    Pad,
    Pads,
    Quantize,
    Site,
    Slice,
    Softmax,
)
from refsim.model import Array, Floats, Pair, Shape

MALFORMED = (
    ArithmeticError, AttributeError, IndexError, KeyError, MemoryError, RecursionError, TypeError, ValueError,
)  # fmt: skip
"""What operands and attributes of a damaged graph raise: found by changing bytes."""

MAX_SIDE = 1 << 20
"""As a weight file has it: of a shape, and of every integer pair."""

Operation = Literal["add", "sub", "mul", "div", "min", "max"]
N = TypeVar("N", bound=Node)


@dataclass(frozen=True)
class Tensor:
    """A value that depends on the image; its shape, None behind a node that has no counterpart."""

    name: str
    shape: Shape | None


Value = Array | Quantised | Tensor

_NO_COUNTERPART = "no spiking counterpart; fine-tune with ReLU or QCFS in its place"
_WHY = {
    "leaky": _NO_COUNTERPART, "elu": _NO_COUNTERPART, "gelu": _NO_COUNTERPART, "silu": _NO_COUNTERPART,
    "swish": _NO_COUNTERPART, "sigmoid": _NO_COUNTERPART, "tanh": _NO_COUNTERPART, "mish": _NO_COUNTERPART,
    "softplus": _NO_COUNTERPART, "erf": _NO_COUNTERPART, "exp": _NO_COUNTERPART,
    "layer_norm": "its statistics depend on the input; train with batch normalisation",
    "layernormal": "its statistics depend on the input; train with batch normalisation",
    "group_norm": "its statistics depend on the input; train with batch normalisation",
    "groupnormal": "its statistics depend on the input; train with batch normalisation",
    "instance": "its statistics depend on the input; train with batch normalisation",
    "attention": "attention has no spiking counterpart here",
    "lstm": "recurrent layers are not simulated", "gru": "recurrent layers are not simulated",
    "gathernd": "written by exporters for adaptive pools with windows of unequal position; give the pool a size that "
    "divides its input",
    "transpose": "transposed convolutions are not simulated",
    "cat": "activations that are joined have no layer here; add them",
}  # fmt: skip
_ELEMENTWISE = ("leaky", "elu", "silu", "swish", "sigmoid", "tanh", "mish", "softplus", "erf", "exp")


class Builder:
    """The values so far by their names in the file, and the nodes.

    Every operator is a method that takes the name of its result, the names of what it reads, and attributes; what it
    reads may be constant, and if all of it is, so is the result. `site` is the node that is being read.

    Parameters
    ----------
    where
        The file, for messages.
    n_bytes
        Its size: what folding may take follows from it.
    """

    def __init__(self, where: str, n_bytes: int) -> None:
        self.where = where
        self.budget = Budget(n_bytes)
        self.values: dict[str, Value] = {}
        self.nodes: list[AnyNode] = []
        self.site = Site(name="", kind="")
        self._image = Tensor("", ())
        self._n_values = 0

    # -- reading a file ------------------------------------------------------------------------------------

    def place(self, site: Site, inputs: Sequence[str], outputs: Sequence[str], make: Callable[[], object]) -> None:
        """Read one node; behind what has no counterpart and no known shape, nothing is known.

        Raises
        ------
        FormatError
            It reads what is not there, gives what is there already, or its attributes or operands do not fit.
        """
        self.site = site
        for name in inputs:
            if name not in self.values:
                raise FormatError(f"{self.where}: {site}: reads {shown(name)}, which nothing before it gives")
        for name in outputs:
            if name in self.values:
                raise FormatError(f"{self.where}: {site}: gives {shown(name)}, which is there already")
        read = [self.values[name] for name in inputs]
        if any(isinstance(each, Tensor) and each.shape is None for each in read):
            for name in outputs:
                self.values[name] = Tensor(name, None)
            return
        try:
            make()
        except FormatError as error:
            raise FormatError(f"{self.where}: {site}: {error}") from error
        except MALFORMED as error:
            reason = clean(str(error)).strip() or type(error).__name__
            raise FormatError(f"{self.where}: {site}: attributes or operands that do not fit ({reason})") from error

    def image(self, name: str, shape: Shape) -> None:
        """The value that is the image, (B, C, H, W)."""
        if len(shape) != 4 or not all(0 < n <= MAX_SIDE for n in shape):
            raise FormatError(f"{self.where}: the input {shown(name)} has shape {shape}; expected images (B, C, H, W)")
        self.values[name] = self._image = Tensor(name, shape)

    def graph(self, output: str, notes: Sequence[str] = ()) -> Graph:
        """The finished graph.

        Raises
        ------
        FormatError
            Its output does not depend on the image, or is not there.
        """
        value = self.values.get(output)
        if not isinstance(value, Tensor):
            raise FormatError(f"{self.where}: the output {shown(output)} does not depend on the image")
        shape = self._image.shape
        assert shape is not None
        return Graph(
            nodes=tuple(self.nodes), image=self._image.name, image_shape=shape, output=value.name, notes=tuple(notes)
        )

    # -- values --------------------------------------------------------------------------------------------

    def put(self, name: str, value: Array | Quantised) -> None:
        """A constant."""
        self.values[name] = value

    def alias(self, out: str, x: str) -> None:
        """An operator that changes nothing."""
        self.values[out] = self.values[x]

    def constant(self, name: str) -> Array:
        """The value of an operand that must be constant."""
        value = self.values[name]
        if isinstance(value, Tensor):
            raise FormatError(f"operand {shown(name)} is computed from the image; only constants are read here")
        return value.values() if isinstance(value, Quantised) else value

    def integers(self, name: str) -> list[int]:
        """The numbers of an operand that must be a constant list of whole numbers."""
        value = self.constant(name)
        if value.dtype.kind not in "iu" or value.size > 64:
            raise FormatError(f"operand {shown(name)} is not a short list of whole numbers")
        return [int(each) for each in value.ravel()]

    def is_constant(self, *names: str) -> bool:
        """Whether none of these values depends on the image."""
        return not any(isinstance(self.values[name], Tensor) for name in names)

    def shape(self, x: str) -> Shape:
        """The shape of a value."""
        value = self.values[x]
        if isinstance(value, Tensor):
            assert value.shape is not None, "place() has seen to it"
            return value.shape
        return (value.whole if isinstance(value, Quantised) else value).shape

    def plane(self, x: str) -> tuple[int, int, int, int]:
        """The shape of a value that must be (B, C, H, W)."""
        shape = self.shape(x)
        if len(shape) != 4:
            raise FormatError(f"reads (B, C, H, W), got {shape}")
        return shape[0], shape[1], shape[2], shape[3]

    def weights(self, name: str) -> tuple[Array, Floats | None]:
        """Weights as they are stored, and the steps (C_out,) of whole numbers."""
        value = self.values[name]
        if isinstance(value, Quantised) and (value.axis == 0 or not value.steps.ndim):
            steps = np.broadcast_to(value.steps, value.whole.shape[:1]).astype(np.float64)
            return np.ascontiguousarray(value.whole), steps
        weight = self.constant(name)
        if weight.dtype.kind != "f":
            raise FormatError(f"weight {shown(name)} holds {weight.dtype}, expected floats")
        return np.ascontiguousarray(weight), None

    def bias(self, name: str | None, n: int) -> Array | None:
        """A bias (n,), if there is one."""
        if name is None:
            return None
        return np.broadcast_to(self.constant(name).reshape(-1).astype(np.float64), (n,))

    def _tensor(self, x: str) -> str:
        value = self.values[x]
        if not isinstance(value, Tensor):
            raise FormatError(f"operand {shown(x)} is a constant; expected what is computed from the image")
        return value.name

    def _emit(self, kind: Callable[..., N], out: str | None, inputs: Sequence[str], shape: Shape, **fields: Any) -> str:
        """Add a node; without a name for its value, it is one step on the way to another."""
        if not all(0 < n <= MAX_SIDE for n in shape[1:]):
            raise FormatError(f"would give the shape {shape}")
        self._n_values += 1
        name = f"{self._n_values}" if out is None else f"{self._n_values}:{out}"
        node = kind(site=self.site, inputs=tuple(self._tensor(x) for x in inputs), output=name, shape=shape, **fields)
        self.nodes.append(node)  # type: ignore[arg-type]
        self.values[name if out is None else out] = Tensor(name, shape)
        return name if out is None else out

    def foreign(self, out: str, inputs: Sequence[str], why: str = "", shape: Shape | None = None) -> None:
        """An operator that has no counterpart; the reason is found by its name if none is given."""
        kind = self.site.kind.lower()
        tensors = [x for x in inputs if isinstance(self.values[x], Tensor)]
        if not tensors:
            raise FormatError("is not computed, not even of constants")
        if not why:
            why = next((text for key, text in _WHY.items() if key in kind), "not simulated")
        if shape is None and any(key in kind for key in _ELEMENTWISE):
            shape = self.shape(tensors[0])
        self._emit(Foreign, out, tensors, shape or (1, 1), why=why)
        if shape is None:
            self.values[out] = Tensor(out, None)

    # -- linear maps ---------------------------------------------------------------------------------------

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

    # -- elementwise ---------------------------------------------------------------------------------------

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

    # -- pools ---------------------------------------------------------------------------------------------

    def avg_pool(
        self, out: str, x: str, *, kernel: Sequence[int], stride: Sequence[int], pads: Pads, ceil: bool
    ) -> None:
        """Average pooling."""
        b, c, h, w = self.plane(x)
        kernel, stride = pair(kernel), pair(stride)
        if kernel == (1, 1) and stride == (1, 1) and not any(pads):
            self.alias(out, x)
        elif any(pads):
            self.foreign(out, (x,), "average pools with padding have windows of unequal size; pool without padding")
        elif ceil and any((n - k) % s for n, k, s in zip((h, w), kernel, stride)):
            self.foreign(out, (x,), "ceil_mode cuts windows at the border; pool without it")
        else:
            shape = (b, c, *((n - k) // s + 1 for n, k, s in zip((h, w), kernel, stride)))
            self._emit(AvgPool, out, (x,), shape, kernel=kernel, stride=stride)

    def adaptive_avg_pool(self, out: str, x: str, size: Sequence[int | None]) -> None:
        """Average pooling to a given size; None keeps it."""
        _, _, h, w = self.plane(x)
        wanted = [n if k is None else k for n, k in zip((h, w), size, strict=True)]
        if any(k < 1 or n % k for n, k in zip((h, w), wanted)):
            self.foreign(
                out,
                (x,),
                f"adaptive average pool {(h, w)} to {tuple(wanted)}: windows of unequal position; give it a size that "
                "divides its input",
            )
            return
        kernel = (h // wanted[0], w // wanted[1])
        self.avg_pool(out, x, kernel=kernel, stride=kernel, pads=(0, 0, 0, 0), ceil=False)

    def max_pool(
        self,
        out: str,
        x: str,
        *,
        kernel: Sequence[int],
        stride: Sequence[int],
        pads: Pads,
        dilation: Sequence[int],
        ceil: bool,
    ) -> None:
        """Maximum pooling."""
        b, c, h, w = self.plane(x)
        kernel, stride, dilation = pair(kernel), pair(stride), pair(dilation)
        rest = [n + pads[i] + pads[i + 2] - dilation[i] * (kernel[i] - 1) - 1 for i, n in enumerate((h, w))]
        if pads[:2] != pads[2:]:
            self.foreign(
                out, (x,), f"a max pool padded unequally, {pads} (top, left, bottom, right), has no layer here"
            )
        elif ceil and any(n % s for n, s in zip(rest, stride)):
            self.foreign(out, (x,), "ceil_mode cuts windows at the border; pool without it")
        else:
            shape = (b, c, *(n // s + 1 for n, s in zip(rest, stride)))
            self._emit(MaxPool, out, (x,), shape, kernel=kernel, stride=stride, padding=pads[:2], dilation=dilation)

    def mean(self, out: str, x: str, axes: Sequence[int], *, keepdims: bool) -> None:
        """The mean over the whole plane."""
        _, _, h, w = self.plane(x)
        if sorted(axis % 4 for axis in axes) != [2, 3]:
            self.foreign(out, (x,), f"mean over the axes {tuple(axes)}; only over height and width")
            return
        pooled = out if keepdims else f"{out} before flatten"
        self.avg_pool(pooled, x, kernel=(h, w), stride=(h, w), pads=(0, 0, 0, 0), ceil=False)
        if not keepdims:
            self.flatten(out, pooled, 1, -1)

    # -- shapes --------------------------------------------------------------------------------------------

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
        elif len(shape) == 4 and new == (shape[0], prod(shape[1:])):
            self._emit(Flatten, out, (x,), new)
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

    # -- constants -----------------------------------------------------------------------------------------

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


def pair(values: Sequence[int]) -> Pair:
    """Two whole numbers, of which one may stand for both."""
    numbers = [int(each) for each in values]
    numbers = numbers * 2 if len(numbers) == 1 else numbers
    if len(numbers) != 2 or not all(0 < n <= MAX_SIDE for n in numbers):
        raise FormatError(f"expected two whole numbers from 1 to 2^20, got {numbers[:8]}")
    return numbers[0], numbers[1]


def four(values: Sequence[int]) -> Pads:
    """Padding: top, left, bottom, right."""
    numbers = [int(each) for each in values]
    if len(numbers) != 4 or not all(0 <= n <= MAX_SIDE for n in numbers):
        raise FormatError(f"expected four whole numbers of padding, got {numbers[:8]}")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def same_pads(sides: Pair, kernel: Sequence[int], stride: Pair, dilation: Pair, *, above: bool) -> Pads:
    """Padding by which ceil(n / stride) windows fit; an odd row goes below, or above."""
    total = [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in zip(sides, kernel, stride, dilation)]
    less, more = [each // 2 for each in total], [each - each // 2 for each in total]
    return (more[0], more[1], less[0], less[1]) if above else (less[0], less[1], more[0], more[1])


def single(value: Array) -> float:
    """The one value of a constant."""
    if value.size != 1:
        raise FormatError(f"expected one value, got {value.size}; values for each channel are not read here")
    return float(value.reshape(-1)[0])


def per_channel(value: Array, shape: Shape) -> Floats:
    """A constant that is broadcast over (B, C, ...) as one value (1,), or one for each channel (C,)."""
    sizes = (1,) * (len(shape) - value.ndim) + value.shape
    if len(sizes) != len(shape) or any(n != 1 for i, n in enumerate(sizes) if i != 1) or sizes[1] not in (1, shape[1]):
        raise FormatError(f"a constant of shape {value.shape} is not one value, or one for each channel of {shape}")
    flat = value.reshape(-1).astype(np.float64)
    if not np.isfinite(flat).all():
        raise FormatError("a constant that is not finite")
    return flat


def _clip_whole(value: Array, low: float, high: float) -> Array:
    limits = np.iinfo(value.dtype)
    bounds = (int(max(low, limits.min)), int(min(high, limits.max)))
    return np.clip(value, *bounds).astype(value.dtype)
