"""Theorems about the *estimated* error, computed by exact integration (QCFS Theorems 1, 2, Lemma 1; ECL; NQ Theorem 1).

They speak of phi_est, the estimate from the summed current (QCFS Eq. 11), not of what a neuron does: see the
last test of each theorem. lambda = theta = 1 unless said otherwise.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refsim.reference.activations import nq, qcfs

from .integration import (
    activation,
    array,
    common_grid,
    connected_cells,
    estimated_error,
    expectation,
    grid,
    half_shifted,
    jumps,
    mean_estimated_error,
    on_grid,
    probabilities_of,
)
from .machines import HALF, dyadic, estimated, run_neuron, thresholds, timed

steps = st.integers(1, 8)
shifts = st.integers(0, 15).map(lambda i: Fraction(i, 16))
weights = st.integers(0, 20)
UNIFORM = [(Fraction(0), Fraction(1), Fraction(1))]


def densities(edges: list[Fraction]) -> st.SearchStrategy:
    """Any density that is constant between neighbouring edges."""
    n = len(edges) - 1
    drawn = st.lists(weights, min_size=n, max_size=n).filter(any)
    return drawn.map(lambda each: on_grid(edges, probabilities_of(each)))


# Theorem 1


@given(z=dyadic(-3, 3, bits=6), L=steps, lambda_=thresholds, shift=shifts)
def test_estimated_error_vanishes_when_T_is_L_and_theta_is_lambda(z, L, lambda_, shift):
    """QCFS Theorem 1, for the shift of Eq. 15 in general and 0 (Eq. 13) in particular: v(0) = shift * theta."""
    z = z * lambda_
    assert estimated(z * L, L, lambda_, shift * lambda_) == qcfs(array([z]), lambda_, L, shift)[0]


@pytest.mark.parametrize(
    ("T", "L", "theta", "v0"),
    [(3, 4, Fraction(1), HALF), (4, 4, Fraction(3, 4), HALF), (4, 4, Fraction(1), Fraction(1, 4))],
    ids=["T is not L", "theta is not lambda", "v(0) is not shift * theta"],
)
def test_estimated_error_appears_when_a_hypothesis_of_theorem_1_is_dropped(T, L, theta, v0):
    """QCFS Theorem 1 needs T = L, theta = lambda and v(0) = shift * theta."""
    errors = [estimated(z * T, T, theta, v0 * theta) - activation(z, L) for z in grid(64)]
    assert any(errors)


def test_theorem_1_does_not_hold_for_the_neuron_itself():
    """QCFS Fig. 1c at T = L = 5: the estimate is right, the neuron fires twice too often."""
    u = timed([(1, 2, 3), (4, 5)], [2, -2], 5)
    assert estimated(sum(u), 5, 1, 0) == activation(sum(u) / Fraction(5), 5, Fraction(0))
    assert Fraction(run_neuron(u).n[-1], 5) == estimated(sum(u), 5, 1, 0) + Fraction(2, 5)


# Lemma 1


@given(data=st.data(), T=steps, theta=thresholds)
def test_mean_quantization_error_depends_on_the_end_cells_only(data, T, theta):
    """QCFS Lemma 1: integral of (x - Q_T(x)) p(x) = (p_0 - p_T) theta^2 / (8 T^2), p constant between the jumps.

    p_0 and p_T are densities of the end cells, which have half the width of the others.
    """
    edges = [theta * each for each in half_shifted(T)]
    density = data.draw(densities(edges))
    heights = [probability / (high - low) for low, high, probability in density]

    def error(x: Fraction) -> Fraction:
        return x - qcfs(array([x]), theta, T, HALF)[0]

    assert expectation(error, density, edges) == (heights[0] - heights[-1]) * theta**2 / (8 * T**2)


def test_mean_quantization_error_does_not_vanish_when_the_density_changes_within_a_cell():
    """QCFS Lemma 1 needs p constant between the jumps: all mass in the left half of one cell."""
    density = [(Fraction(1, 8), Fraction(1, 4), Fraction(1))]
    assert expectation(lambda x: x - activation(x, 4), density, half_shifted(4)) == -Fraction(1, 16)


# Theorem 2


@given(data=st.data(), T=steps, L=steps)
def test_mean_estimated_error_vanishes_at_shift_one_half_on_densities_constant_on_both_grids(data, T, L):
    """QCFS Theorem 2: E[phi_est - a] = 0 for any T and L; p_0 = p_T is not needed.

    "Uniform within [(t-1)/T, t/T] and within [(l-1)/L, l/L]" amounts to: constant on the cells of the gcd(T, L) grid.
    """
    assert connected_cells(grid(T), grid(L)) == len(common_grid(T, L)) - 1
    assert mean_estimated_error(T, L, data.draw(densities(common_grid(T, L)))) == 0


@given(data=st.data(), T=steps, L=steps, outside=st.integers(1, 9).map(lambda i: Fraction(i, 10)))
def test_density_outside_the_clipping_range_does_not_matter(data, T, L, outside):
    """Below 0 and above lambda estimate and activation are both clipped (QCFS Theorem 2)."""
    inside = [(a, b, (1 - outside) * p) for a, b, p in data.draw(densities(common_grid(T, L)))]
    below, above = (Fraction(-2), Fraction(0), outside / 3), (Fraction(1), Fraction(4), 2 * outside / 3)
    assert mean_estimated_error(T, L, [below, *inside, above]) == 0


@pytest.mark.parametrize(
    ("probabilities", "error"),
    [([60, 20, 16, 13], Fraction(43, 872)), ([4, 2, 1, 1], Fraction(1, 32)), ([1, 1, 1, 1], 0)],
    ids=["steep", "halving", "uniform"],
)
def test_density_constant_on_the_T_grid_alone_is_not_enough(probabilities, error):
    """QCFS Theorem 2 at T = 4, L = 2: its hypothesis for the L grid is needed, unless T divides L."""
    density = on_grid(grid(4), probabilities_of(probabilities))
    assert mean_estimated_error(4, 2, density) == error


@given(data=st.data(), T=st.integers(1, 4), factor=st.integers(1, 4))
def test_density_constant_on_the_T_grid_is_enough_when_T_divides_L(data, T, factor):
    """Then the T grid is the gcd grid (QCFS Theorem 2)."""
    assert mean_estimated_error(T, T * factor, data.draw(densities(grid(T)))) == 0


@given(T=steps, L=steps, shift=shifts)
def test_mean_estimated_error_needs_the_shift_of_one_half(T, L, shift):
    """QCFS Theorem 2 at the uniform density: E = (shift - 1/2) (1/T - 1/L), zero only for shift = 1/2 or T = L."""
    assert mean_estimated_error(T, L, UNIFORM, shift, shift) == (shift - HALF) * (Fraction(1, T) - Fraction(1, L))


@pytest.mark.parametrize(("T", "L", "cells"), [(4, 8, 1), (2, 8, 1), (1, 2, 1), (4, 4, 5), (1, 3, 2), (2, 6, 3)])
def test_appendix_route_forces_the_uniform_density_where_no_jumps_coincide(T, L, cells):
    """QCFS Appendix (S9-S13) uses Lemma 1 for T and for L: constant between jumps of both, hence often everywhere."""
    assert connected_cells(half_shifted(T), half_shifted(L)) == cells


@pytest.mark.parametrize(("T", "L", "worst"), [(4, 8, Fraction(1, 8)), (2, 8, Fraction(1, 4)), (4, 4, 0)])
def test_mean_of_zero_does_not_make_single_errors_small(T, L, worst):
    """The estimated error of one neuron reaches lambda / 8 at T = 4, L = 8 and lambda / 4 at T = 2, L = 8."""
    edges = sorted({*half_shifted(T), *half_shifted(L)})
    centers = [(a + b) / 2 for a, b in pairwise(edges)]
    assert max(abs(estimated_error(z, T, L)) for z in [*edges, *centers]) == worst


def test_mean_error_of_neurons_is_not_zero_where_the_mean_estimated_error_is():
    """QCFS Theorem 2 says nothing about neurons: one late negative current, and they fire too much on average."""
    wrong = [Fraction(run_neuron([z + 1, z - 1], v0=HALF).n[-1], 2) - activation(z, 2) for z in grid(64)[:-1]]
    assert mean_estimated_error(2, 2, UNIFORM) == 0
    assert sum(wrong) > 0


# The optimal initial potential


def mean_square(T: int, v0: Fraction) -> Fraction:
    """E[(z - phi_est)^2] for z uniform on [0, 1] (ECL Eq. 8)."""
    return expectation(lambda z: (z - estimated(z * T, T, 1, v0)) ** 2, UNIFORM, jumps(T, v0))


@given(T=steps, v0=shifts)
def test_mean_square_error_is_least_at_half_the_threshold(T, v0):
    """ECL Eq. 8, theta = 1: E = (1/3 - v0 + v0^2) / T^2, least at v0 = 1/2, where it is 1 / (12 T^2)."""
    assert mean_square(T, v0) == (Fraction(1, 3) - v0 + v0**2) / T**2
    assert mean_square(T, v0) >= mean_square(T, HALF) == Fraction(1, 12 * T**2)
    assert (mean_square(T, v0) == mean_square(T, HALF)) == (v0 == HALF)


@given(z=dyadic(0, 1, bits=8), T=steps, v0=shifts)
def test_half_the_threshold_is_best_for_every_single_current(z, T, v0):
    """Stronger than ECL Eq. 8, and for every density: phi_est is then the grid point nearest to z."""
    nearest = min(abs(z - each) for each in grid(T))
    assert abs(z - estimated(z * T, T, 1, HALF)) == nearest <= abs(z - estimated(z * T, T, 1, v0))


def test_half_the_threshold_is_not_best_for_every_neuron():
    """ECL Eq. 8 is about the estimate: on (1/2, -1/2) v(0) = theta / 2 fires, v(0) = 0 rightly does not."""
    u = [HALF, -HALF]
    assert [run_neuron(u, v0=v0).n[-1] for v0 in (HALF, 0)] == [1, 0]


# NQ Theorem 1


@given(data=st.data(), T=steps, L=steps, delta=dyadic(0, 1))
def test_mean_error_against_noisy_quantization_vanishes_for_noise_of_zero_mean(data, T, L, delta):
    """NQ Theorem 1, with the density hypothesis that it leaves out: E[phi_est - (QCFS + delta G)] = 0."""
    density = data.draw(densities(common_grid(T, L)))
    noise = data.draw(st.lists(dyadic(-2, 2), min_size=1, max_size=4))
    noise = [*noise, -sum(noise)]
    assert noisy_error(T, L, density, [delta * g for g in noise]) == 0


@given(T=steps, L=steps, mean=dyadic(-1, 1))
def test_mean_error_against_noisy_quantization_is_the_mean_of_the_noise(T, L, mean):
    """NQ Theorem 1 needs E[G] = 0."""
    assume(mean)
    assert noisy_error(T, L, UNIFORM, [mean]) == -mean


def noisy_error(T: int, L: int, density, noise: list[Fraction]) -> Fraction:
    """E[phi_est - a] with a of NQ Eq. 13, for noise that takes each of these values with the same probability."""

    def error(z: Fraction) -> Fraction:
        a = nq(array([z]), Fraction(1), L, np.array(noise, dtype=object), HALF)
        return estimated(z * T, T, 1, HALF) - sum(a) / len(noise)

    return expectation(error, density, [*half_shifted(T), *half_shifted(L)])


def test_nq_theorem_1_is_false_as_printed():
    """ "For all T, L, delta" needs the density hypothesis: all mass near z = 0.3 gives -lambda / 4 at T = 1, L = 4."""
    z = Fraction(3, 10)
    near = [(z - Fraction(1, 100), z + Fraction(1, 100), Fraction(1))]
    assert estimated_error(z, 1, 4) == noisy_error(1, 4, near, [Fraction(0)]) == -Fraction(1, 4)


def test_nq_theorem_1_needs_the_final_potential_within_the_threshold():
    """phi = phi_est only if 0 <= v(T) < theta (NQ Eq. 7): Fig. 1c ends at v = -2 with phi = phi_est + 2/5."""
    u = timed([(1, 2, 3), (4, 5)], [2, -2], 5)
    run = run_neuron(u)
    assert run.v[-1] == -2
    assert Fraction(run.n[-1], 5) - estimated(sum(u), 5, 1, 0) == Fraction(2, 5)
