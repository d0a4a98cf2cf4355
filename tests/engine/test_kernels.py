"""The smallest kernels on their own, where a whole network would rarely reach their last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from refsim.events import SpikeTrain
from refsim.kernels import vector
from refsim.kernels.events import lowest_bit, popcount
from refsim.kernels.vector import TILE

from .effort import examples

WORDS = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([2**64 - 1, 2**63, 1]))

# As global names of this module: Numba compiles no attribute of a module variable.
add_rows, add_scaled_rows, pack = vector.add_rows, vector.add_scaled_rows, vector.pack

# The kernels mean to wrap around; NumPy's scalars, which stand in for Numba's, warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar multiply")


@examples(300, interpreted=300)
@given(WORDS)
def test_popcount_counts_the_bits_of_a_word(word):
    assert popcount(np.uint64(word)) == word.bit_count()


@examples(300, interpreted=300)
@given(WORDS.filter(bool))
def test_lowest_bit_is_the_index_of_the_last_one(word):
    assert lowest_bit(np.uint64(word)) == (word & -word).bit_length() - 1


@pytest.mark.parametrize("c", [1, 63, 64, 65, 128, 130])
def test_masks_unpack_to_the_spikes_that_were_packed(c):
    rng = np.random.default_rng(c)
    spikes = rng.integers(-1, 2, size=(3, 2, c, 2, 1)).astype(np.int8)
    train = SpikeTrain.empty(2, (c, 2, 1), 3, dual=True)
    for t, b, k, y, x in np.argwhere(spikes):
        mask = train.positive if spikes[t, b, k, y, x] > 0 else train.negative
        mask[b, y, x, t, k // 64] |= np.uint64(1) << np.uint64(k % 64)
    np.testing.assert_array_equal(train.dense(c), spikes)


@njit
def call_add_rows(weight, tile, rows, n, out):
    add_rows(weight, tile, rows, n, out)


@njit
def call_add_scaled_rows(weight, tile, rows, factors, n, out):
    add_scaled_rows(weight, tile, rows, factors, n, out)


@njit
def call_pack(lanes, start):
    return pack(lanes, start)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [0, 1, 2, 33])
def test_rows_are_added_in_their_order(dtype, n):
    rng = np.random.default_rng(n)
    weight = aligned(rng.normal(size=(2, 9, TILE)).astype(dtype))
    rows = rng.integers(0, 9, size=40).astype(np.int32)
    factors = rng.normal(size=40).astype(dtype)
    plain, scaled = np.full(TILE, 7, dtype), np.full(TILE, 7, dtype)
    call_add_rows(weight, 1, rows, n, plain)
    call_add_scaled_rows(weight, 1, rows, factors, n, scaled)
    for k in range(TILE):
        total, total_scaled = dtype(0), dtype(0)
        for i in range(n):
            total = dtype(total + weight[1, rows[i], k])
            total_scaled = dtype(total_scaled + dtype(factors[i] * weight[1, rows[i], k]))
        assert plain[k] == total
        assert scaled[k] == total_scaled


def aligned(values: np.ndarray) -> np.ndarray:
    """A copy that starts at a multiple of 64 bytes, as `plan` makes weight tables."""
    raw = np.zeros(values.nbytes + 64, dtype=np.uint8)
    skip = -raw.ctypes.data % 64
    copy = raw[skip : skip + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[:] = values
    return copy


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("start", [0, 5])
def test_pack_sets_the_bits_of_lanes_above_zero(dtype, start):
    lanes = np.random.default_rng(start).integers(-1, 2, size=2 * TILE).astype(dtype)
    lanes[start + TILE - 1] = 1
    expected = sum(1 << k for k in range(TILE) if lanes[start + k] > 0)
    assert int(call_pack(lanes, start)) == expected
