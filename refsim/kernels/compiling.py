"""How kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

# Without Numba's reference counting: its atomic increments at every use of an array cost more than the additions
# of a small layer. Kernels can therefore make no arrays; the caller hands them room to work in.
_OPTIONS = {"cache": True, "nogil": True, "_nrt": False, "error_model": "numpy"}

kernel: Callable[..., Any] = njit(**_OPTIONS)
"""A function of arrays and numbers, called from Python or from other kernels."""

inlined: Callable[..., Any] = njit(forceinline=True, **_OPTIONS)
"""A part of a kernel; it may take and give lanes."""
