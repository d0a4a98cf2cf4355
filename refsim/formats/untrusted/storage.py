"""Which element types, shapes and kinds of storage an HDF5 file may have (docs/format.md 1.5 to 1.7).

Runs inside the child process. Everything is checked before anything is allocated.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

# Before the import: an HDF5 plugin is a shared library that runs code. "::" switches the search off.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"

import numpy as np
from h5py import h5d, h5s, h5t, h5z, special_dtype
from numpy.typing import NDArray

from refsim.formats.untrusted.limits import (
    FILTERS,
    MAX_CHUNK_BYTES,
    MAX_CHUNKS,
    MAX_FOREIGN_BYTES,
    MAX_FOREIGN_TEXTS,
    MAX_RANK,
    MAX_STRING_BYTES,
)

_NUMBERS = {
    f"{order}{numpy_name}": getattr(h5t, f"{hdf5_name}{'LE' if order == '<' else 'BE'}")
    for numpy_name, hdf5_name in (
        ("f2", "IEEE_F16"), ("f4", "IEEE_F32"), ("f8", "IEEE_F64"),
        ("i1", "STD_I8"), ("i2", "STD_I16"), ("i4", "STD_I32"), ("i8", "STD_I64"),
        ("u1", "STD_U8"), ("u2", "STD_U16"), ("u4", "STD_U32"), ("u8", "STD_U64"),
    )
    for order in "<>"
}  # fmt: skip

_CLASS_NAMES = {
    h5t.TIME: "time", h5t.BITFIELD: "bit field", h5t.OPAQUE: "opaque", h5t.COMPOUND: "compound",
    h5t.REFERENCE: "reference", h5t.ENUM: "enumeration", h5t.VLEN: "variable-length", h5t.ARRAY: "array",
}  # fmt: skip

_FILTER_NAMES = {
    h5z.FILTER_DEFLATE: "gzip", h5z.FILTER_SHUFFLE: "shuffle", h5z.FILTER_SZIP: "szip",
    h5z.FILTER_NBIT: "nbit", h5z.FILTER_SCALEOFFSET: "scale-offset", h5z.FILTER_FLETCHER32: "fletcher32",
    h5z.FILTER_LZF: "lzf",
}  # fmt: skip


class Refusal(Exception):
    """The file breaks the rule `text` at `path`; the walk over the file adds the path."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text, path)
        self.text, self.path = text, path


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset that may be read: its type, shape, and how to get its bytes."""

    handle: Any
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    def read(self, out: NDArray[Any]) -> None:
        """Fill `out`, of this dtype and shape, without any conversion by HDF5."""
        type_id = self.handle.get_type()
        try:
            self.handle.read(h5s.ALL, h5s.ALL, out, mtype=type_id)
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            # No other filter than the checksum has come this far.
            if "filter" in str(error).lower():
                raise Refusal("the stored checksum does not match the data; the file is damaged") from None
            raise Refusal(f"the data cannot be read; the file is damaged ({error})") from None
        if self.dtype.kind == "S":
            flat = out.reshape(-1)
            flat[:] = [unpadded(raw, type_id) for raw in flat.tolist()]


@dataclass(frozen=True, eq=False)
class Texts(Dataset):
    """Strings of variable length, which are read before anything else is known of them."""

    values: NDArray[Any]

    def read(self, out: NDArray[Any]) -> None:
        out[...] = self.values


def texts_of(handle: Any) -> Texts:
    """The strings of variable length of a dataset or attribute."""
    shape = shape_of(handle.get_space())
    if prod(shape) > MAX_FOREIGN_TEXTS:
        raise Refusal(f"{prod(shape)} strings, at most {MAX_FOREIGN_TEXTS} are read")
    found = np.empty(shape, dtype=special_dtype(vlen=bytes))
    kind = h5t.py_create(found.dtype)
    if isinstance(handle, h5d.DatasetID):
        handle.read(h5s.ALL, h5s.ALL, found, mtype=kind)
    else:
        handle.read(found, mtype=kind)
    width = max((len(text or b"") for text in found.ravel()), default=0)
    if width > MAX_STRING_BYTES:
        raise Refusal(f"a string of {width} bytes, at most {MAX_STRING_BYTES} are read")
    values = np.array([text or b"" for text in found.ravel()], dtype=f"S{max(1, width)}").reshape(shape)
    return Texts(handle, values.dtype, shape, values)


def is_variable(type_id: Any) -> bool:
    """Whether a type is that of strings of variable length."""
    return bool(type_id.get_class() == h5t.STRING and type_id.is_variable_str())


def check_foreign(handle: Any, total: int) -> Dataset:
    """A dataset of another tool's file: it may be compressed, and hold strings of variable length.

    `total` bytes are declared by the datasets before it.
    """
    if is_variable(handle.get_type()):
        return texts_of(handle)
    dataset = Dataset(handle, dtype_of(handle.get_type()), shape_of(handle.get_space()))
    if total + dataset.nbytes > MAX_FOREIGN_BYTES:
        raise Refusal(f"declares shape {dataset.shape}; with it the arrays have more than {MAX_FOREIGN_BYTES} bytes")
    settings = handle.get_create_plist()
    layout = check_inside(settings)
    for name in filters_of(settings):
        if name not in FILTERS:
            raise Refusal(f"is stored with {name}; only {', '.join(FILTERS)} are read")
    if layout == h5d.CHUNKED and prod(settings.get_chunk()) * dataset.dtype.itemsize > MAX_CHUNK_BYTES:
        raise Refusal(f"chunks of more than {MAX_CHUNK_BYTES} bytes")
    return dataset


def dtype_of(type_id: Any) -> np.dtype[Any]:
    """The NumPy type of an HDF5 type, which must be exactly a standard number or a fixed-length string."""
    kind = type_id.get_class()
    if kind == h5t.STRING:
        if type_id.is_variable_str():
            raise Refusal("is a variable-length string; strings must have a fixed length")
        if not 0 < type_id.get_size() <= MAX_STRING_BYTES:
            raise Refusal(f"a string of {type_id.get_size()} bytes, at most {MAX_STRING_BYTES} are read")
        return np.dtype(f"S{type_id.get_size()}")
    if kind in (h5t.INTEGER, h5t.FLOAT):
        for name, standard in _NUMBERS.items():
            if type_id.equal(standard):
                return np.dtype(name)
        raise Refusal("is a number of a non-standard type; IEEE floats and 8 to 64 bit integers are read")
    raise Refusal(f"is of {_CLASS_NAMES.get(kind, 'unknown')} type; only numbers and strings are read")


def shape_of(space: Any) -> tuple[int, ...]:
    """The shape of an HDF5 dataspace, which must have elements."""
    if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE):
        raise Refusal("has no value (null dataspace)")
    if space.get_simple_extent_ndims() > MAX_RANK:
        raise Refusal(f"has {space.get_simple_extent_ndims()} axes, at most {MAX_RANK} are read")
    shape = tuple(int(n) for n in space.get_simple_extent_dims())
    if 0 in shape:
        raise Refusal(f"is empty, shape {shape}")
    return shape


def unpadded(raw: bytes, type_id: Any) -> bytes:
    """A fixed-length string without what fills it up; NumPy has taken off trailing NULs already."""
    if type_id.get_strpad() == h5t.STR_NULLTERM:
        return raw.split(b"\0")[0]
    return raw.rstrip(b" ") if type_id.get_strpad() == h5t.STR_SPACEPAD else raw


def check_dataset(handle: Any, total: int, file_bytes: int) -> Dataset:
    """The dataset, if it is completely and plainly stored in this file of `file_bytes` bytes.

    `total` bytes are declared by the datasets before it. Nothing is compressed, so honest arrays are never
    larger than their file.
    """
    dataset = Dataset(handle, dtype_of(handle.get_type()), shape_of(handle.get_space()))
    if total + dataset.nbytes > file_bytes:
        raise Refusal(
            f"declares shape {dataset.shape}, {dataset.nbytes} bytes; with it the arrays are larger than the file, "
            f"{file_bytes} bytes"
        )
    settings = handle.get_create_plist()
    layout = check_inside(settings)
    for name in filters_of(settings):
        if name != "fletcher32":
            raise Refusal(f"is stored with {name}; only uncompressed data is read (h5repack -f NONE removes it)")
    if layout == h5d.CHUNKED:
        _check_chunks(dataset, settings, file_bytes)
    elif handle.get_storage_size() != dataset.nbytes:
        raise Refusal(f"{handle.get_storage_size()} bytes are stored, shape {dataset.shape} needs {dataset.nbytes}")
    return dataset


def check_inside(settings: Any) -> int:
    """The layout of a dataset whose data is in its own file; anything else is refused."""
    layout = int(settings.get_layout())
    if layout not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED):
        raise Refusal("is a virtual dataset, stored in other files; only data of this file is read")
    if settings.get_external_count():
        raise Refusal("has external storage, in other files; only data of this file is read")
    return layout


def filters_of(settings: Any) -> list[str]:
    """The names of a dataset's filters in the order of their application, each of them once."""
    codes = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
    names = [_FILTER_NAMES.get(code, f"filter {code}") for code in codes]
    if len(set(names)) < len(names):
        raise Refusal("has the same filter twice")
    return names


def _check_chunks(dataset: Dataset, settings: Any, file_bytes: int) -> None:
    chunk, handle = settings.get_chunk(), dataset.handle
    nbytes = prod(chunk) * dataset.dtype.itemsize
    if len(chunk) != len(dataset.shape) or any(c > n for c, n in zip(chunk, dataset.shape)):
        raise Refusal(f"chunks {chunk} are larger than the shape {dataset.shape}")
    if nbytes > MAX_CHUNK_BYTES:
        raise Refusal(f"chunks of {nbytes} bytes, at most {MAX_CHUNK_BYTES} are read")
    expected = prod(ceil(n / c) for n, c in zip(dataset.shape, chunk))
    if expected > MAX_CHUNKS:
        raise Refusal(f"{expected} chunks, at most {MAX_CHUNKS} are read")
    if handle.get_num_chunks() != expected:
        raise Refusal(f"{handle.get_num_chunks()} of {expected} chunks are stored")
    stored = nbytes + 4 * settings.get_nfilters()
    for i in range(expected):
        info = handle.get_chunk_info(i)
        if info.filter_mask or info.size != stored or not 0 < info.byte_offset <= file_bytes - stored:
            raise Refusal(f"chunk {i} is stored in an unexpected way; the file is damaged")
