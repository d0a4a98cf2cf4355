"""Typed access to the attributes and arrays of one group, with one-line complaints and nothing left over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from refsim.exceptions import FormatError
from refsim.formats.untrusted.content import Array, Content, Value
from refsim.formats.untrusted.limits import MAX_NAME_BYTES
from refsim.formats.untrusted.text import clean, is_clean

FLOATS = ("f8",)
WEIGHTS = ("f2", "f4", "f8", "i1", "i2", "i4")


class Source:
    """The content with the members of every group; found once, or a file of many layers would take minutes."""

    def __init__(self, content: Content) -> None:
        self.nodes = content
        self.members: dict[str, set[str]] = {}
        for path in content:
            parent, _, name = path.rpartition("/")
            self.members.setdefault(parent or "/", set()).add(name)
        self.members["/"].discard("")


class Fields:
    """The attributes and datasets of the group at `path`, each taken once; `finish` refuses what is left."""

    def __init__(self, source: Source, path: str) -> None:
        if path not in source.nodes or source.nodes[path].data is not None:
            raise FormatError(f"{clean(path, None)}: the group is missing")
        self._nodes = source.nodes
        self.path = path
        self._attrs = dict(source.nodes[path].attrs)
        self.members = set(source.members.get(path, ()))

    def error(self, text: str, member: str = "") -> FormatError:
        """The error to raise about this group or its member."""
        place = f"{self.path.rstrip('/')}/{member}" if member else self.path
        return FormatError(f"{clean(place, None)}: {text}")

    def has(self, key: str) -> bool:
        """Whether the attribute is there and was not taken yet."""
        return key in self._attrs

    def text(self, key: str, allowed: Iterable[str] = ()) -> str:
        """A string attribute, one of `allowed` if that is given."""
        value = self._take(key)
        if not isinstance(value, str):
            raise self.error(f"attribute {key} must be a string, got {_show(value)}")
        choices = tuple(allowed)
        if choices and value not in choices:
            raise self.error(f"attribute {key} must be {' or '.join(choices)}, got '{clean(value)}'")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(key)
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise self.error(f"attribute {key} must be a list of strings, got {_show(value)}")
        return tuple(str(item) for item in value)

    def integer(self, key: str) -> int:
        """An integer attribute."""
        value = self._take(key)
        if not isinstance(value, int):
            raise self.error(f"attribute {key} must be an integer, got {_show(value)}")
        return value

    def integers(self, key: str, n: int) -> tuple[int, ...]:
        """A list of `n` integers, each small enough for products of them to be harmless."""
        value = self._take(key)
        if (
            not isinstance(value, tuple)
            or len(value) != n
            or not all(isinstance(item, int) and abs(item) <= 1 << 20 for item in value)
        ):
            raise self.error(f"attribute {key} must be {n} integers of at most 2^20, got {_show(value)}")
        return tuple(int(item) for item in value)

    def number(self, key: str) -> float:
        """A finite number."""
        value = self._take(key)
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise self.error(f"attribute {key} must be a finite number, got {_show(value)}")
        return float(value)

    def array(self, key: str, types: Iterable[str] = FLOATS, shape: tuple[int, ...] | None = None) -> Array:
        """A dataset of one of the element types, finite, of the shape if one is given."""
        if key not in self.members:
            raise self.error("the dataset is missing", key)
        self.members.remove(key)
        node = self._nodes[f"{self.path.rstrip('/')}/{key}"]
        if node.data is None:
            raise self.error("must be a dataset, got a group", key)
        if node.attrs:
            raise self.error(f"unknown attribute '{clean(next(iter(node.attrs)))}'", key)
        dtype = node.data.dtype
        name = "utf8" if dtype.kind == "S" else f"{dtype.kind}{dtype.itemsize}"
        if name not in types:
            raise self.error(f"expected elements of type {' or '.join(types)}, got {name}", key)
        if shape is not None and node.data.shape != shape:
            raise self.error(f"expected shape {shape}, got {node.data.shape}", key)
        if dtype.kind == "f" and not np.isfinite(node.data).all():
            raise self.error("holds values that are not finite", key)
        return node.data

    def strings(self, key: str, shape: tuple[int, ...] | None = None) -> tuple[str, ...]:
        """A dataset of strings (n,), cleaned."""
        data = self.array(key, ("utf8",), shape)
        if data.ndim != 1:
            raise self.error(f"expected a list of strings, got shape {data.shape}", key)
        try:
            return tuple(clean(raw.decode(), None) for raw in data.tolist())
        except UnicodeDecodeError:
            raise self.error("a string is not UTF-8", key) from None

    def drop(self, key: str) -> None:
        """Leave an attribute that has been dealt with elsewhere."""
        self._attrs.pop(key, None)

    def rest(self) -> dict[str, Value]:
        """The attributes nobody has taken."""
        left, self._attrs = self._attrs, {}
        return left

    def finish(self) -> None:
        """Refuse what is left: inside a known group it could change the results, and would do so unnoticed."""
        for key in sorted(self._attrs):
            raise self.error(f"unknown attribute '{clean(key)}'; it may change what the network computes")
        for key in sorted(self.members):
            raise self.error("unknown member of this group; it may change what the network computes", key)

    def _take(self, key: str) -> Any:
        if key not in self._attrs:
            raise self.error(f"attribute {key} is missing")
        return self._attrs.pop(key)


def require_name(name: str, what: str) -> str:
    """The name, if HDF5 can store it and a terminal can show it."""
    if not name or name == "." or "/" in name or len(name.encode()) > MAX_NAME_BYTES or not is_clean(name):
        raise FormatError(
            f"{what}: the name '{clean(name, 60)}' is empty, longer than {MAX_NAME_BYTES} bytes, '.', "
            "or has a slash or control characters in it"
        )
    return name


def _show(value: Value) -> str:
    return clean(repr(value), 60)
