"""What the dual threshold (ECL Eq. 4-5) does to unevenness, and what it does not."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations, product
from math import floor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refsim.engine import simulator
from refsim.engine.plan import compile_network
from refsim.model import InputSpec, Linear, Network, Neuron, Spiking

from .machines import HALF, THETA_NEG, Run, clip, currents, dyadic, run_engines, run_neuron, thresholds, timed


@st.composite
def dual_neurons(draw, v0_low=0, v0_high=1) -> dict:
    """theta, theta_neg in [-theta, 0), and v(0) / theta in [v0_low, v0_high)."""
    theta = draw(thresholds)
    theta_neg = draw(st.sampled_from([max(THETA_NEG, -theta), -theta / 2, -theta]))
    v0 = draw(dyadic(v0_low, v0_high).filter(lambda x: x < v0_high)) * theta
    return {"theta": theta, "v0": v0, "theta_neg": theta_neg}


def without_threshold(neuron: dict) -> dict:
    return {key: neuron[key] for key in ("theta", "v0")}


def exceeds_by(run: Run, t: int, S, neuron: dict) -> int:
    """N(t) less what the summed current S(t) is worth, max(0, floor((S + v0) / theta))."""
    return run.n[t] - max(0, floor((S + neuron["v0"]) / Fraction(neuron["theta"])))


@given(u=currents(), neuron=dual_neurons(v0_low=-2, v0_high=2))
def test_dual_never_counts_more_than_if_on_the_same_current(u, neuron):
    """0 <= N_dual(t) <= N_IF(t), and the trains agree up to the first negative spike."""
    dual, plain = run_neuron(u, **neuron), run_neuron(u, **without_threshold(neuron))
    assert all(0 <= a <= b for a, b in zip(dual.n, plain.n))
    first = dual.s.index(-1) if -1 in dual.s else len(u)
    assert dual.s[:first] == plain.s[:first]
    assert all(v < neuron["theta"] for s, v in zip(dual.s, dual.v) if s == -1)


@given(u=currents(low=0), neuron=dual_neurons(v0_low=-2, v0_high=2))
def test_dual_is_if_on_currents_that_are_never_negative(u, neuron):
    """u >= 0: no negative spike (ECL Eq. 4); T = 1 included."""
    assert run_neuron(u, **neuron).s == run_neuron(u, **without_threshold(neuron)).s


@given(u=dyadic(-5, 5), T=st.integers(1, 12), neuron=dual_neurons(v0_low=-5))
def test_first_layer_never_fires_a_negative_spike(u, T, neuron):
    """A constant current with v(0) < theta makes dual and IF the same; and so does T = 1 with any v(0)."""
    assert run_neuron([u] * T, **neuron).s == run_neuron([u] * T, **without_threshold(neuron)).s


@given(u=dyadic(-5, 5), neuron=dual_neurons(v0_low=-5, v0_high=5))
def test_dual_is_if_at_one_step(u, neuron):
    """At T = 1 the gate is shut: ECL's gains at T = 1 cannot come from the dual threshold (P11; notes, F3)."""
    assert run_neuron([u], **neuron).s == run_neuron([u], **without_threshold(neuron)).s


def test_constant_current_fires_a_negative_spike_when_the_initial_potential_is_too_high():
    """v(0) < theta is needed: with v(0) = 2 theta a current of -theta fires first."""
    assert run_neuron([-1, -1], v0=2, theta_neg=THETA_NEG).s == [1, -1]


def test_dual_counts_more_than_if_behind_an_inhibitory_synapse():
    """N_dual <= N_IF is about one neuron: the layer that Fig. 1c's neuron inhibits fires more, not less."""
    start = np.array([3.0, -3.0, 0.0])
    layers = (
        Linear(name="fc1", inputs=("input",), weight=np.array([[0.0], [1.0], [1.0]]), bias=np.zeros(3)),
        Spiking(name="sources", inputs=("fc1",), neuron=Neuron(theta=np.array(1.0), v0=start)),
        Linear(name="fc2", inputs=("sources",), weight=np.array([[2.0, -2.0, 0.0], [0, 0, 1]]), bias=np.zeros(2)),
        Spiking(name="fig_1c", inputs=("fc2",), neuron=Neuron(theta=np.array(1.0), v0=np.array(0.0))),
        Linear(name="fc3", inputs=("fig_1c",), weight=np.array([[-1.0, 0.875]]), bias=np.zeros(1)),
        Spiking(name="inhibited", inputs=("fc3",), neuron=Neuron(theta=np.array(1.0), v0=np.array(0.0))),
        Linear(name="readout", inputs=("inhibited",), weight=np.ones((1, 1)), bias=np.zeros(1)),
    )
    network = Network(name="inhibition", input=InputSpec(shape=(1, 1, 1)), layers=layers)
    dual = network.with_neurons({each.name: each.neuron.as_dual() for each in network.spiking})
    counts = {}
    for name, each in (("if", network), ("dual", dual)):
        trace = simulator.simulate(compile_network(each), np.ones((1, 1, 1, 1)), 5, {"spikes"})
        counts[name] = [trace.populations[layer].spikes.sum(axis=(0, 1)).tolist() for layer in ("fig_1c", "inhibited")]
    assert counts == {"if": [[4, 5], [0]], "dual": [[3, 5], [1]]}


@given(data=st.data(), neuron=dual_neurons(v0_low=-2))
def test_dual_has_no_unevenness_whatever_the_timing_when_no_current_exceeds_theta(data, neuron):
    """|u| <= theta, v(0) < theta: N(t) = max(0, floor((S(t) + v(0)) / theta)) at every t.

    The one exception, a spike too many, lasts while theta_neg < v(t) < 0. ECL states the conclusion (Sec. 3.3)
    without the condition.
    """
    theta = neuron["theta"]
    u = [clip(each, -theta, theta) for each in data.draw(currents())]
    run, S = run_neuron(u, **neuron), 0
    for t, each in enumerate(u):
        S += each
        waiting = run.n[t] >= 1 and neuron["theta_neg"] < run.v[t] < 0
        assert exceeds_by(run, t, S, neuron) == waiting


@given(data=st.data(), neuron=dual_neurons())
def test_event_engine_shows_the_same_exactness(data, neuron):
    """The same through the whole machine in float64, at the last step."""
    theta = neuron["theta"]
    u = [clip(each, -theta, theta) for each in data.draw(currents(max_size=6))]
    run = run_engines(u, **neuron)
    waiting = run.n[-1] >= 1 and neuron["theta_neg"] < run.v[0] < 0
    assert exceeds_by(run, -1, sum(u), neuron) == waiting


def test_dual_keeps_a_spike_too_many_while_the_potential_hides_above_the_negative_threshold():
    """The exception is real: after v = -theta_neg / 2 the spike stays, at theta_neg it is taken back."""
    for u, too_many in ((THETA_NEG / 2, 1), (THETA_NEG, 0)):
        run = run_neuron([1, u], theta_neg=THETA_NEG)
        assert exceeds_by(run, -1, 1 + u, {"theta": 1, "v0": 0}) == too_many


@pytest.mark.parametrize(
    ("u", "v0", "excess"),
    [([2, 2, 2, -2, -2], 0, 1), ([0, 0, 0], -2, 0), ([0], 2, -1)],
    ids=["|u|", "v0<0", "v0>theta"],
)
def test_dual_is_uneven_when_a_current_exceeds_theta_or_the_initial_potential_does(u, v0, excess):
    """|u| <= theta is needed (QCFS Fig. 1c has |u| = 2 theta), v(0) < theta is needed, v(0) >= 0 is not."""
    assert exceeds_by(run_neuron(u, v0=v0, theta_neg=THETA_NEG), -1, sum(u), {"theta": 1, "v0": v0}) == excess


@given(u=currents(), neuron=dual_neurons(v0_low=-2, v0_high=2))
@example(u=[2, 2, 2, -2, -2], neuron={"theta": 1, "v0": 0, "theta_neg": THETA_NEG})
def test_dual_settles_to_the_right_count_when_given_idle_steps(u, neuron):
    """After enough steps without input N is exact for any current, large ones and any v(0) included."""
    bound = neuron["v0"] + sum(map(abs, u))
    idle = 2 * len(u) + floor((abs(neuron["v0"]) + bound) / Fraction(neuron["theta"])) + 1
    run = run_neuron([*u, *[0] * idle], **neuron)
    waiting = run.n[-1] >= 1 and neuron["theta_neg"] < run.v[-1] < 0
    assert exceeds_by(run, -1, sum(u), neuron) == waiting


def test_if_never_settles_and_dual_needs_one_idle_step_in_fig_1c():
    """One more idle step mends QCFS Fig. 1c for the dual neuron; IF keeps its two spikes too many."""
    u = timed([(1, 2, 3), (4, 5)], [2, -2], 6)
    assert run_neuron(u, theta_neg=THETA_NEG).n[-1] == 2
    assert run_neuron([*u, *[0] * 50]).n[-1] == 4


def test_dual_is_worse_than_if_in_fig_1b():
    """ "The dual threshold solves the unevenness error" (ECL) is false pointwise: IF 0.4, as the ANN; dual 0.2."""
    u = timed([(1, 3, 5), (2, 4)], [2, -2], 5)
    assert Fraction(run_neuron(u).n[-1], 5) == Fraction(2, 5)
    assert Fraction(run_neuron(u, theta_neg=THETA_NEG).n[-1], 5) == Fraction(1, 5)


@pytest.mark.parametrize(
    ("theta", "theta_neg", "counts"),
    [
        (1, None, {1: 20, 2: 63, 3: 12, 4: 5}),
        (1, THETA_NEG, {1: 31, 2: 64, 3: 5}),
        (2, None, {1: 75, 2: 24, 3: 1}),
        (2, THETA_NEG, {1: 100}),
    ],
    ids=["IF", "dual", "IF at theta 2", "dual at theta 2"],
)
@pytest.mark.parametrize("v0", [0, HALF], ids=["v0=0", "v0=theta/2"])
def test_all_hundred_timings_of_the_example_of_fig_1(theta, theta_neg, counts, v0):
    """QCFS Fig. 1 picks 3 of the 100 ways to time 3 and 2 spikes in 5 steps; the right count is 2 / theta."""
    seen = Counter()
    for first, second in product(combinations(range(1, 6), 3), combinations(range(1, 6), 2)):
        u = timed([first, second], [2, -2], 5)
        neuron = {} if theta_neg is None else {"theta_neg": theta_neg}
        seen[run_neuron(u, theta, v0 * theta, **neuron).n[-1]] += 1
    assert seen == counts
