"""Modes `int16` and `int8`: the engine on the quantised network is its specification, in every bit."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.engine.trace import SynapticOps
from refsim.exceptions import UsageError
from refsim.model import Add, Conv2d, Flatten, InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference.network import Simulation
from refsim.reference.quantised import simulate as simulate_reference
from refsim.testing import networks_with_inputs
from refsim.verification.counts import expected_ops

from ..engine.effort import examples
from .test_exact import OWN, by_position, residual

BITS = {"int16": 16, "int8": 8}
MODES = st.sampled_from(sorted(BITS))
STEPS = st.sampled_from([1, 2, 3, 5, 9])


def compare(network: Network, x: np.ndarray, T: int, mode: str) -> None:
    """Check engine == specification: spikes, logits, potentials, currents, SOPs."""
    plan = compile_network(network, mode)
    expected = simulate_reference(network, x, T, BITS[mode])
    actual = simulate(plan, x, T, record=("spikes", "v", "current"))
    for layer in network.spiking:
        ours = actual.populations[layer.name]
        for what, theirs in (("spikes", expected.spikes), ("v", expected.v), ("current", expected.total)):
            np.testing.assert_array_equal(getattr(ours, what), theirs[layer.name], err_msg=f"{what} of {layer.name}")
    np.testing.assert_array_equal(actual.logits, expected.logits)
    for key, counted in expected_ops(network, as_simulation(network, expected)).items():
        for each in fields(SynapticOps):
            np.testing.assert_array_equal(
                getattr(actual.ops[key], each.name), getattr(counted, each.name), err_msg=f"{key} {each.name}"
            )


def as_simulation(network: Network, quantised) -> Simulation:
    """What the counting of operations needs of a simulation: spikes."""
    return Simulation(logits=quantised.logits, spikes=quantised.spikes, events={}, currents={}, v=quantised.v)


def supported(network: Network, mode: str) -> Network:
    """The network, or if it has no counterpart in whole numbers, one like it that has."""
    network = network.with_neurons(
        {each.name: replace(each.neuron, leak=1.0, strict=False) for each in network.spiking}
    )
    try:
        compile_network(network, mode)
    except UsageError:
        neurons = {each.name: each.neuron for each in network.spiking if each.neuron.theta.ndim == 3}
        return network.with_neurons({name: replace(n, theta=n.theta.max(axis=(1, 2))) for name, n in neurons.items()})
    return network


@examples(150)
@given(networks_with_inputs(grid="normal"), STEPS, MODES)
def test_quantised_networks_are_what_the_specification_says_on_any_numbers(drawn, T, mode):
    network, x = drawn
    compare(supported(network, mode), x, T, mode)


@examples(100)
@given(networks_with_inputs(grid="dyadic"), STEPS, MODES)
def test_quantised_networks_are_what_the_specification_says_where_potentials_meet_thresholds(drawn, T, mode):
    network, x = drawn
    compare(supported(network, mode), x, T, mode)


@examples(100)
@given(networks_with_inputs(grid="dyadic"), STEPS)
def test_a_network_of_few_bits_is_not_changed_by_16(drawn, T):
    # Dyadic weights of a few bits fit; where theta is a power of two nothing is rounded, and float64 agrees.
    network, x = drawn
    network = network.with_neurons(
        {
            each.name: Neuron(theta=0.5, v0=0.25, theta_neg=-0.25 if each.neuron.dual else -np.inf)
            for each in network.spiking
        }
    )
    actual, expected = (
        simulate(compile_network(network, mode), x, T, record=("spikes",)) for mode in ("int16", "exact")
    )
    for name, each in expected.populations.items():
        np.testing.assert_array_equal(actual.populations[name].spikes, each.spikes)
    np.testing.assert_array_equal(actual.logits, expected.logits)


@pytest.mark.parametrize("source_theta", [np.array(0.7), np.linspace(0.3, 0.9, 130)])
@pytest.mark.parametrize("mode", sorted(BITS))
@pytest.mark.parametrize("T", [3, 64])
def test_residual_networks_with_groups_pools_and_strides(source_theta, mode, T):
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8))
    compare(residual(np.linspace(0.5, 2, 130), source_theta), x, T, mode)


@pytest.mark.parametrize("mode", sorted(BITS))
def test_long_lists_of_the_largest_weights_do_not_overflow(mode):
    # 3 * 3 * 130 rows, all of the largest weight and all hit: many runs of 256 rows.
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((70, 130, 3, 3)) < 0.9, 1.0, -1.0) * np.sign(rng.normal(size=(70, 1, 1, 1)))
    network = Network(
        name="full",
        input=InputSpec(shape=(130, 4, 4)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.0, theta_neg=-0.5)),
            Conv2d(name="c", inputs=("s1",), weight=weight, bias=np.zeros(70), padding=(1, 1)),
            Spiking(name="s2", inputs=("c",), neuron=Neuron(theta=1.0, v0=0.5, theta_neg=-0.5)),
            Flatten(name="flat", inputs=("s2",)),
            Linear(name="out", inputs=("flat",), weight=rng.normal(size=(3, 70 * 16)), bias=np.zeros(3)),
        ),
    )
    compare(network, np.ones((1, 130, 4, 4)), 5, mode)


@pytest.mark.parametrize("mode", sorted(BITS))
def test_potentials_grow_beyond_32_bits_where_they_must(mode):
    # The largest current of 32 bits, of either sign, at every step.
    network = Network(
        name="loud",
        input=InputSpec(shape=(2, 1, 1)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.0, theta_neg=-1e-9)),
            Linear(name="out", inputs=("s1",), weight=np.eye(2), bias=np.zeros(2)),
        ),
    )
    x = np.array([1e9, -1e9]).reshape(1, 2, 1, 1)
    compare(network, x, 20, mode)
    trace = simulate(compile_network(network, mode), x, 20, record=("v",))
    assert np.abs(trace.populations["s1"].v).max() > 2**31 / 2**16


@pytest.mark.parametrize("mode", sorted(BITS))
def test_image_and_bias_that_are_too_large_together_are_saturated_together(mode):
    # In the first four channels each fills 32 bits, with equal and with opposite signs; in the last two none does.
    network = Network(
        name="shortcut",
        input=InputSpec(shape=(6, 1, 1)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.0, theta_neg=-1.0)),
            Conv2d(
                name="c",
                inputs=("s1",),
                weight=np.eye(6)[:, :, None, None],
                bias=np.array([1e9, 1e9, -1e9, -1e9, 32000.0, 0.25]),
            ),
            Add(name="add", inputs=("input", "c")),
            Spiking(name="s2", inputs=("add",), neuron=Neuron(theta=1.0, v0=0.5, theta_neg=-1.0)),
            Linear(name="out", inputs=("s2",), weight=np.eye(6), bias=np.zeros(6)),
        ),
    )
    compare(network, np.array([1e9, -1e9, 1e9, -1e9, 2000.0, 2.5 * 2.0**-16]).reshape(1, 6, 1, 1), 7, mode)


@pytest.mark.parametrize("mode", sorted(BITS))
def test_a_negative_threshold_finer_than_the_unit_is_still_below_zero(mode):
    # v = 1 - theta = 0 after the first spike; a theta_neg rounded to 0 would take that spike back, and fire again.
    network = Network(
        name="fine",
        input=InputSpec(shape=(1, 1, 1)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=1.0, v0=1.0, theta_neg=-1e-9)),
            Linear(name="out", inputs=("s1",), weight=np.ones((2, 1)), bias=np.zeros(2)),
        ),
    )
    x = np.zeros((1, 1, 1, 1))
    compare(network, x, 6, mode)
    trace = simulate(compile_network(network, mode), x, 6, record=("spikes",))
    assert trace.populations["s1"].spikes.ravel().tolist() == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("mode", sorted(BITS))
def test_weights_that_do_not_fit_are_saturated_and_counted(mode):
    largest = 2 ** (BITS[mode] - 1) - 1
    network = Network(
        name="steep",
        input=InputSpec(shape=(2, 1, 1)),
        layers=(
            Spiking(name="s1", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.0)),
            Linear(name="h", inputs=("s1",), weight=np.array([[2.0 * largest, 0.3]]), bias=np.zeros(1)),
            Spiking(name="s2", inputs=("h",), neuron=Neuron(theta=1.0, v0=0.0)),
            Linear(name="out", inputs=("s2",), weight=np.ones((2, 1)), bias=np.zeros(2)),
        ),
    )
    quantised = compile_network(network, mode).populations[1].numbers.currents
    assert quantised.bits.tolist() == [0]
    assert quantised.roundings[0].saturated == 0.5
    assert quantised.roundings[0].lost == 0.5
    compare(network, np.array([1.0, 1.0]).reshape(1, 2, 1, 1), 4, mode)


@pytest.mark.parametrize("mode", sorted(BITS))
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("s2", {"leak": 0.5}, "layer 's2': its potential leaks"),
        ("s2", {"strict": True}, "layer 's2': its potential has to exceed theta"),
        ("s1", {"theta": OWN}, "spikes of 's1' differ in size between positions"),
    ],
)
def test_what_whole_numbers_cannot_hold_is_refused_in_one_line(mode, name, change, message):
    network = residual(np.array(1.1), np.array(0.7))
    layer = network.by_name[name]
    network = network.with_neurons({name: replace(layer.neuron, **change)})
    with pytest.raises(UsageError, match=message) as caught:
        compile_network(network, mode)
    assert "\n" not in str(caught.value)
    assert mode in str(caught.value)


def test_a_neuron_may_have_a_threshold_of_its_own_where_only_flattened_weights_hear_it():
    rng = np.random.default_rng(5)
    theta = rng.uniform(0.5, 2, size=(4, 3, 3))
    network = Network(
        name="own",
        input=InputSpec(shape=(2, 3, 3)),
        layers=(
            Conv2d(name="c", inputs=("input",), weight=rng.normal(size=(4, 2, 1, 1)), bias=rng.normal(size=4)),
            Spiking(name="s", inputs=("c",), neuron=Neuron(theta=theta, v0=theta / 3, theta_neg=-0.01)),
            Flatten(name="flat", inputs=("s",)),
            Linear(name="out", inputs=("flat",), weight=rng.normal(size=(3, 36)), bias=rng.normal(size=3)),
        ),
    )
    for mode in BITS:
        compare(network, rng.normal(size=(2, 2, 3, 3)), 9, mode)


@pytest.mark.parametrize("mode", sorted(BITS))
def test_a_strongly_negative_image_does_not_wrap_around(mode):
    # 2^16 units a theta: -9000 leaves 32 bits after 4 steps, and what wraps around fires.
    layers = (
        Spiking(name="s", inputs=("input",), neuron=Neuron(theta=1.0, v0=0.0)),
        Linear(name="out", inputs=("s",), weight=np.ones((1, 1)), bias=np.zeros(1)),
    )
    network = Network(name="dark", input=InputSpec(shape=(1, 1, 1)), layers=layers)
    trace = simulate(compile_network(network, mode), np.full((1, 1, 1, 1), -9000.0), 8)
    assert trace.populations["s"].n_pos.sum() == 0
    compare(network, np.full((1, 1, 1, 1), -9000.0), 8, mode)


@pytest.mark.parametrize("mode", sorted(BITS))
@pytest.mark.parametrize("pooled", [False, True])
def test_a_threshold_given_by_position_that_all_positions_share_is_one_of_the_channel(mode, pooled):
    network = by_position((4, 2, 2), pooled)
    x = np.random.default_rng(2).normal(size=(3, 4, 2, 2))
    compare(network, x, 9, mode)
