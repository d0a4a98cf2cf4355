"""Makes v1.0.h5: `python tests/data/archives/make_v1_0.py`. The file is kept as it was first written.

A format that changes must leave the archived files of its older versions alone: they are what users have.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refsim.formats.weights.hdf5 import Golden, Samples, save
from refsim.model import Activation, Add, AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference.network import simulate


def network() -> Network:
    """Every kind of layer, parameters of every shape; all numbers are multiples of 1/16."""
    rng = np.random.default_rng(10)

    def sixteenths(*shape: int) -> np.ndarray:
        return rng.integers(-16, 17, shape) / 16

    source = Activation(lambda_=2.0, L=4)
    return Network(
        name="archive 1.0",
        input=InputSpec(shape=(1, 6, 6), scale=1 / 256, mean=np.array([0.5]), std=np.array([0.25]), dataset="noise"),
        layers=(
            Conv2d(
                name="layer1.0",
                inputs=("input",),
                weight=sixteenths(4, 1, 3, 3).astype(np.float32),
                bias=sixteenths(4),
                scale=2.0 ** rng.integers(-2, 2, 4),
                padding=(1, 1),
            ),
            Spiking(
                name="layer1.2",
                inputs=("layer1.0",),
                neuron=Neuron(theta=np.array(1.0), v0=np.array(0.5), activation=source),
            ),
            Conv2d(
                name="block.conv",
                inputs=("layer1.2",),
                weight=sixteenths(4, 2, 3, 3).astype(np.float16),
                bias=sixteenths(4),
                padding=(2, 2),
                dilation=(2, 2),
                groups=2,
            ),
            Add(name="block.add", inputs=("block.conv", "layer1.2")),
            Spiking(
                name="block.act",
                inputs=("block.add",),
                neuron=Neuron(
                    theta=np.array([1.0, 2.0, 0.5, 1.0]),
                    v0=2.0 ** rng.integers(-3, 0, (4, 6, 6)),
                    theta_neg=np.array(-1e-3),
                    gate="gross",
                    activation=Activation(lambda_=1.0, L=None),
                ),
            ),
            AvgPool2d(name="pool", inputs=("block.act",), kernel=(2, 2), stride=(2, 2)),
            Flatten(name="flat", inputs=("pool",)),
            Linear(
                name="fc",
                inputs=("flat",),
                weight=rng.integers(-8, 9, (3, 36), dtype=np.int8),
                bias=sixteenths(3),
                scale=np.full(3, 1 / 8),
            ),
        ),
        classes=("cat", "dog", "Frosch \N{FROG FACE}"),
        metadata={"method": "qcfs", "created_by": "refsim 0.1.0", "source": "drawn at random", "license": "CC0-1.0"},
    )


def golden(network: Network, images: np.ndarray, T: int, kind: str) -> Golden:
    """What the specification computes with one kind of neuron everywhere."""
    change = {each.name: getattr(each.neuron, f"as_{kind}")() for each in network.spiking}
    done = simulate(network.with_neurons(change), network.input.normalize(images), T)

    def count(sign: int) -> dict[str, np.ndarray]:
        return {name: (each == sign).sum(axis=(2, 3, 4)) for name, each in done.spikes.items()}

    return Golden(T=T, neuron=kind, logits=done.logits, counts_pos=count(1), counts_neg=count(-1))


def main() -> None:
    images = np.random.default_rng(11).integers(0, 256, (4, 6, 6, 1), dtype=np.uint8)
    net = network()
    save(
        Path(__file__).with_name("v1.0.h5"),
        net,
        samples=Samples(images=images, labels=np.array([0, 1, 2, 0])),
        golden=(golden(net, images, 4, "if"), golden(net, images[:2], 6, "dual")),
    )


if __name__ == "__main__":
    main()
