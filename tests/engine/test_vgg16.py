"""On really trained weights: VGG-16 on CIFAR-10, every spike of 64 images. Minutes: the specification is dense NumPy.

REFSIM_VGG16: a weight file, made by `refsim convert`; REFSIM_CIFAR: an npz with x_test, uint8 (N, 32, 32, 3).
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import DTypeLike

from refsim.formats.weights import hdf5
from refsim.model import Network
from refsim.testing import Observed, assert_equals_reference, event_engine

pytestmark = pytest.mark.heavy

N_IMAGES = int(os.environ.get("REFSIM_IMAGES", "64"))
CHUNK = 2
"""Images at a time: the specification's temporaries then stay in cache."""


def path_of(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} does not name a file")
    if not Path(value).is_file():
        pytest.skip(f"{variable}={value}: no such file")
    return Path(value)


@pytest.fixture(scope="module")
def network() -> Network:
    return hdf5.load(path_of("REFSIM_VGG16")).network


@pytest.fixture(scope="module")
def images(network: Network) -> np.ndarray:
    with np.load(path_of("REFSIM_CIFAR")) as archive:
        return network.input.normalize(archive["x_test"][:N_IMAGES])


def spikes_only(network: Network, x: np.ndarray, T: int, dtype: DTypeLike) -> Observed:
    """The event engine without its counters: to count by definition costs five times what the spikes do."""
    return replace(event_engine(network, x, T, dtype), reached=None, ops=None)


@pytest.mark.parametrize("start", range(0, N_IMAGES, CHUNK))
@pytest.mark.parametrize("neuron", ["if", "dual"])
def test_every_spike_of_vgg16_is_that_of_the_specification(network, images, neuron, start):
    change = {
        layer.name: layer.neuron.as_if() if neuron == "if" else layer.neuron.as_dual() for layer in network.spiking
    }
    assert_equals_reference(network.with_neurons(change), images[start : start + CHUNK], T=8, backend=spikes_only)
