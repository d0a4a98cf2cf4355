"""The pass layer by layer computes what the specification computes, bit for bit, and counts what the engine counts."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refsim.methods.layerwise as layerwise
from refsim.engine.plan import compile_network
from refsim.engine.simulator import simulate as simulate_events
from refsim.exceptions import UsageError
from refsim.formats.images.currents import InputCurrents
from refsim.methods.base import Calibration
from refsim.methods.layerwise import Currents, Spikes, Wiring, fire_steps, learn, spread, start
from refsim.model import Network, Spiking
from refsim.reference.network import simulate
from refsim.testing.strategies import networks_with_inputs
from tests.engine.effort import examples
from tests.simulation.networks import raw_images, small_network


def replay(network: Network, x: np.ndarray, T: int) -> tuple[dict[str, np.ndarray], layerwise.Pass]:
    """The network's own IF neurons, layer by layer."""
    spikes: dict[str, np.ndarray] = {}

    def neurons(layer: Spiking, currents: Currents) -> Spikes:
        shape = network.shapes[layer.name]
        theta, v0 = spread(layer.neuron.theta, shape), spread(layer.neuron.v0, shape)
        fired = [fire_steps(start(v0, u.shape[1], shape), u, theta, layer.neuron.reset)[1] for u in currents]
        spikes[layer.name] = np.concatenate(fired, axis=1)
        return Spikes(s=spikes[layer.name], theta=theta)

    return spikes, Wiring(network).run(x, T, neurons)


def assert_same(network: Network, x: np.ndarray, T: int) -> None:
    actual, done = replay(network, x, T)
    expected = simulate(network, x, T)
    for name in expected.spikes:
        np.testing.assert_array_equal(actual[name], expected.spikes[name])
    np.testing.assert_array_equal(done.logits, expected.logits)
    counted = simulate_events(compile_network(network), x, T)
    weighted = {layer.name for layer in network.layers if layer.kind in ("conv2d", "linear")}
    empty = np.zeros((T, len(x)), dtype=np.int64)
    np.testing.assert_array_equal(
        done.sop, sum((ops.unit for (_, target), ops in counted.ops.items() if target in weighted), empty)
    )
    np.testing.assert_array_equal(
        done.residual, sum((ops.unit for (_, target), ops in counted.ops.items() if target not in weighted), empty)
    )
    readout = network.layers[-1].name
    np.testing.assert_array_equal(
        done.readout_sop, sum((ops.unit for (_, target), ops in counted.ops.items() if target == readout), empty)
    )


def test_a_residual_network_and_images_in_pieces(monkeypatch):
    network = small_network()
    x = network.input.normalize(raw_images(5))
    assert_same(network, x, 6)
    monkeypatch.setattr(layerwise, "CHUNK_BYTES", 1)
    assert_same(network, x, 6)


@examples(60, interpreted=5)
@given(networks_with_inputs(max_blocks=3, wide=False), st.integers(1, 5))
def test_any_network_with_if_neurons(drawn, T):
    network, x = drawn
    neurons = {
        layer.name: replace(layer.neuron.as_if(), theta=layer.neuron.theta.max(), v0=layer.neuron.v0.min(), leak=1.0)
        for layer in network.spiking
    }
    assert_same(network.with_neurons(neurons), x, T)


def test_what_a_pass_holds_is_known_before_and_bounded(monkeypatch):
    network = small_network()
    data = InputCurrents(network.input, raw_images(5), None)
    calibration = Calibration(network=network, images=data, indices=np.arange(5))
    T, wiring = 3, Wiring(network)
    sizes = []
    run_current = wiring.current

    def current(name, sent, *rest):
        sizes.append(sum(each.s.nbytes for each in sent.values()) + 5 * T * prod(network.shapes[name]))
        return run_current(name, sent, *rest)

    def neurons(layer: Spiking, currents: Currents) -> Spikes:
        return Spikes(s=np.concatenate([np.zeros(u.shape, np.int8) for u in currents], axis=1), theta=np.array(1.0))

    monkeypatch.setattr(wiring, "current", current)
    wiring.run(calibration.currents(), T, neurons)
    most = calibration.currents().nbytes + max(sizes)
    assert wiring.held_bytes(5, T) == most
    monkeypatch.setattr(layerwise, "MOST_HELD", most - 1)
    with pytest.raises(UsageError, match=r"^5 calibration images .* of T=3 steps take .* choose 4 \(--n-calibrate\)$"):
        learn(network, calibration, T, neurons)
    learn(network, replace(calibration, indices=np.arange(4)), T, neurons)
