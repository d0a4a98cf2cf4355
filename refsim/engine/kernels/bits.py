"""Single bits of mask words: one instruction each, or what LLVM makes of it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from refsim.engine.kernels.compiling import inlined
from refsim.engine.kernels.emitting import I1, I16, I32, I64, splat_value, vector_bytes

SIXTEEN = 16
"""Bits that `list_bits` may take at a time: it may write as many entries behind the last."""


@intrinsic
def _popcount(typingctx, word):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen


@intrinsic
def _lowest_bit(typingctx, word):  # type: ignore[no-untyped-def]
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], I1(0))

    return types.int64(types.uint64), codegen


@intrinsic
def _compress(typingctx, word, base, target, n):  # type: ignore[no-untyped-def]
    """AVX-512: write base + index of each of the low 16 bits that is set at target[n]; returns how many."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, mask = ir.VectorType(I32, SIXTEEN), ir.VectorType(I1, SIXTEEN)
        low = builder.trunc(args[0], I16)
        steps = ir.Constant(vector, list(range(SIXTEEN)))
        indices = builder.add(splat_value(builder, builder.trunc(args[1], I32), SIXTEEN), steps)
        kind = ir.FunctionType(vector, [vector, vector, mask])
        compress = get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.compress.v16i32")
        found = builder.call(compress, [indices, ir.Constant(vector, ir.Undefined), builder.bitcast(low, mask)])
        data = context.make_array(signature.args[2])(context, builder, args[2]).data
        address = builder.gep(data, [args[3]])
        builder.store(found, builder.bitcast(address, vector.as_pointer()), align=4)
        return builder.zext(builder.ctpop(low), I64)

    return types.int64(types.uint64, types.int64, target, types.int64), codegen


def _plain_popcount(word: Any) -> Any:
    """Number of bits set in a uint64."""
    return int(word).bit_count()


def _plain_lowest_bit(word: Any) -> Any:
    """Index of the lowest bit set in a nonzero uint64."""
    return (int(word) & -int(word)).bit_length() - 1


_plain = bool(config.DISABLE_JIT)
popcount: Callable[..., Any] = _plain_popcount if _plain else _popcount
lowest_bit: Callable[..., Any] = _plain_lowest_bit if _plain else _lowest_bit


def _list_one_by_one(word: Any, base: Any, target: Any, n: Any) -> Any:
    """Write base + index of each bit set at target[n], ascending; returns n + their number."""
    while word != np.uint64(0):
        target[n] = base + lowest_bit(word)
        n += 1
        word &= word - np.uint64(1)
    return n


def _list_by_sixteen(word: Any, base: Any, target: Any, n: Any) -> Any:
    """The same, with room for SIXTEEN more entries."""
    while word != np.uint64(0):
        n += _compress(word, base, target, n)
        word >>= np.uint64(SIXTEEN)
        base += SIXTEEN
    return n


list_bits: Callable[..., Any] = inlined(_list_by_sixteen if vector_bytes() == 64 and not _plain else _list_one_by_one)
