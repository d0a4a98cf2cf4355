"""One time step of a population of neurons (semantics 2)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class State(NamedTuple):
    """v: potential after firing; fired: the count that opens the gate of the negative threshold."""

    v: Array
    fired: Array


def fire(
    state: State,
    u: Array,
    theta: Array,
    theta_neg: Array,
    gate: str = "net",
    reset: str = "subtract",
    leak: Any = 1,
    strict: bool = False,
) -> tuple[State, Array]:
    """Integrate the current u and fire (QCFS Eq. 2-4; ECL Eq. 4-5; LIF: ECL Eq. 9-10).

    1. m = leak v + u.
    2. s = +1 where m >= theta (`strict`: m > theta); s = -1 where m <= theta_neg and an earlier spike is left to take
       back (gate "net": more positive than negative ones so far; "gross": any positive one so far).
    3. v = m - s theta (a negative spike gives theta back), or with reset "zero" v = 0 where s is not 0.

    Parameters
    ----------
    state, u : (B, *shape)
    theta, theta_neg : broadcast over (B, *shape); theta_neg = -inf is the plain IF neuron

    Returns
    -------
    The new state, and s : (B, *shape) int8.
    """
    v, fired = state
    m = leak * v + u
    positive = m > theta if strict else m >= theta
    negative = (m <= theta_neg) & (fired >= 1)
    s = positive.astype(np.int8) - negative.astype(np.int8)
    v = m - s * theta if reset == "subtract" else np.where(s == 0, m, 0 * m)
    return State(v, fired + (s if gate == "net" else positive)), s
