"""Sums of rows of 8 or 16 bits, two lanes in one word of twice the bits.

A row of such a table holds lanes k and k + TILE / 2 side by side, the first in the low half of a word with its sign bit
inverted (that is, as an unsigned number, 2^(n - 1) more), the second, signed, in the high half. Read as a word, a pair
is second 2^n + first + 2^(n - 1). Adding up the words, and adding up their high halves alone,

    A = sum of words,   B = sum of (word >> n) = sum of the second lane's weights,   both modulo 2^2n,

takes three instructions for two lanes, where widening each lane takes four. The first lane's sum is what A has besides
B: A - B 2^n - rows 2^(n - 1), modulo 2^2n.

No sum is ever beyond its word: weights of n bits are within +-(2^(n - 1) - 1) (`quantised`). For n = 16 sums of 32
bits hold a whole step's current, or the network is refused. For n = 8 sums of 16 bits are spilled into 32 after at most
RUN rows: 127 RUN = 32,512 < 2^15.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from refsim.engine.kernels.emitting import I8, I16, I32, I64, concatenate, constant, emit_loop, splat_value
from refsim.engine.kernels.lanes import TILE

RUN = 256
"""Rows of 8 bits that are added in 16 bits before their sum is spilled."""

_REGISTERS = 8


def paired(table: Any) -> Any:
    """A table (..., TILE) of int8 or int16 laid out as above, in place; returns it."""
    lanes = table.copy()
    table[..., 0::2] = lanes[..., : TILE // 2] ^ np.iinfo(table.dtype).min
    table[..., 1::2] = lanes[..., TILE // 2 :]
    return table


def unpaired(row: Any) -> Any:
    """The lanes (TILE,) of a row of a table, widened; rows of other types are as they are."""
    if row.dtype not in (np.int8, np.int16):
        return row
    return np.concatenate([row[0::2] ^ np.iinfo(row.dtype).min, row[1::2]]).astype(np.int32)


def load_lanes(builder: Any, rows: Any, table: Any, i: Any, first: int, element: Any, count: int) -> Any:
    """Emit a load of `count` numbers of row rows[i], from number `first` on."""
    row = builder.sext(builder.load(builder.gep(rows, [i])), I64)
    address = builder.gep(table, [builder.add(builder.mul(row, I64(TILE)), I64(first))])
    bits = element.width if isinstance(element, ir.IntType) else 64 if isinstance(element, ir.DoubleType) else 32
    pointer = builder.bitcast(address, ir.VectorType(element, count).as_pointer())
    return builder.load(pointer, align=min(64, count * bits // 8))


def emit_pairs(builder: Any, rows: Any, table: Any, element: Any, begin: Any, end: Any, vector_bytes: int) -> Any:
    """Emit loops over rows[begin:end] of a paired table. Returns the sums of all lanes, 32 bits each."""
    if element == I16:
        return _emit_run(builder, rows, table, element, begin, end, vector_bytes)

    def add_run(i: Any, totals: list[Any]) -> list[Any]:
        stop = builder.add(i, I64(RUN))
        stop = builder.select(builder.icmp_signed("<", stop, end), stop, end)
        found = _emit_run(builder, rows, table, element, i, stop, vector_bytes)
        return [builder.add(totals[0], builder.sext(found, totals[0].type))]

    return emit_loop(builder, begin, end, RUN, [constant(I32, 0, TILE)], add_run)[0]


def _emit_run(builder: Any, rows: Any, table: Any, element: Any, begin: Any, end: Any, vector_bytes: int) -> Any:
    """Emit the loop over rows[begin:end]. Returns the sums of all lanes, in words."""
    word = I16 if element == I8 else I32
    width = min(TILE // 2, _REGISTERS // 2 * vector_bytes * 8 // word.width)
    bits = constant(word, element.width, width)
    bias = builder.trunc(builder.mul(builder.sub(end, begin), I64(1 << (element.width - 1))), word)
    firsts, seconds = [], []
    for first in range(0, TILE // 2, width):

        def add_row(i: Any, sums: list[Any], first: int = first) -> list[Any]:
            numbers = load_lanes(builder, rows, table, i, 2 * first, element, 2 * width)
            words = builder.bitcast(numbers, sums[0].type)
            return [builder.add(sums[0], words), builder.add(sums[1], builder.ashr(words, bits))]

        a, b = emit_loop(builder, begin, end, 1, [constant(word, 0, width)] * 2, add_row)
        firsts.append(builder.sub(builder.sub(a, builder.shl(b, bits)), splat_value(builder, bias, width)))
        seconds.append(b)
    return concatenate(builder, [*firsts, *seconds])
