"""SNNC: thresholds by brute force, the shift, and the corrections layer by layer in plain NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refsim.methods.registry import find_method
from refsim.methods.snnc import least_error_thetas
from tests.methods.networks import calibration, chain, random_chain, random_rows
from tests.methods.plain import ann, weights_of


def best(a: np.ndarray, T: int) -> float:
    """Of max (1 - 0.01 i) the one with the least mean squared error; the first of equals."""
    candidates = [a.max() * (1 - 0.01 * i) for i in range(95)]
    errors = [np.mean((a - np.floor(np.clip(a * T / theta, 0, T)) * theta / T) ** 2) for theta in candidates]
    return candidates[int(np.argmin(errors))]


@pytest.mark.parametrize("T", [1, 2, 8, 64])
def test_thresholds_have_the_least_squared_error(T):
    network, rows = random_chain(L=None), random_rows(40)
    known = ann(network, rows)
    by_layer = least_error_thetas(calibration(network, rows), T, per_channel=False)
    by_channel = least_error_thetas(calibration(network, rows), T, per_channel=True)
    for a, name in zip(known, by_layer):
        assert float(by_layer[name]) == pytest.approx(best(a, T), rel=1e-9)
        assert (a.max(axis=0) > 0).all()
        wanted = [best(column, T) for column in a.T]
        np.testing.assert_allclose(by_channel[name], wanted, rtol=1e-9)


def test_a_channel_that_is_never_active_gets_its_layers_largest_activation():
    network = chain([[1], [-1]], [[1, 1]])
    found = least_error_thetas(calibration(network, [[0.5], [2.0]]), 64, per_channel=True)
    np.testing.assert_allclose(found["if1"], [2, 2])


def test_a_dead_channel_beside_a_small_and_a_large_one_gets_the_largest():
    network = chain([[1], [-1], [0.25]], [[1, 1, 1]])
    found = least_error_thetas(calibration(network, [[0.5], [2.0]]), 64, per_channel=True)
    np.testing.assert_allclose(found["if1"], [2, 2, 0.5])


def test_with_many_steps_nothing_is_clipped_and_with_one_much_is():
    network = chain([[1]], [[1]])
    # T = 1: theta = 1 makes 20 errors of 1/16 each, theta = 1/4 one of 9/16.
    rows = [[0.25]] * 20 + [[1.0]]
    assert float(least_error_thetas(calibration(network, rows), 1, False)["if1"]) == pytest.approx(0.25)
    assert float(least_error_thetas(calibration(network, rows), 4, False)["if1"]) == 1


@pytest.mark.parametrize("correction", ["bias", "potential"])
def test_corrections_make_the_mean_outputs_those_of_the_ann_layer_by_layer(correction):
    T, network, rows = 4, random_chain(L=None), random_rows(9)
    name = "snnc" if correction == "bias" else "snnc-potential"
    made = replace(find_method(name), T=T).calibrate(network, calibration(network, rows))
    assert made.T == T
    arriving = np.repeat(rows[:, None], T, axis=1)  # image, step, neuron
    for layer, ((W, b), a) in enumerate(zip(weights_of(network)[:-1], ann(network, rows))):
        theta = best(a, T)
        b = b + theta / (2 * T)
        gap = sent(arriving, W, b, theta, np.zeros(len(b)))[0].mean(axis=(0, 1)) * theta - a.mean(axis=0)
        v0 = np.zeros(len(b))
        if correction == "bias":
            b = b - gap
        else:
            v0 = -T * gap
        neuron = made.network.spiking[layer].neuron
        assert float(neuron.theta) == pytest.approx(theta, rel=1e-9)
        np.testing.assert_allclose(weights_of(made.network)[layer][1], b, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.broadcast_to(neuron.v0, v0.shape), v0, rtol=1e-9, atol=1e-12)
        arriving = sent(arriving, W, b, theta, v0)[0] * theta
    np.testing.assert_array_equal(weights_of(made.network)[-1][1], weights_of(network)[-1][1])


def sent(
    arriving: np.ndarray, W: np.ndarray, b: np.ndarray, theta: float, v0: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes (image, step, neuron) of one layer, and its last potentials."""
    v = np.repeat(v0[None], len(arriving), axis=0)
    spikes = []
    for t in range(arriving.shape[1]):
        m = v + arriving[:, t] @ W.T + b
        s = (m >= theta).astype(float)
        v = m - s * theta
        spikes.append(s)
    return np.stack(spikes, axis=1), v


def test_a_channel_of_a_convolution_is_corrected_by_its_mean_over_positions(conv_network):
    from refsim.formats.images.currents import InputCurrents
    from refsim.methods.base import Calibration
    from refsim.reference.network import forward, simulate

    T = 4
    raw = np.random.default_rng(1).integers(0, 256, (5, 6, 6, 4), np.uint8)
    images = InputCurrents(conv_network.input, raw, None)
    known = Calibration(network=conv_network, images=images, indices=np.arange(5))
    made = replace(find_method("snnc-channel"), T=T).calibrate(conv_network, known).network
    x = conv_network.input.normalize(raw)
    a = forward(conv_network, x)["if1"]
    theta = made.spiking[0].neuron.theta
    assert theta.shape == (6,)
    np.testing.assert_allclose(theta, [best(a[:, c], T) for c in range(6)], rtol=1e-9)
    # Take the correction back, and the first layer must be off by just that.
    shift = theta / (2 * T)
    uncorrected = replace(conv_network.by_name["conv1"], bias=shift)
    layers = tuple(uncorrected if each.name == "conv1" else each for each in made.layers)
    out = simulate(replace(made, layers=layers), x, T).spikes["if1"].mean(axis=0) * theta[:, None, None]
    gap = (out - a).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(made.by_name["conv1"].bias, shift - gap, rtol=1e-9, atol=1e-12)
