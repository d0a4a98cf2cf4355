"""RMP and Spike-Norm: thresholds are the largest currents that spiking layers see, in order."""

from __future__ import annotations

import numpy as np
import pytest

from refsim.exceptions import NetworkError
from refsim.methods.balancing import STEPS
from refsim.methods.registry import find_method
from tests.methods.networks import calibration, chain, random_chain, random_rows
from tests.methods.plain import Layers, weights_of


@pytest.mark.parametrize(
    ("name", "beta", "to_zero"), [("rmp:0.75", 0.75, False), ("rmp", 0.8, False), ("spike-norm", 1, True)]
)
def test_thresholds_are_the_largest_currents_of_the_spiking_network(name, beta, to_zero):
    network, rows = random_chain(L=None), random_rows(7)
    made = find_method(name).calibrate(network, calibration(network, rows)).network
    theta: list[float] = []
    for layer, (W, b) in enumerate(weights_of(network)[:-1]):
        # The layers before it fire with the thresholds they have; its own and later ones are out of reach.
        peak = -np.inf
        for row in rows:
            so_far = Layers(network, [*theta, *[1e9] * (2 - layer)], [0, 0])
            for _ in range(STEPS):
                sent, _ = so_far.step(row, reset_to_zero=to_zero)
                arriving = row if layer == 0 else sent[layer - 1] * theta[layer - 1]
                peak = max(peak, (W @ arriving + b).max())
        theta.append(beta * peak)
    assert [float(each.neuron.theta) for each in made.spiking] == pytest.approx(theta, rel=1e-12)
    assert {each.neuron.reset for each in made.spiking} == {"zero" if to_zero else "subtract"}
    assert not any(each.neuron.v0.any() for each in made.spiking)


def test_a_layer_that_only_gets_negative_currents_is_refused():
    network = chain([[1]], [[-1]], [[1]], biases=[[0], [-1], [0]])
    with pytest.raises(NetworkError, match="layer 'if2': no current is positive on the 1 calibration images"):
        find_method("rmp").calibrate(network, calibration(network, [[1]]))


@pytest.mark.parametrize(("name", "second"), [("spike-norm", 0.25), ("rmp:1", 1.25)])
def test_the_layers_before_spike_with_the_reset_that_the_method_has(name, second):
    """Currents of 1, 0.5 and 0.625 in units of theta: with a reset to zero the last two fire at the same steps.

    What the next layer sees is the third less the second, and a quarter of the first, which fires at every step: a
    quarter of theta then, and five quarters where the rest is kept and the third fires alone at some steps.
    """
    network = chain([[1], [0.5], [0.625]], [[0.25, -1, 1]], [[1]])
    made = find_method(name).calibrate(network, calibration(network, [[1]])).network
    assert [float(each.neuron.theta) for each in made.spiking] == [1, second]
