"""What max pools add to the error of the layer behind them: nothing if they follow the maximum, else a part apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.analysis.layer_errors import ErrorAccumulator, LayerErrors
from refsim.analysis.split import against, over_neurons, split
from refsim.engine.plan import compile_network
from refsim.engine.simulator import forward, simulate
from refsim.model import INPUT, Activation, MaxPool2d, Network, Spiking
from refsim.reference.network import as_float64, current
from refsim.testing import networks_with_inputs
from tests.engine.effort import examples
from tests.simulation.networks import raw_images, small_network

RECORD = {"spikes", "v", "current", "followed"}


def mean_currents(network: Network, x: np.ndarray, spikes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By spiking layer, W (theta max N(T) / T) + b, and its like for other kinds: ordinary pools of phi."""
    out, found = {INPUT: x}, {}
    for layer in network.layers:
        sources = [out[source] for source in layer.inputs]
        if isinstance(layer, Spiking):
            found[layer.name] = sources[0]
            theta = np.broadcast_to(over_neurons(layer.neuron.theta, network.shapes[layer.name]), sources[0].shape[1:])
            out[layer.name] = theta * spikes[layer.name].mean(axis=0)
        else:
            out[layer.name] = current(layer, sources, as_float64)
    return found


def reads_or(network: Network, layer: Spiking) -> bool:
    """Whether an "or" of spikes reaches it."""
    ahead, found = list(layer.inputs), False
    while ahead:
        each = network.by_name.get(ahead.pop())
        if each is None or isinstance(each, Spiking):
            continue
        found |= isinstance(each, MaxPool2d) and each.mode == "or" and each.inputs[0] != INPUT
        ahead += each.inputs
    return found


@examples(150)
@given(networks_with_inputs("dyadic", wide=False), st.sampled_from([1, 2, 4]))
def test_the_current_behind_pools_that_follow_is_what_the_maximum_of_phi_causes(drawn, T):
    network, x = drawn
    trace = simulate(compile_network(network), x, T, RECORD)
    expected = mean_currents(network, x, {name: each.spikes for name, each in trace.populations.items()})
    for layer in network.spiking:
        actual = trace.populations[layer.name]
        assert (actual.followed is not None) == reads_or(network, layer)
        followed = actual.current if actual.followed is None else actual.followed
        np.testing.assert_array_equal(followed / T, expected[layer.name])


def pooled(mode: str, dual: bool) -> Network:
    """The small network with a max pool for its average pool."""
    network = small_network(dual)
    layers = [
        MaxPool2d(name=each.name, inputs=each.inputs, kernel=each.kernel, stride=each.stride, mode=mode)
        if each.name == "pool"
        else each
        for each in network.layers
    ]
    return replace(network, layers=tuple(layers))


def measure(network: Network, name: str, T: int, cuts: tuple[int, ...] = ()) -> LayerErrors:
    x = network.input.normalize(raw_images(12))
    total = ErrorAccumulator(network, network.find_spiking(name), T, per_channel=True)
    for start, stop in zip((0, *cuts), (*cuts, 12)):
        trace = simulate(compile_network(network), x[start:stop], T, RECORD)
        z = forward(compile_network(network, fold=False), x[start:stop], record=True).z[name]
        part = ErrorAccumulator(network, network.find_spiking(name), T, per_channel=True)
        part.add(trace.populations[name], z)
        total.merge(part)
    return total.result()


@pytest.mark.parametrize("dual", [False, True], ids=["IF", "dual"])
def test_the_or_of_spikes_has_a_part_of_its_own_and_leaves_the_others_as_they_were(dual):
    """The spikes before the pool are the same in both modes, and so is what the layers before it have propagated."""
    follows, takes_or = (measure(pooled(mode, dual), "if3", 5) for mode in ("cumulative", "or"))
    for which in ("against_relu", "against_qcfs"):
        mean = {key: each.mean for key, each in getattr(takes_or, which).items()}
        assert "pool" not in getattr(follows, which)
        assert mean["pool"] > 0
        assert mean["propagated"] == getattr(follows, which)["propagated"].mean
        parts = ("clipping", "quantization", "unevenness", "pool", "propagated")
        assert sum(mean[key] for key in parts if key in mean) == pytest.approx(mean["total"], rel=1e-12, abs=1e-15)
    before = measure(pooled("or", dual), "if2", 5)
    assert "pool" not in before.against_relu | before.against_qcfs


def test_no_bit_of_the_part_depends_on_the_batch():
    network = pooled("or", dual=True)
    whole, cut = measure(network, "if3", 3), measure(network, "if3", 3, cuts=(1, 5))
    assert whole.against_relu["pool"] == cut.against_relu["pool"]
    assert whole.channels["relu_pool"].tolist() == cut.channels["relu_pool"].tolist()


@pytest.mark.parametrize("dtype", ["exact", "float32", "int16", "int8"])
def test_the_current_that_would_have_been_is_in_the_numbers_of_the_run(dtype):
    """With pools that do follow, what would have been is what was: in the run of the other network."""
    network = pooled("or", dual=True)
    x = network.input.normalize(raw_images(4))
    taken = simulate(compile_network(network, dtype), x, 5, RECORD).populations["if3"]
    follows = simulate(compile_network(network.with_max_pools("cumulative"), dtype), x, 5, RECORD).populations["if3"]
    np.testing.assert_array_equal(taken.followed, follows.current)
    assert (taken.current != taken.followed).any()
    assert follows.followed is None


@pytest.mark.parametrize("L", [None, 4])
def test_pool_and_propagated_add_up_to_what_propagated_is_without_it(L):
    rng = np.random.default_rng(5)
    S, v, z, followed = rng.integers(-40, 80, (4, 3, 20)) / 8
    N, theta, activation = rng.integers(0, 5, (3, 20)), np.full(20, 2.0), Activation(lambda_=2.0, L=L)
    errors = split(S, N, v, theta, 4)
    plain, apart = (against(errors, z, theta, 4, activation, each) for each in (None, followed))
    assert (plain.pool == 0).all()
    assert (apart.pool + apart.propagated == plain.propagated).all()
    assert (apart.quantization + apart.unevenness + apart.pool + apart.propagated == apart.total).all()
    assert (apart.pool != 0).any()
