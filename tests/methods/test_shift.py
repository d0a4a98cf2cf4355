"""RTS: theta / (2 T) more at every step, which is not the same as v0 = theta / 2 (docs/methods.md)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refsim.exceptions import NetworkError, UsageError
from refsim.methods.bias import with_bias
from refsim.methods.registry import find_method
from refsim.model import Add, AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference.network import simulate
from tests.methods.networks import calibration, chain


def test_every_bias_grows_by_half_a_level_per_step():
    network = chain([[1], [2]], [[1, -1]], [[3]], biases=[[0.5, -1], [2], [7]])
    # x = 2: layer 1 is (2.5, 3), layer 2 is 2.5 - 3 + 2.
    made = replace(find_method("rts"), T=4).calibrate(network, calibration(network, [[2]]))
    assert made.T == 4
    theta = [float(each.neuron.theta) for each in made.network.spiking]
    assert theta == [3, 1.5]
    assert [float(each.neuron.v0) for each in made.network.spiking] == [0, 0]
    np.testing.assert_array_equal(made.network.by_name["fc1"].bias, [0.5 + 3 / 8, -1 + 3 / 8])
    np.testing.assert_array_equal(made.network.by_name["fc2"].bias, [2 + 1.5 / 8])
    np.testing.assert_array_equal(made.network.by_name["fc3"].bias, [7])


def test_the_shift_is_not_the_initial_potential():
    network = chain([[1]], [[1]], L=4)
    x = np.full((1, 1, 1, 1), 0.75)
    rts = replace(find_method("rts"), T=4).calibrate(network, None).network
    assert simulate(rts, x, T=4).spikes["if1"].ravel().tolist() == [0, 1, 1, 1]
    qcfs = find_method("qcfs").calibrate(network, None).network
    assert simulate(qcfs, x, T=4).spikes["if1"].ravel().tolist() == [1, 1, 0, 1]


def test_T_must_be_said():
    with pytest.raises(UsageError, match="method rts depends on T; say which"):
        find_method("rts").calibrate(chain([[1]], [[1]], L=4), None)


def neuron() -> Neuron:
    return Neuron(theta=1.0, v0=0.5)


def test_behind_an_addition_the_first_layer_with_weights_takes_the_bias(conv_network):
    changed = with_bias(conv_network, {"if2": np.arange(6.0), "if3": np.array(2.0)})
    np.testing.assert_array_equal(changed.by_name["conv2"].bias, np.arange(6.0))
    np.testing.assert_array_equal(changed.by_name["conv3"].bias, [2, 2, 2, 2])
    assert not changed.by_name["conv1"].bias.any()


def test_without_weights_there_is_no_bias_to_change():
    network = Network(
        name="pooled",
        input=InputSpec(shape=(1, 2, 2)),
        layers=(
            Conv2d(name="conv", inputs=("input",), weight=np.ones((1, 1, 1, 1)), bias=np.zeros(1)),
            Spiking(name="if1", inputs=("conv",), neuron=neuron()),
            AvgPool2d(name="pool", inputs=("if1",), kernel=(1, 1), stride=(1, 1)),
            Add(name="add", inputs=("pool", "if1")),
            Spiking(name="if2", inputs=("add",), neuron=neuron()),
            Flatten(name="flatten", inputs=("if2",)),
            Linear(name="fc", inputs=("flatten",), weight=np.ones((2, 4)), bias=np.zeros(2)),
        ),
    )
    with pytest.raises(NetworkError, match="layer 'if2': no weights drive it, so there is no bias to change"):
        with_bias(network, {"if2": np.array(1.0)})
