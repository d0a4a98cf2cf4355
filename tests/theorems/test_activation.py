"""The activation of the source ANN (QCFS Eq. 13, 15), in exact numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refsim.reference.activations import clip_floor, qcfs

from .machines import HALF, clip, dyadic, estimated, exact, thresholds

steps = st.integers(1, 12)
inputs = st.fractions(-3, 3, max_denominator=1000)


def at(z, lambda_, L, shift=HALF):
    return qcfs(exact([z]), lambda_, L, shift)[0]


@given(z=inputs, lambda_=thresholds, L=steps)
def test_qcfs_takes_one_of_L_plus_one_values(z, lambda_, L):
    """QCFS Eq. 15: a is in {0, 1, ..., L} lambda / L."""
    assert at(z, lambda_, L) in {lambda_ * i / L for i in range(L + 1)}


@given(z=inputs, more=st.fractions(0, 3), lambda_=thresholds, L=steps)
def test_qcfs_never_falls(z, more, lambda_, L):
    """QCFS Eq. 15 is monotone in z."""
    assert at(z, lambda_, L) <= at(z + more, lambda_, L)


@given(z=inputs, lambda_=thresholds, L=steps)
def test_qcfs_lies_within_half_a_step_of_the_clipped_input(z, lambda_, L):
    """|a - clip(z, 0, lambda)| <= lambda / 2L (QCFS Eq. 15)."""
    assert abs(at(z, lambda_, L) - clip(z, 0, lambda_)) <= lambda_ / (2 * L)


def test_clip_floor_without_shift_is_off_by_almost_a_step():
    """The half step needs the shift of one half: QCFS Eq. 13 is off by nearly lambda / L."""
    z = Fraction(99, 400)
    assert clip_floor(exact([z]), Fraction(1), 4)[0] - z == -Fraction(99, 400)


@given(z=inputs, lambda_=thresholds, L=steps, shift=st.integers(0, 15).map(lambda i: Fraction(i, 16)))
def test_qcfs_of_qcfs_is_qcfs(z, lambda_, L, shift):
    """QCFS Eq. 15 is idempotent: a quantized activation is a fixed point."""
    a = at(z, lambda_, L, shift)
    assert at(a, lambda_, L, shift) == a


@given(z=dyadic(-3, 3, bits=7), lambda_=thresholds, L=steps)
def test_qcfs_is_the_estimate_of_as_many_steps(z, lambda_, L):
    """QCFS_L(z) = phi_est(T = L) for v(0) = lambda / 2 (QCFS Eq. 11)."""
    assert at(z, lambda_, L) == estimated(z * L, L, lambda_, lambda_ / 2)


@given(
    z=st.lists(st.floats(-2, 2), min_size=1, max_size=50),
    lambda_=st.floats(0.1, 4),
    power=st.integers(0, 6),
)
def test_orders_of_operation_agree_to_the_bit_for_powers_of_two(z, lambda_, power):
    """Public code clips z / lambda first, QCFS Eq. 15 floors z L / lambda first: the same floats for L = 2^k."""
    L = 2**power
    z = np.array(z)
    assert qcfs(z, lambda_, L).tolist() == (np.clip(np.floor(z * L / lambda_ + 0.5) / L, 0, 1) * lambda_).tolist()


@given(tie=st.integers(0, 2), ulps=st.integers(-3, 3), lambda_=st.floats(0.1, 4), L=st.sampled_from([3, 5, 6, 7, 10]))
def test_orders_of_operation_differ_near_ties_by_one_level_at_most(tie, ulps, lambda_, L):
    """For other L they may fall on different sides of a jump, which is why the order is normative."""
    assume(tie < L)
    z = (tie + 0.5) * lambda_ / L
    z = np.array([z + ulps * np.spacing(z)])
    levels = [np.rint(a / lambda_ * L) for a in (qcfs(z, lambda_, L), qcfs_as_printed(z, lambda_, L))]
    assert abs(levels[0] - levels[1]) <= 1


@pytest.mark.parametrize("L", [3, 5, 6, 7, 10])
def test_orders_of_operation_do_differ_for_L_not_a_power_of_two(L):
    """Semantics 3.1: on about a tenth of the inputs within an ulp of a jump."""
    rng = np.random.default_rng(L)
    lambda_ = rng.uniform(0.1, 4, 10_000)
    z = (rng.integers(0, L, 10_000) + 0.5) * lambda_ / L
    z += rng.integers(-1, 2, 10_000) * np.spacing(z)
    levels = [np.rint(a / lambda_ * L) for a in (qcfs(z, lambda_, L), qcfs_as_printed(z, lambda_, L))]
    assert 0.05 < np.mean(levels[0] != levels[1]) < 0.15


def qcfs_as_printed(z, lambda_, L):
    return lambda_ * np.clip(np.floor(z * L / lambda_ + 0.5) / L, 0, 1)
