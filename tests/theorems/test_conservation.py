"""Conservation of potential and what follows from it for one neuron (QCFS Eq. 6-11, Theorem 3; ECL Eq. 7)."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refsim.reference.neurons import State, fire

from .machines import (
    HALF,
    THETA_NEG,
    Run,
    clip,
    currents,
    dyadic,
    estimated,
    excess,
    neurons,
    run_engines,
    run_neuron,
    thresholds,
    timed,
)

FIG_1B = timed([(1, 3, 5), (2, 4)], [2, -2], 5)
FIG_1C = timed([(1, 2, 3), (4, 5)], [2, -2], 5)


def conserved(run: Run, u, theta, v0) -> bool:
    sums = np.cumsum(np.array(u, dtype=object))
    return all(v == v0 + S - theta * n for v, S, n in zip(run.v, sums, run.n))


@given(u=currents(), neuron=neurons(), gate=st.sampled_from(["net", "gross"]))
def test_potential_is_conserved_at_every_step_for_any_current_and_any_sign_of_spikes(u, neuron, gate):
    """v(t) = v(0) + S(t) - theta N(t) (QCFS Eq. 6-8)."""
    assert conserved(run_neuron(u, **neuron, gate=gate), u, neuron["theta"], neuron["v0"])


@given(u=currents(max_size=6), neuron=neurons(), gate=st.sampled_from(["net", "gross"]))
def test_potential_is_conserved_by_the_event_engine(u, neuron, gate):
    """v(T) = v(0) + S - theta N (QCFS Eq. 8), exactly in float64 on dyadic numbers."""
    run = run_engines(u, **neuron, gate=gate)
    assert run.v[0] == neuron["v0"] + sum(u) - neuron["theta"] * run.n[-1]
    assert run.s == run_neuron(u, **neuron, gate=gate).s


@given(
    u=st.lists(st.floats(-3, 3), min_size=1, max_size=30),
    theta=st.floats(0.1, 3),
    part=st.floats(0, 1),
    dual=st.booleans(),
)
def test_potential_is_conserved_up_to_rounding_for_any_floats(u, theta, part, dual):
    """|v(T) - (v(0) + S - theta N)| <= 2 T 2^-53 max |partial result| (QCFS Eq. 8 in float64)."""
    v0 = part * theta
    state, n, largest = State(np.array([v0]), np.zeros(1, dtype=int)), 0, 0.0
    for each in u:
        before = abs(state.v[0] + each)
        state, s = fire(state, np.array([each]), np.array([theta]), np.array([-1e-3 if dual else -np.inf]))
        n += int(s[0])
        largest = max(largest, before, abs(state.v[0]))
    expected = Fraction(v0) + sum(map(Fraction, u)) - Fraction(theta) * n
    assert abs(Fraction(state.v[0]) - expected) <= 2 * len(u) * Fraction(2) ** -53 * Fraction(largest)


@pytest.mark.parametrize("change", [{"reset": "zero"}, {"leak": HALF}], ids=["reset to zero", "leak"])
def test_conservation_fails_when_potential_is_thrown_away(change):
    """QCFS Eq. 8 needs the soft reset of Eq. 4 and no leak (ECL Eq. 9-10)."""
    u = [Fraction(3, 4), Fraction(3, 4)]
    assert conserved(run_neuron(u), u, 1, 0)
    assert not conserved(run_neuron(u, **change), u, 1, 0)


@given(u=currents(), neuron=neurons())
def test_average_postsynaptic_potential_is_never_negative(u, neuron):
    """phi(t) >= 0 for IF and for the net-gated dual neuron (below QCFS Eq. 8)."""
    assert min(run_neuron(u, **neuron).n) >= 0


def test_average_postsynaptic_potential_can_be_zero_though_the_paper_says_positive():
    """ "Note that phi > 0" (QCFS below Eq. 8, NQ) should read >= 0."""
    assert run_neuron([0, 0, 0]).n[-1] == 0


def test_gross_gate_lets_the_net_count_go_negative():
    """ECL's "has fired at least one positive spike" read literally (ECL Eq. 4; semantics 2.4b)."""
    u = [1, -2, -2, -2, -2]
    assert run_neuron(u, theta_neg=THETA_NEG, gate="gross").n[-1] == -3
    assert run_neuron(u, theta_neg=THETA_NEG, gate="net").n[-1] == 0


@given(u=currents(low=0), neuron=neurons())
@example(u=[Fraction(1)], neuron={"theta": 1, "v0": -3})
def test_neuron_never_fires_too_much_on_currents_that_are_never_negative(u, neuron):
    """u >= 0 gives k <= 0, whatever v(0) (QCFS Sec. 3.3: only a late negative input makes too many spikes)."""
    assert excess(run_neuron(u, **neuron), neuron["theta"]) <= 0


def test_neuron_fires_too_much_when_negative_currents_come_late():
    """QCFS Fig. 1c: 4 spikes where 2 are due."""
    assert excess(run_neuron(FIG_1C), 1) == 2


@given(data=st.data(), neuron=neurons(v0_high=1))
def test_potential_stays_below_threshold_when_no_current_exceeds_it(data, neuron):
    """u <= theta and v(0) < theta give v(t) < theta for all t, and k >= 0 (QCFS Theorem 3)."""
    theta = neuron["theta"]
    u = [min(each, theta) for each in data.draw(currents())]
    run = run_neuron(u, **neuron)
    assert max(run.v) < theta
    assert excess(run, theta) >= 0


@pytest.mark.parametrize(("u", "v0"), [([0, 2], 0), ([0, 0], 3)], ids=["current above theta", "v0 above theta"])
def test_potential_reaches_threshold_without_the_hypotheses_of_theorem_3(u, v0):
    """QCFS Theorem 3 needs u <= theta and v(0) < theta; without either, potential is left unused."""
    assert run_neuron(u, v0=v0).v[-1] >= 1


def test_neuron_fires_too_little_when_one_current_exceeds_the_threshold_late():
    """QCFS Theorem 3 without u <= theta: k = -1."""
    assert excess(run_neuron([0, 2]), 1) == -1


@given(data=st.data(), neuron=neurons(v0_low=0, v0_high=1))
def test_count_is_the_floor_of_the_sum_when_currents_lie_between_zero_and_theta(data, neuron):
    """0 <= u <= theta, 0 <= v(0) < theta: N = floor((S + v(0)) / theta), k = 0 (QCFS Eq. 11 under Eq. S2)."""
    theta = neuron["theta"]
    u = [clip(each, 0, theta) for each in data.draw(currents())]
    run = run_neuron(u, **neuron)
    assert run.n[-1] == floor((sum(u) + neuron["v0"]) / theta)
    assert excess(run, theta) == 0


@given(data=st.data(), theta=thresholds, v0=dyadic(-2, 2))
def test_neuron_is_silent_on_negative_currents_and_saturates_on_currents_above_theta(data, theta, v0):
    """u < 0, v(0) < theta: N = 0; u >= theta, v(0) >= 0: N = T (the flat ends of QCFS Eq. 11)."""
    u = data.draw(currents(low=0))
    if v0 < theta:
        assert run_neuron([-each - 1 for each in u], theta, v0).n[-1] == 0
    if v0 >= 0:
        assert run_neuron([each + theta for each in u], theta, v0).n[-1] == len(u)


@pytest.mark.parametrize(("u", "v0"), [([-1], 2), ([1], -1)], ids=["fires", "is silent"])
def test_flat_ends_need_a_bounded_initial_potential(u, v0):
    """A negative current with v(0) >= theta + |u| fires; a current of theta with v(0) < 0 does not."""
    assert run_neuron(u, v0=v0).n[-1] == (1 if v0 > 0 else 0)


def test_count_is_not_the_floor_of_the_sum_for_uneven_currents():
    """QCFS Eq. 11 is false without Eq. S2: Fig. 1c fires 4 times where it says 2."""
    assert run_neuron(FIG_1C).n[-1] == 4
    assert estimated(sum(FIG_1C), 5, 1, 0) * 5 == 2


@given(u=dyadic(-5, 5), neuron=neurons(v0_low=-5, v0_high=5))
def test_single_step_has_no_unevenness(u, neuron):
    """T = 1 gives k = 0 for every current and every v(0): there is nothing to be uneven (ECL Sec. 3)."""
    assert excess(run_neuron([u], **neuron), neuron["theta"]) == 0


@given(u=dyadic(-5, 5), T=st.integers(1, 12), neuron=neurons(v0_low=0, v0_high=1))
def test_constant_current_has_no_unevenness(u, T, neuron):
    """The first layer, whose current is constant, has k = 0 for every T (QCFS Eq. 11 holds there)."""
    run = run_neuron([u] * T, **neuron)
    assert excess(run, neuron["theta"]) == 0
    assert neuron["theta"] * Fraction(run.n[-1], T) == estimated(u * T, T, neuron["theta"], neuron["v0"])


@pytest.mark.parametrize(("u", "v0", "T", "k"), [(-1, 2, 2, 1), (2, -3, 3, -1)], ids=["above", "below"])
def test_constant_current_has_unevenness_when_the_initial_potential_is_out_of_range(u, v0, T, k):
    """0 <= v(0) < theta is needed: above it a neuron fires first and regrets it, below it starts too late."""
    assert excess(run_neuron([u] * T, v0=v0), 1) == k


@given(data=st.data(), neuron=neurons())
def test_count_grows_with_the_current(data, neuron):
    """u' >= u at every step gives N'(t) >= N(t) at every step, for IF and the net-gated dual neuron."""
    u = data.draw(currents())
    more = data.draw(st.lists(dyadic(0, 3), min_size=len(u), max_size=len(u)))
    fewer = run_neuron(u, **neuron).n
    assert all(a <= b for a, b in zip(fewer, run_neuron([a + b for a, b in zip(u, more)], **neuron).n))


def test_count_does_not_grow_with_the_current_when_the_gate_is_gross():
    """Monotony needs the net gate: one early spike opens the gross gate for any number of negative ones."""
    low, high = [-3, -3, -3, -3], [-2, 3, -3, -3]
    counts = [run_neuron(u, theta_neg=THETA_NEG, gate="gross").n[-1] for u in (low, high)]
    assert counts == [0, -1]


normal = st.floats(-3, 3).map(lambda x: x if abs(x) > 1e-100 else 0.0)
"""Numbers that do not underflow when they are scaled."""


@given(
    u=st.lists(normal, min_size=1, max_size=20),
    theta=st.floats(0.1, 3),
    v0=normal,
    power=st.integers(-30, 30),
    dual=st.booleans(),
)
def test_scaling_by_a_power_of_two_leaves_every_spike_as_it_was(u, theta, v0, power, dual):
    """(u, theta, v(0), theta_neg) * 2^k gives the same spikes for any floats: no rounding changes."""
    theta_neg = -0.05 if dual else -np.inf
    assert spikes_in_floats(u, theta, v0, theta_neg) == spikes_in_floats(
        [each * 2.0**power for each in u], theta * 2.0**power, v0 * 2.0**power, theta_neg * 2.0**power
    )


def test_scaling_by_another_factor_changes_spikes_at_ties():
    """Ten currents of 0.1 stay below 1 in float64; ten currents of 1 reach 10."""
    assert sum(spikes_in_floats([0.1] * 10, 1.0, 0.0, -np.inf)) == 0
    assert sum(spikes_in_floats([1.0] * 10, 10.0, 0.0, -np.inf)) == 1


def spikes_in_floats(u, theta: float, v0: float, theta_neg: float) -> list[int]:
    state, spikes = State(np.array([v0]), np.zeros(1, dtype=int)), []
    for each in u:
        state, s = fire(state, np.array([each]), np.array([theta]), np.array([theta_neg]))
        spikes.append(int(s[0]))
    return spikes


@given(u=currents(), more=currents(), theta=thresholds, v0=dyadic(-2, 2))
def test_run_can_be_resumed_from_potential_and_count(u, more, theta, v0):
    """State (v, N) after t steps is all that the neuron knows of its past (QCFS Eq. 2-4, ECL Eq. 4-5)."""
    theta_neg = max(THETA_NEG, -theta)
    whole = run_neuron([*u, *more], theta, v0, theta_neg)
    first = run_neuron(u, theta, v0, theta_neg)
    state = State(np.array([first.v[-1]]), np.array([first.n[-1]]))
    resumed = []
    for each in more:
        state, s = fire(state, np.array([each]), np.array([theta]), np.array([theta_neg]))
        resumed.append(int(s[0]))
    assert [*first.s, *resumed] == whole.s
    assert state.v[0] == whole.v[-1]


def test_dual_run_cannot_be_resumed_from_the_potential_alone():
    """Without N the gate is shut: Fig. 1c after four steps would not take its spike back."""
    whole = run_neuron(FIG_1C, theta_neg=THETA_NEG)
    after_four = run_neuron(FIG_1C[:4], theta_neg=THETA_NEG)
    assert whole.s[-1] == -1
    assert run_neuron(FIG_1C[4:], v0=after_four.v[-1], theta_neg=THETA_NEG).s == [0]
