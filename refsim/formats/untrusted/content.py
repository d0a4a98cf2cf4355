"""What a weight file holds, free of HDF5: a flat tree of attributes and arrays, and its digest."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Scalar = int | float | str
Value = Scalar | tuple[Scalar, ...]

DIGEST_KEY = "content_sha256"
"""The root attribute that holds the digest; the only one it does not cover."""


@dataclass(frozen=True, eq=False)
class Node:
    """One object: a group (`data` None) or a dataset. Strings in `data` are UTF-8 bytes, dtype S."""

    attrs: dict[str, Value] = field(default_factory=dict)
    data: Array | None = None


Content = Mapping[str, Node]
"""Every object by its absolute path; "/" is the root."""


def content_sha256(content: Content) -> str:
    """Digest of everything the file says, whatever the byte order, chunking and age of its HDF5 (format.md 7)."""
    digest = hashlib.sha256(b"refsim-network content 1\n")
    for path in sorted(content, key=str.encode):
        for piece in _pieces(path, content[path]):
            digest.update(struct.pack("<Q", len(piece)))
            digest.update(piece)
    return digest.hexdigest()


def _pieces(path: str, node: Node) -> Iterator[bytes | memoryview]:
    yield path.encode()
    if node.data is None:
        yield b"group"
    else:
        yield b"dataset"
        yield from _array_pieces(node.data)
    names = sorted((name for name in node.attrs if (path, name) != ("/", DIGEST_KEY)), key=str.encode)
    yield struct.pack("<Q", len(names))
    for name in names:
        yield name.encode()
        yield from _value_pieces(node.attrs[name])


def _array_pieces(data: Array) -> Iterator[bytes | memoryview]:
    if data.dtype.kind == "S":
        yield b"utf8"
        yield struct.pack(f"<{data.ndim}q", *data.shape)
        yield from data.ravel().tolist()
        return
    little = np.ascontiguousarray(data.astype(data.dtype.newbyteorder("<"), copy=False))
    yield f"{little.dtype.kind}{little.dtype.itemsize}".encode()
    yield struct.pack(f"<{data.ndim}q", *data.shape)
    yield little.reshape(-1).view(np.uint8).data


def _value_pieces(value: Value) -> Iterator[bytes | memoryview]:
    """The pieces of an attribute: of type i8, f8 or utf8, whatever width the file has."""
    items = value if isinstance(value, tuple) else (value,)
    shape = (len(items),) if isinstance(value, tuple) else ()
    if all(isinstance(item, str) for item in items):
        yield b"utf8"
        yield struct.pack(f"<{len(shape)}q", *shape)
        yield from (str(item).encode() for item in items)
    else:
        dtype = "<i8" if all(isinstance(item, int) for item in items) else "<f8"
        yield from _array_pieces(np.array(value, dtype=dtype))
