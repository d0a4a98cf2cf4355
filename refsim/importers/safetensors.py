"""The .safetensors layout: length of the header (u64), the header (JSON), then the bytes of all tensors."""

from __future__ import annotations

import json
import os
from math import prod
from typing import Any, BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError
from refsim.formats.untrusted.unpickler import shown

Array = NDArray[Any]

MAX_HEADER = 16 << 20
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(file: BinaryIO, where: str) -> dict[str, Array]:
    """Read all tensors of a .safetensors file; BF16 becomes float32, exactly.

    Raises
    ------
    FormatError
        Not such a file, or a header that does not fit the bytes behind it.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or not 2 <= length <= min(MAX_HEADER, size - 8):
        raise FormatError(f"{where}: not a checkpoint (expected a .pth or .th of torch.save, or .safetensors)")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{where}: not a checkpoint (expected a .pth or .th of torch.save, or .safetensors)"
        ) from error
    if not isinstance(header, dict):
        raise FormatError(f"{where}: the safetensors header is not an object")
    header.pop("__metadata__", None)
    tensors: dict[str, Array] = {}
    left = size - 8 - length
    for name, entry in header.items():
        dtype, shape, begin, end = _entry(entry, f"{where}:{shown(name)}")
        left -= end - begin
        if begin + (end - begin) > size - 8 - length or left < 0:
            raise FormatError(f"{where}:{shown(name)}: bytes {begin} to {end} are outside the file or used twice")
        file.seek(8 + length + begin)
        raw = np.frombuffer(file.read(end - begin), DTYPES[dtype])
        if dtype == "BF16":
            raw = (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
        tensors[name] = raw.reshape(shape)
    return tensors


def _entry(entry: Any, where: str) -> tuple[str, tuple[int, ...], int, int]:
    if not isinstance(entry, dict):
        raise FormatError(f"{where}: expected dtype, shape and data_offsets")
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FormatError(f"{where}: number type {shown(str(dtype))} is not one of {', '.join(DTYPES)}")
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        raise FormatError(f"{where}: shape or data_offsets are not lists of sizes")
    begin, end = offsets
    if prod(shape) * np.dtype(DTYPES[dtype]).itemsize != end - begin:
        raise FormatError(f"{where}: shape {tuple(shape)} of {dtype} does not fit bytes {begin} to {end}")
    return dtype, tuple(shape), begin, end


def _sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) <= 8 and all(type(n) is int and 0 <= n < 1 << 48 for n in value)
