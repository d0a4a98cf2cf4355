"""What pickled NumPy arrays consist of, for the whitelist unpickler: CIFAR batches, scalars in checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.formats.untrusted.unpickler import Attributed, Budget

_KINDS = "biuf"


class PickledDtype:
    """A number type; its byte order arrives with BUILD."""

    def __init__(self, name: Any, *_: Any) -> None:
        dtype = np.dtype(name) if isinstance(name, str) and len(name) <= 8 else None
        if dtype is None or dtype.kind not in _KINDS:
            raise ValueError("only arrays of numbers are loaded")
        self.dtype = dtype

    def build(self, state: Any) -> None:
        """Take (version, byte order, ...)."""
        order = state[1]
        if order not in ("<", ">", "=", "|"):
            raise ValueError("unknown byte order")
        self.dtype = self.dtype.newbyteorder(order)


class PickledArray:
    """An array; shape, type and bytes arrive with BUILD. `values` is None until then."""

    def __init__(self, *_: Any) -> None:
        self.values: NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        """Take (version, shape, dtype, Fortran order, bytes)."""
        _, shape, dtype, fortran, raw = state
        self.values = _from_bytes(raw, dtype, shape, "F" if fortran else "C")


def _from_bytes(raw: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if isinstance(raw, str):  # Python 2 had one type for text and bytes
        raw = raw.encode("latin-1")
    if not isinstance(raw, bytes) or not isinstance(dtype, PickledDtype) or order not in ("C", "F"):
        raise TypeError("not the parts of an array")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise TypeError("not a shape")
    return np.frombuffer(raw, dtype.dtype).reshape(shape, order=order)


def numpy_globals(budget: Budget) -> dict[str, Callable[..., Any]]:
    """The functions that pickles of arrays, NumPy scalars and ordered dictionaries call."""

    def encode(text: str, encoding: str = "") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise ValueError("unknown encoding")
        budget.spend(len(text))
        return text.encode("latin-1")

    def reconstruct(kind: Any, *_: Any) -> PickledArray:
        return PickledArray()

    def from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
        array = PickledArray()
        array.values = _from_bytes(raw, dtype, shape, order)
        return array

    def scalar(dtype: Any, raw: Any) -> int | float | bool:
        value: int | float | bool = _from_bytes(raw, dtype, (), "C").item()
        return value

    def ordered_dict(items: Any = ()) -> Attributed:
        budget.spend(len(items))
        result = Attributed()
        for key, value in items:
            if not isinstance(key, str | int):
                raise TypeError("a dictionary key that is not a scalar")
            result[key] = value
        return result

    def same(value: Any = None, *_: Any) -> Any:
        return {} if value is None else value

    table: dict[str, Callable[..., Any]] = {
        "_codecs.encode": encode,
        "__builtin__.bytes": lambda: b"",  # how protocol 2 writes empty bytes
        "collections.OrderedDict": ordered_dict,
        "collections.Counter": same,
        "numpy.dtype": PickledDtype,
        "numpy.ndarray": reconstruct,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray._reconstruct"] = reconstruct
        table[f"{core}.multiarray.scalar"] = scalar
        table[f"{core}.numeric._frombuffer"] = from_buffer
    return table
