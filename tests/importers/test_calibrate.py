"""Thresholds of ReLU networks are the percentiles they are said to be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.convert import NeuronChoice
from refsim.errors import DataError, NetworkError
from refsim.formats.currents import InputCurrents
from refsim.importers.architectures import to_network
from refsim.importers.calibrate import UpperPercentile, calibrate
from refsim.importers.checkpoint import Checkpoint
from refsim.importers.options import ImportOptions
from refsim.reference.network import forward
from tests.importers import sources

RELU = NeuronChoice(L=None)


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), max_size=30), min_size=1, max_size=8).filter(any),
    st.floats(0.5, 100),
    st.integers(0, 50),
)
def test_a_percentile_in_pieces_is_that_of_the_whole(pieces, percentile, spare):
    values = np.concatenate([np.array(piece, float) for piece in pieces])
    found = UpperPercentile(percentile, len(values) + spare)
    for piece in pieces:
        found.add(np.array(piece, float))
    expected = np.percentile(values, percentile)
    assert found.value() == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(values).max())


def test_a_high_percentile_keeps_few_numbers():
    found = UpperPercentile(99.9, 1_000_000)
    for seed in range(10):
        found.add(np.random.default_rng(seed).normal(size=100_000))
    assert found._largest.size < 1100
    assert np.isnan(UpperPercentile(99.9, 5).value())


def relu_network():
    state = sources.random_resnet_cifar(np.random.default_rng(1), depth=1, widths=[4, 8, 16])
    return to_network(
        Checkpoint(path=Path("x.th"), tensors=state, sha256="0" * 64),
        ImportOptions(choice=RELU, shape=(3, 12, 12), mean=(0.5,), std=(0.25,)),
    )


@pytest.mark.parametrize(("method", "percentile"), [("max", 99.9), ("percentile", 99.0), ("percentile", 50.0)])
def test_theta_is_the_percentile_of_the_positive_activations_of_the_ann(method, percentile):
    network = relu_network()
    raw = np.random.default_rng(3).integers(0, 256, (50, 12, 12, 3), np.uint8)
    rows = np.array([3, 1, 30, 42, 7])
    images = InputCurrents(network.input, raw, None)
    calibrated = calibrate(network, images, rows, RELU, method=method, percentile=percentile)
    activations = forward(network, network.input.normalize(raw[rows]))
    for layer in calibrated.spiking:
        a = activations[layer.name]
        expected = np.percentile(a[a > 0], 100 if method == "max" else percentile)
        np.testing.assert_allclose(layer.neuron.theta, expected, rtol=1e-12)
        assert layer.neuron.v0 == layer.neuron.theta / 2
        assert layer.neuron.activation.L is None
    assert calibrated.metadata["method"] == f"relu-{method}"
    assert "5 images" in calibrated.metadata["thresholds"]


def test_a_layer_that_never_fires_and_no_images_are_refused():
    network = relu_network()
    raw = np.zeros((2, 12, 12, 3), np.uint8)
    images = InputCurrents(network.input, raw, None)
    with pytest.raises(DataError, match="calibration needs at least one image"):
        calibrate(network, images, np.arange(0), RELU)
    state = sources.random_resnet_cifar(np.random.default_rng(1), depth=1, widths=[4, 8, 16])
    state["bn1.weight"][:] = 0
    state["bn1.bias"][:] = -1
    dead = to_network(
        Checkpoint(path=Path("x.th"), tensors=state, sha256=""), ImportOptions(choice=RELU, shape=(3, 12, 12))
    )
    with pytest.raises(NetworkError, match="layer 'act': no neuron is active on the 2 calibration images"):
        calibrate(dead, images, np.arange(2), RELU)
