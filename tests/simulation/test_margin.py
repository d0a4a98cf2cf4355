"""The decision margin, and when it certifies that summation order does not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refsim.analysis.margin import Margin, margins, rounding_bound
from refsim.engine.batches import run_snn
from refsim.engine.plan import compile_network
from refsim.engine.results import Result
from refsim.engine.simulator import simulate as simulate_engine
from refsim.formats.images.currents import InputCurrents
from refsim.model import AvgPool2d, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
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


def wired(theta: np.ndarray, theta_before: np.ndarray) -> Network:
    """Two channels, pooled over 2 x 2 positions, into two neurons: numbers that are easily added up by hand."""
    layers = (
        Spiking(name="before", inputs=("input",), neuron=Neuron(theta=theta_before, v0=0.0)),
        AvgPool2d(name="pool", inputs=("before",), kernel=(2, 2), stride=(2, 2)),
        Conv2d(
            name="c", inputs=("pool",), weight=np.array([[[[1.0]], [[-2.0]]], [[[0.5]], [[0.5]]]]), bias=[0.25, 3.0]
        ),
        Spiking(name="after", inputs=("c",), neuron=Neuron(theta=theta, v0=-0.5)),
        Flatten(name="flat", inputs=("after",)),
        Linear(name="out", inputs=("flat",), weight=np.ones((2, 2)), bias=np.zeros(2)),
    )
    return Network(name="wired", input=InputSpec(shape=(2, 2, 2)), layers=layers)


def test_the_bound_is_what_the_docstring_says() -> None:
    network = wired(theta=np.array([0.5, 8.0]), theta_before=np.array([1.5, 4.0]))
    # U: the first row's |1| + |-2|, each times the largest theta before, and its bias. K: 2 channels of 4 spikes.
    U, K, T, eps = 3 * 4.0 + 0.25, 2 * 4, 7, 2.0**-53
    per_step = eps * ((K + 5) * U + 2 * (0.5 + 8.0 + T * U))
    expected = 1.01 * 2 * T * per_step / 0.5
    assert rounding_bound(network, network.spiking[1], T, x_max=1.0) == pytest.approx(expected, rel=1e-12, abs=0)
    # The image drives the first one: x_max alone, one term; thresholds are its own.
    expected = 1.01 * 2 * T * eps * ((1 + 5) * 9.0 + 2 * (4.0 + T * 9.0)) / 1.5
    assert rounding_bound(network, network.spiking[0], T, x_max=9.0) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("theta", "dtype"),
    [(2e-39, "float32"), (1e-40, "float32"), (2e-45, "float32"), (1e-310, "float64"), (1e-310, "exact")],
)
@pytest.mark.filterwarnings("error")
def test_a_tie_at_a_subnormal_threshold_has_no_margin_and_certifies_nothing(theta: float, dtype: str) -> None:
    held = float(np.float32(theta)) if dtype == "float32" else theta
    neuron = Neuron(theta=held, v0=0.0, theta_neg=-held)
    layers = (
        Spiking(name="s", inputs=("input",), neuron=neuron),
        Linear(name="out", inputs=("s",), weight=[[1.0]], bias=[0.0]),
    )
    network = Network(name="faint", input=InputSpec(shape=(1, 1, 1)), layers=layers)
    plan = compile_network(network, dtype)
    for x, exact in ((held, 0.0), (3 * held, 2.0)):
        image = np.full((1, 1, 1, 1), x)
        [margin] = margins(network, Result.of(simulate_engine(plan, image, 2), image, None), dtype)
        assert 0 <= margin.positive <= exact
        assert np.isfinite(margin.negative)
        assert not (exact == 0 and margin.certified)


@pytest.mark.filterwarnings("ignore:overflow")
def test_margins_beyond_the_largest_number_are_no_missing_ones() -> None:
    neuron = Neuron(theta=1e-37, v0=0.0, theta_neg=-1e-37)
    layers = (
        Spiking(name="s", inputs=("input",), neuron=neuron),
        Linear(name="out", inputs=("s",), weight=[[1.0]], bias=[0.0]),
    )
    network = Network(name="loud", input=InputSpec(shape=(1, 1, 1)), layers=layers)
    image = np.full((1, 1, 1, 1), 1e4)
    plan = compile_network(network, "float32")
    for T, negative in ((1, np.inf), (2, float(np.finfo(np.float32).max))):
        margin = simulate_engine(plan, image, T).populations["s"].margin
        assert margin.tolist() == [float(np.finfo(np.float32).max), negative]


def test_the_bound_grows_with_T_and_with_coarser_numbers() -> None:
    network = real_network()
    layer = network.spiking[1]
    bounds = [rounding_bound(network, layer, T, 2.0) for T in (1, 4, 16)]
    assert bounds == sorted(bounds)
    assert rounding_bound(network, layer, 4, 2.0, np.float32) > 1e8 * bounds[1]
