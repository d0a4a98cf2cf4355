"""One small network with everything that makes counting delicate: borders, stride, a pool, a shortcut."""

from __future__ import annotations

import numpy as np

from refsim.model import Activation, Add, AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking


def small_network(dual: bool = False, L: int | None = 4) -> Network:
    """A residual network on 6 x 6 images with weights on a dyadic grid; three spiking layers, 5 classes."""
    rng = np.random.default_rng(7)

    def grid(*shape: int) -> np.ndarray:
        return rng.integers(-8, 9, size=shape) / 32

    def neuron(theta: float) -> Neuron:
        return Neuron(
            theta=theta,
            v0=theta / 2,
            theta_neg=-1 / 1024 if dual else -np.inf,
            activation=Activation(lambda_=theta, L=L),
        )

    return Network(
        name="small",
        input=InputSpec(shape=(3, 6, 6), mean=np.array([0.5, 0.25, 0.5]), std=np.array([0.25, 0.5, 0.25])),
        layers=(
            Conv2d(name="conv1", inputs=("input",), weight=grid(8, 3, 3, 3), bias=grid(8), padding=(1, 1)),
            Spiking(name="if1", inputs=("conv1",), neuron=neuron(0.5)),
            Conv2d(name="conv2", inputs=("if1",), weight=grid(8, 8, 3, 3), bias=grid(8), padding=(1, 1)),
            Add(name="add2", inputs=("conv2", "if1")),
            Spiking(name="if2", inputs=("add2",), neuron=neuron(1.0)),
            AvgPool2d(name="pool", inputs=("if2",), kernel=(2, 2), stride=(2, 2)),
            Conv2d(
                name="conv3", inputs=("pool",), weight=grid(6, 8, 3, 3), bias=grid(6), padding=(1, 1), stride=(2, 2)
            ),
            Spiking(name="if3", inputs=("conv3",), neuron=neuron(0.25)),
            Flatten(name="flatten", inputs=("if3",)),
            Linear(name="fc", inputs=("flatten",), weight=grid(5, 24), bias=grid(5)),
        ),
    )


def raw_images(n: int, seed: int = 0) -> np.ndarray:
    """Raw images (n, 6, 6, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, size=(n, 6, 6, 3), dtype=np.uint8)
