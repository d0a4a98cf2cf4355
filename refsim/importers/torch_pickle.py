"""PyTorch's two file layouts: a zip of `data.pkl` and storages, and the older row of pickles with storages behind."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError
from refsim.formats.untrusted.numpy_pickle import numpy_globals
from refsim.formats.untrusted.unpickler import MAX_OPERATIONS, Budget, shown, unpickle

Array = NDArray[Any]

MAX_PICKLE = 64 << 20
"""Bytes of the pickle itself; the tensors are not in it."""

BFLOAT16 = "bfloat16"
DTYPES = {
    "float32": "f4", "float64": "f8", "float16": "f2", "bfloat16": BFLOAT16, "int64": "i8", "int32": "i4",
    "int16": "i2", "int8": "i1", "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "bool": "?",
}  # fmt: skip
STORAGES = {
    "Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": BFLOAT16, "Long": "i8", "Int": "i4", "Short": "i2",
    "Char": "i1", "Byte": "u1", "Bool": "?", "Untyped": "u1", "Typed": "u1",
}  # fmt: skip


@dataclass(frozen=True)
class StorageType:
    """The class of a storage: the type of its numbers ("u1": bytes, the tensor knows the type)."""

    dtype: str


@dataclass(frozen=True)
class Storage:
    """A block of n numbers elsewhere in the file."""

    key: str
    dtype: str
    n: int

    @property
    def n_bytes(self) -> int:
        return self.n * _raw_dtype(self.dtype).itemsize


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


def _raw_dtype(dtype: str, byte_order: Literal["<", ">"] = "<") -> np.dtype[Any]:
    return np.dtype("u2" if dtype == BFLOAT16 else dtype).newbyteorder(byte_order)


def _persistent(value: Any) -> Storage:
    kind, storage_type, key, _, n, *view = value
    if kind != "storage" or not isinstance(storage_type, StorageType) or not isinstance(key, str):
        raise TypeError("not a storage")
    if type(n) is not int or n < 0 or any(part is not None for part in view):
        raise ValueError("a storage of impossible size")
    return Storage(key, storage_type.dtype, n)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> StoredTensor:
    dtype = rest[2] if len(rest) > 2 and isinstance(rest[2], str) else ""  # _rebuild_tensor_v3
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise TypeError("not the parts of a tensor")
    if not all(type(n) is int and n >= 0 for n in (offset, *shape, *strides)) or len(shape) != len(strides):
        raise ValueError("a tensor of impossible shape")
    if len(shape) > 8:
        raise ValueError("a tensor of too many axes")
    return StoredTensor(storage, offset, shape, strides, dtype or storage.dtype)


def _first(value: Any = None, *_: Any) -> Any:
    return value


def _torch_globals(size: int) -> dict[str, Any]:
    table: dict[str, Any] = dict(numpy_globals(Budget(size + MAX_OPERATIONS)))
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
        table[f"torch._utils.{name}"] = _tensor
    for name in ("torch._utils._rebuild_parameter", "torch.Size", "torch.device"):
        table[name] = _first
    for name, dtype in STORAGES.items():
        for module in ("torch", "torch.cuda", "torch.storage"):
            table[f"{module}.{name}Storage"] = StorageType(dtype)
    for name, dtype in DTYPES.items():
        table[f"torch.{name}"] = dtype
    return table


def view(tensor: StoredTensor, raw: bytes | memoryview, byte_order: Literal["<", ">"], where: str) -> Array:
    """The tensor as a contiguous array of this machine's byte order; `raw` is its whole storage."""
    dtype = _raw_dtype(tensor.dtype, byte_order)
    numbers = np.frombuffer(raw, dtype, count=len(raw) // dtype.itemsize)
    if 0 in tensor.shape:
        numbers = numbers[:0].reshape(tensor.shape)
    else:
        last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
        # A stride of 0 repeats one number: four bytes could claim terabytes, hence the second condition.
        if last >= numbers.size or prod(tensor.shape) > numbers.size:
            raise FormatError(
                f"{where}: a tensor of shape {tensor.shape}, strides {tensor.strides} at offset {tensor.offset} "
                f"does not fit its storage of {numbers.size} numbers"
            )
        strides = [stride * dtype.itemsize for stride in tensor.strides]
        numbers = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
    if tensor.dtype == BFLOAT16:
        return (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)  # the upper half of a float32
    return numbers.astype(dtype.newbyteorder("="), order="C")


def read_zip(archive: zipfile.ZipFile, where: str) -> tuple[Any, Callable[[StoredTensor], Array]]:
    """Read what torch.save writes since 1.6.

    Returns
    -------
    The content, with `StoredTensor` where tensors are, and the function that reads one.
    """
    members = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise FormatError(f"{where}: a zip archive without the data.pkl of torch.save")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in members:
        raise FormatError(
            f"{where}: a TorchScript archive, which is not read; export the model with torch.export.save, or save "
            "model.state_dict() with torch.save"
        )

    def member(name: str, limit: int | None = None) -> bytes:
        info = members.get(folder + name)
        if info is None:
            raise FormatError(f"{where}: the archive has no member {shown(folder + name)}")
        # torch.save stores without compression, so that a member cannot be larger than the file.
        if info.file_size != info.compress_size or info.flag_bits & 1:
            name = shown(info.filename)
            raise FormatError(f"{where}: member {name} is compressed or encrypted; torch.save does neither")
        if limit is not None and info.file_size > limit:
            name = shown(info.filename)
            raise FormatError(f"{where}: member {name} has {info.file_size} bytes, at most {limit} expected")
        return archive.read(info)

    order = member("byteorder", 16).decode("latin-1") if f"{folder}byteorder" in members else "little"
    if order not in ("little", "big"):
        raise FormatError(f"{where}: unknown byte order {shown(order)}")
    data = member("data.pkl", MAX_PICKLE)
    content, _ = unpickle(data, where=where, allowed=_torch_globals(len(data)), persistent=_persistent)

    # Tensors that share a storage usually follow each other; reading it again for each would take for ever.
    latest: tuple[str, bytes] = ("", b"")

    def read(tensor: StoredTensor) -> Array:
        nonlocal latest
        key = tensor.storage.key
        if latest[0] != key:
            latest = (key, member(f"data/{key}"))
        if len(latest[1]) != tensor.storage.n_bytes:
            raise FormatError(
                f"{where}: storage {shown(key)} has {len(latest[1])} bytes, {tensor.storage.n_bytes} expected"
            )
        return view(tensor, latest[1], "<" if order == "little" else ">", where)

    return content, read


def read_legacy(data: bytes, where: str) -> tuple[Any, Callable[[StoredTensor], Array]]:
    """Read what torch.save wrote before 1.6: pickles of magic number, protocol, platform, content and storage keys,
    then each storage behind its length. Returns what `read_zip` does.
    """
    table = _torch_globals(len(data))
    blocks: dict[str, Storage] = {}

    def persistent(value: Any) -> Storage:
        block = _persistent(value)
        return blocks.setdefault(block.key, block)

    def one(at: int) -> tuple[Any, int]:
        return unpickle(data, where=where, allowed=table, persistent=persistent, start=at)

    _, at = one(0)
    protocol, at = one(at)
    platform, at = one(at)
    if protocol != 1001 or not isinstance(platform, dict) or platform.get("little_endian") is not True:
        raise FormatError(f"{where}: a legacy checkpoint of another protocol or of a big-endian machine; save it again")
    content, at = one(at)
    keys, at = one(at)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise FormatError(f"{where}: the list of storages is missing")
    starts: dict[str, int] = {}
    for key in keys:
        if key not in blocks:
            raise FormatError(f"{where}: storage {shown(key)} belongs to no tensor")
        end = at + 8 + blocks[key].n_bytes
        if end > len(data):
            raise FormatError(f"{where}: the file ends early, in storage {shown(key)}")
        if int.from_bytes(data[at : at + 8], "little") != blocks[key].n:
            raise FormatError(f"{where}: storage {shown(key)} does not have the length its tensors expect")
        starts[key], at = at + 8, end
    raw = memoryview(data)

    def read(tensor: StoredTensor) -> Array:
        start = starts.get(tensor.storage.key)
        if start is None:
            raise FormatError(f"{where}: storage {shown(tensor.storage.key)} is not in the file")
        return view(tensor, raw[start : start + tensor.storage.n_bytes], "<", where)

    return content, read
