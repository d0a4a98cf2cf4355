"""The operators of ONNX in the terms of `build`: a table of names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Literal

import numpy as np

from refsim.exceptions import FormatError
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.build import Builder, Operation, four, pair, same_pads, single
from refsim.importers.onnx_tensors import DTYPES, Tensors
from refsim.importers.operators import Pads
from refsim.model import Pair

_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS = 1, 2, 3, 4, 6, 7
"""Types of attributes."""


class Call:
    """One node: its operands in their order, and its attributes."""

    def __init__(self, builder: Builder, tensors: Tensors, node: Any) -> None:
        self.builder = builder
        self.operands = list(node.input)
        self.out = next(name for name in node.output if name)
        readers: dict[int, Callable[[Any], Any]] = {
            _FLOAT: lambda a: a.f,
            _INT: lambda a: a.i,
            _STRING: lambda a: a.s.decode(errors="replace"),
            _TENSOR: lambda a: tensors.read(a.t),
            _FLOATS: lambda a: list(a.floats),
            _INTS: lambda a: list(a.ints),
        }
        self.attributes = {each.name: readers[each.type](each) for each in node.attribute if each.type in readers}

    def operand(self, i: int) -> str:
        """The i-th operand, which must be there."""
        if i >= len(self.operands) or not self.operands[i]:
            raise FormatError(f"operand {i} is missing")
        return str(self.operands[i])

    def optional(self, i: int) -> str | None:
        """The i-th operand, if it is there."""
        return str(self.operands[i]) if i < len(self.operands) and self.operands[i] else None

    def integers(self, i: int, attribute: str) -> list[int] | None:
        """Whole numbers from an operand, or from the attribute that was there before it."""
        name = self.optional(i)
        if name is not None:
            return self.builder.integers(name)
        value = self.attributes.get(attribute)
        return None if value is None else [int(each) for each in value]

    def text(self, attribute: str, default: str) -> str:
        """An attribute that is text."""
        return str(self.attributes.get(attribute, default))

    def number(self, attribute: str, default: float) -> float:
        """An attribute that is a number."""
        return float(self.attributes.get(attribute, default))

    def pair(self, attribute: str, default: Sequence[int] = (1, 1)) -> Pair:
        """An attribute that is two whole numbers from 1 on."""
        return pair(self.attributes.get(attribute, default))

    def pads(self) -> Pads | Literal["same", "same_lower"]:
        """Padding, said by numbers or by words."""
        word = self.text("auto_pad", "NOTSET")
        words: dict[str, Literal["same", "same_lower"]] = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower"}
        if word in words:
            return words[word]
        if word not in ("NOTSET", "VALID", ""):
            raise FormatError(f"auto_pad {shown(word)}")
        return (0, 0, 0, 0) if word == "VALID" else four(self.attributes.get("pads", (0, 0, 0, 0)))


Read = Callable[[Builder, Call], None]


def _conv(b: Builder, call: Call) -> None:
    b.conv(
        call.out,
        call.operand(0),
        call.operand(1),
        call.optional(2),
        stride=call.pair("strides"),
        pads=call.pads(),
        dilation=call.pair("dilations"),
        groups=int(call.number("group", 1)),
    )


def _gemm(b: Builder, call: Call) -> None:
    if call.number("alpha", 1) != 1 or call.number("beta", 1) != 1 or call.number("transA", 0):
        raise FormatError("alpha and beta other than 1, and transA, are not read")
    if not call.number("transB", 0):
        b.matmul(call.out, call.operand(0), call.operand(1), call.optional(2))
        return
    b.linear(call.out, call.operand(0), call.operand(1), call.optional(2))


def _batch_norm(b: Builder, call: Call) -> None:
    b.batch_norm(call.out, call.operand(0), [call.operand(i) for i in range(1, 5)], call.number("epsilon", 1e-5))


def _arithmetic(operation: Operation) -> Read:
    def read(b: Builder, call: Call) -> None:
        if len(call.operands) != 2:
            raise FormatError(f"{len(call.operands)} operands; expected two")
        b.arithmetic(operation, call.out, call.operand(0), call.operand(1))

    return read


def _clip(b: Builder, call: Call) -> None:
    low, high = call.optional(1), call.optional(2)
    b.clip(
        call.out,
        call.operand(0),
        call.number("min", -inf) if low is None else single(b.constant(low)),
        call.number("max", inf) if high is None else single(b.constant(high)),
    )


def _quantize(b: Builder, call: Call) -> None:
    zero = call.optional(2)
    value = np.zeros((), np.uint8) if zero is None else b.constant(zero)
    b.quantize(call.out, call.operand(0), call.operand(1), value, axis=int(call.number("axis", 1)))


def _dequantize(b: Builder, call: Call) -> None:
    zero = call.optional(2)
    value = None if zero is None else b.constant(zero)
    b.dequantize(call.out, call.operand(0), call.operand(1), value, axis=int(call.number("axis", 1)))


def _pool_pads(b: Builder, call: Call, kernel: Pair, stride: Pair, dilation: Pair) -> Pads:
    pads = call.pads()
    if not isinstance(pads, str):
        return pads
    _, _, h, w = b.plane(call.operand(0))
    return same_pads((h, w), kernel, stride, dilation, above=pads == "same_lower")


def _avg_pool(b: Builder, call: Call) -> None:
    kernel, stride = call.pair("kernel_shape", ()), call.pair("strides")
    if call.pair("dilations") != (1, 1):
        b.foreign(call.out, call.operands, "dilated average pools have no layer here")
        return
    pads = _pool_pads(b, call, kernel, stride, (1, 1))
    b.avg_pool(
        call.out, call.operand(0), kernel=kernel, stride=stride, pads=pads, ceil=bool(call.number("ceil_mode", 0))
    )


def _max_pool(b: Builder, call: Call) -> None:
    kernel, stride, dilation = call.pair("kernel_shape", ()), call.pair("strides"), call.pair("dilations")
    b.max_pool(
        call.out,
        call.operand(0),
        kernel=kernel,
        stride=stride,
        pads=_pool_pads(b, call, kernel, stride, dilation),
        dilation=dilation,
        ceil=bool(call.number("ceil_mode", 0)),
    )


def _global_max_pool(b: Builder, call: Call) -> None:
    _, _, h, w = b.plane(call.operand(0))
    sides = {"kernel": (h, w), "stride": (h, w), "dilation": (1, 1)}
    b.max_pool(call.out, call.operand(0), pads=(0, 0, 0, 0), ceil=False, **sides)


def _mean(b: Builder, call: Call) -> None:
    axes = call.integers(1, "axes")
    b.mean(call.out, call.operand(0), axes or (), keepdims=bool(call.number("keepdims", 1)))


def _reshape(b: Builder, call: Call) -> None:
    dims = b.integers(call.operand(1))
    b.reshape(call.out, call.operand(0), dims, zero_copies=not call.number("allowzero", 0))


def _flatten(b: Builder, call: Call) -> None:
    if int(call.number("axis", 1)) != 1:
        b.foreign(call.out, call.operands[:1], "flattens from another axis than 1")
    elif len(b.shape(call.operand(0))) < 3:
        b.alias(call.out, call.operand(0))
    else:
        b.flatten(call.out, call.operand(0), 1, -1)


def _unsqueeze(b: Builder, call: Call) -> None:
    b.unsqueeze(call.out, call.operand(0), call.integers(1, "axes") or ())


def _slice(b: Builder, call: Call) -> None:
    starts, ends = call.integers(1, "starts"), call.integers(2, "ends")
    if starts is None or ends is None:
        raise FormatError("starts or ends are missing")
    axes = call.integers(3, "axes") or list(range(len(starts)))
    steps = call.integers(4, "steps") or [1] * len(starts)
    at = call.operand(0)
    parts = list(zip(axes, starts, ends, steps, strict=True))
    for i, (axis, start, end, step) in enumerate(parts):
        out = call.out if i == len(parts) - 1 else f"{call.out} along {i}"
        b.slice(out, at, axis, start, end, step)
        at = out


def _pad(b: Builder, call: Call) -> None:
    pads = call.integers(1, "pads") or []
    n = len(b.shape(call.operand(0)))
    axes = call.integers(3, "axes") or list(range(n))
    value = call.optional(2)
    if len(pads) != 2 * len(axes):
        raise FormatError(f"{len(pads)} pads for {len(axes)} axes")
    before, after = [0] * n, [0] * n
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[len(axes) + i]
    filler = call.number("value", 0) if value is None else single(b.constant(value))
    b.pad(call.out, call.operand(0), before, after, value=filler, mode=call.text("mode", "constant"))


def _constant(b: Builder, call: Call) -> None:
    types = {"value_float": np.float32, "value_int": np.int64, "value_floats": np.float32, "value_ints": np.int64}
    if "value" in call.attributes:
        b.put(call.out, call.attributes["value"])
        return
    key = next((key for key in types if key in call.attributes), None)
    if key is None:
        raise FormatError("a constant of a kind that is not read")
    b.put(call.out, np.array(call.attributes[key], types[key]))


def _constant_of_shape(b: Builder, call: Call) -> None:
    value = call.attributes.get("value", np.zeros(1, np.float32))
    b.full(call.out, b.integers(call.operand(0)), value)


def _cast(b: Builder, call: Call) -> None:
    code = int(call.number("to", 0))
    if code not in DTYPES:
        raise FormatError(f"casts to number type {code}")
    b.cast(call.out, call.operand(0), np.dtype("f4" if code == 16 else DTYPES[code]))


def _shape(b: Builder, call: Call) -> None:
    end = call.attributes.get("end")
    b.shape_of(call.out, call.operand(0), int(call.number("start", 0)), None if end is None else int(end))


def _same(b: Builder, call: Call) -> None:
    b.alias(call.out, call.operand(0))


def _softmax(b: Builder, call: Call) -> None:
    b.softmax(call.out, call.operand(0))


OPERATORS: dict[str, Read] = {
    "Add": _arithmetic("add"),
    "AveragePool": _avg_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda b, c: b.concat(c.out, c.operands, int(c.number("axis", 0))),
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "DequantizeLinear": _dequantize,
    "Div": _arithmetic("div"),
    "Dropout": _same,
    "Flatten": _flatten,
    "Floor": lambda b, c: b.floor(c.out, c.operand(0)),
    "Gather": lambda b, c: b.gather(c.out, c.operand(0), c.operand(1), int(c.number("axis", 0))),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda b, c: b.mean(c.out, c.operand(0), (2, 3), keepdims=True),
    "GlobalMaxPool": _global_max_pool,
    "Identity": _same,
    "LogSoftmax": _softmax,
    "MatMul": lambda b, c: b.matmul(c.out, c.operand(0), c.operand(1)),
    "Max": _arithmetic("max"),
    "MaxPool": _max_pool,
    "Min": _arithmetic("min"),
    "Mul": _arithmetic("mul"),
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "ReduceMean": _mean,
    "Relu": lambda b, c: b.clip(c.out, c.operand(0), 0.0, inf),
    "Reshape": _reshape,
    "Round": lambda b, c: b.floor(c.out, c.operand(0), nearest=True),
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Squeeze": lambda b, c: b.squeeze(c.out, c.operand(0), c.integers(1, "axes")),
    "Sub": _arithmetic("sub"),
    "Transpose": lambda b, c: b.transpose(c.out, c.operand(0), c.attributes.get("perm")),
    "Unsqueeze": _unsqueeze,
}
