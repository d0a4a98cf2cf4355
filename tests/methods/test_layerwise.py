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
from refsim.methods.layerwise import (
    Currents,
    Graded,
    Pass,
    Sent,
    Spikes,
    Wiring,
    fire_steps,
    learn,
    run_neurons,
    spread,
    start,
)
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
        reset, strict = layer.neuron.reset, layer.neuron.strict
        fired = [fire_steps(start(v0, u.shape[1], shape), u, theta, reset, strict)[1] for u in currents]
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


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_value_at_every_step_is_a_spike_at_every_step(number: int) -> None:
    """Through weights, pools and shortcuts alike: neurons that always fire send theta at every step."""
    network = small_network()
    x, chosen = np.random.default_rng(3).normal(size=(3, 3, 6, 6)), network.spiking[number - 1]
    shape = (3, *network.shapes[chosen.name])
    always = np.random.default_rng(4).integers(0, 2, size=shape)
    theta = spread(chosen.neuron.theta, shape[1:])

    def run(sent: Sent) -> Pass:
        return Wiring(network).run(x, 4, lambda layer, u: sent if layer is chosen else run_neurons(layer, u))

    spikes = run(Spikes(s=np.broadcast_to(always, (4, *shape)).astype(np.int8), theta=theta))
    graded = run(Graded(a=always * theta))
    assert np.array_equal(spikes.logits, graded.logits)
    assert (graded.sop <= spikes.sop).all()


@pytest.mark.parametrize("kind", ["if", "dual", "signed"])
def test_neurons_as_they_are_are_those_of_the_engine(kind: str) -> None:
    network = small_network().with_kind(kind)
    x = np.random.default_rng(5).normal(size=(4, 3, 6, 6))
    done, trace = Wiring(network).run(x, 5, run_neurons), simulate_events(compile_network(network), x, 5)
    assert np.array_equal(done.logits, trace.logits)
