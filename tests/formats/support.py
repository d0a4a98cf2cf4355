"""A small network with every kind of layer, and ways to read weight files without a process for each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np

from refsim.formats.untrusted import child, reader
from refsim.formats.untrusted.content import Node, content_sha256
from refsim.formats.weights.encode import encode
from refsim.formats.weights.hdf5 import Golden, Samples, WeightFile, load
from refsim.formats.weights.writer import to_bytes
from refsim.model import (
    Activation,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    InputSpec,
    Linear,
    Network,
    Neuron,
    Spiking,
)

Tree = dict[str, Node]


@cache
def tiny_network() -> Network:
    rng = np.random.default_rng(7)

    def dyadic(*shape: int) -> Any:
        return rng.integers(-16, 17, shape) / 16

    source = Activation(lambda_=2.0, L=4)
    simple = Neuron(theta=np.array(2.0), v0=np.array(1.0), activation=source)
    dual = Neuron(theta=np.array([1.0, 2.0, 4.0]), v0=np.array(0.5), theta_neg=np.array(-1e-3), activation=source)
    layers = (
        Conv2d(
            name="layer1.0",
            inputs=("input",),
            weight=dyadic(3, 2, 3, 3).astype("f4"),
            bias=dyadic(3),
            scale=dyadic(3) + 2,
            padding=(1, 1),
        ),
        Spiking(name="layer1.2", inputs=("layer1.0",), neuron=simple),
        Conv2d(name="conv2", inputs=("layer1.2",), weight=dyadic(3, 3, 1, 1).astype("f4"), bias=dyadic(3)),
        Add(name="add", inputs=("conv2", "layer1.2")),
        Spiking(name="if2", inputs=("add",), neuron=dual),
        AvgPool2d(name="pool", inputs=("if2",), kernel=(2, 2), stride=(2, 2)),
        Flatten(name="flat", inputs=("pool",)),
        Linear(name="fc", inputs=("flat",), weight=rng.integers(-9, 9, (4, 12)).astype("i1"), bias=dyadic(4)),
    )
    return Network(
        name="tiny",
        input=InputSpec(shape=(2, 4, 4), mean=np.array([0.5, 0.25]), std=np.array([0.5, 1.0]), dataset="none"),
        layers=layers,
        classes=("cat", "dog", "T-shirt/top", "Frosch \N{FROG FACE}"),
        metadata={"method": "qcfs", "created_by": "tests", "license": "CC0"},
    )


def tiny_samples() -> Samples:
    images = np.random.default_rng(3).integers(0, 256, (3, 4, 4, 2), dtype=np.uint8)
    return Samples(images=images, labels=np.array([0, 3, 1]))


def tiny_golden(neuron: Any = "if", T: int = 2) -> Golden:
    rng = np.random.default_rng(T)
    counts = [{name: rng.integers(0, 9, (T, 2)) for name in ("layer1.2", "if2")} for _ in range(2)]
    return Golden(T=T, neuron=neuron, logits=rng.normal(size=(T, 2, 4)), counts_pos=counts[0], counts_neg=counts[1])


def tiny_tree() -> Tree:
    """The content of the tiny file, for a test to change."""
    tree = encode(tiny_network(), tiny_samples(), (tiny_golden(), tiny_golden("dual", 3)))
    return {path: Node(dict(node.attrs), node.data) for path, node in tree.items()}


@cache
def tiny_bytes() -> bytes:
    return to_bytes(tiny_tree())


def edited(edit: Callable[[h5py.File], None]) -> bytes:
    """The tiny file after an edit with h5py, digest untouched."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edited.h5"
        path.write_bytes(tiny_bytes())
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            edit(file)
        return path.read_bytes()


def run_here(source: int, output: int, task: str) -> None:
    """What the child does, in this process and without giving up its rights."""
    opened, memory = child.open_shared(source, output, task)
    child.answer(opened, memory, task)


@contextmanager
def in_process() -> Iterator[None]:
    """No process for each file: 5 ms instead of 200 ms."""
    with patch.object(reader, "run_child", run_here):
        yield


def load_bytes(data: bytes) -> WeightFile:
    """`load` of a file with these bytes, in this process."""
    with tempfile.TemporaryDirectory() as folder, in_process():
        path = Path(folder) / "net.h5"
        path.write_bytes(data)
        return load(path)


def digest_of(file: WeightFile) -> str:
    """Digest of what was loaded, encoded again: equal digests mean equal files."""
    return content_sha256(encode(file.network, file.samples, file.golden))


def assert_same(actual: Any, expected: Any, where: str = "") -> None:
    """Equality of dataclasses that hold arrays: types, shapes, dtypes and every bit."""
    if is_dataclass(expected):
        assert type(actual) is type(expected), where
        for each in fields(expected):
            assert_same(getattr(actual, each.name), getattr(expected, each.name), f"{where}.{each.name}")
    elif isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype.newbyteorder("="), where
        assert actual.shape == expected.shape, where
        assert np.ascontiguousarray(actual).tobytes() == expected.astype(actual.dtype).tobytes(), where
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys(), where
        for key in expected:
            assert_same(actual[key], expected[key], f"{where}[{key}]")
    elif isinstance(expected, tuple):
        assert len(actual) == len(expected), where
        for i, each in enumerate(expected):
            assert_same(actual[i], each, f"{where}[{i}]")
    else:
        assert actual == expected, where
