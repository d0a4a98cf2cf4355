"""ImageNet-sized networks with random weights; `python -m tests.large.networks NAME FILE` writes one with one image."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from refsim.formats.weights.hdf5 import Samples, save
from refsim.model import (
    Activation,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    InputSpec,
    Layer,
    Linear,
    Network,
    Neuron,
    Spiking,
)

THETA = 2.0


class _Builder:
    """Appends layers, each reading the one before."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.last = "input"
        self._rng = np.random.default_rng(1)

    def add(self, layer: Layer) -> str:
        self.layers.append(layer)
        self.last = layer.name
        return layer.name

    def conv(self, c_in: int, c_out: int, k: int = 3, stride: int = 1, source: str | None = None) -> str:
        name = f"conv{len(self.layers)}"
        weight = self._rng.standard_normal((c_out, c_in, k, k), np.float32) * np.float32((2 / (c_in * k * k)) ** 0.5)
        same = {"stride": (stride, stride), "padding": (k // 2, k // 2)}
        bias = np.zeros(c_out, np.float32)
        return self.add(Conv2d(name=name, inputs=(source or self.last,), weight=weight, bias=bias, **same))

    def linear(self, n_in: int, n_out: int) -> str:
        weight = self._rng.standard_normal((n_out, n_in), np.float32) * np.float32((2 / n_in) ** 0.5)
        bias = np.zeros(n_out, np.float32)
        return self.add(Linear(name=f"fc{len(self.layers)}", inputs=(self.last,), weight=weight, bias=bias))

    def spike(self) -> str:
        neuron = Neuron(theta=THETA, v0=THETA / 2, activation=Activation(lambda_=THETA, L=8))
        return self.add(Spiking(name=f"if{len(self.layers)}", inputs=(self.last,), neuron=neuron))

    def pool(self, k: int = 2) -> str:
        return self.add(AvgPool2d(name=f"pool{len(self.layers)}", inputs=(self.last,), kernel=(k, k), stride=(k, k)))

    def flatten(self) -> str:
        return self.add(Flatten(name="flatten", inputs=(self.last,)))

    def network(self, name: str) -> Network:
        spec = InputSpec(shape=(3, 224, 224), mean=np.array([0.485, 0.456, 0.406]), std=np.array([0.229, 0.224, 0.225]))
        return Network(name=name, input=spec, layers=tuple(self.layers))


def vgg16() -> Network:
    """VGG-16 for 224 x 224 images and 1000 classes: 138 million weights."""
    build, channels = _Builder(), 3
    for width, n in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(n):
            build.conv(channels, width)
            build.spike()
            channels = width
        build.pool()
    build.flatten()
    for n_in, n_out in ((512 * 7 * 7, 4096), (4096, 4096)):
        build.linear(n_in, n_out)
        build.spike()
    build.linear(4096, 1000)
    return build.network("vgg16-224")


def resnet34() -> Network:
    """ResNet-34 for 224 x 224 images and 1000 classes, with average pools: 22 million weights."""
    build, channels = _Builder(), 64
    build.conv(3, 64, k=7, stride=2)
    build.spike()
    build.pool()
    for width, n in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(n):
            source, stride = build.last, 2 if width != channels else 1
            build.conv(channels, width, stride=stride)
            build.spike()
            main = build.conv(width, width)
            shortcut = build.conv(channels, width, k=1, stride=stride, source=source) if stride > 1 else source
            if block == 0 and stride == 1:
                shortcut = build.conv(channels, width, k=1, source=source)
            build.add(Add(name=f"add{len(build.layers)}", inputs=(main, shortcut)))
            build.spike()
            channels = width
    build.pool(7)
    build.flatten()
    build.linear(512, 1000)
    return build.network("resnet34-224")


NETWORKS = {"vgg16": vgg16, "resnet34": resnet34}


def write(name: str, path: Path) -> None:
    """A weight file with one random image."""
    image = np.random.default_rng(2).integers(0, 256, (1, 224, 224, 3), np.uint8)
    save(path, NETWORKS[name](), samples=Samples(images=image, labels=np.zeros(1, np.int64)))


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
