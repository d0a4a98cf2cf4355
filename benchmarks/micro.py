"""The machine's limit: how fast rows of a weight table can be added when nothing else happens."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import njit

from refsim.engine.kernels.lanes import TILE, splat, store
from refsim.engine.kernels.rows import add_rows
from refsim.engine.tables import aligned_zeros

LEVELS = {"L1": 64, "L2": 2304, "L3": 40000}
"""Rows of a table: 64 rows of 64 float64 are 32 KB, 2304 are 1.2 MB, 40000 are 20 MB."""

SHORTEST = 400
"""Rows of a list, at least."""

SUMS: dict[Any, Any] = {
    np.float64: np.float64, np.float32: np.float32, np.int32: np.int32, np.int16: np.int32, np.int8: np.int32
}  # fmt: skip
"""Type of the sum by that of the weights."""


@njit(nogil=True)
def _repeat(weight, rows, zero, n, out):  # type: ignore[no-untyped-def]
    for _ in range(n):
        store(out, 0, add_rows(weight, 0, rows, 0, len(rows), splat(zero)))


def measure(rounds: int) -> list[dict[str, Any]]:
    """G additions per second, best of some rounds, by number type and by the cache that holds the table."""
    rng = np.random.default_rng(0)
    found = []
    for dtype, of_sum in SUMS.items():
        for level, n_rows in LEVELS.items():
            weight = aligned_zeros((1, n_rows, TILE), np.dtype(dtype))
            weight[:] = rng.integers(-9, 9, size=weight.shape)
            few = n_rows // 5 < SHORTEST  # of a small table, rows more than once: short lists measure the loop's ends
            rows = np.sort(rng.choice(n_rows, max(n_rows // 5, SHORTEST), replace=few)).astype(np.int32)
            out = np.empty(TILE, of_sum)
            repeats = max(1, 200_000 // len(rows))
            _repeat(weight, rows, of_sum(0), 1, out)
            seconds = []
            for _ in range(rounds):
                started = time.perf_counter()
                _repeat(weight, rows, of_sum(0), repeats, out)
                seconds.append(time.perf_counter() - started)
            rate = repeats * len(rows) * TILE / min(seconds) / 1e9
            found.append({"dtype": np.dtype(dtype).name, "table": level, "giga_additions_per_second": rate})
    return found
