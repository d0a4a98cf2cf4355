"""Every part of a file left out or of another type, one at a time; correctly sealed."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..support import tiny_tree
from .base import add
from .sealed import (
    no_layers,
    set_attr,
    without,
    without_attr,
)


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
    add("no layers in /layers", no_layers, "has no layers")
    add("no golden 0", partial(without, "/golden/0"), "/golden/0: the group is missing")


def _wrong_type_mutations() -> None:
    """Every attribute as a value of another type."""
    for path, node in tiny_tree().items():
        for key, value in node.attrs.items():
            if path == "/" and key not in ("format", "format_version", "name"):
                continue
            wrong: Any = 1.5 if isinstance(value, str | int | tuple) else "soon"
            add(f"{path}@{key} = {wrong!r}", partial(set_attr, path, key, wrong), f"{path}: attribute {key} must be")


_missing_mutations()
_wrong_type_mutations()
