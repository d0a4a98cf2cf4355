"""Networks small enough for paper: vectors in, fully connected layers, currents that are the images themselves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from refsim.formats.images.currents import InputCurrents
from refsim.methods.base import Calibration
from refsim.model import Activation, InputSpec, Layer, Linear, Network, Neuron, Spiking


def chain(
    *weights: ArrayLike, biases: list[ArrayLike] | None = None, L: int | None = None, lambda_: float = 1.0
) -> Network:
    """Linear layers with neurons between them; L=None: ReLU. The last weights are the readout's."""
    layers: list[Layer] = []
    reads = "input"
    for i, each in enumerate(weights, start=1):
        weight = np.asarray(each, dtype=np.float64)
        bias = np.zeros(len(weight)) if biases is None else np.asarray(biases[i - 1], dtype=np.float64)
        layers.append(Linear(name=f"fc{i}", inputs=(reads,), weight=weight, bias=bias))
        if i < len(weights):
            neuron = Neuron(theta=lambda_, v0=lambda_ / 2, activation=Activation(lambda_=lambda_, L=L))
            layers.append(Spiking(name=f"if{i}", inputs=(f"fc{i}",), neuron=neuron))
        reads = f"if{i}"
    n_inputs = np.asarray(weights[0]).shape[1]
    return Network(name="chain", input=InputSpec(shape=(n_inputs, 1, 1)), layers=tuple(layers))


def vectors(network: Network, rows: ArrayLike, labels: ArrayLike | None = None) -> InputCurrents:
    """Input currents, one row for each image."""
    x = np.asarray(rows, dtype=np.float64)
    known = np.zeros(len(x), np.int64) if labels is None else np.asarray(labels, np.int64)
    return InputCurrents(network.input, x.reshape(*x.shape, 1, 1), known)


def calibration(network: Network, rows: ArrayLike) -> Calibration:
    """All of these images."""
    images = vectors(network, rows)
    return Calibration(network=network, images=images, indices=np.arange(len(images)))


def random_chain(L: int | None, seed: int = 3, lambda_: float = 1.0) -> Network:
    """4 - 6 - 5 - 3, with biases, on a dyadic grid."""
    rng = np.random.default_rng(seed)
    sizes = (4, 6, 5, 3)
    weights = [rng.integers(-12, 17, (n, m)) / 16 for m, n in pairwise(sizes)]
    biases = [rng.integers(-4, 5, n) / 16 for n in sizes[1:]]
    return chain(*weights, biases=biases, L=L, lambda_=lambda_)


def random_rows(n: int, seed: int = 0) -> np.ndarray:
    """Rows of 4 numbers in [-1, 2), on a dyadic grid."""
    return np.random.default_rng(seed).integers(-16, 32, (n, 4)) / 16
