"""The operators of torch.export, decomposed or not, in the terms of `build`: a table of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from refsim.exceptions import FormatError
from refsim.formats.untrusted.unpickler import shown
from refsim.importers.build import Builder, Operation, four
from refsim.model import Array

_DTYPES = {6: "f2", 7: "f4", 8: "f8", 13: "f4"}
"""What activations may be cast to."""


class Call:
    """One node: its arguments by the names that the schema of its operator gives them.

    An argument is an object of one key that says its type, {"as_int": 2}; one that is left out has the default of the
    operator.
    """

    def __init__(self, builder: Builder, node: Mapping[str, Any]) -> None:
        self.builder = builder
        target = str(node["target"])
        self.target = target.removeprefix("torch.ops.").removeprefix("aten.")
        self.kind = self.target.split(".")[0]
        self.arguments: dict[str, Mapping[str, Any]] = {each["name"]: each["arg"] for each in node["inputs"]}
        self.outputs = [each[key]["name"] for each in node["outputs"] for key in ("as_tensor",) if key in each]
        self.outputs += [
            each["as_sym_int"]["as_name"] for each in node["outputs"] if "as_name" in each.get("as_sym_int", {})
        ]
        self.out = self.outputs[0] if self.outputs else ""
        self.name = str(node.get("name") or self.out)
        self.inputs = [
            value["name"]
            for each in self.arguments.values()
            for value in _named(each)
            if isinstance(value["name"], str)
        ]

    def has(self, name: str) -> bool:
        """Whether the argument is there, and not None."""
        return name in self.arguments and "as_none" not in self.arguments[name]

    def tensor(self, name: str) -> str:
        """A tensor, or a number as a constant."""
        argument = self.arguments[name]
        if "as_tensor" in argument:
            return str(argument["as_tensor"]["name"])
        label = f"{self.out}.{name}"
        self.builder.put(label, np.array(self.number(name)))
        return label

    def optional(self, name: str) -> str | None:
        """A tensor, if there is one."""
        return self.tensor(name) if self.has(name) else None

    def number(self, name: str, default: float | None = None) -> float:
        """A number."""
        if not self.has(name):
            if default is None:
                raise FormatError(f"argument {shown(name)} is missing")
            return default
        ((key, value),) = self.arguments[name].items()
        if key not in ("as_int", "as_float", "as_bool"):
            raise FormatError(f"argument {shown(name)} is given {shown(key)}, expected a number")
        return float(value) if key == "as_float" else int(value)

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        symbol = self.arguments[name].get("as_sym_int") if self.has(name) else None
        if symbol is not None:
            return self._symbol(symbol)
        return int(self.number(name, default))

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """Whole numbers; of sizes that were left open, those of the example."""
        if not self.has(name):
            if default is None:
                raise FormatError(f"argument {shown(name)} is missing")
            return list(default)
        ((key, value),) = self.arguments[name].items()
        if key == "as_int":
            return [int(value)]
        if key == "as_ints":
            return [int(each) for each in value]
        if key == "as_sym_ints":
            return [self._symbol(each) for each in value]
        raise FormatError(f"argument {shown(name)} is given {shown(key)}, expected whole numbers")

    def _symbol(self, value: Mapping[str, Any]) -> int:
        if "as_int" in value:
            return int(value["as_int"])
        (number,) = self.builder.integers(str(value["as_name"]))
        return number


def _named(argument: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tensors that an argument names."""
    if "as_tensor" in argument:
        return [argument["as_tensor"]]
    if "as_tensors" in argument:
        return list(argument["as_tensors"])
    return []


def is_known(call: Call) -> bool:
    """Whether the operator is one that is read; in place or not."""
    return call.kind.removesuffix("_") in _OPERATORS


def read_operator(call: Call) -> None:
    """Add what a node does to the graph; without a counterpart, that."""
    in_place = call.kind.endswith("_")
    read = _OPERATORS.get(call.kind.removesuffix("_"))
    if read is None:
        joined = "activations that are joined have no layer here; add them" if call.kind == "cat" else ""
        call.builder.foreign(call.out, call.inputs, joined)
        return
    read(call.builder, call)
    if in_place:  # the tensor that it read holds the result from now on
        call.builder.values[call.inputs[0]] = call.builder.values[call.out]


def _convolution(b: Builder, call: Call) -> None:
    if call.number("transposed", 0):
        b.foreign(call.out, call.inputs, "transposed convolutions are not simulated")
        return
    padding: Any
    if "as_string" in call.arguments.get("padding", {}):
        padding = "same" if call.arguments["padding"]["as_string"] == "same" else (0, 0, 0, 0)
    else:
        padding = _symmetric(call.integers("padding", (0, 0)))
    b.conv(
        call.out,
        call.tensor("input"),
        call.tensor("weight"),
        call.optional("bias"),
        stride=call.integers("stride", (1, 1)),
        pads=padding,
        dilation=call.integers("dilation", (1, 1)),
        groups=call.integer("groups", 1),
    )


def _symmetric(padding: Sequence[int]) -> tuple[int, int, int, int]:
    rows, columns = (padding[0], padding[-1]) if len(padding) == 1 else padding
    return four((rows, columns, rows, columns))


def _batch_norm(b: Builder, call: Call) -> None:
    if call.number("training", 0):
        raise FormatError("is in training mode; call model.eval() before the export")
    parameters = [call.optional(name) for name in ("weight", "bias", "running_mean", "running_var")]
    if parameters[2] is None or parameters[3] is None:
        raise FormatError("has no running statistics; train with them")
    b.batch_norm(call.out, call.tensor("input"), parameters, call.number("eps"))


def _arithmetic(operation: Operation) -> Callable[[Builder, Call], None]:
    def read(b: Builder, call: Call) -> None:
        other, out = call.tensor("other"), call.out
        if call.number("alpha", 1) != 1:
            b.put(f"{out}.alpha", np.array(call.number("alpha")))
            b.arithmetic("mul", f"{out}.scaled", other, f"{out}.alpha")
            other = f"{out}.scaled"
        if "as_string" not in call.arguments.get("rounding_mode", {}):
            b.arithmetic(operation, out, call.tensor("self"), other)
            return
        b.arithmetic(operation, f"{out}.exact", call.tensor("self"), other)
        if call.arguments["rounding_mode"]["as_string"] != "floor":
            raise FormatError("rounds towards zero; only floor is read")
        b.floor(out, f"{out}.exact")

    return read


def _clamp(low: tuple[str, float], high: tuple[str, float]) -> Callable[[Builder, Call], None]:
    def read(b: Builder, call: Call) -> None:
        bounds = []
        for name, default in (low, high):
            argument = call.arguments.get(name, {})
            is_tensor = "as_tensor" in argument
            bounds.append(
                float(b.constant(call.tensor(name)).reshape(-1)[0]) if is_tensor and _one(b, call, name)
                else call.number(name, default)
            )  # fmt: skip
        b.clip(call.out, call.tensor("self"), *bounds)

    return read


def _one(b: Builder, call: Call, name: str) -> bool:
    value: Array = b.constant(call.tensor(name))
    if value.size != 1:
        raise FormatError(f"argument {shown(name)} has {value.size} values; expected one")
    return True


def _avg_pool(b: Builder, call: Call) -> None:
    kernel = call.integers("kernel_size")
    if call.has("divisor_override"):
        b.foreign(call.out, call.inputs, "divides by another number than its window's size")
        return
    pads = _symmetric(call.integers("padding", (0, 0)))
    stride = call.integers("stride", ()) or kernel
    ceil = bool(call.number("ceil_mode", 0))
    b.avg_pool(call.out, call.tensor("self"), kernel=kernel, stride=stride, pads=pads, ceil=ceil)


def _max_pool(b: Builder, call: Call) -> None:
    kernel = call.integers("kernel_size")
    b.max_pool(
        call.out,
        call.tensor("self"),
        kernel=kernel,
        stride=call.integers("stride", ()) or kernel,
        pads=_symmetric(call.integers("padding", (0, 0))),
        dilation=call.integers("dilation", (1, 1)),
        ceil=bool(call.number("ceil_mode", 0)),
    )


def _pad(b: Builder, call: Call) -> None:
    pads = call.integers("pad")
    if len(pads) % 2 or len(pads) > 8:
        raise FormatError(f"pads of {len(pads)} numbers")
    # From the last axis to the first: left, right, top, bottom, ...
    pairs = [pads[i : i + 2] for i in range(0, len(pads), 2)][::-1]
    pairs = [[0, 0]] * (4 - len(pairs)) + pairs
    mode = str(call.arguments.get("mode", {}).get("as_string", "constant"))
    before, after = zip(*pairs)
    b.pad(call.out, call.tensor("self"), before, after, value=call.number("value", 0), mode=mode)


def _addmm(b: Builder, call: Call) -> None:
    if call.number("alpha", 1) != 1 or call.number("beta", 1) != 1:
        raise FormatError("alpha and beta other than 1 are not read")
    b.matmul(call.out, call.tensor("mat1"), call.tensor("mat2"), call.tensor("self"))


def _cast(b: Builder, call: Call) -> None:
    code = call.arguments.get("dtype", {}).get("as_scalar_type")
    if code is not None and code not in _DTYPES and not b.is_constant(call.inputs[0]):
        b.foreign(call.out, call.inputs, "activations become another type than a float")
    else:
        b.alias(call.out, call.inputs[0])


def _swap(b: Builder, call: Call) -> None:
    axes = list(range(len(b.shape(call.tensor("self")))))
    i, j = call.integer("dim0"), call.integer("dim1")
    axes[i], axes[j] = axes[j], axes[i]
    b.transpose(call.out, call.tensor("self"), axes)


def _slice(b: Builder, call: Call) -> None:
    start, end = call.integer("start", 0), call.integer("end", 1 << 62)
    b.slice(call.out, call.tensor("self"), call.integer("dim", 0), start, end, call.integer("step", 1))


def _same(b: Builder, call: Call) -> None:
    b.alias(call.out, call.inputs[0])


def _dropout(b: Builder, call: Call) -> None:
    if call.number("train", 0):
        raise FormatError("is in training mode; call model.eval() before the export")
    _same(b, call)


_OPERATORS: dict[str, Callable[[Builder, Call], None]] = {
    "conv2d": _convolution,
    "convolution": _convolution,
    "linear": lambda b, c: b.linear(c.out, c.tensor("input"), c.tensor("weight"), c.optional("bias")),
    "addmm": _addmm,
    "mm": lambda b, c: b.matmul(c.out, c.tensor("self"), c.tensor("mat2")),
    "matmul": lambda b, c: b.matmul(c.out, c.tensor("self"), c.tensor("other")),
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "relu": lambda b, c: b.clip(c.out, c.tensor("self"), 0.0, inf),
    "relu6": lambda b, c: b.clip(c.out, c.tensor("self"), 0.0, 6.0),
    "hardtanh": _clamp(("min_val", -1.0), ("max_val", 1.0)),
    "clamp": _clamp(("min", -inf), ("max", inf)),
    "clip": _clamp(("min", -inf), ("max", inf)),
    "clamp_min": _clamp(("min", -inf), ("max", inf)),
    "clamp_max": _clamp(("min", -inf), ("max", inf)),
    "add": _arithmetic("add"),
    "sub": _arithmetic("sub"),
    "mul": _arithmetic("mul"),
    "div": _arithmetic("div"),
    "minimum": _arithmetic("min"),
    "maximum": _arithmetic("max"),
    "floor": lambda b, c: b.floor(c.out, c.tensor("self")),
    "round": lambda b, c: b.floor(c.out, c.tensor("self"), nearest=True),
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "native_dropout": _dropout,
    "clone": _same,
    "contiguous": _same,
    "detach": _same,
    "alias": _same,
    "lift_fresh_copy": _same,
    "to": _cast,
    "_to_copy": _cast,
    "avg_pool2d": _avg_pool,
    "max_pool2d": _max_pool,
    "max_pool2d_with_indices": _max_pool,
    "adaptive_avg_pool2d": lambda b, c: b.adaptive_avg_pool(c.out, c.tensor("self"), c.integers("output_size")),
    "_adaptive_avg_pool2d": lambda b, c: b.adaptive_avg_pool(c.out, c.tensor("self"), c.integers("output_size")),
    "mean": lambda b, c: b.mean(c.out, c.tensor("self"), c.integers("dim", ()), keepdims=bool(c.number("keepdim", 0))),
    "flatten": lambda b, c: b.flatten(c.out, c.tensor("self"), c.integer("start_dim", 0), c.integer("end_dim", -1)),
    "view": lambda b, c: b.reshape(c.out, c.tensor("self"), c.integers("size"), zero_copies=False),
    "_unsafe_view": lambda b, c: b.reshape(c.out, c.tensor("self"), c.integers("size"), zero_copies=False),
    "reshape": lambda b, c: b.reshape(c.out, c.tensor("self"), c.integers("shape"), zero_copies=False),
    "squeeze": lambda b, c: b.squeeze(c.out, c.tensor("self"), c.integers("dim") if c.has("dim") else None),
    "unsqueeze": lambda b, c: b.unsqueeze(c.out, c.tensor("self"), c.integers("dim")),
    "permute": lambda b, c: b.transpose(c.out, c.tensor("self"), c.integers("dims")),
    "transpose": _swap,
    "t": lambda b, c: b.transpose(c.out, c.tensor("self"), None),
    "slice": _slice,
    "pad": _pad,
    "constant_pad_nd": _pad,
    "softmax": lambda b, c: b.softmax(c.out, c.tensor("self")),
    "_softmax": lambda b, c: b.softmax(c.out, c.tensor("self")),
    "log_softmax": lambda b, c: b.softmax(c.out, c.tensor("self")),
    "_log_softmax": lambda b, c: b.softmax(c.out, c.tensor("self")),
    "sym_size": lambda b, c: b.put(c.out, np.array(b.shape(c.tensor("self"))[c.integer("dim")])),
}
