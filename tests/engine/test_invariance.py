"""What must not change a result: batch, order, more steps, the unit of the potential."""

from dataclasses import fields, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate
from refsim.engine.trace import SynapticOps, Trace
from refsim.model import Conv2d, Linear, Network, Spiking
from refsim.reference.network import simulate as simulate_reference
from refsim.testing import GRIDS, networks_with_inputs

from .effort import examples

ANY = st.sampled_from(GRIDS).flatmap(networks_with_inputs)
BATCHES = st.sampled_from(GRIDS).flatmap(lambda grid: networks_with_inputs(grid, max_images=4))
EVERYTHING = ("spikes", "v", "current")


def run(network: Network, x: np.ndarray, T: int) -> Trace:
    return simulate(compile_network(network), x, T, record=EVERYTHING)


def table(trace: Trace) -> dict[str, tuple[np.ndarray, int]]:
    """Every array of a trace that has an axis of images, and which axis that is."""
    found = {"logits": (trace.logits, 1), "nonzero_macs": (trace.nonzero_macs, 0)}
    for name, each in trace.populations.items():
        by_step = {"n_pos": each.n_pos, "n_neg": each.n_neg, "reached": each.reached, "spikes": each.spikes}
        found |= {f"{key} of {name}": (value, 1) for key, value in by_step.items()}
        found |= {f"v of {name}": (each.v, 0), f"current of {name}": (each.current, 0)}
    for key, ops in trace.ops.items():
        found |= {f"{each.name} of {key}": (getattr(ops, each.name), 1) for each in fields(SynapticOps)}
    return found


@examples(100, interpreted=6)
@given(BATCHES, st.integers(1, 4), st.randoms(use_true_random=False))
def test_no_bit_depends_on_batch_or_order(drawn, T, random):
    network, x = drawn
    order = random.sample(range(len(x)), len(x))
    together = table(run(network, x, T))
    shuffled = table(run(network, x[order], T))
    alone = [table(run(network, x[i : i + 1], T)) for i in range(len(x))]
    for what, (values, axis) in together.items():
        np.testing.assert_array_equal(shuffled[what][0], np.take(values, order, axis), err_msg=what)
        one_by_one = np.concatenate([each[what][0] for each in alone], axis)
        np.testing.assert_array_equal(one_by_one, values, err_msg=what)


@examples(60, interpreted=6)
@given(BATCHES, st.integers(1, 4))
def test_margin_of_a_batch_is_the_least_of_its_images(drawn, T):
    network, x = drawn
    together = run(network, x, T).populations
    alone = [run(network, x[i : i + 1], T).populations for i in range(len(x))]
    for name, each in together.items():
        assert each.margin.tolist() == np.min([one[name].margin for one in alone], axis=0).tolist()


@examples(100, interpreted=6)
@given(ANY, st.integers(1, 6), st.data())
def test_a_run_contains_every_shorter_run(drawn, T, data):
    network, x = drawn
    shorter = data.draw(st.integers(1, T))
    long, short = run(network, x, T), run(network, x, shorter)
    np.testing.assert_array_equal(long.logits[:shorter], short.logits)
    for name, each in short.populations.items():
        for key in ("spikes", "n_pos", "n_neg", "reached"):
            prefix = getattr(long.populations[name], key)[:shorter]
            np.testing.assert_array_equal(prefix, getattr(each, key), err_msg=f"{key} of {name}")
    for projection, ops in short.ops.items():
        for each in fields(SynapticOps):
            prefix = getattr(long.ops[projection], each.name)[:shorter]
            np.testing.assert_array_equal(prefix, getattr(ops, each.name), err_msg=f"{each.name} of {projection}")


@examples(100, interpreted=6)
@given(ANY, st.integers(1, 5), st.integers(-12, 12))
def test_a_power_of_two_as_unit_of_the_potential_changes_no_spike(drawn, T, exponent):
    network, x = drawn
    unit = 2.0**exponent
    expected, actual = run(network, x, T), run(_in_units(network, unit), x * unit, T)
    np.testing.assert_array_equal(actual.logits, expected.logits * unit)
    for name, each in expected.populations.items():
        np.testing.assert_array_equal(actual.populations[name].spikes, each.spikes, err_msg=name)
        np.testing.assert_array_equal(actual.populations[name].v, each.v * unit, err_msg=name)
        assert actual.populations[name].margin.tolist() == each.margin.tolist()


def _in_units(network: Network, unit: float) -> Network:
    layers = []
    for layer in network.layers:
        if isinstance(layer, Conv2d | Linear):
            layer = replace(layer, bias=layer.bias * unit)
        if isinstance(layer, Spiking):
            neuron = layer.neuron
            absolute = unit if neuron.theta_neg_mode == "absolute" else 1.0
            changed = {"theta": neuron.theta * unit, "v0": neuron.v0 * unit, "theta_neg": neuron.theta_neg * absolute}
            layer = replace(layer, neuron=replace(neuron, **changed))
        layers.append(layer)
    return replace(network, layers=tuple(layers))


@examples(100, interpreted=10)
@given(ANY, st.integers(1, 5))
def test_margins_are_the_least_distances_to_a_threshold_that_was_compared(drawn, T):
    network, x = drawn
    trace = run(network, x, T)
    simulation = simulate_reference(network, x, T)
    for layer in network.spiking:
        expected = _margins(layer, network.shapes[layer.name], simulation)
        actual = trace.populations[layer.name].margin
        # The engine multiplies by 1 / theta: two roundings more than a division, and none at distance 0.
        np.testing.assert_allclose(actual, expected, rtol=4 * 2.0**-53, atol=0)


def _margins(layer, shape, simulation):
    """|m - theta| / theta, and |m - theta_neg| / theta with an open gate, one neuron and step at a time."""
    neuron = layer.neuron
    theta, theta_neg, v0 = (
        np.broadcast_to(each.reshape(each.shape + (1,) * (len(shape) - each.ndim) * (each.ndim > 0)), shape)
        for each in (neuron.theta, neuron.negative_threshold, neuron.v0)
    )
    least = [np.inf, np.inf]
    currents, spikes = simulation.currents[layer.name], simulation.spikes[layer.name]
    for place in np.ndindex(currents.shape[1:]):
        v, count = v0[place[1:]], 0
        for t in range(len(currents)):
            m = neuron.leak * v + currents[(t, *place)]
            s = int(spikes[(t, *place)])
            least[0] = min(least[0], abs(m - theta[place[1:]]) / theta[place[1:]])
            if neuron.dual and count >= 1:
                least[1] = min(least[1], abs(m - theta_neg[place[1:]]) / theta[place[1:]])
            v = (0.0 if s else m) if neuron.reset == "zero" else m - s * theta[place[1:]]
            count += max(s, 0) if neuron.gate == "gross" else s
    return least
