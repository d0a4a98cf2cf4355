"""Errors of a layer over many images: the same whatever the batch, and what the split says of all neurons at once."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from refsim.analysis import layer_errors
from refsim.analysis.layer_errors import ErrorAccumulator, LayerErrors
from refsim.analysis.split import against, over_neurons, split
from refsim.engine import simulator
from refsim.engine.plan import compile_network
from refsim.exceptions import UsageError
from refsim.formats.weights.hdf5 import load
from refsim.formats.weights.locate import find_weights
from refsim.model import Activation, Network, Neuron
from tests.simulation.networks import raw_images, small_network

T = 3
RECORD = {"spikes", "v", "current"}


def run(network: Network, images: slice = slice(None), n: int = 20):
    """Trace and the ANN's weighted inputs."""
    x = network.input.normalize(raw_images(n))[images]
    trace = simulator.simulate(compile_network(network), x, T, RECORD)
    return trace, simulator.forward(compile_network(network, fold=False), x, record=True)


def measure(network: Network, name: str, cuts: tuple[int, ...] = (), with_ann: bool = True) -> LayerErrors:
    """The errors of one layer, its 20 images cut into batches before the given ones."""
    total = ErrorAccumulator(network, network.find_spiking(name), T, per_channel=True)
    for start, stop in zip((0, *cuts), (*cuts, 20)):
        trace, ann = run(network, slice(start, stop))
        part = ErrorAccumulator(network, network.find_spiking(name), T, per_channel=True)
        part.add(trace.populations[name], ann.z[name] if with_ann else None)
        total.merge(part)
    return total.result()


def plain(errors: LayerErrors) -> dict:
    """Everything in it, with arrays as lists, so that == compares every bit."""
    return vars(errors) | {"channels": {key: each.tolist() for key, each in errors.channels.items()}}


def per_channel_theta(network: Network) -> Network:
    theta = np.linspace(0.5, 1.5, 8)
    old = network.find_spiking("if2").neuron
    return network.with_neurons({"if2": replace(old, theta=theta, v0=theta / 2)})


@pytest.fixture(params=["IF", "dual", "theta per channel"])
def network(request: pytest.FixtureRequest) -> Network:
    if request.param == "theta per channel":
        return per_channel_theta(small_network(dual=True))
    return small_network(dual=request.param == "dual")


@pytest.mark.parametrize("name", ["if1", "if2", "if3"])
def test_summaries_are_statistics_of_the_split_of_every_neuron(network, name):
    """Mean, RMS, extremes, k, channels: against the arrays of all images at once."""
    found = measure(network, name)
    trace, ann = run(network)
    layer, population = network.find_spiking(name), trace.populations[name]
    theta = np.broadcast_to(over_neurons(layer.neuron.theta, network.shapes[name]), network.shapes[name])
    N = population.spikes.sum(axis=0, dtype=np.int64)
    errors = split(population.current, N, population.v, theta, T)
    relu = against(errors, ann.z[name], theta, T, Activation(lambda_=1.0, L=None))
    qcfs = against(errors, ann.z[name], theta, T, layer.neuron.activation)
    assert errors.phi - qcfs.total == pytest.approx(ann.a[name], rel=1e-12, abs=1e-15)
    for parts, sources in ((found.against_relu, (errors, relu)), (found.against_qcfs, (qcfs,))):
        for key, summary in parts.items():
            source = next(each for each in sources if hasattr(each, key))
            values = getattr(source, key) / theta
            assert summary.mean == pytest.approx(values.mean(), abs=1e-14)
            assert summary.rms == pytest.approx(sqrt((values**2).mean()), abs=1e-14)
            assert (summary.quantiles[0], summary.quantiles[1]) == (values.min(), values.max())
            which = "relu" if parts is found.against_relu else "qcfs"
            if f"{which}_{key}" in found.channels:
                by_channel = values.mean(axis=(0, 2, 3))
                assert found.channels[f"{which}_{key}"] == pytest.approx(by_channel, abs=1e-14)
    ks, counts = np.unique(errors.k, return_counts=True)
    assert found.k == dict(zip(ks.tolist(), counts.tolist()))
    fired = (population.spikes > 0).any(axis=0)
    assert found.n_silent == (~fired).sum()
    assert found.n_never == (~fired).all(axis=0).sum()
    assert found.n_saturated == (T == N).sum()
    assert found.n_always == (T == N).all(axis=0).sum()
    assert found.n_below == (population.v < 0).sum()
    assert found.n_above == (population.v >= theta).sum()
    assert found.residual.std == pytest.approx((errors.phi - ann.a[name]).std(), rel=1e-9)


@pytest.mark.parametrize("name", ["if1", "if2", "if3"])
def test_parts_add_up_to_the_total(network, name):
    """The identities of the split, of the means (1e-12 relative, the thresholds of one layer are not dyadic)."""
    found = measure(network, name)
    relu, qcfs = ({key: each.mean for key, each in parts.items()} for parts in (found.against_relu, found.against_qcfs))
    local = relu["clipping"] + relu["quantization"] + relu["unevenness"]
    assert local == pytest.approx(relu["local"], rel=1e-12, abs=1e-15)
    assert local + relu["propagated"] == pytest.approx(relu["total"], rel=1e-12, abs=1e-15)
    parts = qcfs["quantization"] + qcfs["unevenness"] + qcfs["propagated"]
    assert parts == pytest.approx(qcfs["total"], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ["if1", "if3"])
def test_no_bit_depends_on_the_batch(network, name, monkeypatch):
    whole = plain(measure(network, name))
    assert plain(measure(network, name, cuts=(1, 2, 9))) == whole
    monkeypatch.setattr(layer_errors, "CHUNK", 1)
    assert plain(measure(network, name, cuts=(13,))) == whole


def test_first_layer_is_even_and_nothing_reaches_it(network):
    """Constant input: k = 0, propagated = 0 (QCFS Sec. 3.3)."""
    found = measure(network, "if1")
    assert found.fraction(0) == 1
    assert found.against_qcfs["unevenness"].rms == found.against_qcfs["propagated"].rms == 0


def test_deeper_layers_are_uneven():
    """What makes the tests above mean something: the parts are not all zero."""
    found = measure(small_network(dual=True), "if3")
    assert found.against_qcfs["unevenness"].rms > 0
    assert found.against_qcfs["propagated"].rms > 0
    assert found.against_relu["clipping"].rms > 0
    assert {-1, 0} <= found.k.keys()
    assert found.fraction(-2 * T, T) == 1
    assert {0, 1} <= measure(small_network(), "if3").k.keys()


def test_without_the_ann_only_local_parts_are_known():
    found = measure(small_network(), "if2", with_ann=False)
    assert found.against_relu.keys() == {"clipping", "quantization", "unevenness", "local"}
    assert found.against_qcfs == {}
    assert found.residual is None


def test_relu_source_is_compared_with_relu_alone():
    found = measure(small_network(L=None), "if2")
    assert found.against_qcfs == {}
    assert found.against_relu.keys() >= {"propagated", "total"}
    assert found.residual is not None


def test_float32_runs_are_split_in_float64():
    """Otherwise the sums of a float32 run would drown in the rounding of their own statistics."""
    network = small_network()
    trace = run(network)[0].populations["if2"]
    single = replace(trace, v=trace.v.astype(np.float32), current=(trace.current / 3).astype(np.float32))
    double = replace(single, v=single.v.astype(np.float64), current=single.current.astype(np.float64))
    results = []
    for each in (single, double):
        total = ErrorAccumulator(network, network.find_spiking("if2"), T)
        total.add(each)
        results.append(plain(total.result()))
    assert results[0] == results[1]


def test_quantiles_of_whole_spikes_and_levels_are_exact(network):
    """Multiples of theta / T and of theta / L are centres of bins, for T = 3 as for L = 4."""
    found = measure(network, "if3")
    for part in found.against_qcfs.values():
        assert {12 * each for each in list(part.quantiles.values())[1:-1]} <= set(range(-24, 25))


def test_layer_of_no_images_has_no_errors():
    network = small_network()
    with pytest.raises(UsageError, match="layer 'if2': no images"):
        ErrorAccumulator(network, network.find_spiking("if2"), T).result()


def test_layer_that_loses_potential_is_refused_before_any_image():
    network = small_network()
    lossy = network.with_neurons({"if2": Neuron(theta=np.array(1.0), v0=np.array(0.5), reset="zero")})
    with pytest.raises(UsageError, match="layer 'if2': its neuron resets to zero"):
        ErrorAccumulator(lossy, lossy.find_spiking("if2"), T)


@pytest.mark.parametrize("dual", [False, True], ids=["IF", "dual"])
@pytest.mark.parametrize(("weights", "n"), [(None, 10), ("resnet20.h5", 3), ("vgg16.h5", 2)])
def test_identities_hold_of_every_neuron_of_a_trained_network(weights, n, dual):
    """Real weights, real images: the parts add up within 1e-12 of their size, in every layer."""
    file = load(find_weights(weights))
    network = file.network
    if dual:
        network = network.with_neurons({each.name: each.neuron.as_dual() for each in network.spiking})
    x = network.input.normalize(file.samples.images[:n])
    trace = simulator.simulate(compile_network(network), x, T, RECORD)
    ann = simulator.forward(compile_network(network, fold=False), x, record=True)
    for layer in network.spiking:
        population = trace.populations[layer.name]
        theta, N = layer.neuron.theta, population.spikes.sum(axis=0, dtype=np.int64)
        errors = split(population.current, N, population.v, theta, T)
        largest = np.abs(errors.zbar).max()
        parts = errors.clipping + errors.quantization + errors.unevenness
        assert np.abs(parts - errors.local).max() <= 1e-12 * largest
        found = against(errors, ann.z[layer.name], theta, T, layer.neuron.activation)
        parts = found.quantization + found.unevenness + found.propagated
        assert np.abs(parts - (errors.phi - ann.a[layer.name])).max() <= 1e-12 * largest
