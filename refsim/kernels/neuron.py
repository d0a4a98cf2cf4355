"""One time step of a tile of neurons: the twin of `reference.neurons.fire`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refsim.kernels.vector import TILE

# Where the lanes of a tile stand in its one flat array. With a single array and fixed distances the compiler
# sees that nothing overlaps and vectorises the loops below.
U, V, TOTAL, FIRED, SPIKE, NEGATIVE, MARGIN, MARGIN_NEG, THETA, THETA_NEG, PER_THETA = range(0, 11 * TILE, TILE)
N_LANES = 11 * TILE


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
def load_tile(neurons, position, first, width, lanes):  # type: ignore[no-untyped-def]
    """Copy the parameters of channels first .. first + width at a position, and set the state to its start."""
    row = position if len(neurons.theta) > 1 else 0
    row_neg = position if len(neurons.theta_neg) > 1 else 0
    row_v0 = position if len(neurons.v0) > 1 else 0
    for k in range(width):
        lanes[THETA + k] = neurons.theta[row, first + k]
        lanes[PER_THETA + k] = 1 / lanes[THETA + k]
        lanes[THETA_NEG + k] = neurons.theta_neg[row_neg, first + k]
        lanes[V + k] = neurons.v0[row_v0, first + k]
    for k in range(TILE):
        lanes[FIRED + k] = 0
        lanes[TOTAL + k] = 0


@njit(cache=True, nogil=True)
def reset_margins(lanes):  # type: ignore[no-untyped-def]
    """No decision has been seen yet."""
    for k in range(TILE):
        lanes[MARGIN + k] = np.inf
        lanes[MARGIN_NEG + k] = np.inf


@njit(cache=True, nogil=True)
def fire(neurons, lanes):  # type: ignore[no-untyped-def]
    """Integrate U, fire, reset: changes V, FIRED, TOTAL and the margins; writes SPIKE, NEGATIVE (0 or 1 each).

    MARGIN, MARGIN_NEG : least |m - theta| / theta so far, and |m - theta_neg| / theta where the gate was open.
    """
    leak = neurons.leak
    for k in range(TILE):
        m = leak * lanes[V + k] + lanes[U + k]
        theta = lanes[THETA + k]
        gap = abs(m - theta) * lanes[PER_THETA + k]
        lanes[MARGIN + k] = gap if gap < lanes[MARGIN + k] else lanes[MARGIN + k]
        lanes[SPIKE + k] = 1 if m >= theta else 0
        lanes[TOTAL + k] += lanes[U + k]
        lanes[V + k] = m
    if neurons.dual:
        for k in range(TILE):
            m = lanes[V + k]
            theta_neg = lanes[THETA_NEG + k]
            gap = abs(m - theta_neg) * lanes[PER_THETA + k]
            gap = gap if lanes[FIRED + k] >= 1 else np.inf
            lanes[MARGIN_NEG + k] = gap if gap < lanes[MARGIN_NEG + k] else lanes[MARGIN_NEG + k]
            below = 1 if m <= theta_neg else 0
            lanes[NEGATIVE + k] = below if lanes[FIRED + k] >= 1 else 0
        for k in range(TILE):
            lanes[FIRED + k] += lanes[SPIKE + k] if neurons.gross else lanes[SPIKE + k] - lanes[NEGATIVE + k]
    for k in range(TILE):
        s = lanes[SPIKE + k] - lanes[NEGATIVE + k]
        reset = lanes[V + k] - s * lanes[THETA + k]
        lanes[V + k] = reset if not neurons.zero or s == 0 else 0
