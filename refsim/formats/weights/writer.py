"""`Content` to the bytes of a weight file."""

from __future__ import annotations

import io
from math import prod
from typing import Any

import numpy as np

from refsim.formats.untrusted.content import DIGEST_KEY, Array, Content, Value, content_sha256

CHUNK_BYTES = 2 << 20


def to_bytes(content: Content) -> bytes:
    """The HDF5 file of this content; the same content gives the same bytes."""
    # Imported here, because reading (in the child) must not cost the parent the 0.1 s of this import.
    import h5py

    buffer = io.BytesIO()
    # v110: HDF5 2.0's "latest" cannot be read by 1.14, and older formats carry no checksums of their metadata.
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        for path in sorted(content):
            node = content[path]
            if path == "/":
                place: Any = file
            elif node.data is None:
                place = file.create_group(path)
            else:
                place = _create_dataset(h5py, file, path, node.data)
            attrs = node.attrs | {DIGEST_KEY: content_sha256(content)} if path == "/" else node.attrs
            for key, value in attrs.items():
                _create_attribute(h5py, place, key, value)
    return buffer.getvalue()


def _create_dataset(h5py: Any, file: Any, path: str, data: Array) -> Any:
    if data.dtype.kind == "S":
        data = data.astype(h5py.string_dtype("utf-8", data.dtype.itemsize))
    else:
        data = data.astype(data.dtype.newbyteorder("<"), copy=False)
    # fletcher32 needs chunks, and a scalar cannot have them; the content digest covers it all the same.
    layout = {"chunks": chunk_shape(data.shape, data.dtype.itemsize), "fletcher32": True} if data.shape else {}
    return file.create_dataset(path, data=data, **layout)


def _create_attribute(h5py: Any, place: Any, key: str, value: Value) -> None:
    items = value if isinstance(value, tuple) else (value,)
    if all(isinstance(item, str) for item in items):
        texts = [str(item).encode() for item in items]
        dtype = h5py.string_dtype("utf-8", max(1, *map(len, texts)))
        data = np.array(texts, dtype=dtype)
    else:
        dtype = np.dtype("<i8") if all(isinstance(item, int) for item in items) else np.dtype("<f8")
        data = np.array(items, dtype=dtype)
    data = data if isinstance(value, tuple) else data.reshape(())
    place.attrs.create(key, data, dtype=dtype)


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Chunks of at most `CHUNK_BYTES`, cut along the first axes and as even as possible."""
    chunk = list(shape)
    for axis, length in enumerate(shape):
        rest = prod(chunk[axis + 1 :]) * itemsize
        most = max(1, CHUNK_BYTES // rest)
        n = -(-length // most)
        chunk[axis] = -(-length // n)
        if rest <= CHUNK_BYTES:
            break
    return tuple(chunk)
