"""How kernels are compiled, and how compiled ones are loaded.

Compiling is most of a first run, and loading most of a short one, so that this module spends neither on what is
not needed: no wrappers for what Python does not call, few passes of the optimizer where they do not pay, and no
compiler where the cache has everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.compiler import Compiler

# Without Numba's reference counting: its atomic increments at every use of an array cost more than the additions
# of a small layer. Kernels can therefore make no arrays; the caller hands them room to work in.
_OPTIONS = {"nogil": True, "_nrt": False, "error_model": "numpy", "no_cfunc_wrapper": True}

Decorator = Callable[[Any], Any]


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, which loads a compiled kernel without getting ready to compile.

    Numba's own registers everything it can compile first, for which it imports a hundred modules, scipy.linalg
    among them: half of the time and a quarter of the memory of a short run. Compiling does that by itself.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


class _Brief(Compiler):  # type: ignore[misc]
    """Numba's compiler with the first level of LLVM's passes, which take a third of the time of the third level.

    No kernel runs slower for it: where the time goes, the code is written out in vectors (`lanes`, `rows`).
    """

    def compile_extra(self, func: Any) -> Any:
        level = config.OPT  # Numba compiles under a lock, one function at a time
        config.OPT = min(level, 1)
        try:
            return super().compile_extra(func)
        finally:
            config.OPT = level


def _compiled(**options: Any) -> Decorator:
    """A decorator: compile with these options, keep on disk what was compiled."""

    def decorate(function: Any) -> Any:
        compiled = njit(pipeline_class=_Brief, **_OPTIONS, **options)(function)
        if not config.DISABLE_JIT:
            compiled._cache = _Cache(function)  # what njit(cache=True) does, with another class
        return compiled

    return decorate


kernel: Decorator = _compiled()
"""A function of arrays and numbers, called from Python or from other kernels."""

inner: Decorator = _compiled(no_cpython_wrapper=True)
"""A kernel for other kernels only: calling it from Python crashes."""

inlined: Decorator = _compiled(no_cpython_wrapper=True, forceinline=True)
"""A part of a kernel, optimized with it; it may take and give lanes. Calling it from Python crashes."""
