"""The smallest kernels on their own, where a whole network would rarely reach their last bit."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from refsim.engine.events import SpikeTrain
from refsim.engine.kernels import lanes as lane_functions
from refsim.engine.kernels import rows as row_functions
from refsim.engine.kernels.bits import lowest_bit, popcount
from refsim.engine.kernels.lanes import TILE
from refsim.engine.kernels.neuron import Neurons, fire
from refsim.engine.kernels.pairs import paired
from refsim.engine.kernels.rows import STRIDE
from refsim.reference.neurons import State
from refsim.reference.neurons import fire as fire_reference

from .effort import examples

WORDS = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([2**64 - 1, 2**63, 1]))

# As global names of this module: Numba compiles no attribute of a module variable.
load, store, splat = lane_functions.load, lane_functions.store, lane_functions.splat
select, lesser, convert = lane_functions.select, lane_functions.lesser, lane_functions.convert
to_bits, from_bits = lane_functions.to_bits, lane_functions.from_bits
add_rows, subtract_rows = row_functions.add_rows, row_functions.subtract_rows
add_scaled_rows, copy_offset = row_functions.add_scaled_rows, row_functions.copy_offset


@njit
def call_popcount(word):
    return popcount(word)


@njit
def call_lowest_bit(word):
    return lowest_bit(word)


@examples(300, interpreted=300)
@given(WORDS)
def test_popcount_counts_the_bits_of_a_word(word):
    assert call_popcount(np.uint64(word)) == word.bit_count()


@examples(300, interpreted=300)
@given(WORDS.filter(bool))
def test_lowest_bit_is_the_index_of_the_last_one(word):
    assert call_lowest_bit(np.uint64(word)) == (word & -word).bit_length() - 1


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
def call_add_rows(weight, tile, rows, begin, end, total):
    store(total, 0, add_rows(weight, tile, rows, begin, end, load(total, 0)))


@njit
def call_subtract_rows(weight, tile, rows, begin, end, total):
    store(total, 0, subtract_rows(weight, tile, rows, begin, end, load(total, 0)))


@njit
def call_add_scaled_rows(weight, tile, rows, factors, begin, end, total):
    store(total, 0, add_scaled_rows(weight, tile, rows, factors, begin, end, load(total, 0)))


@njit
def call_copy_offset(source, begin, end, offset, target, at):
    copy_offset(source, begin, end, offset, target, at)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("begin", "end"), [(0, 0), (0, 1), (3, 5), (2, 35)])
def test_rows_are_added_in_their_order(dtype, begin, end):
    rng = np.random.default_rng(end)
    weight = aligned(rng.normal(size=(2, 9, TILE)).astype(dtype))
    rows = rng.integers(0, 9, size=40).astype(np.int32)
    factors = rng.normal(size=40).astype(dtype)
    plain, scaled = (rng.normal(size=TILE).astype(dtype) for _ in range(2))
    expected, expected_scaled = plain.copy(), scaled.copy()
    call_add_rows(weight, 1, rows, begin, end, plain)
    call_add_scaled_rows(weight, 1, rows, factors, begin, end, scaled)
    for i in range(begin, end):
        expected += weight[1, rows[i]]
        expected_scaled += factors[i] * weight[1, rows[i]]
    assert plain.tolist() == expected.tolist()
    assert scaled.tolist() == expected_scaled.tolist()


@pytest.mark.parametrize("dtype", [np.int32, np.int16, np.int8])
def test_rows_of_integers_are_added_and_taken_away_in_32_bits(dtype):
    rng = np.random.default_rng(0)
    largest = np.iinfo(dtype).max
    weight = aligned(rng.integers(-largest, largest, endpoint=True, size=(2, 9, TILE)).astype(dtype))
    weight[1, 0, ::2], weight[1, 0, 1::2] = largest, -largest
    # The largest of either sign, for longer than a sum of 16 bits holds.
    rows = np.concatenate([rng.integers(0, 9, size=40), np.zeros(700)]).astype(np.int32)
    total = rng.integers(-(2**31), 2**31, size=TILE).astype(np.int32)
    added, taken = (weight[1, chosen].sum(axis=0, dtype=np.int32) for chosen in (rows[3:], rows[5:9]))
    expected = total + added - taken
    if dtype is not np.int32:
        weight = paired(weight)
    call_add_rows(weight, 1, rows, 3, len(rows), total)
    call_subtract_rows(weight, 1, rows, 5, 9, total)
    assert total.tolist() == expected.tolist()


@pytest.mark.parametrize("n", [0, 1, STRIDE - 1, STRIDE, STRIDE + 1, 3 * STRIDE])
def test_lists_are_copied_with_an_offset_and_nothing_before_is_touched(n):
    source = np.arange(100, 100 + 5 + n + STRIDE, dtype=np.int32)
    target = np.full(7 + n + STRIDE, -1, dtype=np.int32)
    call_copy_offset(source, 5, 5 + n, np.int32(1000), target, 7)
    assert target[: 7 + n].tolist() == [-1] * 7 + (source[5 : 5 + n] + 1000).tolist()
    numbers = np.full(7 + n + STRIDE, -1.0)
    call_copy_offset(source.astype(np.float64), 5, 5 + n, 0.0, numbers, 7)
    assert numbers[: 7 + n].tolist() == [-1] * 7 + source[5 : 5 + n].tolist()


def aligned(values: np.ndarray) -> np.ndarray:
    """A copy that starts at a multiple of 64 bytes, as `tables` makes weight tables."""
    raw = np.zeros(values.nbytes + 64, dtype=np.uint8)
    skip = -raw.ctypes.data % 64
    copy = raw[skip : skip + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[:] = values
    return copy


@njit
def call_operators(a, b, out):
    one, two = load(a, 0), load(b, 0)
    results = (one + two, one - two, one * two, select(one >= two, one, two), select(one <= two, one, two))
    more = (select(one > two, one, two), select(one < two, one, two), lesser(one, two), splat(a[1]))
    for i in range(5):
        store(out, i * TILE, results[i])
    for i in range(4):
        store(out, (5 + i) * TILE, more[i])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32])
def test_operators_between_lanes_are_those_between_numbers(dtype):
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-3, 4, size=TILE).astype(dtype) / dtype(1) for _ in range(2))
    a, b = a.astype(dtype), b.astype(dtype)
    out = np.empty((9, TILE), dtype)
    call_operators(a, b, out)
    expected = [a + b, a - b, a * b]
    expected += [np.where(compare(a, b), a, b) for compare in (operator.ge, operator.le, operator.gt, operator.lt)]
    expected += [np.where(a < b, a, b), np.full(TILE, a[1])]
    np.testing.assert_array_equal(out, np.stack(expected))


@njit
def call_bits(a, b, word, out):
    mask = (load(a, 0) > load(b, 0)) & from_bits(word) | (load(a, 0) < load(b, 0))
    store(out, 0, convert(load(a, 0), load(out, 0)))
    return to_bits(mask)


@examples(50)
@given(WORDS, st.integers(0, 2**32 - 1))
def test_bits_of_a_word_are_lanes_of_truth(word, seed):
    a, b = np.random.default_rng(seed).integers(-1, 2, size=(2, TILE)).astype(np.int32)
    out = np.empty(TILE, np.int64)
    bits = int(call_bits(a, b, np.uint64(word), out))
    mask = (a > b) & np.array([word >> k & 1 for k in range(TILE)], dtype=bool) | (a < b)
    assert bits == sum(1 << int(k) for k in np.flatnonzero(mask))
    assert out.tolist() == a.tolist()


@njit
def call_fire(neurons, leak, currents, state, spikes):
    v, fired = load(state, 0), load(state, TILE)
    theta, theta_neg = load(neurons.theta, 0), load(neurons.theta_neg, 0)
    for t in range(len(currents)):
        m = splat(state.dtype.type(leak)) * v + load(currents, t * TILE)
        v, fired, spikes[t, 0], spikes[t, 1] = fire(neurons, m, theta, theta_neg, fired)
    store(state, 0, v)


@njit
def call_fire_of_one(neurons, leak, currents, state, spikes):
    for k in range(TILE):
        v, fired = state[0, k], np.int64(state[1, k])
        for t in range(len(currents)):
            m = leak * v + currents[t, k]
            v, fired, up, down = fire(neurons, m, neurons.theta[0, 0, k], neurons.theta_neg[0, 0, k], fired)
            spikes[t, 0] |= up << np.uint64(k)
            spikes[t, 1] |= down << np.uint64(k)
        state[0, k] = v


NEURONS = {
    "gate": st.sampled_from(["net", "gross"]),
    "reset": st.sampled_from(["subtract", "zero"]),
    "theta_neg": st.sampled_from([-np.inf, -2, -1]),
    "strict": st.booleans(),
    "seed": st.integers(0, 2**32 - 1),
}


def check_fire(call, dtype, leak, gate, reset, theta_neg, strict, seed):
    """Compare with the specification, in whole numbers that any type holds (halves of them with a leak)."""
    rng = np.random.default_rng(seed)
    theta, v0 = rng.integers(2, 5, size=(1, 1, TILE)).astype(dtype), rng.integers(-2, 3, size=TILE).astype(dtype)
    neurons = Neurons(
        theta=theta,
        per_theta=1 / theta,
        theta_neg=np.full((1, 1, TILE), max(theta_neg, -9)).astype(dtype),
        v0=v0.reshape(1, 1, TILE),
        leak=leak,
        dual=theta_neg > -np.inf,
        gross=gate == "gross",
        zero=reset == "zero",
        strict=strict,
    )
    currents = rng.integers(-6, 7, size=(8, TILE)).astype(dtype)
    lanes = np.stack([v0, np.zeros(TILE, dtype)])
    spikes = np.zeros((8, 2), dtype=np.uint64)
    call(neurons, leak, currents, lanes, spikes)
    state = State(v0, np.zeros(TILE, dtype=int))
    for u, (up, down) in zip(currents, spikes.tolist()):
        state, expected = fire_reference(state, u, theta[0, 0], np.array(theta_neg), gate, reset, leak, strict)
        assert [(up >> k & 1) - (down >> k & 1) for k in range(TILE)] == expected.tolist()
    assert lanes[0].tolist() == state.v.tolist()


@examples(300, interpreted=150)
@given(leak=st.sampled_from([1.0, 1.0, 0.5]), **NEURONS)
def test_fire_equals_its_twin(leak, gate, reset, theta_neg, strict, seed):
    check_fire(call_fire, np.float64, leak, gate, reset, theta_neg, strict, seed)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
@examples(60, interpreted=20)
@given(**NEURONS)
def test_fire_equals_its_twin_in_other_numbers(dtype, gate, reset, theta_neg, strict, seed):
    check_fire(call_fire, dtype, 1, gate, reset, theta_neg, strict, seed)


@examples(60, interpreted=20)
@given(**NEURONS)
def test_fire_of_one_neuron_is_that_of_lanes(gate, reset, theta_neg, strict, seed):
    check_fire(call_fire_of_one, np.float64, 1.0, gate, reset, theta_neg, strict, seed)
