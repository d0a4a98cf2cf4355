"""Everything we could think of that can be wrong with a weight file, each with a piece of what must be said.

Three families: bytes that are not an HDF5 file of ours; HDF5 that the policy refuses, whatever its digest; and
well-formed, correctly sealed HDF5 that says something impossible (so what lies behind the digest is reached).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from refsim.formats.content import Node
from refsim.formats.writer import to_bytes

from .support import Tree, edited, tiny_bytes, tiny_tree


@dataclass(frozen=True)
class Mutation:
    """A bad file: `make` gives its bytes, the error must match the regular expression `says`."""

    name: str
    make: Callable[[], bytes]
    says: str


MUTATIONS: list[Mutation] = []


def add(name: str, make: Callable[[], bytes], says: str) -> None:
    MUTATIONS.append(Mutation(name, make, says))


# --- bytes ---------------------------------------------------------------------------------------------------


def patched(offset: int, data: bytes) -> bytes:
    raw = bytearray(tiny_bytes())
    raw[offset : offset + len(data)] = data
    return bytes(raw)


def _bytes_mutations() -> None:
    add("empty", lambda: b"", "is empty")
    for n in (1, 7, 8, 9, 48, 63):
        add(f"first {n} bytes", lambda n=n: tiny_bytes()[:n], f"is cut short: {n} bytes are left")
    for n in (64, 96, 195, 512, 1000, 2048, 4096, 8192, -1):
        add(f"cut at {n}", lambda n=n: tiny_bytes()[:n], r"is cut short: \d+ of \d+ bytes")
    add("one byte more", lambda: tiny_bytes() + b"\0", "has 1 bytes behind its end")
    add("two files in one", lambda: tiny_bytes() * 2, "bytes behind its end")
    for name, head, says in (
        ("zip", b"PK\x03\x04", "is not a weight file but a zip archive; if it is a PyTorch checkpoint"),
        ("pickle", b"\x80\x02}q\0", "is not a weight file but a pickle"),
        ("gzip", b"\x1f\x8b\x08", "is not a weight file but gzip data"),
        ("npy", b"\x93NUMPY\x01\0", "is not a weight file but a NumPy array"),
        ("safetensors", struct.pack("<Q", 40) + b'{"a"', "is not an HDF5 file"),
        ("text", b"#!/bin/sh\n", "is not an HDF5 file"),
        ("zeros", bytes(64), "is not an HDF5 file"),
        ("HDF4", b"\x0e\x03\x13\x01", "is not an HDF5 file"),
        ("signature with CR LF eaten", b"\x89HDF\n\x1a\n", "is not an HDF5 file"),
    ):
        add(f"begins as {name}", lambda head=head: head + tiny_bytes()[len(head) :], says)
    add("superblock of version 1", lambda: patched(8, b"\1"), "superblock of version 1")
    add("superblock of version 9", lambda: patched(8, b"\x09"), "superblock of version 9")
    add("offsets of 4 bytes", lambda: patched(9, b"\4"), "offsets that are not 8 bytes wide")
    add("lengths of 2 bytes", lambda: patched(10, b"\2"), "offsets that are not 8 bytes wide")
    add("left open by its writer", lambda: patched(11, b"\1"), "was not closed")
    add("base address", lambda: patched(12, b"\x40"), "the HDF5 structure is damaged")
    add("end of file too far", lambda: patched(28, struct.pack("<Q", 1 << 40)), f"is cut short: .* of {1 << 40} bytes")
    add("root address outside", lambda: patched(36, struct.pack("<Q", 1 << 40)), "the HDF5 structure is damaged")
    add("superblock checksum", lambda: patched(44, b"\xaa\xbb"), "the HDF5 structure is damaged")
    add("root header zeroed", lambda: patched(48, bytes(16)), "the HDF5 structure is damaged")
    add("all behind the superblock zeroed", lambda: patched(48, bytes(len(tiny_bytes()) - 48)), "structure is damaged")
    add("one bit of a weight", flipped_weight, "/layers/fc/weight: the stored checksum does not match")


def flipped_weight() -> bytes:
    raw = tiny_bytes()
    data = next(node.data for path, node in tiny_tree().items() if path == "/layers/fc/weight")
    assert data is not None
    offset = raw.index(data.tobytes())
    return patched(offset + 3, bytes([raw[offset + 3] ^ 4]))


# --- HDF5 that the policy refuses ----------------------------------------------------------------------------


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
        says = {"lzf": "filter 32000", "scaleoffset": "scale-offset"}.get(name, name)
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


# --- sealed files that say something impossible --------------------------------------------------------------


def sealed(change: Callable[[Tree], object]) -> bytes:
    """The tiny file after a change of its content, with the digest that fits."""
    tree = tiny_tree()
    change(tree)
    return to_bytes(tree)


def set_attr(path: str, key: str, value: Any) -> bytes:
    return sealed(lambda tree: tree[path].attrs.__setitem__(key, value))


def set_data(path: str, value: Any) -> bytes:
    return sealed(lambda tree: tree.__setitem__(path, Node(data=np.asarray(value))))


def set_items(path: str, **items: Any) -> bytes:
    """The array at `path` with one element changed: key is its flat position."""

    def change(tree: Tree) -> None:
        data = np.array(tree[path].data)
        for value in items.values():
            data.flat[data.size // 2] = value
        tree[path] = Node(data=data)

    return sealed(change)


def without(path: str) -> bytes:
    def change(tree: Tree) -> None:
        for key in [key for key in tree if key == path or key.startswith(f"{path}/")]:
            del tree[key]

    return sealed(change)


def without_attr(path: str, key: str) -> bytes:
    return sealed(lambda tree: tree[path].attrs.pop(key))


def renamed_layer(old: str, new: str) -> bytes:
    def change(tree: Tree) -> None:
        for path in [path for path in tree if path == f"/layers/{old}" or path.startswith(f"/layers/{old}/")]:
            tree[path.replace(f"/layers/{old}", f"/layers/{new}", 1)] = tree.pop(path)
        for node in tree.values():
            if old in node.attrs.get("inputs", ()):
                node.attrs["inputs"] = tuple(new if name == old else name for name in node.attrs["inputs"])

    return sealed(change)


def swapped_order(tree: Tree) -> None:
    first, second = tree["/layers/conv2"].attrs, tree["/layers/add"].attrs
    first["index"], second["index"] = second["index"], first["index"]


def short_digest(value: Any) -> bytes:
    return edited(lambda file: file.attrs.create("content_sha256", value))


def _missing_mutations() -> None:
    """Every attribute and every array that is required, left out, one at a time."""
    tree = tiny_tree()
    for path, node in tree.items():
        if path == "/":
            continue
        for key in node.attrs:
            add(f"no {path}@{key}", partial(without_attr, path, key), f"net.h5:{path}: attribute {key} is missing")
        if node.data is not None and path not in ("/classes", "/layers/layer1.0/scale"):
            add(f"no {path}", partial(without, path), f"net.h5:{path}: the dataset is missing")
    for key in ("format", "format_version", "name"):
        add(f"no {key}", partial(without_attr, "/", key), f"/: .*attribute {key} is missing")
    for path in ("/input", "/layers", "/samples"):
        says = "golden values need /samples" if path == "/samples" else f"{path}: the group is missing"
        add(f"no {path}", partial(without, path), says)
    add("no layers in /layers", _no_layers, "has no layers")
    add("no golden 0", partial(without, "/golden/0"), "/golden/0: the group is missing")


def _no_layers() -> bytes:
    return sealed(lambda tree: [tree.pop(key) for key in list(tree) if key.startswith("/layers/")])


def _wrong_type_mutations() -> None:
    """Every attribute as a value of another type."""
    for path, node in tiny_tree().items():
        for key, value in node.attrs.items():
            if path == "/" and key not in ("format", "format_version", "name"):
                continue
            wrong: Any = 1.5 if isinstance(value, str | int | tuple) else "soon"
            add(f"{path}@{key} = {wrong!r}", partial(set_attr, path, key, wrong), f"{path}: attribute {key} must be")


def _value_mutations() -> None:
    nan, inf = float("nan"), float("inf")
    theta, weight = "/layers/if2/theta", "/layers/conv2/weight"
    for value, says in (
        (nan, "not finite"),
        (inf, "not finite"),
        (-inf, "not finite"),
        (0.0, "must be positive"),
        (-0.0, "must be positive"),
        (-1.0, "must be positive"),
        (5e-324, "must be positive and not subnormal"),
    ):
        add(f"theta {value!r}", partial(set_items, theta, a=value), f"/layers/if2/theta: .*{says}")
    for path in (weight, "/layers/conv2/bias", "/layers/layer1.0/scale", "/layers/if2/v0", "/layers/if2/theta_neg"):
        for value in (nan, inf):
            add(f"{path} {value!r}", partial(set_items, path, a=value), f"{path}: holds values that are not finite")
    for path in ("/input/mean", "/input/std", "/golden/0/logits"):
        add(f"{path} nan", partial(set_items, path, a=nan), f"{path}: holds values that are not finite")
    add("std 0", partial(set_items, "/input/std", a=0.0), "/input: std must be finite and positive")
    add("theta_neg 0", partial(set_items, "/layers/if2/theta_neg", a=0.0), r"/layers/if2: .*theta_neg must lie in")
    add("theta_neg below -theta", partial(set_items, "/layers/if2/theta_neg", a=-9.0), "theta_neg must lie in")
    add("relative theta_neg", partial(set_items, "/layers/if2/theta_neg", a=1e-3), "theta_neg must lie in")
    for dtype in ("f4", "i8", "S8"):
        add(
            f"theta as {dtype}",
            lambda dtype=dtype: set_data(theta, np.ones(3).astype(dtype)),
            f"{theta}: expected elements",
        )
    for dtype in ("u1", "i8", "u4"):
        add(
            f"weight as {dtype}",
            lambda dtype=dtype: set_data(weight, np.ones((3, 3, 1, 1), dtype)),
            "expected elements of",
        )
    add(
        "images as i1", lambda: set_data("/samples/images", np.ones((3, 4, 4, 2), "i1")), "/samples/images: expected el"
    )
    add(
        "labels as f8", lambda: set_data("/samples/labels", np.ones(3)), "/samples/labels: expected elements of type i8"
    )
    add("classes as numbers", lambda: set_data("/classes", np.ones(4)), "/classes: expected elements of type utf8")

    for path, shape, says in (
        (weight, (3, 2, 1, 1), r"/layers/conv2: weight expects \(2, H, W\) inputs, got \(3, 4, 4\) from 'layer1\.2'"),
        (weight, (3, 3), f"{weight}: expected 4 axes"),
        (weight, (5, 3, 1, 1), r"/layers/conv2/bias: expected shape \(5,\), got \(3,\)"),
        (weight, (3, 3, 9, 9), "kernel .* is larger than the padded input"),
        ("/layers/conv2/bias", (4,), r"expected shape \(3,\), got \(4,\)"),
        ("/layers/conv2/bias", (), r"expected shape \(3,\), got \(\)"),
        ("/layers/layer1.0/scale", (3, 1), r"expected shape \(3,\)"),
        (theta, (4,), r"/layers/if2: theta must be a scalar or of shape \(3,\) or \(3, 4, 4\), got \(4,\)"),
        ("/layers/if2/v0", (3, 4), r"/layers/if2: v0 must be a scalar"),
        ("/input/mean", (3,), r"/input/mean: expected shape \(2,\), got \(3,\)"),
        ("/input/std", (), r"/input/std: expected shape \(2,\), got \(\)"),
    ):
        add(
            f"{path} of shape {shape}",
            lambda path=path, shape=shape: set_data(path, np.ones(shape, "f4" if path == weight else "f8")),
            says,
        )
    add(
        "fc too wide",
        lambda: set_data("/layers/fc/weight", np.ones((4, 13), "i1")),
        r"/layers/fc: weight expects 13 inp",
    )
    add("images of another size", lambda: set_data("/samples/images", np.ones((3, 5, 4, 2), "u1")), r"\(N, 4, 4, 2\)")
    add("images channels first", lambda: set_data("/samples/images", np.ones((3, 2, 4, 4), "u1")), r"\(N, 4, 4, 2\)")
    add("fewer labels", lambda: set_data("/samples/labels", np.zeros(2, "i8")), r"labels: expected shape \(3,\)")
    add("label 4 of 4", partial(set_items, "/samples/labels", a=4), r"labels must lie in \[0, 4\), got 0 to 4")
    add("label -1", partial(set_items, "/samples/labels", a=-1), r"labels must lie in \[0, 4\), got -1")
    add("three classes", lambda: set_data("/classes", np.array([b"a", b"b", b"c"])), "3 class names for 4 outputs")
    add(
        "matrix of classes", lambda: set_data("/classes", np.full((2, 2), b"a")), "/classes: expected a list of strings"
    )
    add(
        "class not UTF-8",
        lambda: set_data("/classes", np.array([b"a", b"\xff", b"c", b"d"])),
        "/classes: a string is not",
    )
    add(
        "golden of more images", lambda: set_data("/golden/0/logits", np.ones((2, 4, 4))), r"/golden/0/logits: expected"
    )
    add("golden of other T", partial(set_attr, "/golden/0", "T", 5), r"logits: expected shape \(5, N, 4\)")
    add("golden counts negative", partial(set_items, "/golden/0/counts_pos", a=-1), "spike counts must not be negative")
    add(
        "golden counts shape",
        lambda: set_data("/golden/0/counts_neg", np.ones((3, 2, 2), "i8")),
        r"expected shape \(2,",
    )
    add(
        "golden neuron",
        partial(set_attr, "/golden/0", "neuron", "lif"),
        "attribute neuron must be if or dual, got 'lif'",
    )


def _attribute_mutations() -> None:
    conv, spiking, pool = "/layers/conv2", "/layers/if2", "/layers/pool"
    for path, key, value, says in (
        ("/", "format", "other-network", "attribute format must be refsim-network, got 'other-network'"),
        ("/", "format_version", "2.0", "format version 2.0 cannot be read, this refsim reads 1.x"),
        ("/", "format_version", "0.9", "format version 0.9 cannot be read"),
        ("/", "format_version", "1", "must be MAJOR.MINOR, got '1'"),
        ("/", "format_version", "1.0\x1b[2J", r"must be MAJOR.MINOR, got '1\.0\\x1b\[2J'"),
        ("/", "format_version", "1." + "9" * 60000, "must be MAJOR.MINOR, got '1.999"),
        ("/", "bad\nkey", "x", r"/: the name 'bad\\x0akey' is empty"),
        ("/input", "shape", (2, 4), "attribute shape must be 3 integers"),
        ("/input", "shape", (0, 4, 4), "/input/mean: expected shape"),
        ("/input", "shape", (2, -4, 4), r"/input: shape must be \(C, H, W\)"),
        ("/input", "shape", (2, 1 << 40, 4), "shape must be 3 integers of at most 2\\^20"),
        ("/input", "shape", (2, 1 << 20, 1 << 20), "has more than 2\\^28 elements|expected shape|weight expects"),
        ("/input", "scale", 0.0, "/input: scale must be positive and finite, got 0.0"),
        ("/input", "scale", float("nan"), "/input: attribute scale must be a finite number, got nan"),
        ("/input", "color", "CMYK", "attribute color must be RGB or L, got 'CMYK'"),
        ("/input", "extra", 1, "/input: unknown attribute 'extra'"),
        ("/layers", "extra", 1, "/layers: must have no attributes"),
        (conv, "index", 1, "index 1 is used by|is used by 'conv2' too"),
        (conv, "index", 8, r"index must lie in \[0, 8\), got 8"),
        (conv, "index", -1, "index must lie in"),
        (conv, "index", 1 << 62, "index must lie in"),
        (conv, "stride", (0, 1), "/layers/conv2: stride must be two integers of at least 1"),
        (conv, "stride", (1,), "attribute stride must be 2 integers"),
        (conv, "padding", (-1, 0), "/layers/conv2: padding must be two integers of at least 0"),
        (conv, "padding", (1 << 30, 0), "padding must be 2 integers of at most 2\\^20"),
        (conv, "padding", (1 << 20, 1 << 20), "/layers/(add|conv2): .*(one shape|more than 2\\^28 elements)"),
        (conv, "dilation", (0, 0), "dilation must be two integers of at least 1"),
        (conv, "groups", 0, "do not divide into 0 groups"),
        (conv, "groups", 2, "do not divide into 2 groups"),
        (conv, "padding_mode", "circular", "unknown attribute 'padding_mode'; it may change"),
        (pool, "kernel", (5, 5), r"/layers/pool: window \(5, 5\) is larger than the input \(3, 4, 4\)"),
        (pool, "kernel", (0, 2), "kernel must be two integers of at least 1"),
        (pool, "ceil_mode", 1, "unknown attribute 'ceil_mode'"),
        (spiking, "neuron", "lif", "attribute neuron must be if or dual"),
        (spiking, "reset", "none", "attribute reset must be subtract or zero"),
        (spiking, "gate", "", "attribute gate must be net or gross, got ''"),
        (spiking, "theta_neg_mode", "x", "attribute theta_neg_mode must be absolute or relative"),
        (spiking, "neuron", "if", "/layers/if2/theta_neg: unknown member"),
        (spiking, "leak", 1.5, r"leak must lie in \[0, 1\]"),
        (spiking, "leak", float("inf"), "attribute leak must be a finite number"),
        (spiking, "L", -2, "L must be at least 1, 0 .unknown. or -1"),
        (spiking, "L", 1 << 40, "L must be at least 1"),
        (spiking, "lambda_", 0.0, "activation: lambda must be positive"),
        (spiking, "shift", 1.0, "activation: shift must lie in"),
        (spiking, "delta", -1.0, "activation: delta must be finite"),
        (
            "/layers/flat",
            "kind",
            "max_pool2d",
            "layer kind 'max_pool2d': max pooling is not simulated; train with average",
        ),
        ("/layers/flat", "kind", "MaxPool", "train with average pooling"),
        ("/layers/flat", "kind", "batch_norm2d", "fold batch normalisation"),
        ("/layers/flat", "kind", "multihead_attention", "attention and normalisation layers are not simulated"),
        ("/layers/flat", "kind", "softmax", "are not simulated"),
        ("/layers/flat", "kind", "layernorm", "are not simulated"),
        ("/layers/flat", "kind", "relu", "write an activation as the spiking layer"),
        ("/layers/flat", "kind", "dropout", "leave it out"),
        ("/layers/flat", "kind", "lstm", "recurrent layers are not simulated"),
        ("/layers/flat", "kind", "conv3d", "not simulated; the kinds are linear, conv2d"),
        ("/layers/flat", "kind", "\x1b]0;owned\x07", r"layer kind '\\x1b\]0;owned\\x07': not simulated"),
        ("/layers/flat", "kind", "linear", "/layers/flat/weight: the dataset is missing"),
        (conv, "inputs", ("nowhere",), "/layers/conv2: reads 'nowhere', which does not exist"),
        (conv, "inputs", ("if2",), "reads 'if2', which comes later or is part of a cycle"),
        (conv, "inputs", ("conv2",), "reads 'conv2', which comes later or is part of a cycle"),
        (conv, "inputs", ("layer1.0",), "conv2d cannot read 'layer1.0'"),
        (conv, "inputs", ("layer1.2", "layer1.2"), "conv2d reads one input, got 2"),
        (conv, "inputs", ("bad\x07",), r"/layers/conv2: inputs: the name 'bad\\x07'"),
        ("/layers/add", "inputs", ("conv2",), "add reads at least two inputs"),
        ("/layers/add", "inputs", ("conv2", "input"), "add needs inputs of one shape"),
        ("/layers/if2", "inputs", ("conv2",), "conv2d is read by 2 layers|nobody reads it"),
    ):
        add(f"{path}@{key} = {str(value)[:24]!r}", partial(set_attr, path, key, value), says)

    add("layer called input", partial(renamed_layer, "conv2", "input"), "the name is used twice or reserved")
    for name in ("es\x1bcape", "new\nline", "bi\N{RIGHT-TO-LEFT OVERRIDE}di", "zero\N{ZERO WIDTH SPACE}width"):
        add(f"layer called {name!r}", partial(renamed_layer, "conv2", name), r"/layers: the name '.*\\[xu]")
    add("order against the arrows", partial(sealed, swapped_order), "comes later or is part of a cycle")
    add("last layer not linear", partial(without, "/layers/fc"), "the last layer must be linear")
    add("a hole in the order", partial(without, "/layers/flat"), "index must lie in")
    add("array in /layers", lambda: set_data("/layers/stray", np.ones(3)), "/layers/stray: the group is missing")
    add(
        "group for an array",
        lambda: sealed(lambda t: t.__setitem__("/layers/fc/bias", Node())),
        "must be a dataset, got a g",
    )
    add("extra array in a layer", lambda: set_data("/layers/fc/mask", np.ones(3)), "/layers/fc/mask: unknown member")
    add(
        "attribute of an array",
        partial(set_attr, "/layers/fc/bias", "unit", "mV"),
        "/fc/bias: unknown attribute 'unit'",
    )
    add("extra golden", lambda: set_data("/golden/x", np.ones(3)), "/golden/2: the group is missing")
    add(
        "wrong digest",
        partial(short_digest, np.bytes_(b"0" * 64)),
        "content_sha256 is 0000000000000000..., the content has",
    )
    add("digest of another type", partial(short_digest, 17), "content_sha256 is 17..., the content has")
    add("no digest", lambda: edited(lambda file: file.attrs.__delitem__("content_sha256")), "content_sha256 is missing")
    add(
        "changed behind the digest",
        lambda: edited(lambda file: file["layers/fc/bias"].write_direct(np.ones(4))),
        "content_sha",
    )
    add("renamed behind the digest", lambda: edited(lambda file: file.move("samples", "sambles")), "content_sha256 is")
    add("foreign HDF5", _foreign, "is an HDF5 file but not a refsim weight file")


def _foreign() -> bytes:
    def edit(file: h5py.File) -> None:
        file.clear()
        for key in list(file.attrs):
            del file.attrs[key]
        file["data"] = np.arange(3)

    return edited(edit)


for _family in (
    _bytes_mutations,
    _policy_mutations,
    _missing_mutations,
    _wrong_type_mutations,
    _value_mutations,
    _attribute_mutations,
):
    _family()


def write(mutation: Mutation, folder: Path) -> Path:
    """The bad file as `net.h5` in a folder."""
    path = folder / "net.h5"
    path.write_bytes(mutation.make())
    return path
