"""The inner loop of everything: sums of rows of a weight table, one row per delivered spike.

A table is (n_tiles, n_rows, TILE), 64-byte aligned. The sum stays in vector registers, as many lanes at a time as
eight of the machine's registers hold; each lane's additions are made in the order of the list.

Weights of 8 and 16 bits are added two lanes at a time (`pairs`), into lanes of 32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

from refsim.engine.kernels.emitting import I8, I16, I64, concatenate, emit_loop, lanes_of, splat_value, vector_bytes
from refsim.engine.kernels.lanes import TILE
from refsim.engine.kernels.pairs import emit_pairs, load_lanes, unpaired

STRIDE = 32
"""List entries copied at a time; lists have as much room behind their end."""

_REGISTERS = 8


def _array(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.make_array(kind)(context, builder, value)


def _emit_sum(context: Any, builder: Any, kinds: dict[str, Any], values: dict[str, Any], total: Any) -> Any:
    """Emit loops over the rows. Returns all lanes."""
    weight, rows = (_array(context, builder, kinds[key], values[key]) for key in ("weight", "rows"))
    element = context.get_value_type(kinds["weight"].dtype)
    n_rows = builder.extract_value(weight.shape, 1)
    table = builder.gep(weight.data, [builder.mul(builder.mul(values["tile"], n_rows), I64(TILE))])
    if element in (I8, I16):
        found = emit_pairs(builder, rows.data, table, element, values["begin"], values["end"], vector_bytes())
        return (builder.sub if values["minus"] else builder.add)(total, found)
    factors = _array(context, builder, kinds["factors"], values["factors"]).data if "factors" in values else None
    width = min(TILE, _REGISTERS * vector_bytes() // _size(element))
    parts = []
    for first in range(0, TILE, width):
        start = lanes_of(builder, total, first, width)
        parts.append(_emit_slice(builder, values, rows.data, factors, table, element, first, start))
    return concatenate(builder, parts)


def _emit_slice(
    builder: Any, values: dict[str, Any], rows: Any, factors: Any, table: Any, element: Any, first: int, start: Any
) -> Any:
    """Emit the loop over rows[begin:end] for the lanes first, first + 1, ..., the sum in registers."""

    def add_row(i: Any, totals: list[Any]) -> list[Any]:
        term = load_lanes(builder, rows, table, i, first, element, start.type.count)
        if factors is not None:
            term = builder.fmul(splat_value(builder, builder.load(builder.gep(factors, [i])), start.type.count), term)
        if isinstance(element, ir.IntType):
            return [(builder.sub if values["minus"] else builder.add)(totals[0], term)]
        return [builder.fadd(totals[0], term)]

    return emit_loop(builder, values["begin"], values["end"], 1, [start], add_row)[0]


def _size(element: Any) -> int:
    return element.width // 8 if isinstance(element, ir.IntType) else 8 if isinstance(element, ir.DoubleType) else 4


@intrinsic
def _add_rows(typingctx, weight, tile, rows, begin, end, total):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        names = ("weight", "tile", "rows", "begin", "end")
        values = dict(zip(names, args)) | {"minus": False}
        return _emit_sum(context, builder, dict(zip(names, signature.args)), values, args[5])

    return total(weight, types.int64, rows, types.int64, types.int64, total), codegen


@intrinsic
def _subtract_rows(typingctx, weight, tile, rows, begin, end, total):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        names = ("weight", "tile", "rows", "begin", "end")
        values = dict(zip(names, args)) | {"minus": True}
        return _emit_sum(context, builder, dict(zip(names, signature.args)), values, args[5])

    return total(weight, types.int64, rows, types.int64, types.int64, total), codegen


@intrinsic
def _add_scaled_rows(typingctx, weight, tile, rows, factors, begin, end, total):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        names = ("weight", "tile", "rows", "factors", "begin", "end")
        return _emit_sum(context, builder, dict(zip(names, signature.args)), dict(zip(names, args)), args[6])

    return total(weight, types.int64, rows, factors, types.int64, types.int64, total), codegen


@intrinsic
def _copy_offset(typingctx, source, begin, end, offset, target, at):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        element = context.get_value_type(kinds[0].dtype)
        vector = ir.VectorType(element, STRIDE)
        from_, to = (_array(context, builder, kinds[i], args[i]).data for i in (0, 4))
        offsets = splat_value(builder, args[3], vector.count)

        def copy(i: Any, _: list[Any]) -> list[Any]:
            address = builder.gep(from_, [builder.add(args[1], i)])
            values = builder.load(builder.bitcast(address, vector.as_pointer()), align=_size(element))
            values = builder.add(values, offsets) if isinstance(element, ir.IntType) else values
            address = builder.gep(to, [builder.add(args[5], i)])
            builder.store(values, builder.bitcast(address, vector.as_pointer()), align=_size(element))
            return []

        # Lists are seldom empty and often short: the first entries are copied without asking.
        copy(I64(0), [])
        emit_loop(builder, I64(STRIDE), builder.sub(args[2], args[1]), STRIDE, [], copy)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, source.dtype, target, types.int64), codegen


def _plain_add_rows(weight: Any, tile: Any, rows: Any, begin: Any, end: Any, total: Any) -> Any:
    """total + weight[tile, rows[begin]] + weight[tile, rows[begin + 1]] + ..., in this order; rows may repeat.

    Tables of 8 and 16 bits are those of `pairs`.
    """
    for row in rows[begin:end]:
        total = total + unpaired(weight[tile, row])
    return total


def _plain_subtract_rows(weight: Any, tile: Any, rows: Any, begin: Any, end: Any, total: Any) -> Any:
    """The same with minus, of integers."""
    for row in rows[begin:end]:
        total = total - unpaired(weight[tile, row])
    return total


def _plain_add_scaled_rows(weight: Any, tile: Any, rows: Any, factors: Any, begin: Any, end: Any, total: Any) -> Any:
    """The same of factor * row; products are rounded."""
    for row, factor in zip(rows[begin:end], factors[begin:end]):
        total = total + factor * weight[tile, row]
    return total


def _plain_copy_offset(source: Any, begin: Any, end: Any, offset: Any, target: Any, at: Any) -> None:
    """target[at:] = source[begin:end] + offset (floats: no offset); may write up to STRIDE entries more."""
    target[at : at + end - begin] = source[begin:end] + offset


_plain = bool(config.DISABLE_JIT)
add_rows: Callable[..., Any] = _plain_add_rows if _plain else _add_rows
subtract_rows: Callable[..., Any] = _plain_subtract_rows if _plain else _subtract_rows
add_scaled_rows: Callable[..., Any] = _plain_add_scaled_rows if _plain else _add_scaled_rows
copy_offset: Callable[..., Any] = _plain_copy_offset if _plain else _copy_offset
