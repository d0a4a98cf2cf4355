"""A percentile of numbers that come in pieces is that of all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsim.methods.percentile import UpperPercentile


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), max_size=30), min_size=1, max_size=8).filter(any),
    st.floats(0.5, 100),
    st.integers(0, 50),
)
def test_a_percentile_in_pieces_is_that_of_the_whole(pieces, percentile, spare):
    values = np.concatenate([np.array(piece, float) for piece in pieces])
    found = UpperPercentile(percentile, len(values) + spare)
    for piece in pieces:
        found.add(np.array(piece, float))
    expected = np.percentile(values, percentile)
    assert found.value() == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(values).max())


def test_a_high_percentile_keeps_few_numbers():
    found = UpperPercentile(99.9, 1_000_000)
    for seed in range(10):
        found.add(np.random.default_rng(seed).normal(size=100_000))
    assert found._largest.size < 1100
    assert np.isnan(UpperPercentile(99.9, 5).value())
