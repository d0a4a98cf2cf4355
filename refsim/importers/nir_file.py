"""The nodes and edges of a NIR file: `/node/nodes/NAME/{type, ...}` and `/node/edges`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import FormatError
from refsim.formats.untrusted.content import Content, Node
from refsim.formats.untrusted.text import clean
from refsim.formats.untrusted.unpickler import shown

Array = NDArray[Any]

_NODES = "/node/nodes"
_LEAKY = "its potential leaks; networks made by conversion have IF neurons"
_WHY = {
    "LIF": _LEAKY, "CubaLIF": _LEAKY, "CubaLI": _LEAKY, "LI": _LEAKY,
    "I": "an integrator without spikes has no counterpart; a readout is a Linear or Affine",
    "Delay": "spikes arrive in the step they are emitted in", "Threshold": "neurons are IF",
    "Scale": "fold it into the weights before it", "Conv1d": "only planes are convolved",
    "NIRGraph": "subgraphs are not read; flatten the graph",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class NirNode:
    """One node: its name, its type, and its parameters."""

    name: str
    kind: str
    fields: dict[str, Array]

    def has(self, key: str) -> bool:
        """Whether a parameter is there."""
        return key in self.fields

    def refusal(self) -> str:
        """Why a node of this type is not read."""
        tau = f" (tau {self.numbers('tau').reshape(-1)[0]:.4g})" if self.has("tau") else ""
        return f"{clean(self.kind, 40)} {shown(self.name)}{tau}: {_WHY.get(self.kind, 'no counterpart here')}"

    def numbers(self, key: str) -> Array:
        """A parameter that is numbers, finite."""
        if key not in self.fields:
            raise FormatError(f"{clean(self.kind, 40)} {shown(self.name)} has no {key}")
        value = self.fields[key]
        if value.dtype.kind not in "iuf" or not np.isfinite(value).all():
            raise FormatError(f"{clean(self.kind, 40)} {shown(self.name)}: {key} must be finite numbers")
        return value

    def integer(self, key: str) -> int:
        """One whole number."""
        return self.integers(key, 1)[0]

    def pair(self, key: str) -> tuple[int, int]:
        """Two whole numbers, of which one may stand for both."""
        first, second = self.integers(key, 2)
        return first, second

    def integers(self, key: str, n: int) -> tuple[int, ...]:
        """n whole numbers, of which one may stand for all."""
        value = self.numbers(key).reshape(-1)
        if value.dtype.kind == "f" and (value == np.rint(value)).all():
            value = value.astype(np.int64)
        if len(value) not in (1, n) or value.dtype.kind == "f" or (np.abs(value.astype(np.float64)) > 1 << 20).any():
            raise FormatError(f"{clean(self.kind, 40)} {shown(self.name)}: {key} must be {n} whole numbers")
        return tuple(int(each) for each in np.broadcast_to(value, n))

    def padding(self, kernel: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns of zeros, which may be said in words."""
        value = self.fields.get("padding")
        if value is None or value.dtype.kind != "S":
            return self.pair("padding")
        word = value.reshape(-1)[0].decode("utf-8", "replace")
        if word == "valid":
            return (0, 0)
        if word != "same" or any(k % 2 == 0 for k in kernel) or self.pair("stride") != (1, 1):
            raise FormatError(f"{self.kind} {shown(self.name)}: padding {shown(word)} is not read for this kernel")
        dilation = self.pair("dilation")
        return dilation[0] * (kernel[0] // 2), dilation[1] * (kernel[1] // 2)


def is_nir(content: Content) -> bool:
    """Whether an HDF5 file is a NIR graph."""
    return _NODES in content and "/node/edges" in content


def parse_nir(content: Content) -> tuple[dict[str, NirNode], list[tuple[str, str]]]:
    """Nodes by name, and edges.

    Raises
    ------
    FormatError
        Not a NIR graph, or edges to nodes that are not there.
    """
    if not is_nir(content):
        raise FormatError("is an HDF5 file but not a NIR graph (/node/nodes and /node/edges are missing)")
    nodes: dict[str, NirNode] = {}
    for path, node in content.items():
        parent, _, name = path.rpartition("/")
        if parent == _NODES:
            nodes[name] = _node(name, path, node, content)
    raw = content["/node/edges"].data
    if raw is None or raw.dtype.kind != "S" or raw.ndim != 2 or raw.shape[1] != 2:
        raise FormatError("/node/edges must be pairs of names")
    edges = [(a.decode("utf-8", "replace"), b.decode("utf-8", "replace")) for a, b in raw.tolist()]
    unknown = next((name for edge in edges for name in edge if name not in nodes), None)
    if unknown is not None:
        raise FormatError(f"/node/edges names {shown(unknown)}, which is no node")
    if len(set(edges)) < len(edges):
        raise FormatError("/node/edges has the same edge twice")
    return nodes, edges


def _node(name: str, path: str, node: Node, content: Content) -> NirNode:
    if node.data is not None:
        raise FormatError(f"{clean(path, None)}: expected a group")
    prefix = f"{path}/"
    fields = {
        key.removeprefix(prefix): value.data
        for key, value in content.items()
        if key.startswith(prefix) and "/" not in key.removeprefix(prefix) and value.data is not None
    }
    kind = fields.pop("type", None)
    if kind is None or kind.dtype.kind != "S" or kind.size != 1:
        raise FormatError(f"{clean(path, None)}: has no type")
    if f"{path}/metadata" in content:
        fields["metadata"] = np.zeros(0)
    return NirNode(name, kind.reshape(-1)[0].decode("utf-8", "replace"), fields)


def by_channel(values: Array, name: str, what: str) -> Array:
    """A parameter of neurons as (), or (C,)."""
    flat = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    if not (np.isfinite(flat).all() and (flat > 0).all()):
        raise FormatError(f"IF {shown(name)}: {what} must be positive and finite, got {clean(str(flat.min()))}")
    if (flat != flat[:, :1]).any():
        raise FormatError(f"IF {shown(name)}: {what} differs between the positions of a channel")
    per_channel = flat[:, 0].astype(np.float64)
    return np.asarray(per_channel[0]) if (per_channel == per_channel[0]).all() else per_channel
