"""What an HDF5 file may contain for refsim to look at it: hard links, plain types, complete storage.

Runs inside the child process, with low-level h5py only, and imports
nothing of refsim but the limits. Everything is
checked before anything is allocated; what is refused raises `Refusal` with the path inside the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

# Before the import: an HDF5 plugin is a shared library that runs code. "::" switches the search off.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"

import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5s, h5t, h5z
from numpy.typing import NDArray

from refsim.formats.limits import (
    MAX_ATTRIBUTES,
    MAX_CHUNK_BYTES,
    MAX_CHUNKS,
    MAX_DEPTH,
    MAX_INDEX_BYTES,
    MAX_NAME_BYTES,
    MAX_OBJECTS,
    MAX_RANK,
    MAX_STRING_BYTES,
)

# H5LT_FILE_IMAGE_DONT_COPY | DONT_RELEASE: parse the bytes where they are; h5py gives these no name.
_IN_PLACE = 6

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
    h5z.FILTER_NBIT: "nbit", h5z.FILTER_SCALEOFFSET: "scale-offset",
}  # fmt: skip

Attrs = dict[str, Any]


class Refusal(Exception):
    """The file breaks the rule `text` at `path`."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(path, text)
        self.path, self.text = path, text


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset that passed the policy: its type, shape, and how to get its bytes."""

    path: str
    handle: Any
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def read(self, out: NDArray[Any]) -> None:
        """Fill `out`, of this dtype and shape, without any conversion by HDF5."""
        try:
            self.handle.read(h5s.ALL, h5s.ALL, out, mtype=self.handle.get_type())
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            # The policy lets no other filter through.
            if "filter" in str(error).lower():
                raise Refusal(self.path, "the stored checksum does not match the data; the file is damaged") from None
            raise Refusal(self.path, f"the data cannot be read; the file is damaged ({error})") from None


def walk(image: bytes, store: Callable[[Dataset], Any]) -> dict[str, dict[str, Any]]:
    """Every object of an HDF5 file image by path: {"attrs": ...}, and for a dataset {"data": store(dataset)}.

    A dataset is stored when all there is to know about it has been checked, and closed then: an open one keeps
    20 kB in libhdf5.

    Raises
    ------
    Refusal
        Whatever the policy does not allow, and whatever HDF5 cannot make sense of.
    """
    return _Walk(image, store).tree


def reseal(image: bytes, digest: str) -> bytes:
    """The file image with another content digest at its root."""
    file = h5f.open_file_image(image, h5f.FILE_IMAGE_OPEN_RW)
    root = h5g.open(file, b"/")
    if h5a.exists(root, b"content_sha256"):
        h5a.delete(root, b"content_sha256")
    fixed = h5t.C_S1.copy()
    fixed.set_size(len(digest))
    fixed.set_cset(h5t.CSET_UTF8)
    fixed.set_strpad(h5t.STR_NULLPAD)
    h5a.create(root, b"content_sha256", fixed, h5s.create(h5s.SCALAR)).write(
        np.array(digest.encode(), dtype=f"S{len(digest)}"), mtype=fixed
    )
    h5f.flush(file)
    resealed: bytes = file.get_file_image()
    return resealed


class _Walk:
    """One pass over the file, with the totals that bound it."""

    def __init__(self, image: bytes, store: Callable[[Dataset], Any]) -> None:
        self.size = len(image)
        self.store = store
        self.tree: dict[str, dict[str, Any]] = {}
        self.seen: set[int] = set()
        self.total = 0
        self.index_bytes = 0
        self.path = ""
        try:
            self.image = image
            self.file = h5f.open_file_image(image, _IN_PLACE)
            self._visit("/", h5g.open(self.file, b"/"), depth=0)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise Refusal(self.path, f"the HDF5 structure is damaged here ({error})") from None

    def refuse(self, text: str) -> Refusal:
        return Refusal(self.path, text)

    def _visit(self, path: str, handle: Any, depth: int) -> None:
        self.path = path
        if len(self.tree) >= MAX_OBJECTS:
            raise self.refuse(f"more than {MAX_OBJECTS} objects")
        address = h5o.get_info(handle).addr
        if address in self.seen:
            raise self.refuse("a second link to an object that was met before (hard-link cycle or alias)")
        self.seen.add(address)
        attrs = self._attributes(handle)
        self.path = path
        if isinstance(handle, h5d.DatasetID):
            self.tree[path] = {"attrs": attrs, "data": self.store(self._dataset(handle))}
            return
        self.tree[path] = {"attrs": attrs}
        for name in self._links(handle):
            self._enter(path, handle, name, depth + 1)

    def _enter(self, parent: str, group: Any, name: bytes, depth: int) -> None:
        self.path = parent
        text = self._name(name)
        self.path = f"{parent.rstrip('/')}/{text}"
        if depth > MAX_DEPTH:
            raise self.refuse(f"nested deeper than {MAX_DEPTH} groups")
        kind = group.links.get_info(name).type
        if kind != h5l.TYPE_HARD:
            names = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "an external link to another file"}
            raise self.refuse(f"is {names.get(kind, 'a user-defined link')}; only objects of this file are read")
        handle = h5o.open(group, name)
        if not isinstance(handle, (h5g.GroupID, h5d.DatasetID)):
            raise self.refuse("is a named datatype; only groups and datasets are read")
        self._visit(self.path, handle, depth)

    def _links(self, group: Any) -> list[bytes]:
        n = group.get_num_objs()
        if n > MAX_OBJECTS:
            raise self.refuse(f"holds {n} objects, at most {MAX_OBJECTS} are read")
        names: list[bytes] = []
        group.links.iterate(names.append)
        if len(names) != n or len(set(names)) != n:
            raise self.refuse("the list of members is damaged or has duplicate names")
        return sorted(names)

    def _name(self, name: bytes) -> str:
        """The name of a link or attribute, if it is a short one and one part of a path."""
        if not 0 < len(name) <= MAX_NAME_BYTES or b"/" in name or name == b".":
            raise self.refuse(f"a name is empty, longer than {MAX_NAME_BYTES} bytes, or not one part of a path")
        self._count_index_bytes(len(self.path) + len(name))
        return self._decode(name)

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.refuse("a name or string is not UTF-8") from None

    def _count_index_bytes(self, n: int) -> None:
        self.index_bytes += n
        if self.index_bytes > MAX_INDEX_BYTES:
            raise self.refuse(f"names and attributes take more than {MAX_INDEX_BYTES} bytes")

    def _attributes(self, handle: Any) -> Attrs:
        n = h5a.get_num_attrs(handle)
        if n > MAX_ATTRIBUTES:
            raise self.refuse(f"has {n} attributes, at most {MAX_ATTRIBUTES} are read")
        attrs: Attrs = {}
        place = self.path
        for i in range(n):
            attribute = h5a.open(handle, index=i)
            name = self._name(attribute.name)
            self.path = f"{place}@{name}"
            if name in attrs:
                raise self.refuse("the attribute is there twice")
            attrs[name] = self._attribute(attribute)
            self.path = place
        return attrs

    def _attribute(self, attribute: Any) -> Any:
        dtype = self._dtype(attribute.get_type())
        shape = self._shape(attribute.get_space())
        nbytes = prod(shape) * dtype.itemsize
        if len(shape) > 1 or nbytes > MAX_STRING_BYTES:
            raise self.refuse(f"an attribute must be a scalar or a list of at most {MAX_STRING_BYTES} bytes")
        self._count_index_bytes(nbytes)
        out = np.empty(shape, dtype)
        attribute.read(out, mtype=attribute.get_type())
        if dtype.kind == "S":
            texts = [self._string(raw, attribute.get_type()) for raw in out.ravel()]
            return texts if shape else texts[0]
        if dtype.kind == "u" and (out > np.iinfo(np.int64).max).any():
            raise self.refuse("an integer is too large for 64 bits with sign")
        return out.astype(np.float64).tolist() if dtype.kind == "f" else out.tolist()

    def _string(self, raw: bytes, type_id: Any) -> str:
        # NumPy has stripped trailing NULs already.
        if type_id.get_strpad() == h5t.STR_NULLTERM:
            raw = raw.split(b"\0")[0]
        elif type_id.get_strpad() == h5t.STR_SPACEPAD:
            raw = raw.rstrip(b" ")
        return self._decode(raw)

    def _dtype(self, type_id: Any) -> np.dtype[Any]:
        kind = type_id.get_class()
        if kind == h5t.STRING:
            if type_id.is_variable_str():
                raise self.refuse("is a variable-length string; strings must have a fixed length")
            if not 0 < type_id.get_size() <= MAX_STRING_BYTES:
                raise self.refuse(f"a string of {type_id.get_size()} bytes, at most {MAX_STRING_BYTES} are read")
            return np.dtype(f"S{type_id.get_size()}")
        if kind in (h5t.INTEGER, h5t.FLOAT):
            for name, standard in _NUMBERS.items():
                if type_id.equal(standard):
                    return np.dtype(name)
            raise self.refuse("is a number of a non-standard type; IEEE floats and 8 to 64 bit integers are read")
        raise self.refuse(f"is of {_CLASS_NAMES.get(kind, 'unknown')} type; only numbers and strings are read")

    def _shape(self, space: Any) -> tuple[int, ...]:
        if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE):
            raise self.refuse("has no value (null dataspace)")
        if space.get_simple_extent_ndims() > MAX_RANK:
            raise self.refuse(f"has {space.get_simple_extent_ndims()} axes, at most {MAX_RANK} are read")
        shape = tuple(int(n) for n in space.get_simple_extent_dims())
        if 0 in shape:
            raise self.refuse(f"is empty, shape {shape}")
        return shape

    def _dataset(self, handle: Any) -> Dataset:
        dataset = Dataset(self.path, handle, self._dtype(handle.get_type()), self._shape(handle.get_space()))
        self.total += dataset.nbytes
        # Nothing is compressed, so honest arrays are never larger than their file.
        if self.total > self.size:
            raise self.refuse(
                f"declares shape {dataset.shape}, {dataset.nbytes} bytes; with it the arrays are larger than the file, "
                f"{self.size} bytes"
            )
        settings = handle.get_create_plist()
        layout = settings.get_layout()
        if layout not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED):
            raise self.refuse("is a virtual dataset, stored in other files; only data of this file is read")
        if settings.get_external_count():
            raise self.refuse("has external storage, in other files; only data of this file is read")
        self._filters(settings)
        if layout == h5d.CHUNKED:
            self._chunks(dataset, settings)
        elif handle.get_storage_size() != dataset.nbytes:
            raise self.refuse(
                f"{handle.get_storage_size()} bytes are stored, shape {dataset.shape} needs {dataset.nbytes}"
            )
        return dataset

    def _filters(self, settings: Any) -> None:
        filters = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
        for code in filters:
            if code != h5z.FILTER_FLETCHER32:
                name = _FILTER_NAMES.get(code, f"filter {code}")
                raise self.refuse(
                    f"is stored with {name}; only uncompressed data is read (h5repack -f NONE removes it)"
                )
        if len(filters) > 1:
            raise self.refuse("has the same filter twice")

    def _chunks(self, dataset: Dataset, settings: Any) -> None:
        chunk, handle = settings.get_chunk(), dataset.handle
        nbytes = prod(chunk) * dataset.dtype.itemsize
        if len(chunk) != len(dataset.shape) or any(c > n for c, n in zip(chunk, dataset.shape)):
            raise self.refuse(f"chunks {chunk} are larger than the shape {dataset.shape}")
        if nbytes > MAX_CHUNK_BYTES:
            raise self.refuse(f"chunks of {nbytes} bytes, at most {MAX_CHUNK_BYTES} are read")
        expected = prod(ceil(n / c) for n, c in zip(dataset.shape, chunk))
        if expected > MAX_CHUNKS:
            raise self.refuse(f"{expected} chunks, at most {MAX_CHUNKS} are read")
        if handle.get_num_chunks() != expected:
            raise self.refuse(f"{handle.get_num_chunks()} of {expected} chunks are stored")
        stored = nbytes + 4 * settings.get_nfilters()
        for i in range(expected):
            info = handle.get_chunk_info(i)
            if info.filter_mask or info.size != stored or not 0 < info.byte_offset <= self.size - stored:
                raise self.refuse(f"chunk {i} is stored in an unexpected way; the file is damaged")
