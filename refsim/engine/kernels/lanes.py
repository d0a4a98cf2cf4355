"""A tile of lanes as one value: 64 numbers that are loaded, added, compared and stored together.

Numba's own loops keep running values in memory and take the vector width that the compiler prefers; an LLVM vector
of TILE lanes stays in registers and is legalised for whatever the machine has (AVX-512, AVX2, SSE2, NEON). Lanes
never mix, so no addition is reordered, and none is fused with a multiplication. Lanes of one number type know
+, -, *, &, |, ~ and the comparisons; a comparison gives lanes of truth values.

Told not to compile (NUMBA_DISABLE_JIT=1), lanes are NumPy arrays and every function here is its plain twin.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from refsim.engine.kernels.emitting import I1, I64, constant, splat_value

TILE = 64
"""Lanes of a tile: neurons computed together (`layout`), as many as a mask word has bits."""


class Lanes(types.Type):  # type: ignore[misc]
    """Numba's type of TILE lanes of one number type, or of truth values."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        element = dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(element, TILE))


def _address(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    vector = ir.VectorType(context.get_value_type(kind.dtype), TILE)
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def _define(symbol: Any, of_floats: str, of_ints: str) -> None:
    """Make `symbol` an operator between lanes of one type."""

    @infer_global(symbol)
    class _Operator(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and isinstance(args[0], Lanes) and args[0] == args[1]:
                compares = symbol in _COMPARISONS
                return signature(Lanes(types.boolean) if compares else args[0], *args)
            return None

    @lower_builtin(symbol, Lanes, Lanes)  # type: ignore[untyped-decorator]
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        is_float = isinstance(sig.args[0].dtype, types.Float)
        emit = getattr(builder, of_floats if is_float else of_ints)
        return emit(_COMPARISONS[symbol], *args) if symbol in _COMPARISONS else emit(*args)


_COMPARISONS = {operator.ge: ">=", operator.le: "<=", operator.gt: ">", operator.lt: "<"}
for _symbol in _COMPARISONS:
    _define(_symbol, "fcmp_ordered", "icmp_signed")
for _symbol, _of_floats, _of_ints in (
    (operator.add, "fadd", "add"),
    (operator.sub, "fsub", "sub"),
    (operator.mul, "fmul", "mul"),
    (operator.truediv, "fdiv", ""),
    (operator.and_, "", "and_"),
    (operator.or_, "", "or_"),
):
    _define(_symbol, _of_floats, _of_ints)


@intrinsic
def _load(typingctx, array, offset):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *args), align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, types.int64), codegen


@intrinsic
def _store(typingctx, array, offset, lanes):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), codegen


@intrinsic
def _splat(typingctx, value):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return splat_value(builder, args[0], TILE)

    return Lanes(value)(value), codegen


@intrinsic(prefer_literal=True)
def _whole(typingctx, like, value):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = value.literal_value
        return constant(args[0].type.element, number, TILE) if isinstance(like, Lanes) else args[0].type(number)

    return like(like, value), codegen


@intrinsic
def _select(typingctx, mask, yes, no):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return yes(mask, yes, no), codegen


@intrinsic
def _lesser(typingctx, a, b):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        is_float = isinstance(signature.args[0].dtype, types.Float)
        less = (builder.fcmp_ordered if is_float else builder.icmp_signed)("<", *args)
        return builder.select(less, *args)

    return a(a, a), codegen


@intrinsic
def _convert(typingctx, lanes, like):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if lanes == like:
            return args[0]
        return (builder.fptosi if isinstance(lanes.dtype, types.Float) else builder.sext)(args[0], args[1].type)

    return like(lanes, like), codegen


@intrinsic
def _to_bits(typingctx, mask):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], I64) if isinstance(mask, Lanes) else builder.zext(args[0], I64)

    return types.uint64(mask), codegen


@intrinsic
def _from_bits(typingctx, word):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.VectorType(I1, TILE))

    return Lanes(types.boolean)(types.uint64), codegen


def _plain_load(array: Any, offset: Any) -> Any:
    """The TILE numbers that follow a flat offset in a contiguous array."""
    return array.reshape(-1)[offset : offset + TILE].copy()


def _plain_store(array: Any, offset: Any, lanes: Any) -> None:
    """Write lanes behind a flat offset in a contiguous array."""
    array.reshape(-1)[offset : offset + TILE] = lanes


def _plain_splat(value: Any) -> Any:
    """The same number in every lane."""
    return np.full(TILE, value)


def _plain_whole(like: Any, value: Any) -> Any:
    """A whole number, known when the kernel is compiled, in the type of `like`: in every lane, or just one."""
    return np.full_like(like, value)


def _plain_convert(lanes: Any, like: Any) -> Any:
    """Lanes of whole numbers in the type of others, which has room for them."""
    return lanes.astype(like.dtype)


def _plain_to_bits(mask: Any) -> Any:
    """Bit k of the word is lane k; of a single truth value, bit 0."""
    return np.uint64(sum(1 << int(k) for k in np.flatnonzero(mask)))


def _plain_from_bits(word: Any) -> Any:
    """Lane k is bit k of the word."""
    return np.array([int(word) >> k & 1 for k in range(TILE)], dtype=bool)


def _plain_lesser(a: Any, b: Any) -> Any:
    """The lesser of two lanes; b where a is not a number."""
    return np.where(a < b, a, b)


_plain = bool(config.DISABLE_JIT)
load: Callable[..., Any] = _plain_load if _plain else _load
store: Callable[..., Any] = _plain_store if _plain else _store
splat: Callable[..., Any] = _plain_splat if _plain else _splat
whole: Callable[..., Any] = _plain_whole if _plain else _whole
select: Callable[..., Any] = np.where if _plain else _select
lesser: Callable[..., Any] = _plain_lesser if _plain else _lesser
convert: Callable[..., Any] = _plain_convert if _plain else _convert
to_bits: Callable[..., Any] = _plain_to_bits if _plain else _to_bits
from_bits: Callable[..., Any] = _plain_from_bits if _plain else _from_bits
