"""Pickles and checkpoints written opcode by opcode, so that no PyTorch and no unpickler has a hand in them."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "u1": "Byte", "b1": "Bool"}


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def value(item: Any) -> bytes:
    """Opcodes that push a plain value."""
    match item:
        case bytes():
            return item  # opcodes already
        case None:
            return b"N"
        case bool():
            return b"\x88" if item else b"\x89"
        case int():
            return b"\x8a\x08" + item.to_bytes(8, "little", signed=True)
        case float():
            return b"G" + struct.pack(">d", item)
        case str():
            return text(item)
        case tuple():
            return b"(" + b"".join(map(value, item)) + b"t"
        case list():
            return b"](" + b"".join(map(value, item)) + b"e"
        case dict():
            return b"}(" + b"".join(value(key) + value(each) for key, each in item.items()) + b"u"
    raise TypeError(item)


def name(full: str) -> bytes:
    module, _, attribute = full.rpartition(".")
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def call(full: str, *arguments: Any) -> bytes:
    return name(full) + value(arguments) + b"R"


def tensor(
    key: str, n: int, shape: tuple[int, ...], strides: tuple[int, ...], *, offset: int = 0, storage: str = "Float"
) -> bytes:
    """Opcodes that push a tensor: a view of storage `key`, which has n elements."""
    block = value(("storage", name(f"torch.{storage}Storage"), key, "cpu", n)) + b"Q"
    hooks = call("collections.OrderedDict")
    return call("torch._utils._rebuild_tensor_v2", block, offset, shape, strides, False, hooks)


def pickle(item: Any) -> bytes:
    return b"\x80\x02" + value(item) + b"."


def tensors(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Opcodes of every array as a tensor, and the bytes of the storages."""
    views, storages = {}, {}
    for number, (key, array) in enumerate(arrays.items()):
        array = np.ascontiguousarray(array) if array.ndim else array
        strides = tuple(step // array.itemsize for step in array.strides)
        storage = STORAGES[array.dtype.str[1:]]
        views[key] = tensor(str(number), array.size, array.shape, strides, storage=storage)
        storages[str(number)] = array.tobytes()
    return views, storages


def write_zip(path: Path, content: bytes, storages: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("net/data.pkl", content)
        archive.writestr("net/byteorder", "little")
        for key, raw in storages.items():
            archive.writestr(f"net/data/{key}", raw)
    return path


def write_pth(path: Path, arrays: Mapping[str, np.ndarray], wrap: str | None = None) -> Path:
    """A checkpoint as torch.save writes it today."""
    views, storages = tensors(arrays)
    content: Any = call("collections.OrderedDict") + b"(" + b"".join(text(k) + v for k, v in views.items()) + b"u"
    return write_zip(path, pickle({wrap: content, "epoch": 3} if wrap else content), storages)


def write_legacy(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """A checkpoint as torch.save wrote it before 1.6."""
    views, storages = tensors(arrays)
    magic = b"\x80\x02\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + b"."
    platform = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2}}
    parts = [magic, pickle(1001), pickle(platform), pickle({"state_dict": dict(views)}), pickle(list(storages))]
    sizes = {str(number): array.size for number, array in enumerate(arrays.values())}
    parts += [struct.pack("<q", sizes[key]) + raw for key, raw in storages.items()]
    path.write_bytes(b"".join(parts))
    return path


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    names = {"f4": "F32", "f8": "F64", "f2": "F16", "i8": "I64"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for key, array in arrays.items():
        entry = {"dtype": names[array.dtype.str[1:]], "shape": array.shape, "data_offsets": [at, at + array.nbytes]}
        header[key] = entry
        at += array.nbytes
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + b"".join(array.tobytes() for array in arrays.values()))
    return path
