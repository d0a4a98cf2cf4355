"""Network, samples and golden values to `Content`: the writing half of the schema (docs/format.md)."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np

from refsim.exceptions import FormatError
from refsim.formats.untrusted.content import Array, Node, Value
from refsim.formats.untrusted.limits import MAX_ARRAY_BYTES, MAX_ATTRIBUTES, MAX_OBJECTS, MAX_STRING_BYTES
from refsim.formats.untrusted.text import clean
from refsim.formats.weights.fields import require_name
from refsim.formats.weights.parts import Golden, Samples
from refsim.model import (
    Activation,
    Add,
    AnyLayer,
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Network,
    Neuron,
    Spiking,
)

FORMAT = "refsim-network"
LATEST = "1.1"
"""The newest version that is read and written."""

RELU, CLIPPED = -1, -2
"""What attribute L says of activations without steps."""

Tree = dict[str, Node]


def encode(network: Network, samples: Samples | None, golden: tuple[Golden, ...]) -> Tree:
    """The content of a file of the oldest version that has it all; not checked here (`schema.decode` does that)."""
    root: dict[str, Value] = {key: clean(value, None) for key, value in network.metadata.items()}
    reserved = root.keys() & {"format", "format_version", "name", "content_sha256"}
    if reserved:
        raise FormatError(f"/: metadata must not be called {', '.join(sorted(reserved))}; the format uses that name")
    root |= {"format": FORMAT, "format_version": version_of(network), "name": clean(network.name, None)}
    spec = network.input
    tree = {
        "/": Node(root),
        "/input": Node(
            {
                "shape": tuple(int(n) for n in spec.shape),
                "scale": float(spec.scale),
                "color": str(spec.color),
                "dataset": clean(spec.dataset, None),
            }
        ),
        "/input/mean": Node(data=spec.mean),
        "/input/std": Node(data=spec.std),
        "/layers": Node(),
    }
    if network.classes:
        names = [clean(name, None).encode() for name in network.classes]
        # An array of empty strings would be of a type without width, which HDF5 does not have.
        tree["/classes"] = Node(data=np.array(names, dtype=f"S{max(1, *map(len, names))}"))
    for index, layer in enumerate(network.layers):
        _encode_layer(tree, index, layer)
    if samples is not None:
        tree["/samples"] = Node()
        tree["/samples/images"] = Node(data=np.asarray(samples.images))
        tree["/samples/labels"] = Node(data=np.asarray(samples.labels))
    if golden:
        tree["/golden"] = Node()
        for number, values in enumerate(golden):
            _encode_golden(tree, f"/golden/{number}", values, network)
    _check_limits(tree)
    return tree


def _check_limits(tree: Tree) -> None:
    """Refuse what fits the schema but not the limits of a reader."""
    total = sum(node.data.nbytes for node in tree.values() if node.data is not None)
    if total > MAX_ARRAY_BYTES:
        raise FormatError(f"/: the arrays have {total} bytes, a weight file holds at most {MAX_ARRAY_BYTES}")
    if len(tree) > MAX_OBJECTS:
        raise FormatError(f"/: {len(tree)} groups and datasets, a weight file holds at most {MAX_OBJECTS}")
    for path, node in tree.items():
        # The digest is one attribute more.
        if len(node.attrs) >= MAX_ATTRIBUTES:
            raise FormatError(f"{path}: {len(node.attrs)} attributes, at most {MAX_ATTRIBUTES - 1} can be stored")
        for key, value in node.attrs.items():
            items = value if isinstance(value, tuple) else (value,)
            if len(items) * max(len(str(item).encode()) for item in items or ("",)) > MAX_STRING_BYTES:
                raise FormatError(f"{path}: attribute {clean(key, 60)} is longer than {MAX_STRING_BYTES} bytes")
        if node.data is not None and node.data.dtype.kind == "S" and node.data.dtype.itemsize > MAX_STRING_BYTES:
            raise FormatError(f"{path}: a string is longer than {MAX_STRING_BYTES} bytes")


def version_of(network: Network) -> str:
    """The oldest format version in which the network can be written: older readers read what they can."""
    return max((_since(layer) for layer in network.layers), key=lambda version: tuple(map(int, version.split("."))))


def _since(layer: AnyLayer) -> str:
    """The format version that brought this kind of layer, or of activation."""
    match layer:
        case MaxPool2d():
            return "1.1"
        case Spiking(neuron=Neuron(strict=True) | Neuron(activation=Activation(kind="clipped"))):
            return "1.1"
        case Spiking(neuron=Neuron(activation=Activation(lambda_=tuple()))):
            return "1.1"
        case Linear() | Conv2d() | AvgPool2d() | Flatten() | Add() | Spiking():
            return "1.0"
        case _:
            assert_never(layer)


def _encode_layer(tree: Tree, index: int, layer: AnyLayer) -> None:
    path = f"/layers/{require_name(layer.name, '/layers')}"
    attrs: dict[str, Value] = {"index": index, "kind": layer.kind, "inputs": tuple(layer.inputs)}
    arrays: dict[str, Array] = {}
    match layer:
        case Linear() | Conv2d():
            arrays = {"weight": layer.weight, "bias": layer.bias}
            if layer.scale is not None:
                arrays["scale"] = layer.scale
            if isinstance(layer, Conv2d):
                attrs |= {"stride": layer.stride, "padding": layer.padding}
                attrs |= {"dilation": layer.dilation, "groups": int(layer.groups)}
        case AvgPool2d():
            attrs |= {"kernel": layer.kernel, "stride": layer.stride}
        case MaxPool2d():
            attrs |= {"kernel": layer.kernel, "stride": layer.stride}
            attrs |= {"padding": layer.padding, "dilation": layer.dilation, "mode": layer.mode}
        case Spiking():
            _encode_neuron(attrs, arrays, layer.neuron)
        case Flatten() | Add():
            pass
        case _:
            assert_never(layer)
    tree[path] = Node(attrs)
    for key, array in arrays.items():
        tree[f"{path}/{key}"] = Node(data=array)


def _encode_neuron(attrs: dict[str, Value], arrays: dict[str, Any], neuron: Neuron) -> None:
    attrs |= {
        "neuron": "dual" if neuron.dual else "if",
        "reset": neuron.reset,
        "gate": neuron.gate,
        "theta_neg_mode": neuron.theta_neg_mode,
        "leak": float(neuron.leak),
    }
    if neuron.strict:
        attrs["comparison"] = ">"
    arrays |= {"theta": neuron.theta, "v0": neuron.v0}
    if neuron.dual:
        arrays["theta_neg"] = neuron.theta_neg
    source = neuron.activation
    if source is not None:
        L = int(source.L) if source.L is not None else CLIPPED if source.clipped else RELU
        attrs |= {"L": L}
        if isinstance(source.lambda_, tuple):
            arrays["lambda_"] = source.bound
        else:
            attrs["lambda_"] = float(source.lambda_)
        attrs |= {"shift": float(source.shift), "delta": float(source.delta)}


def _encode_golden(tree: Tree, path: str, golden: Golden, network: Network) -> None:
    names = [layer.name for layer in network.spiking]
    tree[path] = Node({"T": int(golden.T), "neuron": golden.neuron})
    tree[f"{path}/logits"] = Node(data=np.asarray(golden.logits))
    for key, counts in (("counts_pos", golden.counts_pos), ("counts_neg", golden.counts_neg)):
        if set(counts) != set(names):
            raise FormatError(f"{path}/{key}: must hold exactly the spiking layers {', '.join(map(clean, names))}")
        if names:
            tree[f"{path}/{key}"] = Node(data=np.stack([np.asarray(counts[name]) for name in names]))
