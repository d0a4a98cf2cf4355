"""Intervals and running statistics, against SciPy and against statistics of all values at once."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from refsim.analysis.residual import describe_residual
from refsim.analysis.statistics import Distribution, Moments, wilson_interval


@given(data=st.data(), n=st.integers(1, 10_000), confidence=st.floats(0.5, 0.999))
def test_interval_is_that_of_scipy(data, n, confidence):
    successes = data.draw(st.integers(0, n))
    expected = scipy.stats.binomtest(successes, n).proportion_ci(confidence, "wilson")
    assert wilson_interval(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(n=st.integers(1, 10_000), confidence=st.floats(0.5, 0.999))
def test_interval_of_none_begins_at_zero_and_of_all_ends_at_one(n, confidence):
    """To the bit: a lower end of 1e-18, or an upper one above 1, would be printed."""
    assert wilson_interval(0, n, confidence)[0] == 0
    assert wilson_interval(n, n, confidence)[1] == 1


@pytest.mark.parametrize("arguments", [(3, 2), (-1, 2), (0, 0), (1, 2, 1.0)])
def test_interval_of_nonsense_is_refused(arguments):
    with pytest.raises(ValueError, match="no interval for"):
        wilson_interval(*arguments)


def sample(n_images: int = 7, n: int = 1000) -> np.ndarray:
    return np.random.default_rng(5).gamma(2.0, 0.25, (n_images, n)) - 0.5


def test_moments_are_those_of_all_values_together():
    values, moments = sample(), Moments()
    for part in np.array_split(values, 3):
        moments.add(part)
    assert moments.n == values.size
    assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert moments.rms == pytest.approx(np.sqrt((values**2).mean()), rel=1e-12)
    assert moments.std == pytest.approx(values.std(), rel=1e-12)
    assert moments.skewness == pytest.approx(scipy.stats.skew(values.ravel()), rel=1e-9)
    assert moments.excess_kurtosis == pytest.approx(scipy.stats.kurtosis(values.ravel()), rel=1e-9)


@given(order=st.permutations(range(7)), cuts=st.sets(st.integers(1, 6)))
def test_no_bit_depends_on_batches_or_their_order(order, cuts):
    values = sample()
    whole, parts = Distribution(64), Distribution(64)
    whole.add(values)
    for part in np.split(values[order], sorted(cuts)):
        other = Distribution(64)
        other.add(part)
        parts.merge(other)
    for name in ("n", "mean", "rms", "std", "minimum", "maximum"):
        assert getattr(parts, name) == getattr(whole, name)
    assert (parts.histogram == whole.histogram).all()


@given(
    values=st.lists(st.integers(-20, 20), min_size=1, max_size=60),
    q=st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]),
)
def test_quantiles_on_the_grid_are_exact(values, q):
    """The least value with at least the part q of all values at or below it."""
    part = Distribution(10)
    part.add(np.array([values]) / 10)
    expected = np.quantile(np.array(values) / 10, q, method="inverted_cdf")
    assert part.quantile(q) == expected
    assert (part.quantile(0), part.quantile(1)) == (min(values) / 10, max(values) / 10)


def test_quantiles_off_the_grid_are_within_half_a_bin():
    values, part = sample(), Distribution(256)
    part.add(values)
    for q in (0.05, 0.5, 0.95):
        assert abs(part.quantile(q) - np.quantile(values, q, method="inverted_cdf")) <= 0.5 / 256


def test_values_beyond_the_histogram_are_counted_and_their_extremes_kept():
    part = Distribution(4, limit=1)
    part.add(np.array([[-7.0, 0.25, 9.0]]))
    assert part.histogram.sum() == 3
    assert [part.quantile(q) for q in (0.1, 0.5, 0.9)] == [-7.0, 0.25, 9.0]


def test_statistics_of_nothing_are_not_numbers():
    assert np.isnan(Distribution(4).quantile(0.5))
    assert np.isnan(Moments().mean)


def test_residual_is_described_as_by_scipy():
    """Symmetry and normality of NQ's g' (NQ Fig. 2): the Jarque-Bera statistic and its p-value."""
    values, moments = sample(2, 100), Moments()
    moments.add(values)
    found, expected = describe_residual(moments), scipy.stats.jarque_bera(values.ravel())
    assert found.jarque_bera == pytest.approx(expected.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.mean == pytest.approx(values.mean())
    assert found.std == pytest.approx(values.std())


def test_residual_without_spread_has_no_shape():
    """The first layer at T = L: g' = 0 everywhere."""
    moments = Moments()
    moments.add(np.zeros((2, 5)))
    found = describe_residual(moments)
    assert (found.mean, found.std) == (0, 0)
    assert np.isnan([found.skewness, found.excess_kurtosis, found.jarque_bera, found.p_value]).all()
