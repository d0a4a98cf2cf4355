"""What `simulate` and `forward` are given, looked at once: the kernels behind them check nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import DataError, UsageError
from refsim.model import Network

Array = NDArray[Any]

RECORDABLE = ("spikes", "n", "v", "current", "followed")
"""What a simulation can keep of every population, as `trace.PopulationTrace` has it."""


def checked_steps(T: Any) -> int:
    """T as an int.

    Raises
    ------
    UsageError
        Not a whole number (True and 4.0 are none), or less than 1.
    """
    if isinstance(T, bool) or not isinstance(T, int | np.integer):
        raise UsageError(f"T must be a whole number of time steps, got {T!r}")
    if T < 1:
        raise UsageError(f"T must be at least 1, got {T}")
    return int(T)


def checked_record(record: Collection[str]) -> frozenset[str]:
    """What to record, as a set of names; one name may stand alone.

    Raises
    ------
    UsageError
        No names, or unknown ones.
    """
    known = ", ".join(RECORDABLE)
    if not isinstance(record, Collection):
        raise UsageError(f"record must be a collection of names ({known}), got {record!r}")
    names = (record,) if isinstance(record, str) else tuple(record)
    for name in names:
        if not isinstance(name, str) or name not in RECORDABLE:
            raise UsageError(f"record: nothing is called {name!r}; known are {known}")
    return frozenset(names)


def checked_input(network: Network, x: Any, dtype: np.dtype[Any]) -> Array:
    """Input currents x (B, C, H, W) as contiguous (B, H, W, C) of a float type.

    Raises
    ------
    DataError
        Raw pixels, no numbers, another shape than the network's input, no images, or a value that is not finite in
        this type.
    """
    try:
        x = np.asarray(x)
    except ValueError:  # NumPy's for lists of unequal lengths
        raise DataError("x must be one array of numbers (n, C, H, W), got parts of unequal shapes") from None
    if x.dtype == np.uint8:
        raise DataError(
            f"x holds raw pixels (uint8 {x.shape}), expected input currents; "
            "call network.input.normalize(images) on images (n, H, W, C) first"
        )
    if x.dtype.kind not in "fiu":
        raise DataError(f"x must hold real numbers, got {x.dtype}")
    expected = network.input.shape
    if x.shape[1:] != expected or x.ndim != 4:
        wanted = f"(n, {', '.join(map(str, expected))})"
        raise DataError(f"x must be {wanted} for network '{network.name}', got {x.shape}{_advice(x.shape, expected)}")
    if not len(x):
        raise DataError(f"x holds no images, shape {x.shape}; give at least one")
    with np.errstate(over="ignore"):  # what is beyond this type is refused below
        values = np.ascontiguousarray(np.moveaxis(x, 1, 3), dtype=dtype)
    finite = np.isfinite(values)
    if not finite.all():
        image = int(np.argmin(finite.reshape(len(values), -1).all(axis=1)))
        raise DataError(f"x: image {image} holds values that are not finite numbers in {dtype}")
    return values


def _advice(shape: tuple[int, ...], expected: tuple[int, int, int]) -> str:
    """What may have happened, and what to do about it."""
    c, h, w = expected
    if shape == expected:
        return ", one image; give x[None]"
    if shape[-3:] == (h, w, c):
        return ", channels last; call network.input.normalize(images) on raw images first"
    return ""
