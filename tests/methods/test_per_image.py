"""SRP and COS, which find their parameters anew for every image, against plain NumPy, time step by time step."""

from __future__ import annotations

import numpy as np
import pytest

from refsim.methods.base import PerImageRun
from refsim.methods.cos import moved_v0
from refsim.methods.registry import find_method
from refsim.model import Network
from tests.methods.networks import random_chain, random_rows
from tests.methods.plain import Layers, sops, weights_of

LAMBDA = 1.0
T = 6


@pytest.fixture
def network() -> Network:
    return random_chain(L=4, lambda_=LAMBDA)


def run(name: str, network: Network, rows: np.ndarray, steps: int = T) -> tuple[PerImageRun, int]:
    made = find_method(name).calibrate(network, None)
    return made.per_image.simulate(rows.reshape(*rows.shape, 1, 1), steps), made.extra_steps


@pytest.mark.parametrize("tau", [1, 4, 5])
def test_srp_silences_neurons_that_end_the_trial_without_residual_potential(network, tau):
    rows = random_rows(12)
    done, extra_steps = run(f"srp:{tau}", network, rows)
    assert extra_steps == tau
    silenced = 0
    for i, row in enumerate(rows):
        trial = Layers(network, [LAMBDA] * 2, [LAMBDA / 2] * 2)
        extra = sum(sops(network, trial.step(row)[0], readout=False) for _ in range(tau))
        masks = [v > 1e-3 * LAMBDA for v in trial.v]
        silenced += sum(int((~mask).sum()) for mask in masks)
        counted = Layers(network, [LAMBDA] * 2, [LAMBDA / 2] * 2)
        for t in range(T):
            sent, logits = counted.step(row, masks)
            np.testing.assert_allclose(done.logits[t, i], logits, atol=1e-12)
            assert done.sop[t, i] == sops(network, sent)
        assert done.extra_sop[i] == extra
    assert silenced > 20
    assert not done.residual.any()


@pytest.mark.parametrize("rho", [1, 4, 9])
def test_cos_moves_initial_potentials_layer_by_layer(network, rho):
    rows = random_rows(60)
    done, extra_steps = run(f"cos:{rho}", network, rows)
    assert extra_steps == 2 * rho
    moved = 0
    for i, row in enumerate(rows):
        # Each layer is calibrated on the first rho steps of what the calibrated layer before it sends.
        arriving = [row] * max(T, rho)
        total, extra = np.zeros(T, int), 0
        for W, b in weights_of(network)[:-1]:
            u = [W @ x + b for x in arriving]
            v0 = np.array([calibrated([step[j] for step in u[:rho]]) for j in range(len(b))])
            moved += int((v0 != LAMBDA / 2).sum())
            spikes, v = [], v0
            for step in u:
                m = v + step
                s = (m >= LAMBDA).astype(float)
                v = m - s * LAMBDA
                spikes.append(s)
            n_next = 5 if len(b) == 6 else 3
            total += [int(s.sum()) * n_next for s in spikes[:T]]
            # The readout has nothing to calibrate: it hears the counted steps only.
            extra += sum(int(s.sum()) * n_next for s in spikes[:rho]) * (n_next == 5)
            arriving = [s * LAMBDA for s in spikes]
        W, b = weights_of(network)[-1]
        for t in range(T):
            np.testing.assert_allclose(done.logits[t, i], W @ arriving[t] + b, atol=1e-12)
        np.testing.assert_array_equal(done.sop[:, i], total)
        assert done.extra_sop[i] == extra
    # After one step no neuron can have fired too often or too rarely (semantics P3).
    assert moved == 0 if rho == 1 else moved > 5


def calibrated(u: list[float], theta: float = LAMBDA) -> float:
    """v0 of one neuron, from the rule of docs/methods.md, scalar by scalar."""
    v, fired_at, silent_at = theta / 2, [], []
    for current in u:
        m = v + current
        if m >= theta:
            fired_at.append(m)
            v = m - theta
        else:
            silent_at.append(m)
            v = m
    if v < 0 and fired_at:
        return theta / 2 - max(theta, min(fired_at) - 0.999 * theta)
    if v >= theta and silent_at:
        return theta / 2 + max(theta, 1.001 * theta - max(silent_at))
    return theta / 2


@pytest.mark.parametrize(
    ("u", "expected"),
    [
        # Fires at m = 2.5, ends at -0.5: one spike too many. 2.5 - 0.999 = 1.501 lower, and m = 0.999 stays silent.
        ([2.0, -2.0], 0.5 - 1.501),
        # Ends at -0.25, but the closest decision is m = 1.25: theta itself is more than the 0.251 that would do.
        ([0.75, -1.5, 1.0], 0.5 - 1.0),
        # Silent at m = -1.5, ends at v = 1: one spike too few. 1.001 + 1.5 higher.
        ([-2.0, 3.5], 0.5 + 2.501),
        # Silent at m = 0.75, fires once at 2.25, ends at 1.25: theta is more than the 0.251 that would do.
        ([0.25, 1.5], 0.5 + 1.0),
        # Ends in [0, theta): left alone; ends below 0 without a spike: there is none to take away.
        ([0.75, 0.25], 0.5),
        ([-1.0, 0.25], 0.5),
        # Fires at every step and still ends above theta: cannot fire more.
        ([2.0, 2.0], 0.5),
    ],
)
def test_cos_moves_by_what_the_closest_decision_needs(u, expected):
    actual = moved_v0(np.array(u).reshape(-1, 1, 1), np.array(1.0), np.array(0.5))
    assert actual.item() == pytest.approx(expected, abs=1e-12)
    assert calibrated(u) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["srp:3", "cos:3"])
def test_shorter_runs_are_the_beginning_of_longer_ones(network, name):
    rows = random_rows(5)
    long, _ = run(name, network, rows, 8)
    for steps in (1, 2, 5):
        short, _ = run(name, network, rows, steps)
        np.testing.assert_array_equal(short.logits, long.logits[:steps])
        np.testing.assert_array_equal(short.sop, long.sop[:steps])
        np.testing.assert_array_equal(short.extra_sop, long.extra_sop)


@pytest.mark.parametrize("name", ["srp:3", "cos:3"])
def test_an_image_does_not_depend_on_the_others(network, name):
    rows = random_rows(6)
    together, _ = run(name, network, rows)
    for i in range(len(rows)):
        alone, _ = run(name, network, rows[i : i + 1])
        np.testing.assert_array_equal(alone.logits[:, 0], together.logits[:, i])
