"""Synaptic operations and multiply-accumulates, by definition and by counting synapses one by one."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.engine.trace import SynapticOps
from refsim.model import AvgPool2d, InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference.network import simulate as simulate_reference
from refsim.testing import expected_ops, networks_with_inputs

from .effort import examples
from .naive import Machine, synapses

TINY = networks_with_inputs("dyadic", max_images=1, max_blocks=3, wide=False)
KINDS = [each.name for each in fields(SynapticOps)]


@examples(60, interpreted=20)
@given(TINY, st.integers(1, 4), st.booleans())
def test_operations_are_those_counted_synapse_by_synapse(drawn, T, skip_zero_weights):
    network, x = drawn
    expected = Machine(network, x, T, skip_zero_weights).ops
    actual = simulate(compile_network(network, skip_zero_weights=skip_zero_weights), x, T).ops
    for (source, target), ops in actual.items():
        for kind in KINDS:
            by_step = [expected[source, target, kind, t] for t in range(T)]
            assert getattr(ops, kind)[:, 0].tolist() == by_step, (source, target, kind)
    assert sum(expected.values()) == sum(int(getattr(ops, kind).sum()) for ops in actual.values() for kind in KINDS)


@examples(60, interpreted=10)
@given(TINY, st.integers(1, 3), st.booleans())
def test_operations_of_the_specification_are_those_counted_synapse_by_synapse(drawn, T, skip_zero_weights):
    network, x = drawn
    expected = Machine(network, x, T, skip_zero_weights).ops
    for (source, target), ops in expected_ops(network, simulate_reference(network, x, T), skip_zero_weights).items():
        for kind in KINDS:
            by_step = [expected[source, target, kind, t] for t in range(T)]
            assert getattr(ops, kind)[:, 0].tolist() == by_step, (source, target, kind)


@examples(100)
@given(networks_with_inputs("normal"), st.integers(1, 4))
def test_synapses_of_weight_zero_are_left_out_on_request(drawn, T):
    network, x = drawn
    expected = expected_ops(network, simulate_reference(network, x, T), skip_zero_weights=True)
    actual = simulate(compile_network(network, skip_zero_weights=True), x, T).ops
    assert actual.keys() == expected.keys()
    for key, ops in expected.items():
        for kind in KINDS:
            np.testing.assert_array_equal(getattr(actual[key], kind), getattr(ops, kind), err_msg=f"{key} {kind}")


@examples(60, interpreted=20)
@given(TINY, st.booleans())
def test_nonzero_multiplications_of_the_image_are_those_counted_synapse_by_synapse(drawn, skip_zero_weights):
    network, x = drawn
    expected = Machine(network, x, 1, skip_zero_weights).macs
    actual = simulate(compile_network(network, skip_zero_weights=skip_zero_weights), x, 1).nonzero_macs
    assert actual.tolist() == [expected]


@examples(60, interpreted=60)
@given(TINY)
def test_synapses_of_a_projection_are_all_that_exist(drawn):
    network, _ = drawn
    for target in compile_network(network).targets:
        for projection in target.projections:
            if projection.layer is not None:
                layer = projection.layer
                shapes = network.shapes[layer.inputs[0]], network.shapes[layer.name]
                assert projection.n_synapses == len(synapses(layer, *shapes))


@examples(60, interpreted=5)
@given(networks_with_inputs("dyadic"), st.integers(1, 5))
def test_spikes_are_counted_by_sign(drawn, T):
    network, x = drawn
    trace = simulate(compile_network(network), x, T, record=("spikes",))
    for name, spikes in simulate_reference(network, x, T).spikes.items():
        axes = tuple(range(2, spikes.ndim))
        np.testing.assert_array_equal(trace.populations[name].n_pos, (spikes > 0).sum(axis=axes))
        np.testing.assert_array_equal(trace.populations[name].n_neg, (spikes < 0).sum(axis=axes))


@pytest.mark.parametrize("pooled", [False, True])
def test_zero_weights_are_found_beyond_the_first_mask_word(pooled):
    weight = np.ones((2, 70))
    weight[:, 64:69] = 0
    neuron = Neuron(theta=1.0, v0=1.0)  # every neuron fires at the first step
    pool = [AvgPool2d(name="pool", inputs=("act",), kernel=(1, 1), stride=(1, 1))] if pooled else []
    layers = (
        Spiking(name="act", inputs=("input",), neuron=neuron),
        *pool,
        Linear(name="out", inputs=("pool" if pooled else "act",), weight=weight, bias=np.zeros(2)),
    )
    network = Network(name="words", input=InputSpec(shape=(70, 1, 1)), layers=layers)
    trace = simulate(compile_network(network, skip_zero_weights=True), np.zeros((1, 70, 1, 1)), 1)
    assert trace.ops["act", "out"].unit_pos.tolist() == [[130]]
    assert trace.ops["act", "out"].event_pos.tolist() == [[130]]
