"""Three operations on a whole tile of lanes, as LLVM vectors.

Numba's loops keep a running sum in memory and take the vector width that the compiler prefers; a vector type of
TILE lanes keeps the sums of a tile in registers and is legalised by LLVM for whatever the machine has (AVX-512,
AVX2, SSE2, NEON). Lanes never mix, so no addition is reordered, and none is fused with a multiplication.

Each operation has its plain twin here, which runs when Numba is told not to compile (NUMBA_DISABLE_JIT=1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

TILE = 64
"""Output channels computed together: one mask word."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _plain_add_rows(weight, tile, rows, n, out):  # type: ignore[no-untyped-def]
    """out[:] = sum of the first n rows of weight[tile], in order; rows may repeat."""
    total = np.zeros(TILE, weight.dtype)
    for row in rows[:n]:
        total += weight[tile, row]
    out[:] = total


def _plain_add_scaled_rows(weight, tile, rows, factors, n, out):  # type: ignore[no-untyped-def]
    """out[:] = sum of factor * row over the first n rows of weight[tile], in order; products are rounded."""
    total = np.zeros(TILE, weight.dtype)
    for row, factor in zip(rows[:n], factors[:n]):
        total += factor * weight[tile, row]
    out[:] = total


def _plain_pack(lanes, start):  # type: ignore[no-untyped-def]
    """Bit k of the result says whether lanes[start + k] > 0; lanes : flat, at least start + TILE long."""
    return np.uint64(sum(1 << k for k in range(TILE) if lanes[start + k] > 0))


def _array(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.make_array(kind)(context, builder, value)


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, _I32(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_I32, TILE), [0] * TILE))


def _row_sum(context: Any, builder: Any, kinds: dict[str, Any], values: dict[str, Any]) -> None:
    """Emit the loop over rows, the sum in a phi node of TILE lanes."""
    weight, rows, out = (_array(context, builder, kinds[key], values[key]) for key in ("weight", "rows", "out"))
    element = context.get_value_type(kinds["weight"].dtype)
    vector = ir.VectorType(element, TILE)
    zero = ir.Constant(vector, [0.0] * TILE)
    n_rows = builder.extract_value(weight.shape, 1)
    table = builder.gep(weight.data, [builder.mul(builder.mul(values["tile"], n_rows), _I64(TILE))])
    before = builder.block
    loop, after = builder.append_basic_block("row"), builder.append_basic_block("rows.end")
    builder.cbranch(builder.icmp_signed(">", values["n"], _I64(0)), loop, after)

    builder.position_at_end(loop)
    i, total = builder.phi(_I64), builder.phi(vector)
    row = builder.sext(builder.load(builder.gep(rows.data, [i])), _I64)
    address = builder.gep(table, [builder.mul(row, _I64(TILE))])
    term = builder.load(builder.bitcast(address, vector.as_pointer()), align=64)
    if "factors" in values:
        factors = _array(context, builder, kinds["factors"], values["factors"])
        term = builder.fmul(_splat(builder, builder.load(builder.gep(factors.data, [i])), vector), term)
    new_total, following = builder.fadd(total, term), builder.add(i, _I64(1))
    builder.cbranch(builder.icmp_signed("<", following, values["n"]), loop, after)
    for phi, start, step in ((i, _I64(0), following), (total, zero, new_total)):
        phi.add_incoming(start, before)
        phi.add_incoming(step, loop)

    builder.position_at_end(after)
    result = builder.phi(vector)
    result.add_incoming(zero, before)
    result.add_incoming(new_total, loop)
    builder.store(result, builder.bitcast(out.data, vector.as_pointer()), align=8)


@intrinsic
def _vector_add_rows(typingctx, weight, tile, rows, n, out):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        names = ("weight", "tile", "rows", "n", "out")
        _row_sum(context, builder, dict(zip(names, signature.args)), dict(zip(names, args)))
        return context.get_dummy_value()

    return types.void(weight, types.int64, rows, types.int64, out), codegen


@intrinsic
def _vector_add_scaled_rows(typingctx, weight, tile, rows, factors, n, out):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        names = ("weight", "tile", "rows", "factors", "n", "out")
        _row_sum(context, builder, dict(zip(names, signature.args)), dict(zip(names, args)))
        return context.get_dummy_value()

    return types.void(weight, types.int64, rows, factors, types.int64, out), codegen


@intrinsic
def _vector_pack(typingctx, lanes, start):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = _array(context, builder, signature.args[0], args[0])
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), TILE)
        address = builder.bitcast(builder.gep(array.data, [args[1]]), vector.as_pointer())
        above = builder.fcmp_ordered(">", builder.load(address, align=8), ir.Constant(vector, [0.0] * TILE))
        return builder.bitcast(above, _I64)

    return types.uint64(lanes, types.int64), codegen


_plain = bool(config.DISABLE_JIT)
add_rows: Callable[..., Any] = _plain_add_rows if _plain else _vector_add_rows
add_scaled_rows: Callable[..., Any] = _plain_add_scaled_rows if _plain else _vector_add_scaled_rows
pack: Callable[..., Any] = _plain_pack if _plain else _vector_pack
