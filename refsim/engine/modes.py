"""The number systems that a network can be computed in, and of which kind each is: floats, `exact`, quantised.

Who treats them by kind does so by `match` on the kind, ending in `assert_never`. Light to import: the command line
offers the names before it loads anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from refsim.exceptions import UsageError

Mode = Literal["exact", "float64", "float32", "int16", "int8"]


@dataclass(frozen=True, kw_only=True)
class FloatMode:
    """The specification, bit for bit, in a float type.

    dtype
        Of everything.
    """

    dtype: np.dtype[Any]


@dataclass(frozen=True, kw_only=True)
class ExactMode:
    """The spikes and logits of float64, by sums of integers (`engine.exact`)."""


@dataclass(frozen=True, kw_only=True)
class QuantisedMode:
    """The quantised network (`engine.quantised`).

    weights
        Number type of its weights.
    """

    weights: np.dtype[Any]


KINDS: Mapping[Mode, FloatMode | ExactMode | QuantisedMode] = {
    "exact": ExactMode(),
    "float64": FloatMode(dtype=np.dtype(np.float64)),
    "float32": FloatMode(dtype=np.dtype(np.float32)),
    "int16": QuantisedMode(weights=np.dtype(np.int16)),
    "int8": QuantisedMode(weights=np.dtype(np.int8)),
}

MODES: tuple[Mode, ...] = tuple(KINDS)


def mode_of(dtype: DTypeLike) -> Mode:
    """The mode of this name, or of NumPy's number type of this name.

    Raises
    ------
    UsageError
        There is none.
    """
    name = dtype if isinstance(dtype, str) else repr(dtype)
    if not isinstance(dtype, str) and dtype is not None:  # NumPy takes None for float64
        with suppress(TypeError, ValueError):  # no number type at all: shown as it is
            name = np.dtype(dtype).name
    for mode in MODES:
        if name == mode:
            return mode
    raise UsageError(f"dtype must be one of {', '.join(MODES)}, got {name}")
