"""One neuron driven by any currents: through the specification in exact numbers, and through both engines."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor, inf
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from refsim.engine import simulator
from refsim.engine.plan import compile_network
from refsim.model import InputSpec, Linear, Network, Neuron, Spiking
from refsim.reference import network as specification
from refsim.reference.neurons import State, fire

HALF = Fraction(1, 2)
THETA_NEG = Fraction(-1, 1024)
"""A dyadic negative threshold close to ECL's -1e-3."""


class Run(NamedTuple):
    """What a neuron did: spikes s, net counts n and potentials v after each of T steps."""

    s: list[int]
    n: list[int]
    v: list[Fraction]


def run_neuron(u, theta=1, v0=0, theta_neg=-inf, gate="net", reset="subtract", leak=1) -> Run:
    """The specification's `fire`, step after step, in Fractions."""
    fired = np.zeros(1, dtype=int)
    state = State(exact([v0]), fired)
    s, v = [], []
    for current in u:
        state, spike = fire(state, exact([current]), exact([theta]), exact([theta_neg]), gate, reset, leak)
        s.append(int(spike[0]))
        v.append(state.v[0])
    return Run(s, np.cumsum(s, dtype=int).tolist(), v)


def run_engines(u, theta=1, v0=0, theta_neg=-inf, gate="net") -> Run:
    """The same neuron inside a network, through the event engine in float64; checked against the specification there.

    Neuron j of the first layer starts to fire at step j and never stops; the weight u(j) - u(j - 1) from it to
    the neuron under test makes the current u(t). All numbers must be dyadic.
    """
    T = len(u)
    steps = np.array([float(each) for each in u])
    layers = (
        Linear(name="clock", inputs=("input",), weight=np.ones((T, 1)), bias=np.zeros(T)),
        Spiking(name="starts", inputs=("clock",), neuron=Neuron(theta=np.array(1.0), v0=-np.arange(T, dtype=float))),
        Linear(name="current", inputs=("starts",), weight=np.diff(steps, prepend=0.0)[None], bias=np.zeros(1)),
        Spiking(
            name="tested",
            inputs=("current",),
            neuron=Neuron(
                theta=np.array(float(theta)),
                v0=np.array(float(v0)),
                theta_neg=np.array(float(theta_neg)),
                gate=gate,
            ),
        ),
        Linear(name="readout", inputs=("tested",), weight=np.ones((1, 1)), bias=np.zeros(1)),
    )
    network = Network(name="neuron", input=InputSpec(shape=(1, 1, 1)), layers=layers)
    image = np.ones((1, 1, 1, 1))
    trace = simulator.simulate(compile_network(network), image, T, record={"spikes", "v"})
    tested = trace.populations["tested"]
    expected = specification.simulate(network, image, T)
    assert expected.currents["tested"].ravel().tolist() == steps.tolist()
    assert tested.spikes.tolist() == expected.spikes["tested"].tolist()
    assert tested.v.tolist() == expected.v["tested"].tolist()
    s = tested.spikes.ravel().astype(int)
    return Run(s.tolist(), np.cumsum(s).tolist(), [Fraction(tested.v.item())])


def exact(values) -> np.ndarray:
    """An object array of Fractions; infinities stay floats."""
    return np.array([each if abs(each) == inf else Fraction(each) for each in values], dtype=object)


def clip(x, low, high):
    """x, at least low and at most high."""
    return min(max(x, low), high)


def estimated(S, T: int, theta, v0):
    """The estimate of phi from the summed current S alone (QCFS Eq. 11, ECL Eq. 7, NQ Eq. 7)."""
    return Fraction(theta) * clip(floor((S + v0) / Fraction(theta)), 0, T) / T


def excess(run: Run, theta) -> int:
    """k = N - clip(N + floor(v / theta), 0, T): spikes too many (k > 0) or too few (k < 0) (semantics 4)."""
    return run.n[-1] - clip(run.n[-1] + floor(run.v[-1] / Fraction(theta)), 0, len(run.s))


def timed(trains: Sequence[Sequence[int]], weights: Sequence, T: int) -> list:
    """Currents u(1..T) from source neurons that spike at the given steps (counted from 1)."""
    return [sum(w for w, steps in zip(weights, trains) if t in steps) for t in range(1, T + 1)]


def dyadic(low: int, high: int, bits: int = 3) -> st.SearchStrategy[Fraction]:
    """Multiples of 2^-bits in [low, high]: they meet thresholds often, and float64 adds them exactly."""
    return st.integers(low << bits, high << bits).map(lambda i: Fraction(i, 1 << bits))


def currents(low: int = -3, high: int = 3, max_size: int = 12) -> st.SearchStrategy[list[Fraction]]:
    """Sequences u(1..T) of dyadic currents."""
    return st.lists(dyadic(low, high), min_size=1, max_size=max_size)


thresholds = dyadic(0, 3).filter(lambda theta: theta > 0)


@st.composite
def negative_thresholds(draw, theta: Fraction) -> Fraction | float:
    """-inf (IF), ECL's small one, or anything down to -theta."""
    return draw(st.sampled_from([-inf, max(THETA_NEG, -theta), -theta / 2, -theta]))


@st.composite
def neurons(draw, v0_low=-2, v0_high=2) -> dict:
    """Parameters of `run_neuron`: theta, v0 in units of theta within the bounds (upper one excluded), theta_neg."""
    theta = draw(thresholds)
    v0 = draw(dyadic(v0_low, v0_high).filter(lambda x: x < v0_high)) * theta
    return {"theta": theta, "v0": v0, "theta_neg": draw(negative_thresholds(theta))}
