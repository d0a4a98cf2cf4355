"""What a run counts besides spikes: numbers that follow from the layers, the images and the steps alone."""

from __future__ import annotations

import numpy as np
import pytest

from refsim.analysis.layer_errors import QUANTILES
from refsim.analysis.margin import rounding_bound
from refsim.analysis.operations import snn_operations
from refsim.analysis.split import split
from refsim.engine.batches import run_snn
from refsim.engine.plan import compile_network
from refsim.formats.images.currents import InputCurrents
from refsim.model import Add, AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from tests.simulation.networks import raw_images, small_network


def test_what_happens_at_every_step_is_counted_for_every_image_and_step():
    network, n, T = small_network(dual=True), 3, 4
    images = InputCurrents(network.input, raw_images(n), None)
    counted = snn_operations(network, run_snn(compile_network(network), images, np.arange(n), T))
    every = n * np.arange(1, T + 1)
    # conv1 and conv2: 8 x 6 x 6 neurons, conv3: 6 x 2 x 2; the readout has 5 outputs and no neuron.
    neurons = 288 + 288 + 24
    # A bias of 0 is not added.
    biases = {each.name: np.count_nonzero(each.bias) for each in network.layers if isinstance(each, Conv2d | Linear)}
    added = 36 * (biases["conv1"] + biases["conv2"]) + 4 * biases["conv3"] + biases["fc"]
    assert 0 < added < neurons + 5
    np.testing.assert_array_equal(counted.bias_add, added * every)
    np.testing.assert_array_equal(counted.membrane_update, neurons * every)
    np.testing.assert_array_equal(counted.comparison, 2 * neurons * every)


@pytest.mark.parametrize(
    ("zbar", "theta", "clipping"),
    [(0.25, 4.0, 0.0), (0.0, 4.0, 0.0), (-1.0, 4.0, 0.0), (5.0, 4.0, -1.0), (0.5, 0.25, -0.25)],
)
def test_clipping_is_what_lies_above_theta(zbar, theta, clipping):
    one = np.ones((1, 1))
    found = split(zbar * one, 0 * one.astype(np.int64), 0 * one, theta * one, 1)
    assert found.clipping.item() == clipping


def test_quantiles_are_shares_in_order():
    assert list(QUANTILES) == sorted(QUANTILES)
    assert (QUANTILES[0], QUANTILES[-1]) == (0, 1)
    # As many below the median as above it.
    assert [1 - q for q in reversed(QUANTILES)] == pytest.approx(list(QUANTILES))


@pytest.mark.parametrize(("leak", "roundings"), [(1.0, 2), (0.5, 3)])
@pytest.mark.parametrize(("dtype", "eps"), [("float64", 2.0**-53), ("exact", 2.0**-53), ("float32", 2.0**-24)])
def test_the_bound_on_summation_orders_is_that_of_the_document(leak, roundings, dtype, eps):
    """docs/exactness.md 2, term by term: a convolution behind a pool, a shortcut, thresholds that differ."""
    T, x_max = 3, 2.0
    first = Neuron(theta=[1.0, 4.0], v0=[0.0, -0.5], leak=leak)
    second = Neuron(theta=2.0, v0=1.0, leak=leak)
    network = Network(
        name="bound",
        input=InputSpec(shape=(2, 2, 2)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=first),
            AvgPool2d(name="pool", inputs=("s1",), kernel=(2, 1), stride=(2, 1)),
            Conv2d(name="conv", inputs=("pool",), weight=[[[[1.0]], [[-3.0]]], [[[0.5]], [[0.25]]]], bias=[-7.0, 0.0]),
            Add(name="add", inputs=("conv", "pool")),
            Spiking(name="s2", inputs=("add",), neuron=second),
            Flatten(name="flat", inputs=("s2",)),
            Linear(name="out", inputs=("flat",), weight=np.ones((1, 4)), bias=[0.0]),
        ),
    )
    # s1 reads the image: one term of at most 2, and thresholds of 1 and 4.
    peak = 0.5 + 4 + T * 2
    expected = 1.01 * 2 * T * eps * ((1 + 5) * 2 + roundings * peak) / 1
    assert rounding_bound(network, network.spiking[0], T, x_max, dtype) == pytest.approx(expected, rel=1e-12)
    # s2: two weights behind windows of two, and a shortcut behind one: 4 + 2 terms; a spike is worth 4 at most.
    size = (1 + 3) * 4 + 7 + 4
    peak = 1 + 2 + T * size
    expected = 1.01 * 2 * T * eps * ((6 + 5) * size + roundings * peak) / 2
    assert rounding_bound(network, network.spiking[1], T, x_max, dtype) == pytest.approx(expected, rel=1e-12)
    assert rounding_bound(network, network.spiking[1], T, x_max, "int8") == 0
