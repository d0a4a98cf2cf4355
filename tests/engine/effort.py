"""How many examples a test draws: fewer where the kernels are interpreted, more at night."""

import os

from hypothesis import settings

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"


def examples(n: int, interpreted: int | None = None) -> settings:
    """Settings for n examples in a normal run; NUMBA_DISABLE_JIT=1 makes an example 30 times slower."""
    if INTERPRETED:
        n = interpreted if interpreted is not None else max(2, n // 5)
    return settings(max_examples=max(1, n * settings.default.max_examples // 100))
