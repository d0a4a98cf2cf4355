"""QCFS Theorem 3: a threshold that no weighted input can exceed (the "max-activation" threshold of Table S1)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refsim.exceptions import NetworkError
from refsim.model import Neuron

from .machines import HALF, THETA_NEG, currents, dyadic, excess, run_neuron, timed


def max_activation(weights, theta_before) -> Fraction:
    """theta of the layer: theta_before * max_i sum_j max(W_ij, 0) (QCFS Appendix A.4)."""
    return theta_before * max(sum(max(w, 0) for w in row) for row in weights)


@given(data=st.data(), theta_before=dyadic(0, 2), v0=st.integers(-8, 7).map(lambda i: Fraction(i, 8)))
def test_potential_stays_below_the_max_activation_threshold_for_any_timing(data, theta_before, v0):
    """QCFS Theorem 3: v(t) < theta at every t, hence no neuron fires too little (k >= 0)."""
    n_sources, T = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    rows = st.lists(dyadic(-2, 2), min_size=n_sources, max_size=n_sources)
    weights = data.draw(st.lists(rows, min_size=1, max_size=3))
    trains = data.draw(st.lists(st.sets(st.integers(1, T)), min_size=n_sources, max_size=n_sources))
    theta = max_activation(weights, theta_before)
    assume(theta > 0)
    for row in weights:
        run = run_neuron(timed(trains, [w * theta_before for w in row], T), theta, v0 * theta)
        assert max(run.v) < theta
        assert excess(run, theta) >= 0


@pytest.mark.parametrize(
    ("weights", "signs", "bias", "v0", "highest"),
    [
        ([1], [1], HALF, 0, 1),
        ([1, -2], [1, -1], 0, 0, 4),
        ([1], [1], 0, 1, 1),
    ],
    ids=["a bias", "a negative spike through a negative weight", "v(0) at theta"],
)
def test_potential_reaches_the_max_activation_threshold_without_the_hypotheses(weights, signs, bias, v0, highest):
    """QCFS Theorem 3 forbids biases, signed spikes and v(0) >= theta, and does not say so of the first two."""
    theta = max_activation([weights], 1)
    u = [sum(w * s for w, s in zip(weights, signs)) + bias] * 2
    run = run_neuron(u, theta, v0)
    assert theta == 1
    assert max(run.v) == highest >= theta


def test_no_threshold_is_left_when_all_weights_are_negative():
    """QCFS Theorem 3 with no positive weight asks for theta = 0, which no neuron can have."""
    theta = max_activation([[-1, -2]], 1)
    assert theta == 0
    with pytest.raises(NetworkError, match="theta must be positive and finite, got 0"):
        Neuron(theta=np.array(float(theta)), v0=np.array(0.0))


@given(u=currents(low=-2, high=2))
def test_max_activation_threshold_does_not_keep_a_neuron_from_firing_too_much(u):
    """Theorem 3 mends under-firing only; at the same threshold the dual neuron has no unevenness at all."""
    assert excess(run_neuron(u, theta=2), 2) >= 0
    dual = run_neuron(u, theta=2, theta_neg=THETA_NEG)
    assert excess(dual, 2) == (dual.n[-1] >= 1 and THETA_NEG < dual.v[-1] < 0)


def test_if_fires_too_much_at_the_max_activation_threshold_in_fig_s1():
    """QCFS Fig. S1: theta = 2, one spike is due, three are fired; phi = 6/5, printed as the rate 0.6."""
    run = run_neuron(timed([(1, 2, 3), (4, 5)], [2, -2], 5), theta=2)
    assert excess(run, 2) == 2
    assert Fraction(2 * run.n[-1], 5) == Fraction(6, 5)
