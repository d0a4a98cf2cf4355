"""HDF5 that the policy refuses, whatever its digest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import h5py
import numpy as np

from ..support import edited
from .base import add


def replaced(path: str, create: Callable[[h5py.File, str], Any]) -> bytes:
    """The tiny file with another object at `path`."""

    def edit(file: h5py.File) -> None:
        if path in file:
            del file[path]
        create(file, path)

    return edited(edit)


def dataset(path: str = "layers/fc/bias", **how: Any) -> bytes:
    return replaced(path, lambda file, key: file.create_dataset(key, **how))


def attribute(path: str, key: str, value: Any, dtype: Any = None, shape: Any = None) -> bytes:
    return edited(lambda file: file[path].attrs.create(key, value, dtype=dtype, shape=shape))


def low_level(path: str, type_id: Any, shape: tuple[int, ...], settings: Any = None) -> bytes:
    def create(file: h5py.File, key: str) -> None:
        space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5d.create(file.id, key.encode(), type_id, space, settings)

    return replaced(path, create)


def _plist(**settings: Any) -> Any:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    for key, value in settings.items():
        getattr(plist, f"set_{key}")(*value if isinstance(value, tuple) else (value,))
    return plist


def _odd_float() -> Any:
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(31, 24, 7, 0, 24)
    kind.set_ebias(63)
    return kind


def _narrow_integer() -> Any:
    kind = h5py.h5t.STD_I32LE.copy()
    kind.set_precision(24)
    return kind


def virtual(source: str, name: str) -> bytes:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource(source, name, shape=(4,))
    return replaced("layers/fc/bias", lambda file, key: file.create_virtual_dataset(key, layout))


def masked_chunk() -> bytes:
    def create(file: h5py.File, key: str) -> None:
        created = file.create_dataset(key, shape=(4,), dtype="f8", chunks=(4,), fletcher32=True)
        created.id.write_direct_chunk((0,), bytes(32), filter_mask=1)

    return replaced("layers/fc/bias", create)


def missing_chunk() -> bytes:
    def create(file: h5py.File, key: str) -> None:
        created = file.create_dataset(key, shape=(4,), dtype="f8", chunks=(1,), fletcher32=True)
        created[:2] = 1.0

    return replaced("layers/fc/bias", create)


def short_chunk() -> bytes:
    def create(file: h5py.File, key: str) -> None:
        created = file.create_dataset(key, shape=(4,), dtype="f8", chunks=(4,), fletcher32=True)
        created.id.write_direct_chunk((0,), bytes(16), filter_mask=0)

    return replaced("layers/fc/bias", create)


def bomb() -> bytes:
    zeros = np.zeros(1 << 20)
    return dataset(data=zeros, chunks=zeros.shape, compression="gzip", compression_opts=9)


def nested(depth: int) -> bytes:
    return edited(lambda file: file.create_group("x/" * depth))


def linked(path: str, link: Any) -> bytes:
    return replaced(path, lambda file, key: file.__setitem__(key, link))


def hard_alias(path: str, target: str) -> bytes:
    return replaced(path, lambda file, key: file.__setitem__(key, file[target]))


def raw_link_name(name: bytes) -> bytes:
    return edited(lambda file: h5py.h5g.create(file["layers"].id, name))


def raw_attribute(kind: Any, raw: bytes) -> bytes:
    def edit(file: h5py.File) -> None:
        created = h5py.h5a.create(file.id, b"note", kind, h5py.h5s.create(h5py.h5s.SCALAR))
        created.write(np.frombuffer(raw, f"V{len(raw)}").reshape(()), mtype=kind)

    return edited(edit)


def _string_type(size: int) -> Any:
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(size)
    return kind


def many_attributes(file: h5py.File) -> None:
    for i in range(80):
        file.attrs.create(f"a{i}", i)


def null_attribute(file: h5py.File) -> None:
    file.attrs["note"] = h5py.Empty("f8")


def _policy_mutations() -> None:
    vlen = h5py.string_dtype()
    big = "are larger than the file"
    add("vlen string attribute", partial(attribute, "/", "name", "x", vlen), "/@name: is a variable-length string")
    add(
        "vlen string list",
        partial(attribute, "layers/fc", "inputs", ["flat"], vlen),
        "/layers/fc@inputs: is a variable",
    )
    add(
        "vlen classes", partial(dataset, "classes", data=["a"] * 4, dtype=vlen), "/classes: is a variable-length string"
    )
    add(
        "vlen numbers",
        partial(dataset, data=None, shape=(4,), dtype=h5py.vlen_dtype("f8")),
        "is of variable-length type",
    )
    add("object references", partial(dataset, shape=(4,), dtype=h5py.ref_dtype), "/fc/bias: is of reference type")
    add("region references", partial(dataset, shape=(4,), dtype=h5py.regionref_dtype), "is of reference type")
    add(
        "reference attribute",
        lambda: edited(lambda file: file.attrs.create("note", file["layers"].ref, dtype=h5py.ref_dtype)),
        "/@note: is of reference type",
    )
    add("compound", partial(dataset, data=np.zeros(4, [("a", "f8"), ("b", "i4")])), "/fc/bias: is of compound type")
    add("complex numbers", partial(dataset, data=np.zeros(4, "c16")), "/fc/bias: is of (compound|unknown) type")
    add("enumeration", partial(dataset, data=np.ones(4, bool)), "/fc/bias: is of enumeration type")
    add("array type", partial(dataset, shape=(4,), dtype=np.dtype(("f8", (2,)))), "/fc/bias: is of array type")
    add("opaque", partial(dataset, data=np.zeros(4, "V8")), "/fc/bias: is of opaque type")
    add("bit field", partial(low_level, "layers/fc/bias", h5py.h5t.STD_B64LE, (4,)), "is of bit field type")
    add("80 bit floats", partial(low_level, "layers/fc/bias", h5py.h5t.NATIVE_LDOUBLE, (4,)), "of a non-standard type")
    add("odd floats", partial(low_level, "layers/fc/bias", _odd_float(), (4,)), "of a non-standard type")
    add("24 bit integers", partial(low_level, "layers/fc/bias", _narrow_integer(), (4,)), "of a non-standard type")
    add("null dataspace", partial(dataset, data=h5py.Empty("f8")), "/layers/fc/bias: has no value")
    add("null attribute", lambda: edited(null_attribute), "/@note: has no value")
    add("no elements", partial(dataset, data=np.zeros(0)), r"/layers/fc/bias: is empty, shape \(0,\)")
    add("nine axes", partial(dataset, data=np.zeros((1,) * 9)), "has 9 axes, at most 8")
    add("named datatype", lambda: linked("layers/extra", np.dtype("f8")), "/layers/extra: is a named datatype")

    add("soft link", lambda: linked("layers/fc/bias", h5py.SoftLink("/layers/conv2/bias")), "/fc/bias: is a soft link")
    add("soft link into nothing", lambda: linked("layers/fc/bias", h5py.SoftLink("/nowhere")), "is a soft link")
    add("soft link to itself", lambda: linked("layers/fc/bias", h5py.SoftLink("/layers/fc/bias")), "is a soft link")
    add(
        "soft link cycle of groups",
        lambda: linked("layers/loop", h5py.SoftLink("/layers")),
        "/layers/loop: is a soft link",
    )
    add("soft root group", lambda: linked("samples", h5py.SoftLink("/input")), "/samples: is a soft link")
    add("external link", lambda: linked("layers/fc/bias", h5py.ExternalLink("/etc/passwd", "/")), "is an external link")
    add("external link to a group", lambda: linked("x", h5py.ExternalLink("net.h5", "/")), "/x: is an external link")
    add("group in itself", lambda: hard_alias("layers/loop", "layers"), "/layers/loop: a second link to an object")
    add("root in itself", lambda: hard_alias("loop", "/"), "/loop: a second link to an object")
    add(
        "one array twice", lambda: hard_alias("layers/conv2/bias", "layers/layer1.0/bias"), "a second link to an object"
    )
    add("virtual dataset", lambda: virtual("other.h5", "/x"), "/layers/fc/bias: is a virtual dataset")
    add("virtual dataset of itself", lambda: virtual(".", "/layers/fc/bias"), "is a virtual dataset")
    add(
        "external storage",
        partial(dataset, shape=(4,), dtype="f8", external=[("/etc/passwd", 0, 32)]),
        "external storage",
    )
    for name, how in (
        ("gzip", {"compression": "gzip"}),
        ("lzf", {"compression": "lzf"}),
        ("shuffle", {"shuffle": True}),
        ("scaleoffset", {"scaleoffset": 3}),
    ):
        says = {"lzf": "lzf", "scaleoffset": "scale-offset"}.get(name, name)
        add(
            f"filter {name}",
            partial(dataset, data=np.ones(4), chunks=(4,), **how),
            f"is stored with {says}; only uncom",
        )
    add("compression bomb", bomb, f"/layers/fc/bias: .*({big}|is stored with gzip)")
    add("unknown filter", _unknown_filter, "is stored with filter 4711")
    add("chunk stored without its filter", masked_chunk, "chunk 0 is stored in an unexpected way")
    add("chunk shorter than declared", short_chunk, "chunk 0 is stored in an unexpected way")
    add("missing chunks", missing_chunk, "/layers/fc/bias: 2 of 4 chunks are stored")
    add("no chunk at all", partial(dataset, shape=(4,), dtype="f8", chunks=(4,)), "0 of 1 chunks are stored")
    add("nothing stored", partial(dataset, shape=(4,), dtype="f8"), r"0 bytes are stored, shape \(4,\) needs 32")
    for shape in ((1 << 40,), (1 << 20, 1 << 20), (1 << 30, 1 << 30), (70_000,)):
        add(f"declares {shape}", partial(dataset, shape=shape, dtype="f8"), f"/layers/fc/bias: declares shape .*{big}")
        chunks = tuple(min(n, 64) for n in shape)
        add(f"declares {shape} in chunks", partial(dataset, shape=shape, dtype="f8", chunks=chunks), big)
    add("a thousand chunks", partial(dataset, data=np.zeros(1500, "i1"), chunks=(1,)), "1500 chunks, at most 1024")
    add("extensible beyond", partial(dataset, data=np.ones(4), maxshape=(None,), chunks=(64,)), "chunks .* are larger")

    add("deep nesting", partial(nested, 9), "nested deeper than 4 groups")
    add("long link name", lambda: raw_link_name(b"x" * 300), "/layers: a name is empty, longer than 255")
    add("link name that is not UTF-8", lambda: raw_link_name(b"\xff\xfe"), "/layers: a name or string is not UTF-8")
    add("link name with half a character", lambda: raw_link_name("é".encode()[:1]), "is not UTF-8")
    add("many attributes", lambda: edited(many_attributes), "/: has 8. attributes, at most 64")
    add("long attribute", partial(attribute, "/", "note", np.zeros(9000)), "/@note: an attribute must be .* 65536")
    add("huge string attribute", partial(raw_attribute, _string_type(70_000), bytes(70_000)), "string of 70000 bytes")
    add(
        "matrix attribute",
        partial(attribute, "/", "note", np.zeros((2, 2))),
        "/@note: an attribute must be a scalar or",
    )
    add(
        "string that is not UTF-8",
        partial(raw_attribute, _string_type(2), b"\xc3\x28"),
        "/@note: a name or string is not",
    )
    add("too large an integer", partial(attribute, "/", "note", np.uint64(1 << 63)), "/@note: an integer is too large")
    add("boolean attribute", partial(attribute, "/", "note", True), "/@note: is of enumeration type")


def _unknown_filter() -> bytes:
    # Optional (flag 1): a filter that is not there does not keep HDF5 from writing.
    settings = _plist(chunk=((4,),), filter=(4711, 1, ()))
    return low_level("layers/fc/bias", h5py.h5t.IEEE_F64LE, (4,), settings)


_policy_mutations()
