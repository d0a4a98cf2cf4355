"""One time step of a tile of neurons: the twin of `reference.neurons.fire`."""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import njit
from numpy.typing import NDArray

from refsim.kernels.synapse import TILE


class Neurons(NamedTuple):
    """Parameters of one population; row p is position p = y * W + x, or the only row if all positions share it.

    theta, theta_neg, v0 : (1 or H * W, C)
    """

    theta: NDArray[Any]
    theta_neg: NDArray[Any]
    v0: NDArray[Any]
    leak: float
    dual: bool
    gross: bool
    zero: bool


@njit(cache=True, nogil=True)
def load_tile(neurons, position, first, width, theta, theta_neg, v, fired):  # type: ignore[no-untyped-def]
    """Copy the parameters of channels first .. first + width at a position, and set the state to its start."""
    row = position if len(neurons.theta) > 1 else 0
    row_neg = position if len(neurons.theta_neg) > 1 else 0
    row_v0 = position if len(neurons.v0) > 1 else 0
    for k in range(width):
        theta[k] = neurons.theta[row, first + k]
        theta_neg[k] = neurons.theta_neg[row_neg, first + k]
        v[k] = neurons.v0[row_v0, first + k]
        fired[k] = 0


@njit(cache=True, nogil=True)
def fire(neurons, u, theta, theta_neg, v, fired, s, margin):  # type: ignore[no-untyped-def]
    """Integrate u, fire, reset. All lanes are (TILE,); writes v, fired, s in {-1, 0, 1}, and lowers margin.

    margin : (2, TILE), the least |m - theta| / theta, and |m - theta_neg| / theta where the gate is open
    """
    leak = neurons.leak
    gross = neurons.gross
    zero = neurons.zero
    for k in range(TILE):
        m = leak * v[k] + u[k]
        gap = abs(m - theta[k]) / theta[k]
        margin[0, k] = gap if gap < margin[0, k] else margin[0, k]
        spike = 1 if m >= theta[k] else 0
        if neurons.dual:
            open_gate = fired[k] >= 1
            gap = abs(m - theta_neg[k]) / theta[k] if open_gate else margin[1, k]
            margin[1, k] = gap if gap < margin[1, k] else margin[1, k]
            spike = -1 if open_gate and m <= theta_neg[k] else spike
        s[k] = spike
        fired[k] += (1 if spike > 0 else 0) if gross else spike
        if zero:
            v[k] = m if spike == 0 else 0
        else:
            v[k] = m - spike * theta[k]
