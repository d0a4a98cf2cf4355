"""Makes v1.1.h5: `python tests/data/archives/make_v1_1.py`. The file is kept as it was first written.

What is new in version 1.1: max pools, of both modes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refsim.formats.weights.hdf5 import Golden, Samples, save
from refsim.model import Activation, Conv2d, Flatten, InputSpec, Linear, MaxPool2d, Network, Neuron, Spiking
from refsim.reference.network import simulate


def network() -> Network:
    """A max pool of each mode, at the image and behind IF and dual neurons; all numbers are dyadic."""
    rng = np.random.default_rng(16)

    def sixteenths(*shape: int) -> np.ndarray:
        return rng.integers(-16, 17, shape) / 16

    source = Activation(lambda_=1.0, L=None)
    dual = Neuron(theta=np.array([1.0, 2.0, 0.5]), v0=np.array(0.25), theta_neg=np.array(-1e-3), activation=source)
    plain = Neuron(theta=np.array([1.0, 2.0, 0.5, 1.0]), v0=np.array(0.5), activation=source)
    return Network(
        name="archive 1.1",
        input=InputSpec(shape=(1, 12, 12), scale=1 / 256, mean=np.array([0.5]), std=np.array([0.25]), dataset="noise"),
        layers=(
            MaxPool2d(name="pool0", inputs=("input",), kernel=(2, 1), stride=(1, 1), mode="or"),
            Conv2d(
                name="conv1",
                inputs=("pool0",),
                weight=sixteenths(4, 1, 3, 3),
                bias=sixteenths(4) / 4,
                scale=np.full(4, 1 / 8),
                padding=(1, 1),
            ),
            Spiking(name="if1", inputs=("conv1",), neuron=plain),
            MaxPool2d(name="pool1", inputs=("if1",), kernel=(2, 2), stride=(2, 2), mode="or"),
            Conv2d(
                name="conv2",
                inputs=("pool1",),
                weight=sixteenths(3, 4, 3, 3),
                bias=sixteenths(3) / 4,
                scale=np.full(3, 1 / 2),
                padding=(1, 1),
            ),
            Spiking(name="if2", inputs=("conv2",), neuron=dual),
            MaxPool2d(
                name="pool2",
                inputs=("if2",),
                kernel=(3, 2),
                stride=(2, 2),
                padding=(1, 0),
                dilation=(1, 2),
                mode="cumulative",
            ),
            Flatten(name="flat", inputs=("pool2",)),
            Linear(name="fc", inputs=("flat",), weight=sixteenths(3, 18), bias=sixteenths(3)),
        ),
        metadata={"created_by": "refsim 0.1.0", "source": "drawn at random", "license": "CC0-1.0"},
    )


def golden(network: Network, images: np.ndarray, T: int, kind: str) -> Golden:
    """What the specification computes with one kind of neuron everywhere."""
    change = {each.name: getattr(each.neuron, f"as_{kind}")() for each in network.spiking}
    done = simulate(network.with_neurons(change), network.input.normalize(images), T)

    def count(sign: int) -> dict[str, np.ndarray]:
        return {name: (each == sign).sum(axis=(2, 3, 4)) for name, each in done.spikes.items()}

    return Golden(T=T, neuron=kind, logits=done.logits, counts_pos=count(1), counts_neg=count(-1))


def main() -> None:
    images = np.random.default_rng(13).integers(0, 256, (4, 12, 12, 1), dtype=np.uint8)
    net = network()
    save(
        Path(__file__).with_name("v1.1.h5"),
        net,
        samples=Samples(images=images, labels=np.array([0, 1, 2, 0])),
        golden=(golden(net, images, 4, "if"), golden(net, images[:2], 6, "dual")),
    )


if __name__ == "__main__":
    main()
