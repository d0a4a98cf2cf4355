"""The inner loop of everything: sums of rows of a weight table, one row per delivered spike.

A table is (n_tiles, n_rows, TILE), 64-byte aligned. The sum stays in vector registers, as many lanes at a time as
eight of the machine's registers hold; each lane's additions are made in the order of the list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from refsim.kernels.lanes import I32, I64, TILE, splat_value

STRIDE = 16
"""List entries copied at a time; lists have as much room behind their end."""

_REGISTERS = 8


def vector_bytes() -> int:
    """Bytes of a vector register of the machine that Numba compiles for."""
    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    return 64 if "+avx512f" in features else 32 if "+avx" in features else 16


def _array(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.make_array(kind)(context, builder, value)


def _emit_sum(context: Any, builder: Any, kinds: dict[str, Any], values: dict[str, Any], total: Any) -> Any:
    """Emit loops over the rows; each keeps a slice of the lanes in registers. Returns all lanes."""
    weight, rows = (_array(context, builder, kinds[key], values[key]) for key in ("weight", "rows"))
    element = context.get_value_type(kinds["weight"].dtype)
    n_rows = builder.extract_value(weight.shape, 1)
    table = builder.gep(weight.data, [builder.mul(builder.mul(values["tile"], n_rows), I64(TILE))])
    factors = _array(context, builder, kinds["factors"], values["factors"]).data if "factors" in values else None
    width = min(TILE, _REGISTERS * vector_bytes() // _size(total.type.element))
    parts = []
    for first in range(0, TILE, width):
        lanes = ir.Constant(ir.VectorType(I32, width), [first + k for k in range(width)])
        start = builder.shuffle_vector(total, total, lanes)
        parts.append(_emit_slice(builder, values, rows.data, factors, table, element, first, start))
    while len(parts) > 1:
        width = parts[0].type.count * 2
        both = ir.Constant(ir.VectorType(I32, width), list(range(width)))
        parts = [builder.shuffle_vector(a, b, both) for a, b in zip(parts[::2], parts[1::2])]
    return parts[0]


def _emit_slice(
    builder: Any, values: dict[str, Any], rows: Any, factors: Any, table: Any, element: Any, first: int, start: Any
) -> Any:
    """Emit the loop over rows[begin:end] for the lanes first, first + 1, ..., the sum in a phi node."""
    vector = ir.VectorType(element, start.type.count)
    before = builder.block
    loop, after = builder.append_basic_block("row"), builder.append_basic_block("rows.end")
    builder.cbranch(builder.icmp_signed("<", values["begin"], values["end"]), loop, after)

    builder.position_at_end(loop)
    i, total = builder.phi(I64), builder.phi(start.type)
    row = builder.sext(builder.load(builder.gep(rows, [i])), I64)
    address = builder.gep(table, [builder.add(builder.mul(row, I64(TILE)), I64(first))])
    term = builder.load(builder.bitcast(address, vector.as_pointer()), align=min(64, vector.count * _size(element)))
    if factors is not None:
        term = builder.fmul(splat_value(builder, builder.load(builder.gep(factors, [i])), vector.count), term)
    if isinstance(element, ir.IntType):
        term = term if element == start.type.element else builder.sext(term, start.type)
        new_total = (builder.sub if values["minus"] else builder.add)(total, term)
    else:
        new_total = builder.fadd(total, term)
    following = builder.add(i, I64(1))
    builder.cbranch(builder.icmp_signed("<", following, values["end"]), loop, after)
    for phi, first_value, step in ((i, values["begin"], following), (total, start, new_total)):
        phi.add_incoming(first_value, before)
        phi.add_incoming(step, loop)

    builder.position_at_end(after)
    result = builder.phi(start.type)
    result.add_incoming(start, before)
    result.add_incoming(new_total, loop)
    return result


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
        before = builder.block
        loop, after = builder.append_basic_block("copy"), builder.append_basic_block("copied")
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(I64)
        address = builder.gep(from_, [builder.add(args[1], i)])
        values = builder.load(builder.bitcast(address, vector.as_pointer()), align=_size(element))
        values = builder.add(values, offsets) if isinstance(element, ir.IntType) else values
        address = builder.gep(to, [builder.add(args[5], i)])
        builder.store(values, builder.bitcast(address, vector.as_pointer()), align=_size(element))
        following = builder.add(i, I64(STRIDE))
        builder.cbranch(builder.icmp_signed("<", following, builder.sub(args[2], args[1])), loop, after)
        i.add_incoming(I64(0), before)
        i.add_incoming(following, loop)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, source.dtype, target, types.int64), codegen


def _plain_add_rows(weight: Any, tile: Any, rows: Any, begin: Any, end: Any, total: Any) -> Any:
    """total + weight[tile, rows[begin]] + weight[tile, rows[begin + 1]] + ..., in this order; rows may repeat."""
    for row in rows[begin:end]:
        total = total + weight[tile, row]
    return total


def _plain_subtract_rows(weight: Any, tile: Any, rows: Any, begin: Any, end: Any, total: Any) -> Any:
    """The same with minus, of integers."""
    for row in rows[begin:end]:
        total = total - weight[tile, row]
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
