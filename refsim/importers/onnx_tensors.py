"""Numbers in ONNX files, and in the files beside them: every claim is checked before an array is made."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from refsim.exceptions import FormatError
from refsim.formats.untrusted.opening import open_at, open_descriptor
from refsim.formats.untrusted.unpickler import shown
from refsim.model import Array

BFLOAT16 = 16
DTYPES = {
    1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8", 12: "<u4",
    13: "<u8", BFLOAT16: "<u2",
}  # fmt: skip
_TYPED = {
    "float_data": (1,), "double_data": (11,), "int64_data": (7,), "uint64_data": (12, 13),
    "int32_data": (2, 3, 4, 5, 6, 9, 10, BFLOAT16),
}  # fmt: skip
_EXTERNAL = 1


class Tensors:
    """Reads the tensors of one model.

    Parameters
    ----------
    folder
        Where its side-cars lie: no other folder is looked into.
    where
        The file, for messages.
    """

    def __init__(self, folder: Path, where: str) -> None:
        self.folder = folder
        self.where = where
        self.left: dict[str, int] = {}

    def read(self, tensor: Any) -> Array:
        """The numbers of a TensorProto; bfloat16 becomes float32, exactly.

        Raises
        ------
        FormatError
            Numbers of another type, fewer or more than its dims say, or external data that is not safe or not there.
        """
        where = f"{self.where}: tensor {shown(tensor.name)}"
        if tensor.data_type not in DTYPES:
            raise FormatError(f"{where} is of number type {tensor.data_type}, expected one of {sorted(DTYPES)}")
        dtype, dims = np.dtype(DTYPES[tensor.data_type]), tuple(tensor.dims)
        if len(dims) > 8 or min(dims, default=0) < 0:
            raise FormatError(f"{where} has dims {dims[:9]}")
        n_bytes = prod(dims) * dtype.itemsize
        if tensor.data_location == _EXTERNAL:
            raw = self._external(tensor, n_bytes, where)
        elif tensor.HasField("raw_data"):
            raw = tensor.raw_data
        else:
            return self._typed(tensor, dims, where)
        if len(raw) != n_bytes:
            raise FormatError(f"{where} declares dims {dims}, {n_bytes} bytes, and has {len(raw)}")
        return _numbers(np.frombuffer(raw, dtype), tensor.data_type).reshape(dims)

    def _typed(self, tensor: Any, dims: tuple[int, ...], where: str) -> Array:
        field = next(name for name, codes in _TYPED.items() if tensor.data_type in codes)
        values = getattr(tensor, field)
        if len(values) != prod(dims):
            raise FormatError(f"{where} declares dims {dims}, {prod(dims)} numbers, and has {len(values)}")
        if tensor.data_type in (10, BFLOAT16):  # the bits of each as an integer
            numbers = np.array(values, np.int32).astype("<u2")
            numbers = numbers if tensor.data_type == BFLOAT16 else numbers.view("<f2")
        else:
            numbers = np.array(values, np.dtype(DTYPES[tensor.data_type]))
        return _numbers(numbers, tensor.data_type).reshape(dims)

    def _external(self, tensor: Any, n_bytes: int, where: str) -> bytes:
        """Bytes of a file beside the model."""
        said = {entry.key: entry.value for entry in tensor.external_data}
        location = said.get("location", "")
        if location in ("", ".", "..") or "/" in location or "\\" in location or not location.isprintable():
            raise FormatError(
                f"{where}: external data at location {shown(location)}; only a plain file name beside the model is read"
            )
        try:
            offset, length = int(said.get("offset", "0")), int(said.get("length", str(n_bytes)))
        except ValueError:
            raise FormatError(f"{where}: external data with an offset or length that is no number") from None
        if length != n_bytes or offset < 0:
            raise FormatError(f"{where} needs {n_bytes} bytes, its external data at {shown(location)} has {length}")
        try:
            # Nothing outside the folder is opened: no link is followed.
            descriptor = open_descriptor(
                self.folder / location, what="file of weights", flags=os.O_RDONLY | os.O_NOFOLLOW
            )
        except FormatError as refused:
            raise FormatError(
                f"{where}: external data {shown(location)} beside the model {refused} (links are not followed)"
            ) from None
        with open_at(descriptor) as file:
            found = os.fstat(file.fileno())
            if offset + length > found.st_size:
                raise FormatError(
                    f"{where}: bytes {offset} to {offset + length} of {shown(location)} are beyond its end, "
                    f"{found.st_size} bytes"
                )
            left = self.left.get(location, 4 * found.st_size) - length
            self.left[location] = left
            if left < 0:
                raise FormatError(
                    f"{where}: tensors overlap in {shown(location)}, more than four times its size in all"
                )
            file.seek(offset)
            return file.read(length)


def _numbers(values: Array, code: int) -> Array:
    return (values.astype(np.uint32) << np.uint32(16)).view(np.float32) if code == BFLOAT16 else values
