"""Networks that several files use."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from refsim.model import (
    Activation,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    InputSpec,
    Linear,
    MaxMode,
    MaxPool2d,
    Network,
    Neuron,
    Pool,
    Spiking,
)


def pool(mode: str) -> Pool:
    """An average pool, or a max pool of a mode."""
    if mode == "average":
        return AvgPool2d(name="pool", inputs=("if2",), kernel=(2, 2), stride=(2, 2))
    return MaxPool2d(name="pool", inputs=("if2",), kernel=(2, 2), stride=(2, 2), mode=mode)


@pytest.fixture(params=["average", *get_args(MaxMode)])
def conv_network(request: pytest.FixtureRequest) -> Network:
    """Groups, stride, a pool of each kind, a shortcut; no biases."""
    rng = np.random.default_rng(5)

    def conv(name: str, source: str, n_out: int, n_in: int, **how: object) -> Conv2d:
        weight = rng.integers(-8, 9, (n_out, n_in, 3, 3)) / 16
        return Conv2d(name=name, inputs=(source,), weight=weight, bias=np.zeros(n_out), padding=(1, 1), **how)

    def neuron() -> Neuron:
        return Neuron(theta=1.0, v0=0.5, activation=Activation(lambda_=1.0, L=None))

    return Network(
        name="conv",
        input=InputSpec(shape=(4, 6, 6), mean=np.array([0.5, 0.25, 0.0, 0.75]), std=np.full(4, 0.5)),
        layers=(
            conv("conv1", "input", 6, 2, groups=2),
            Spiking(name="if1", inputs=("conv1",), neuron=neuron()),
            conv("conv2", "if1", 6, 6),
            Add(name="add", inputs=("conv2", "if1")),
            Spiking(name="if2", inputs=("add",), neuron=neuron()),
            pool(request.param),
            conv("conv3", "pool", 4, 6, stride=(2, 2)),
            Spiking(name="if3", inputs=("conv3",), neuron=neuron()),
            Flatten(name="flatten", inputs=("if3",)),
            Linear(name="fc", inputs=("flatten",), weight=rng.integers(-8, 9, (3, 16)) / 8, bias=np.zeros(3)),
        ),
    )
