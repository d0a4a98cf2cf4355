"""The walk over an HDF5 file of unknown origin: hard links only, each object once, every total bounded.

Runs inside the child process, with low-level h5py only. What is refused raises `Refusal` with its path.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from refsim.formats.untrusted.limits import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_FOREIGN_DEPTH,
    MAX_INDEX_BYTES,
    MAX_NAME_BYTES,
    MAX_OBJECTS,
    MAX_STRING_BYTES,
)
from refsim.formats.untrusted.storage import (
    Dataset,
    Refusal,
    check_dataset,
    check_foreign,
    dtype_of,
    is_variable,
    shape_of,
    texts_of,
    unpadded,
)

# isort: split
# Behind `storage`, which keeps HDF5 from loading plugins.
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5s, h5t

# H5LT_FILE_IMAGE_DONT_COPY | DONT_RELEASE: parse the bytes where they are; h5py gives these no name.
_IN_PLACE = 6

Store = Callable[[Dataset], Any]


def walk(image: bytes, store: Store, *, foreign: bool = False) -> dict[str, dict[str, Any]]:
    """Every object of an HDF5 file image by path: {"attrs": ...}, and for a dataset {"data": store(dataset)}.

    A dataset is stored when all there is to know about it has been checked, and closed then: an open one keeps
    20 kB in libhdf5.

    Parameters
    ----------
    foreign
        The file is of another tool: gzip and strings of variable length are let in, under limits of their own.

    Raises
    ------
    Refusal
        Whatever the policy does not allow, and whatever HDF5 cannot make sense of.
    """
    return _Walk(image, store, foreign).run()


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
    attribute = h5a.create(root, b"content_sha256", fixed, h5s.create(h5s.SCALAR))
    attribute.write(np.array(digest.encode(), dtype=f"S{len(digest)}"), mtype=fixed)
    h5f.flush(file)
    resealed: bytes = file.get_file_image()
    return resealed


class _Walk:
    """One pass over the file, with the totals that bound it. `path` is where it is, for what goes wrong there."""

    def __init__(self, image: bytes, store: Store, foreign: bool) -> None:
        self.image = image
        self.foreign = foreign
        self.store = store
        self.tree: dict[str, dict[str, Any]] = {}
        self.seen: set[int] = set()
        self.array_bytes = 0
        self.index_bytes = 0
        self.path = ""

    def run(self) -> dict[str, dict[str, Any]]:
        try:
            file = h5f.open_file_image(self.image, _IN_PLACE)
            self.visit("/", h5g.open(file, b"/"), depth=0)
        except Refusal as refusal:
            raise Refusal(refusal.text, self.path) from None
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise Refusal(f"the HDF5 structure is damaged here ({error})", self.path) from None
        return self.tree

    def visit(self, path: str, handle: Any, depth: int) -> None:
        self.path = path
        if len(self.tree) >= MAX_OBJECTS:
            raise Refusal(f"more than {MAX_OBJECTS} objects")
        address = h5o.get_info(handle).addr
        if address in self.seen:
            raise Refusal("a second link to an object that was met before (hard-link cycle or alias)")
        self.seen.add(address)
        self.tree[path] = {"attrs": self.attributes(handle)}
        if isinstance(handle, h5d.DatasetID):
            if self.foreign:
                dataset = check_foreign(handle, self.array_bytes)
            else:
                dataset = check_dataset(handle, self.array_bytes, len(self.image))
            self.array_bytes += dataset.nbytes
            self.tree[path]["data"] = self.store(dataset)
            return
        for name in self.links(handle):
            self.path = path
            self.enter(handle, name, depth + 1)

    def enter(self, group: Any, name: bytes, depth: int) -> None:
        text = self.name(name)
        self.path = f"{self.path.rstrip('/')}/{text}"
        deepest = MAX_FOREIGN_DEPTH if self.foreign else MAX_DEPTH
        if depth > deepest:
            raise Refusal(f"nested deeper than {deepest} groups")
        kind = group.links.get_info(name).type
        if kind != h5l.TYPE_HARD:
            names = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "an external link to another file"}
            raise Refusal(f"is {names.get(kind, 'a user-defined link')}; only objects of this file are read")
        handle = h5o.open(group, name)
        if not isinstance(handle, (h5g.GroupID, h5d.DatasetID)):
            raise Refusal("is a named datatype; only groups and datasets are read")
        self.visit(self.path, handle, depth)

    def links(self, group: Any) -> list[bytes]:
        n = group.get_num_objs()
        if n > MAX_OBJECTS:
            raise Refusal(f"holds {n} objects, at most {MAX_OBJECTS} are read")
        names: list[bytes] = []
        group.links.iterate(names.append)
        if len(names) != n or len(set(names)) != n:
            raise Refusal("the list of members is damaged or has duplicate names")
        return sorted(names)

    def name(self, name: bytes) -> str:
        """The name of a link or attribute, if it is a short one and one part of a path."""
        if not 0 < len(name) <= MAX_NAME_BYTES or b"/" in name or name == b".":
            raise Refusal(f"a name is empty, longer than {MAX_NAME_BYTES} bytes, or not one part of a path")
        self.count_index_bytes(len(self.path) + len(name))
        return _decode(name)

    def count_index_bytes(self, n: int) -> None:
        self.index_bytes += n
        if self.index_bytes > MAX_INDEX_BYTES:
            raise Refusal(f"names and attributes take more than {MAX_INDEX_BYTES} bytes")

    def attributes(self, handle: Any) -> dict[str, Any]:
        n = h5a.get_num_attrs(handle)
        if n > MAX_ATTRIBUTES:
            raise Refusal(f"has {n} attributes, at most {MAX_ATTRIBUTES} are read")
        attrs: dict[str, Any] = {}
        place = self.path
        for i in range(n):
            attribute = h5a.open(handle, index=i)
            name = self.name(attribute.name)
            self.path = f"{place}@{name}"
            if name in attrs:
                raise Refusal("the attribute is there twice")
            attrs[name] = self.attribute(attribute)
            self.path = place
        return attrs

    def attribute(self, attribute: Any) -> Any:
        type_id = attribute.get_type()
        if self.foreign and is_variable(type_id):
            found = texts_of(attribute)
            self.count_index_bytes(found.nbytes)
            decoded = [_decode(raw) for raw in found.values.ravel().tolist()]
            return decoded if found.shape else decoded[0]
        dtype, shape = dtype_of(type_id), shape_of(attribute.get_space())
        nbytes = prod(shape) * dtype.itemsize
        if len(shape) > 1 or nbytes > MAX_STRING_BYTES:
            raise Refusal(f"an attribute must be a scalar or a list of at most {MAX_STRING_BYTES} bytes")
        self.count_index_bytes(nbytes)
        out = np.empty(shape, dtype)
        attribute.read(out, mtype=type_id)
        if dtype.kind == "S":
            texts = [_decode(unpadded(raw, type_id)) for raw in out.ravel()]
            return texts if shape else texts[0]
        if dtype.kind == "u" and (out > np.iinfo(np.int64).max).any():
            raise Refusal("an integer is too large for 64 bits with sign")
        return out.astype(np.float64).tolist() if dtype.kind == "f" else out.tolist()


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Refusal("a name or string is not UTF-8") from None
