"""Pieces of LLVM code; above all a loop whose running values stay in registers, which Numba promises of no lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import config
from numba.core.codegen import get_host_cpu_features

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))


def emit_loop(
    builder: Any, begin: Any, end: Any, step: int, start: Sequence[Any], body: Callable[[Any, list[Any]], Sequence[Any]]
) -> list[Any]:
    """Emit `for i in range(begin, end, step): values = body(i, values)`; returns the last values, or `start`."""
    before = builder.block
    loop, after = builder.append_basic_block("loop"), builder.append_basic_block("loop.end")
    builder.cbranch(builder.icmp_signed("<", begin, end), loop, after)

    builder.position_at_end(loop)
    i = builder.phi(I64)
    values = [builder.phi(each.type) for each in start]
    new = list(body(i, values))
    following = builder.add(i, I64(step))
    last = builder.block  # the body may have blocks of its own
    builder.cbranch(builder.icmp_signed("<", following, end), loop, after)
    for phi, first, next_ in zip([i, *values], [begin, *start], [following, *new]):
        phi.add_incoming(first, before)
        phi.add_incoming(next_, last)

    builder.position_at_end(after)
    results = [builder.phi(each.type) for each in start]
    for result, first, next_ in zip(results, start, new):
        result.add_incoming(first, before)
        result.add_incoming(next_, last)
    return results


def splat_value(builder: Any, value: Any, count: int) -> Any:
    """The same LLVM value in `count` lanes."""
    nothing = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    first = builder.insert_element(nothing, value, I32(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, count), [0] * count))


def constant(element: Any, value: int, count: int) -> Any:
    """A constant in `count` lanes."""
    return ir.Constant(ir.VectorType(element, count), [value] * count)


def concatenate(builder: Any, parts: Sequence[Any]) -> Any:
    """Lanes behind each other; as many parts as a power of two, all of one type."""
    parts = list(parts)
    while len(parts) > 1:
        both = ir.Constant(ir.VectorType(I32, parts[0].type.count * 2), list(range(parts[0].type.count * 2)))
        parts = [builder.shuffle_vector(a, b, both) for a, b in zip(parts[::2], parts[1::2])]
    return parts[0]


def lanes_of(builder: Any, value: Any, first: int, count: int) -> Any:
    """Lanes first .. first + count - 1."""
    return builder.shuffle_vector(
        value, value, ir.Constant(ir.VectorType(I32, count), [first + k for k in range(count)])
    )


def vector_bytes() -> int:
    """Bytes of a vector register of the machine that Numba compiles for."""
    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    return 64 if "+avx512f" in features else 32 if "+avx" in features else 16
