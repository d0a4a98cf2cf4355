"""One neuron looked at closely: its transfer curves, and what it does step by step on a given current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refsim.exceptions import UsageError
from refsim.model import Neuron
from refsim.reference.neurons import State, fire

Array = NDArray[Any]


def estimated_phi(z: Array, theta: Any, T: int, v0: Any) -> Array:
    """The average postsynaptic potential of an IF neuron whose input z is evenly timed (QCFS Eq. 11).

    phi = theta clip(floor((z T + v0) / theta), 0, T) / T

    Exact for a constant current z; for any other it is an estimate, and differs from phi by the unevenness.

    Parameters
    ----------
    z, v0 : (N,) and a scalar, in units of the membrane potential
    """
    return np.asarray(theta * np.clip((z * T + v0) // theta, 0, T) / T)


@dataclass(frozen=True, kw_only=True, eq=False)
class NeuronTrace:
    """What one neuron did on a current u(1..T); all arrays are (T,), in units of the membrane potential.

    m, v : potential before and after firing
    s : spikes, in {-1, 0, 1}
    """

    neuron: Neuron
    u: Array
    m: Array
    v: Array
    s: NDArray[np.int8]

    @property
    def n(self) -> int:
        """Net spike count N."""
        return int(self.s.sum(dtype=np.int64))

    @property
    def phi(self) -> float:
        """Average postsynaptic potential, theta N / T (QCFS Eq. 5)."""
        return float(self.neuron.theta) * self.n / len(self.s)


def trace_neuron(u: Sequence[float] | Array, neuron: Neuron) -> NeuronTrace:
    """Drive one neuron with a current, by the specification's `fire`.

    Parameters
    ----------
    u : (T,), the input current of each step
    neuron
        With scalar theta, v0 and theta_neg.

    Raises
    ------
    UsageError
        The neuron's parameters are arrays.
    """
    if neuron.theta.ndim or neuron.v0.ndim or neuron.theta_neg.ndim:
        raise UsageError("one neuron is traced at a time: theta, v0 and theta_neg must be scalars")
    currents = np.asarray(u, dtype=np.float64)
    state = State(np.array([neuron.v0]), np.zeros(1, dtype=np.int64))
    rows = []
    for current in currents:
        m = neuron.leak * state.v + current
        state, s = fire(
            state,
            np.array([current]),
            neuron.theta,
            neuron.negative_threshold,
            neuron.gate,
            neuron.reset,
            neuron.leak,
            neuron.strict,
        )
        rows.append((m[0], state.v[0], s[0]))
    m, v, s = (np.array(column) for column in zip(*rows))
    return NeuronTrace(neuron=neuron, u=currents, m=m, v=v, s=s.astype(np.int8))


def timed_current(trains: Sequence[Sequence[int]], weights: Sequence[float], T: int) -> Array:
    """The current (T,) that sources cause which spike at the given steps, counted from 1."""
    u = np.zeros(T)
    for steps, weight in zip(trains, weights, strict=True):
        u[np.asarray(steps, dtype=np.intp) - 1] += weight
    return u
