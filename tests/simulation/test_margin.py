"""The decision margin, and when it certifies that summation order does not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refsim.analysis.margin import Margin, margins, rounding_bound
from refsim.engine.batches import run_snn
from refsim.engine.plan import compile_network
from refsim.formats.images.currents import InputCurrents
from refsim.model import Conv2d, Linear, Network
from refsim.reference.network import simulate
from tests.simulation.networks import raw_images, small_network


def real_network(dual: bool = False) -> Network:
    """The small network with weights that are not on any grid."""
    rng = np.random.default_rng(3)
    network = small_network(dual)
    return replace(
        network,
        layers=tuple(
            replace(layer, weight=layer.weight + rng.normal(size=layer.weight.shape) / 50)
            if isinstance(layer, Conv2d | Linear)
            else layer
            for layer in network.layers
        ),
    )


@pytest.mark.parametrize("dual", [False, True])
def test_the_margin_is_the_least_distance_of_any_potential_from_its_threshold(dual: bool) -> None:
    network = real_network(dual)
    x = network.input.normalize(raw_images(9))
    result = run_snn(compile_network(network), InputCurrents(network.input, raw_images(9), None), np.arange(9), 5)
    simulation = simulate(network, x, 5)
    for layer, actual in zip(network.spiking, margins(network, result)):
        theta = float(layer.neuron.theta)
        spikes, v = simulation.spikes[layer.name], np.full(simulation.v[layer.name].shape, float(layer.neuron.v0))
        least, least_neg, n = np.inf, np.inf, np.zeros(v.shape)
        for s, u in zip(spikes, simulation.currents[layer.name]):
            m = v + u
            least = min(least, np.abs(m - theta).min() / theta)
            if dual and (n >= 1).any():
                least_neg = min(least_neg, np.abs(m - float(layer.neuron.theta_neg))[n >= 1].min() / theta)
            v, n = m - s * theta, n + s
        assert actual.positive == pytest.approx(least, rel=1e-12)
        assert actual.negative == pytest.approx(least_neg, rel=1e-12)


def test_a_margin_certifies_only_above_the_rounding_bound() -> None:
    assert Margin(name="a", positive=2e-9, negative=np.inf, bound=1e-9).certified
    assert not Margin(name="a", positive=1e-9, negative=np.inf, bound=1e-9).certified
    assert not Margin(name="a", positive=1.0, negative=0.5e-9, bound=1e-9).certified


def test_potentials_that_meet_a_threshold_are_never_certified() -> None:
    network = small_network()
    x = np.zeros((1, 3, 6, 6))
    layers = list(network.layers)
    layers[0] = replace(layers[0], bias=np.full(8, 0.25))
    network = replace(network, layers=tuple(layers))
    result = run_snn(compile_network(network), InputCurrents(network.input, x, None), np.arange(1), 1)
    first = margins(network, result)[0]
    assert first.positive == 0
    assert not first.certified


def test_other_summation_orders_stay_within_the_rounding_bound() -> None:
    network = real_network()
    x = network.input.normalize(raw_images(5))
    conv = network.by_name["conv1"]
    assert isinstance(conv, Conv2d)
    simulation = simulate(network, x, 1)
    # The same convolution with the input channels and the kernel read backwards.
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), axis=(2, 3))
    backwards = np.zeros(simulation.currents["if1"][0].shape)
    for c in reversed(range(3)):
        for i in reversed(range(3)):
            for j in reversed(range(3)):
                backwards += conv.weight[:, c, i, j, None, None] * windows[:, c, None, :, :, i, j]
    backwards += conv.bias[:, None, None]
    difference = np.abs(backwards - simulation.currents["if1"][0]).max()
    layer = network.spiking[0]
    assert 0 < difference / float(layer.neuron.theta) <= rounding_bound(network, layer, 1, float(np.abs(x).max()))


def test_the_bound_grows_with_T_and_with_coarser_numbers() -> None:
    network = real_network()
    layer = network.spiking[1]
    bounds = [rounding_bound(network, layer, T, 2.0) for T in (1, 4, 16)]
    assert bounds == sorted(bounds)
    assert rounding_bound(network, layer, 4, 2.0, np.float32) > 1e8 * bounds[1]
