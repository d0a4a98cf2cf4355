"""How to make well-formed, correctly sealed files that say something impossible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from refsim.formats.untrusted.content import Node
from refsim.formats.weights.writer import to_bytes

from ..support import Tree, edited, tiny_tree


def sealed(change: Callable[[Tree], object]) -> bytes:
    """The tiny file after a change of its content, with the digest that fits."""
    tree = tiny_tree()
    change(tree)
    return to_bytes(tree)


def _with_max_pool(change: Callable[[Tree], object]) -> bytes:
    """A file of version 1.1, with a max pool for the average pool, after a change of its content."""

    def both(tree: Tree) -> None:
        tree["/"].attrs["format_version"] = "1.1"
        pool = {"kind": "max_pool2d", "padding": (0, 0), "dilation": (1, 1), "mode": "cumulative"}
        tree["/layers/pool"].attrs.update(pool)
        change(tree)

    return sealed(both)


def max_pooled(path: str = "/layers/pool", *, key: str, value: Any) -> bytes:
    return _with_max_pool(lambda tree: tree[path].attrs.__setitem__(key, value))


def incomplete_max_pool(key: str) -> bytes:
    return _with_max_pool(lambda tree: tree["/layers/pool"].attrs.pop(key))


def empty_windows() -> bytes:
    """Five rows apart, above and below a plane of four."""
    return _with_max_pool(lambda tree: tree["/layers/pool"].attrs.update(padding=(1, 0), dilation=(5, 1)))


def huge_windows() -> bytes:
    return _with_max_pool(lambda tree: tree["/layers/pool"].attrs.update(kernel=(1 << 20, 2), padding=(1 << 19, 0)))


def unequal_windows() -> bytes:
    return _with_max_pool(lambda tree: tree.__setitem__("/layers/if2/theta", Node(data=np.full((3, 4, 4), 2.0))))


def set_attr(path: str, key: str, value: Any) -> bytes:
    return sealed(lambda tree: tree[path].attrs.__setitem__(key, value))


def set_data(path: str, value: Any) -> bytes:
    return sealed(lambda tree: tree.__setitem__(path, Node(data=np.asarray(value))))


def set_item(path: str, value: Any) -> bytes:
    """The array at `path` with one element changed, in the middle."""

    def change(tree: Tree) -> None:
        data = np.array(tree[path].data)
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


def no_layers() -> bytes:
    return sealed(lambda tree: [tree.pop(key) for key in list(tree) if key.startswith("/layers/")])


def foreign() -> bytes:
    def edit(file: h5py.File) -> None:
        file.clear()
        for key in list(file.attrs):
            del file.attrs[key]
        file["data"] = np.arange(3)

    return edited(edit)
