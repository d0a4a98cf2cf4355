"""Exact expectations over piecewise constant densities, in Fractions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from math import gcd

import numpy as np

from refsim.reference.activations import qcfs

from .machines import HALF, estimated, exact

Density = list[tuple[Fraction, Fraction, Fraction]]
"""Cells (low, high, probability), the density constant in each."""


def expectation(error: Callable[[Fraction], Fraction], density: Density, breaks: Iterable[Fraction]) -> Fraction:
    """E[error(z)], where error is a polynomial of degree 3 at most between neighbouring breaks."""
    edges = sorted(set(breaks))
    total = Fraction(0)
    for low, high, probability in density:
        inside = [low, *(each for each in edges if low < each < high), high]
        mean = sum(_integral(error, a, b) for a, b in pairwise(inside)) / (high - low)
        total += probability * mean
    return total


def _integral(f: Callable[[Fraction], Fraction], a: Fraction, b: Fraction) -> Fraction:
    """Milne's rule: exact up to degree 3, and it looks at no end of the interval, where f may jump."""
    at = [f(a + (b - a) * Fraction(i, 4)) for i in (1, 2, 3)]
    return (b - a) * (2 * at[0] - at[1] + 2 * at[2]) / 3


def on_grid(edges: list[Fraction], probabilities: list[Fraction]) -> Density:
    """Cells between neighbouring edges with these probabilities."""
    return list(zip(edges, edges[1:], probabilities))


def grid(n: int) -> list[Fraction]:
    """0, 1/n, ..., 1."""
    return [Fraction(i, n) for i in range(n + 1)]


def half_shifted(n: int) -> list[Fraction]:
    """0, 1/2n, 3/2n, ..., (2n - 1)/2n, 1: where the shifted floor with n steps jumps, and the ends."""
    return [Fraction(0), *(Fraction(2 * i - 1, 2 * n) for i in range(1, n + 1)), Fraction(1)]


def jumps(n: int, shift: Fraction) -> list[Fraction]:
    """Where floor(n z + shift) jumps in [0, 1]."""
    return [(i - shift) / n for i in range(n + 2)]


def activation(z: Fraction, L: int, shift: Fraction = HALF) -> Fraction:
    """The specification's QCFS_L at z, with lambda = 1."""
    return qcfs(exact([z]), Fraction(1), L, shift)[0]


def estimated_error(z: Fraction, T: int, L: int, v0: Fraction = HALF, shift: Fraction = HALF) -> Fraction:
    """phi_est(T) - a for theta = lambda = 1 (QCFS Eq. 12)."""
    return estimated(z * T, T, 1, v0) - activation(z, L, shift)


def mean_estimated_error(T: int, L: int, density: Density, v0: Fraction = HALF, shift: Fraction = HALF) -> Fraction:
    """E[phi_est(T) - a] (QCFS Theorem 2)."""
    breaks = [*jumps(T, v0), *jumps(L, shift), Fraction(0), Fraction(1)]
    return expectation(lambda z: estimated_error(z, T, L, v0, shift), density, breaks)


def common_grid(T: int, L: int) -> list[Fraction]:
    """The finest grid on which a density constant on the cells of the T grid and of the L grid may still change."""
    return grid(gcd(T, L))


def connected_cells(*grids: list[Fraction]) -> int:
    """Cells left when a density must be constant on each cell of every grid: edges that all grids share, less one."""
    return len(set.intersection(*map(set, grids))) - 1


def probabilities_of(weights: list[int]) -> list[Fraction]:
    """Weights scaled to sum 1."""
    return [Fraction(each, sum(weights)) for each in weights]


def array(values: Iterable[Fraction]) -> np.ndarray:
    """An object array of Fractions."""
    return exact(list(values))
