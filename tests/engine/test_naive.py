"""The specification and the engine against a third machine: exact rationals, synapse by synapse."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.reference.network import simulate as simulate_reference
from refsim.testing import networks_with_inputs

from .effort import examples
from .naive import Machine

TINY = networks_with_inputs("dyadic", max_images=1, max_blocks=3, wide=False)


def exact(values: np.ndarray) -> list[Fraction]:
    return [Fraction(value) for value in values.reshape(-1).tolist()]


@examples(80, interpreted=80)
@given(TINY, st.integers(1, 5))
def test_specification_computes_every_potential_exactly_on_a_dyadic_grid(drawn, T):
    network, x = drawn
    expected, actual = Machine(network, x, T), simulate_reference(network, x, T)
    for layer in network.spiking:
        for t in range(T):
            assert actual.spikes[layer.name][t].reshape(-1).tolist() == expected.spikes[layer.name, t]
        assert exact(actual.v[layer.name]) == expected.v[layer.name]
    for t in range(T):
        assert exact(actual.logits[t]) == expected.logits[t]


@examples(80, interpreted=20)
@given(TINY, st.integers(1, 5))
def test_engine_computes_every_potential_exactly_on_a_dyadic_grid(drawn, T):
    network, x = drawn
    expected = Machine(network, x, T)
    actual = simulate(compile_network(network), x, T, record=("spikes", "v"))
    for layer in network.spiking:
        population = actual.populations[layer.name]
        for t in range(T):
            assert population.spikes[t].reshape(-1).tolist() == expected.spikes[layer.name, t]
            assert population.reached[t, 0] == expected.reached[layer.name, t]
        assert exact(population.v) == expected.v[layer.name]
    for t in range(T):
        assert exact(actual.logits[t]) == expected.logits[t]
